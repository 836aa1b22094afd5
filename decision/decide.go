package decision

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"opossum/dcb"
)

// Defaults of Retry.
const (
	DefaultAttempts = 50
	DefaultMinDelay = time.Millisecond
	DefaultMaxDelay = 100 * time.Millisecond
)

// Retry says what happens when something that a decision rests on has changed meanwhile. The zero value of each field is its default.
type Retry struct {
	// Attempts is how often a decision is made at most. 1: no second time. Default DefaultAttempts.
	Attempts int
	// MinDelay and MaxDelay bound the pause before a new attempt. It is drawn evenly from nothing up to a bound that begins with MinDelay and doubles with each attempt until it is
	// MaxDelay ("full jitter": those who met once are not to meet again; Brooker, Exponential Backoff And Jitter, 2015). Defaults DefaultMinDelay, DefaultMaxDelay; if only one is set
	// and the other's default is on the wrong side of it, both are that one.
	MinDelay, MaxDelay time.Duration
	// Rand returns a number from 0 to less than 1, for the jitter. Default: that of math/rand/v2. It may be called by several decisions at once.
	Rand func() float64
	// Wait returns nil after d, or an error when ctx ends, with which the decision is given up. Default: a timer. It may be called by several decisions at once.
	Wait func(ctx context.Context, d time.Duration) error
}

// Decision is what was decided.
type Decision struct {
	Position dcb.Position // of the last event that was appended; 0 with an error
	Head     dcb.Position // that the last attempt rested on
	Attempts int          // how often it was made; 0 if what it rests on could not be read
}

// Decide reads what p is about, has decide make events of it, and appends them under the condition that nothing that matches p's query has happened since. If something
// has, it pauses, reads on from there and decides anew, within the bounds of retry. The events are appended as one: all or none.
//
// REQUIRES: decide does not change the state. It may be called several times; what it tells others, such as a number that it chose in a variable of its caller, is of the last call
// and true if Decide returns no error. A panic of decide goes on to the caller of Decide.
//
// Errors: what decide returns, as it is, and then nothing is appended; dcb.ErrNoEvents if it returns neither events nor an error; dcb.ErrInvalidOption: retry;
// ErrInvalidProjection; ErrProjectionPanicked; dcb.ErrConditionFailed after the last attempt; the end of ctx, which Is dcb.ErrConditionFailed as well if it came in a pause; and all
// errors of Read and Append. After dcb.ErrOutcomeUnknown the events may be there, and a second Decide reads them: a decision that must not be made twice has to recognise in its state
// that it was made, because an event's ID alone does not help where the condition is new. The Decision says how many attempts there were in any case.
func Decide[S any](ctx context.Context, store Store, p Projection[S], decide func(S) ([]dcb.Event, error), retry Retry) (d Decision, err error) {
	if err := retry.Validate(); err != nil {
		return d, fmt.Errorf("opossum: decision: %w", err)
	}
	retry = retry.filled()
	m, err := Build(ctx, store, p)
	if err != nil {
		return d, err
	}
	for {
		d.Attempts, d.Head = d.Attempts+1, m.Head()
		events, err := decide(m.State())
		if err != nil {
			return d, err
		}
		if len(events) == 0 {
			return d, fmt.Errorf("opossum: decision: %w: it came to neither events nor an error", dcb.ErrNoEvents)
		}
		d.Position, err = store.Append(ctx, events, m.Condition())
		if !errors.Is(err, dcb.ErrConditionFailed) {
			return d, err
		}
		if d.Attempts == retry.Attempts {
			return d, fmt.Errorf("%w (attempts: %d)", err, d.Attempts)
		}
		if ended := retry.Wait(ctx, retry.delay(d.Attempts)); ended != nil {
			return d, fmt.Errorf("%w (attempts: %d; then: %w)", err, d.Attempts, ended)
		}
		if err := m.Refresh(ctx); err != nil {
			return d, err
		}
	}
}

// Validate returns nil, or an error that Is dcb.ErrInvalidOption and names the field.
func (r Retry) Validate() error {
	switch f := r.filled(); {
	case r.Attempts < 0:
		return fmt.Errorf("%w: Attempts is %d, want at least 1, or 0 for the default", dcb.ErrInvalidOption, r.Attempts)
	case r.MinDelay < 0 || r.MaxDelay < 0 || f.MinDelay > f.MaxDelay:
		return fmt.Errorf("%w: MinDelay is %v and MaxDelay %v, want 0 <= MinDelay <= MaxDelay", dcb.ErrInvalidOption, r.MinDelay, r.MaxDelay)
	}
	return nil
}

func (r Retry) filled() Retry {
	if r.Attempts == 0 {
		r.Attempts = DefaultAttempts
	}
	switch { // one that is set draws the other's default to its side
	case r.MinDelay == 0 && r.MaxDelay == 0:
		r.MinDelay, r.MaxDelay = DefaultMinDelay, DefaultMaxDelay
	case r.MinDelay == 0:
		r.MinDelay = min(DefaultMinDelay, r.MaxDelay)
	case r.MaxDelay == 0:
		r.MaxDelay = max(DefaultMaxDelay, r.MinDelay)
	}
	if r.Rand == nil {
		r.Rand = rand.Float64
	}
	if r.Wait == nil {
		r.Wait = wait
	}
	return r
}

// delay is the pause after so many attempts. REQUIRES: r is filled.
func (r Retry) delay(attempts int) time.Duration {
	bound := r.MaxDelay
	if shift := attempts - 1; shift < 62 && r.MinDelay<<shift>>shift == r.MinDelay {
		bound = min(bound, r.MinDelay<<shift)
	}
	return time.Duration(r.Rand() * float64(bound))
}

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err() // both may have come
	case <-ctx.Done():
		return ctx.Err()
	}
}

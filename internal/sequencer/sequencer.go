package sequencer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"opossum/dcb"
	"opossum/internal/index"
	"opossum/ledger"
	"opossum/wal"
)

// windowEvents is how many staged events a condition may have to be checked against under the lock. A caller whose
// snapshot is older goes back for a new one: it pays for its slowness, not the others.
const windowEvents = 4096

// patience is how often a caller goes back before its whole window is checked under the lock after all, so that none
// starves.
const patience = 3

// Config is what a sequencer is built from. All fields without a remark are required.
type Config struct {
	Log    *wal.Log
	Ledger *ledger.Ledger
	Index  *index.Index
	Places *index.Places
	Seed   uint64
	Flush  FlushPolicy
	Limits Limits
	// Backlog is how many bytes of the log are not yet filed at the start.
	Backlog uint64
	// Free returns the bytes that may still be written to the store's file system.
	Free func() (uint64, error)
	// Hurry is called when an append is held back by the lag of filing.
	Hurry func()
	// Full is called when a memory part of the index is full and another one has begun.
	Full   func()
	Clock  func() time.Time
	Logger *slog.Logger
	// ID returns the ID of a visible event, for appends that are repeated.
	ID func(dcb.Position) (id [16]byte, err error)
	// Poisoned is called once, with the first error after which nothing more may be promised: of a write or sync here, or
	// one given to Poison.
	Poisoned func(error)
	// Snapshotted, if set, is called by tests between the check at the snapshot and the lock.
	Snapshotted func()
}

// Sequencer is the single writer of a store. Append and the readers of its state may be called by any goroutine.
type Sequencer struct {
	cfg  Config
	gate gate

	mu struct {
		sync.Mutex
		staged dcb.Position
		groups []*group // open, oldest first; only the last takes more
		idle   bool     // the committer sleeps on wake
		ended  error    // why nothing is staged any more: ErrClosed, or what Is ErrPoisoned
		poison bool     // Poison was called, be it before Close or while it waits

		idleSince time.Time     // when the committer went to sleep, zero while it does not
		rested    time.Duration // and how long it has slept before
	}
	wake chan struct{}
	done chan struct{} // closed when the committer has ended

	waiting   atomic.Int64  // appends staged and not yet taken by the committer
	expected  atomic.Int64  // how many the committer waits for, 0: it does not
	came      chan struct{} // has something when so many wait
	syncStart atomic.Int64  // unix nanoseconds at which the running write and sync began, 0: none
	busy      atomic.Int64  // nanoseconds spent in writes and syncs
	begun     time.Time
	stats     counters
	ages      ages

	unsynced time.Time // when the first event that is not synced was about to be written; the committer's
	party    int64     // appends that waited or were about to be answered at the end of the last group; the committer's
}

// New starts a sequencer; Close ends it.
func New(cfg Config) *Sequencer {
	s := &Sequencer{
		cfg:  cfg,
		wake: make(chan struct{}, 1), done: make(chan struct{}), came: make(chan struct{}, 1), begun: time.Now(),
	}
	s.stats.init()
	s.gate.init(cfg)
	s.mu.staged = cfg.Ledger.Get(ledger.Assigned)
	if filed := cfg.Ledger.Get(ledger.Materialized); s.mu.staged > filed {
		s.ages.note(s.mu.staged, filed, time.Now()) // nobody knows how old the backlog is; so old it is at least
	}
	go s.run()
	return s
}

// Append appends the events atomically if cond allows, and returns the position of the last. The contract is that of the
// engine's Append; whenDurable is its option.
func (s *Sequencer) Append(ctx context.Context, events []dcb.Event, cond *dcb.Condition, whenDurable bool) (dcb.Position, error) {
	if err := ctx.Err(); err != nil {
		return 0, fmt.Errorf("opossum: append: not written: %w", err)
	}
	b, err := newBatch(events, cond, s.cfg.Clock)
	if err != nil {
		return 0, fmt.Errorf("opossum: append: %w", err)
	}
	p, err := s.append(ctx, b)
	if whenDurable {
		if syncErr := s.settle(ctx, p, err); syncErr != nil {
			p, err = 0, syncErr
		}
	}
	if err != nil {
		return 0, fmt.Errorf("opossum: append: %w", err)
	}
	return p, nil
}

// settle makes durable what the answer to an append rests on: its own events at p, or those that its condition failed for.
func (s *Sequencer) settle(ctx context.Context, p dcb.Position, answer error) error {
	var failed *dcb.ConditionFailedError
	if errors.As(answer, &failed) {
		return s.syncTo(ctx, failed.Position)
	}
	if answer != nil {
		return nil
	}
	err := s.syncTo(ctx, p)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("%w: %w", ctx.Err(), dcb.ErrOutcomeUnknown)
	}
	// Not Is ErrPoisoned or ErrClosed, which mean that it is certainly not written.
	return fmt.Errorf("%w: it is written, and not durable: %v", dcb.ErrOutcomeUnknown, err)
}

func (s *Sequencer) append(ctx context.Context, b *batch) (dcb.Position, error) {
	if err := s.ended(); err != nil {
		return 0, err
	}
	held, err := s.gate.enter(ctx, s.syncForFiling)
	through := func() {}
	if held { // whatever becomes of this one, the line moves on
		through = sync.OnceFunc(s.gate.through)
		defer through()
	}
	if err != nil {
		return 0, err
	}
	for round := 0; ; round++ {
		t, err := s.try(ctx, b, round)
		if err != nil {
			return 0, err
		}
		switch t.outcome {
		case staged:
			through()
			return s.await(ctx, t.group, t.last, b)
		case conflict:
			through() // it will not stage, and may have to wait
			return s.rejected(ctx, b, t.conflict)
		case refused:
			return 0, errors.Join(s.ended(), ctx.Err())
		}
	}
}

// outcome is what became of a batch under the lock.
type outcome uint8

const (
	staged   outcome = iota
	conflict         // with an event that is visible or staged
	stale            // the snapshot is too old: take a new one
	moved            // another memory part has begun since the terms were looked up: look them up there
	refused          // the sequencer has ended, or ctx has
)

// attempt tells how one went.
type attempt struct {
	outcome  outcome
	group    *group       // if staged: what the batch belongs to,
	last     dcb.Position // and the position of its last event
	conflict dcb.ConditionFailedError
}

// try checks a batch against what is visible, and then goes under the lock with it.
//
// The view is taken before the head: then its base is at most h0, and memory answers for all of (h0, staged]. It is held until the
// batch is staged, however long the check takes and whatever is sealed meanwhile.
func (s *Sequencer) try(ctx context.Context, b *batch, round int) (attempt, error) {
	var v *index.View
	var h0 dcb.Position
	if b.cond != nil {
		var err error
		if v, err = s.cfg.Index.Acquire(); err != nil {
			return attempt{}, err
		}
		defer v.Release()
		h0 = s.cfg.Ledger.Get(ledger.Visible)
		if c, failed, err := b.check(v, 0, h0); failed || err != nil {
			return attempt{outcome: conflict, conflict: c}, err
		}
	}
	if hook := s.cfg.Snapshotted; hook != nil {
		hook()
	}
	for {
		b.intern(s.cfg.Index.Active())
		t, err := s.stage(ctx, b, v, h0, round)
		if t.outcome != staged {
			b.release()
		}
		if t.outcome != moved {
			return t, err
		}
	}
}

// stage is the section under the lock: the single writer. There is no I/O in it.
//
//	INVARIANT: v.Base() <= h0, so that memory answers for (h0, staged].
func (s *Sequencer) stage(ctx context.Context, b *batch, v *index.View, h0 dcb.Position, round int) (attempt, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.ended != nil || ctx.Err() != nil {
		return attempt{outcome: refused}, nil
	}
	if b.recent != s.cfg.Index.Active() {
		return attempt{outcome: moved}, nil
	}
	if b.cond != nil {
		if v.Base() > h0 {
			panic(fmt.Sprintf("sequencer: a view with base %d for a condition checked up to %d", v.Base(), h0))
		}
		if s.mu.staged-h0 > windowEvents && round < patience {
			s.stats.returned.Add(1)
			return attempt{outcome: stale}, nil
		}
		if c, failed, err := b.check(v, h0, s.mu.staged); failed || err != nil {
			return attempt{outcome: conflict, conflict: c}, err
		}
	}
	first := s.mu.staged + 1
	b.place(s.cfg.Seed, first)
	s.mu.staged += dcb.Position(b.count)
	s.gate.staged(b)
	s.cfg.Ledger.Advance(ledger.Assigned, s.mu.staged)
	g := s.join(b, first)
	if s.waiting.Add(1) == s.expected.Load() {
		tell(s.came)
	}
	if s.mu.idle {
		s.mu.idle = false
		s.wake <- struct{}{} // has room: the committer was asleep, and only one caller finds it so
	}
	if s.cfg.Index.Staged(s.mu.staged) {
		s.cfg.Full()
	}
	return attempt{outcome: staged, group: g, last: s.mu.staged}, nil
}

// join puts the batch into the last open group, or a new one if it would not fit into one frame or is to be alone. REQUIRES: s.mu is held.
func (s *Sequencer) join(b *batch, first dcb.Position) *group {
	if n := len(s.mu.groups); n > 0 {
		if g := s.mu.groups[n-1]; !g.syncOnly && !s.cfg.Flush.Alone && g.bytes+len(b.body) <= wal.MaxBodyBytes {
			g.add(b)
			return g
		}
	}
	g := &group{first: first, done: make(chan struct{})}
	g.add(b)
	s.mu.groups = append(s.mu.groups, g)
	return g
}

// await waits until the group is committed.
func (s *Sequencer) await(ctx context.Context, g *group, last dcb.Position, b *batch) (dcb.Position, error) {
	if ctx.Done() == nil {
		<-g.done
	} else {
		select {
		case <-g.done:
		case <-ctx.Done():
			// The buffer stays with the group, so the batch is not given back.
			return 0, fmt.Errorf("%w: %w", ctx.Err(), dcb.ErrOutcomeUnknown)
		}
	}
	if g.err != nil {
		return 0, g.err
	}
	b.recycle()
	return last, nil
}

// rejected answers a failed condition, after the event that it rests on has become visible: an answer must not rest on
// what a power cut may still undo. If the match is this very append, written earlier, it is no failure.
func (s *Sequencer) rejected(ctx context.Context, b *batch, c dcb.ConditionFailedError) (dcb.Position, error) {
	defer b.recycle()
	if err := s.cfg.Ledger.Wait(ctx, ledger.Visible, c.Position); err != nil {
		return 0, err
	}
	if last, ok, err := b.repeats(c.Position, s.cfg.Ledger.Get(ledger.Visible), s.cfg.ID); err != nil {
		return 0, fmt.Errorf("is event %d this append, repeated: %w", c.Position, err)
	} else if ok {
		s.stats.repeated.Add(1)
		return last, nil
	}
	s.stats.rejected.Add(1)
	return 0, &c
}

// Sync returns when everything that was acknowledged before the call is durable.
func (s *Sequencer) Sync(ctx context.Context) error {
	if err := s.syncTo(ctx, s.cfg.Ledger.Get(ledger.Visible)); err != nil {
		return fmt.Errorf("opossum: sync: %w", err)
	}
	return nil
}

// syncForFiling makes durable what an append waits for that is held back by lag: only what is durable is filed. What
// is staged after it is synced because it is held (see commit).
func (s *Sequencer) syncForFiling(ctx context.Context) error {
	if !s.cfg.Flush.Relaxed() {
		return nil
	}
	return s.syncTo(ctx, s.cfg.Ledger.Get(ledger.Assigned))
}

func (s *Sequencer) syncTo(ctx context.Context, goal dcb.Position) error {
	if s.cfg.Ledger.Get(ledger.Durable) >= goal {
		return nil
	}
	s.mu.Lock()
	n := len(s.mu.groups)
	if s.mu.ended == nil && (n == 0 || !s.mu.groups[n-1].syncOnly) { // else the last one serves this call as well
		s.mu.groups = append(s.mu.groups, &group{syncOnly: true, done: make(chan struct{})})
		if s.mu.idle {
			s.mu.idle = false
			s.wake <- struct{}{}
		}
	}
	s.mu.Unlock()
	return s.cfg.Ledger.Wait(ctx, ledger.Durable, goal)
}

func (s *Sequencer) ended() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.ended
}

// Close refuses new appends, commits what is staged, and ends the committer. Appends that wait for admission get ErrClosed.
func (s *Sequencer) Close() {
	s.mu.Lock()
	s.mu.ended = dcb.ErrClosed
	if s.mu.idle {
		s.mu.idle = false
		s.wake <- struct{}{}
	}
	s.mu.Unlock()
	tell(s.came) // nobody comes any more
	s.gate.release(dcb.ErrClosed)
	<-s.done
}

// Poison ends the sequencer for an error outside it after which nothing more may be promised.
func (s *Sequencer) Poison(err error) {
	poisoned := fmt.Errorf("%w: %w", dcb.ErrPoisoned, err)
	s.mu.Lock()
	first := !s.mu.poison
	s.mu.poison = true
	if s.mu.ended == nil {
		s.mu.ended = poisoned
	}
	s.mu.Unlock()
	if !first {
		return
	}
	s.gate.release(poisoned)
	s.cfg.Ledger.Fail(poisoned)
	s.cfg.Poisoned(err)
}

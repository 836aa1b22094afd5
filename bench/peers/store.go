package peers

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"sync/atomic"

	"opossum"
	"opossum/bench/harness"
)

// rival is what an adapter implements; the rest of a target is the same for all.
type rival interface {
	append(ctx context.Context, a *attempt) error
	head() opossum.Position
	close() error
}

// reader is a rival with an index.
type reader interface {
	rival
	read(ctx context.Context, q opossum.Query, newest int, yield func(opossum.SequencedEvent)) error
}

// opening makes the Open of a way without an index, whose targets append and nothing else.
func opening[R rival](open func(dir string, flush bool) (R, error)) func(string, harness.OpenOptions) (harness.Target, error) {
	return func(dir string, o harness.OpenOptions) (harness.Target, error) {
		if err := checkDir(dir); err != nil {
			return nil, err
		}
		r, err := open(dir, o.Flush)
		if err != nil {
			return nil, err
		}
		return &target{rival: r}, nil
	}
}

// openingStore makes the Open of a way with an index.
func openingStore[R reader](open func(dir string, flush bool) (R, error)) func(string, harness.OpenOptions) (harness.Target, error) {
	return func(dir string, o harness.OpenOptions) (harness.Target, error) {
		if err := checkDir(dir); err != nil {
			return nil, err
		}
		r, err := open(dir, o.Flush)
		if err != nil {
			return nil, err
		}
		return &store{target{rival: r, conditions: true}, r}, nil
	}
}

// checkDir keeps rivals from making a directory that nobody asked for.
func checkDir(dir string) error {
	info, err := os.Stat(dir)
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("%s: not a directory", dir)
	}
	return err
}

// target checks what the rivals would take for something else.
type target struct {
	rival      rival
	conditions bool
	closed     atomic.Bool
}

func (t *target) Append(ctx context.Context, events []opossum.Event, cond *opossum.Condition) error {
	if t.closed.Load() {
		return opossum.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(events) == 0 {
		return opossum.ErrNoEvents
	}
	for i := range events {
		if events[i].ID != [16]byte{} || len(events[i].Metadata) > 0 {
			return fmt.Errorf("an event with ID or metadata, which the records of the harness do not give back: %w", errors.ErrUnsupported)
		}
	}
	if cond != nil {
		if !t.conditions {
			return fmt.Errorf("a condition without an index: %w", errors.ErrUnsupported)
		}
		if err := cond.Validate(); err != nil {
			return err
		}
	}
	return t.rival.append(ctx, newAttempt(events, cond))
}

// Close may be called again.
func (t *target) Close() error {
	if t.closed.Swap(true) {
		return nil
	}
	return t.rival.close()
}

// store is a target that is a harness.Store.
type store struct {
	target
	reader reader
}

func (s *store) Read(ctx context.Context, q opossum.Query, newest int, yield func(opossum.SequencedEvent)) error {
	if s.closed.Load() {
		return opossum.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := q.Validate(); err != nil {
		return err
	}
	return s.reader.read(ctx, q, newest, yield)
}

func (s *store) Last(ctx context.Context, q opossum.Query) (opossum.SequencedEvent, error) {
	var last opossum.SequencedEvent
	err := s.Read(ctx, q, 1, func(e opossum.SequencedEvent) { last = e })
	if err == nil && last.Position == 0 {
		err = opossum.ErrNotFound
	}
	return last, err
}

func (s *store) Head() opossum.Position { return s.reader.head() }

// attempt is an append on its way: its records are encoded by the goroutine that appends, before it waits for anybody.
type attempt struct {
	events  []opossum.Event
	cond    *opossum.Condition
	records [][]byte // one for each event
	size    int      // bytes of the records and of the terms
	longest int      // bytes of the longest term
	err     error    // the outcome, when a group has been committed

	messages *messages // of JetStream
}

func newAttempt(events []opossum.Event, cond *opossum.Condition) *attempt {
	a := &attempt{events: events, cond: cond, records: make([][]byte, len(events))}
	var buf []byte
	for i := range events {
		start := len(buf)
		buf = harness.AppendRecord(buf, &events[i])
		a.records[i] = buf[start:len(buf):len(buf)]
		a.size += len(a.records[i]) + len(events[i].Type)
		a.longest = max(a.longest, len(events[i].Type))
		for _, t := range events[i].Tags {
			a.size += len(t)
			a.longest = max(a.longest, len(t))
		}
	}
	return a
}

// keysFit reports as an error if a key of a would be longer than the rival takes, before it makes others fail that share its transaction.
func (a *attempt) keysFit(maxKey int) error {
	if a.longest > maxKey-termHeader-positionBytes {
		return fmt.Errorf("a type or tag of %d bytes in a key of at most %d: %w", a.longest, maxKey, opossum.ErrTooLarge)
	}
	return nil
}

// judge returns nil if the condition holds. matches reports whether an event after a position matches a query.
func judge(c *opossum.Condition, matches func(q opossum.Query, after opossum.Position) (bool, error)) error {
	if c == nil {
		return nil
	}
	for _, clause := range []struct {
		q      opossum.Query
		after  opossum.Position
		failed error
	}{{c.FailIfExists, 0, opossum.ErrAlreadyExists}, {c.FailIfMatch, c.After, opossum.ErrConditionFailed}} {
		if clause.q.IsZero() || clause.after == math.MaxUint64 {
			continue
		}
		found, err := matches(clause.q, clause.after)
		if err != nil {
			return err
		}
		if found {
			return clause.failed
		}
	}
	return nil
}

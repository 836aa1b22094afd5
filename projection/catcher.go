package projection

import (
	"context"
	"errors"
	"time"

	"opossum/dcb"
)

const (
	// portion is how many events are taken from a read before they are applied: what they are related to is read for all of them at once.
	portion = 256
	// idleEvents is how many positions that do not concern a read model pass before they are worth a checkpoint of their own.
	idleEvents = 10_000
	// handful is how many records are made of states at a time: all at once would be all of the states a second time.
	handful = 4096
)

// catcher brings a store up to a position. It is for one goroutine.
type catcher struct {
	src   Source
	query dcb.Query
	fold  fold
	store Store
	at    Checkpoint          // everything up to here is in the store; its own may be behind, if nothing has changed since
	moved func(at Checkpoint) // is told of each move; may be nil
	// folded is told after each portion how far the states in memory have come, which may be less far than before if what could not be applied is left out. May be nil.
	folded func(at Checkpoint)

	budget int64            // bytes of states in memory, about
	every  time.Duration    // after which what has changed is kept, although there is room for more
	clock  func() time.Time // for that
	saved  time.Time        // when that was done last
}

// upTo folds what is above c.at, up to a position, and returns when it is kept. After an eventError everything before that event is kept; after another error, what was
// kept before. REQUIRES: until is durable.
func (c *catcher) upTo(ctx context.Context, until dcb.Position) error {
	err := c.pass(ctx, until)
	for bad := (*eventError)(nil); errors.As(err, &bad); {
		c.fold.forget() // a state may have been changed halfway
		if bad.at-1 <= c.at.Position {
			return err
		}
		again := c.pass(ctx, bad.at-1)
		if again == nil {
			return err
		}
		err = again // what could be applied the first time cannot now: then it is an earlier event
	}
	if err != nil {
		c.fold.forget()
	}
	return err
}

// pass reads once and applies what it finds, in portions.
func (c *catcher) pass(ctx context.Context, until dcb.Position) error {
	if until <= c.at.Position {
		return nil
	}
	view, err := c.src.Read(ctx, c.query, dcb.ReadOptions{After: c.at.Position, Before: until + 1})
	if err != nil {
		return err
	}
	events := make([]dcb.SequencedEvent, 0, portion)
	for e, err := range view.All() {
		if err != nil {
			return err
		}
		if events = append(events, e); len(events) < portion {
			continue
		}
		if err := c.apply(ctx, events); err != nil {
			return err
		}
		if c.full() || c.clock().Sub(c.saved) > c.every {
			if err := c.save(ctx, e.Position); err != nil {
				return err
			}
		}
		if c.folded != nil {
			c.folded(Checkpoint{e.Position, c.at.Events + c.fold.events()})
		}
		events = events[:0]
	}
	if err := c.apply(ctx, events); err != nil {
		return err
	}
	return c.save(ctx, until)
}

// full says whether the states have no room any more. They have less and less the more data their events have; so before states that are small are written, and perhaps read again, it is worth to look
// how large they really are, if that gives room for a good many events more.
func (c *catcher) full() bool {
	if c.fold.size() <= c.budget {
		return false
	}
	c.fold.weigh()
	return c.fold.size() > c.budget-c.budget/4
}

// save keeps what has changed, and that a position is reached; nothing once ctx has ended.
func (c *catcher) save(ctx context.Context, position dcb.Position) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	at := Checkpoint{position, c.at.Events + c.fold.events()}
	for {
		records, more, err := c.fold.take(handful)
		if err != nil {
			return err
		}
		to := at
		if more {
			to = c.store.Checkpoint()
		}
		if len(records) > 0 || position-c.store.Checkpoint().Position >= idleEvents {
			if err := c.store.Save(records, to); err != nil {
				return err
			}
		}
		if !more {
			break
		}
	}
	if c.fold.size() > c.budget/2 { // or every portion would be saved from now on
		c.fold.forget()
	}
	c.at, c.saved = at, c.clock()
	if c.moved != nil {
		c.moved(at)
	}
	return nil
}

// close writes down how far it came, if the checkpoint is behind.
func (c *catcher) close() error {
	if c.at.Position <= c.store.Checkpoint().Position {
		return nil
	}
	return c.store.Save(nil, c.at)
}

// apply applies events, with what they are related to: that is read for all of them at once, or for fewer if they ask for more than one query may.
func (c *catcher) apply(ctx context.Context, events []dcb.SequencedEvent) error {
	queries := make([]dcb.Query, 0, len(events))
	var failed error
	for _, e := range events {
		q, err := c.fold.related(e)
		if err != nil {
			failed = err // after those before it
			break
		}
		queries = append(queries, q)
	}
	all := union(queries)
	if half := len(queries) / 2; half > 0 && errors.Is(all.Validate(), dcb.ErrTooManyItems) {
		if err := c.apply(ctx, events[:half]); err != nil {
			return err
		}
		return c.apply(ctx, events[half:])
	}
	related, err := c.related(ctx, all, events)
	if err != nil {
		return err
	}
	for i := range queries {
		e := Event{SequencedEvent: events[i]}
		for _, r := range related {
			if r.Position >= e.Position {
				break
			}
			if queries[i].Matches(r.Event) {
				e.Related = append(e.Related, r)
			}
		}
		if err := c.fold.apply(e); err != nil {
			return err
		}
	}
	return failed
}

// union returns what matches any of the queries, each of them once; the zero Query if there are none.
func union(queries []dcb.Query) (all dcb.Query) {
	seen := map[string]struct{}{}
	for _, q := range queries {
		if q.IsZero() {
			continue
		}
		key := fingerprint(q)
		if _, ok := seen[key]; !ok {
			seen[key] = struct{}{}
			all = all.Or(q)
		}
	}
	return all
}

// related reads what matches q before the last of the events.
func (c *catcher) related(ctx context.Context, q dcb.Query, events []dcb.SequencedEvent) (out []dcb.SequencedEvent, err error) {
	if q.IsZero() {
		return nil, nil
	}
	view, err := c.src.Read(ctx, q, dcb.ReadOptions{Before: events[len(events)-1].Position})
	if err != nil {
		return nil, err
	}
	for e, err := range view.All() {
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, nil
}

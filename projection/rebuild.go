package projection

import (
	"context"
	"errors"
	"fmt"

	"opossum/dcb"
)

// rebuildAlone rebuilds with nobody waiting for it.
func (f *follower) rebuildAlone(fresh bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return
	}
	f.rebuilds.Go(func() {
		if err := f.rebuild(f.r.ctx, fresh, nil); err != nil && f.r.ctx.Err() == nil {
			f.r.o.Logger.Error("opossum: a read model could not be rebuilt", "name", f.id.Name, "error", err)
		}
	})
}

// rebuild builds a new store and puts it in the place of the live one, or waits for who does so already. fresh: from the first event on, whatever was built before.
func (f *follower) rebuild(ctx context.Context, fresh bool, report func(Progress)) error {
	for {
		own, b := false, (*building)(nil)
		f.set(func() {
			if b = f.building; b == nil && !f.closed {
				own, b = true, &building{ended: make(chan struct{}), err: errLeft}
				f.building = b
				f.build = &Progress{Name: f.id.Name, Started: f.r.o.Clock(), Waiting: true}
			}
		})
		switch {
		case b == nil:
			return errClosed
		case own:
			return f.rebuildAs(ctx, b, fresh, report)
		}
		select {
		case <-b.ended:
			if !b.givenUp {
				return b.err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// rebuildAs is the rebuild that b stands for.
func (f *follower) rebuildAs(caller context.Context, b *building, fresh bool, report func(Progress)) error {
	ctx, cancel := context.WithCancel(caller)
	defer cancel()
	defer context.AfterFunc(f.r.ctx, cancel)()
	defer func() { // also if a function of the definition, or report, does not return
		f.rebuilt(b)
		close(b.ended)
	}()
	b.err = f.retried(ctx, fresh, report)
	b.givenUp = b.err != nil && caller.Err() != nil
	if b.err != nil && f.r.ctx.Err() != nil {
		b.err = fmt.Errorf("%w: %w", errClosed, b.err)
	}
	return b.err
}

// rebuilt notes how a rebuild has ended.
func (f *follower) rebuilt(b *building) {
	f.set(func() {
		if f.building != b { // what it built is in its place, whatever happened then
			return
		}
		f.building = nil
		f.build.Waiting, f.build.Error = false, b.err.Error()
		if (f.live == nil || f.unfit != nil) && f.state != Stopped {
			f.state, f.err, f.attempts = Unbuilt, b.err, f.build.Attempts
			if bad := (*eventError)(nil); errors.As(b.err, &bad) {
				f.state, f.failedAt = Parked, bad.at
			} else if errors.Is(b.err, errLeft) {
				f.state, f.failedAt = Parked, 0
			}
		}
	})
}

// retried rebuilds until it succeeds, or it is no use.
func (f *follower) retried(ctx context.Context, fresh bool, report func(Progress)) error {
	for attempt := 1; ; attempt++ {
		built, err := f.inTurn(ctx, fresh, report)
		bad := (*eventError)(nil)
		isEvent := errors.As(err, &bad) // whatever else it Is: a definition may return any error
		if err == nil || ctx.Err() != nil || !isEvent && errors.Is(err, dcb.ErrClosed) {
			return err
		}
		f.set(func() { f.build.Waiting, f.build.Error, f.build.Attempts = false, err.Error(), attempt })
		if isEvent && attempt >= f.r.o.Attempts {
			return err
		}
		if !f.rest(ctx, attempt) {
			return ctx.Err()
		}
		fresh = fresh && !built || !isEvent && errors.Is(err, ErrUnfit) // else it goes on from where it was
	}
}

// inTurn rebuilds when it is one of those whose turn it is. Who rests after a failure has no turn: others are not held up.
func (f *follower) inTurn(ctx context.Context, fresh bool, report func(Progress)) (built bool, err error) {
	f.set(func() { f.build.Waiting = true })
	select {
	case f.r.places <- struct{}{}:
		defer func() { <-f.r.places }()
	case <-ctx.Done():
		return false, ctx.Err()
	}
	return f.rebuildOnce(ctx, fresh, report)
}

// rebuildOnce brings a new store to the head beside the live one, and then exchanges them. built: there is a new store that the next attempt may go on with.
func (f *follower) rebuildOnce(ctx context.Context, fresh bool, report func(Progress)) (built bool, err error) {
	store, err := f.r.o.Stores.Build(f.id, fresh)
	if err != nil {
		return false, err
	}
	replaced := false
	defer func() {
		if !replaced {
			err = errors.Join(err, store.Close())
		}
	}()
	if err := f.ahead(store); err != nil {
		return true, err
	}
	c := f.catcher(store, rebuildEvery)
	begin := c.at.Position
	var now Progress
	tell := func(at Checkpoint, until dcb.Position) {
		f.set(func() {
			f.build.Waiting, f.build.Resumed, f.build.Error = false, begin, ""
			f.build.Position, f.build.Until, f.build.Events = at.Position, until, at.Events
			now = *f.build
		})
		if report != nil {
			report(now)
		}
	}
	if t := f.r.o.Tracer; t != nil {
		end := t.StartRebuild(ctx, f.id, begin)
		defer func() { end(now, err) }()
	}
	// Twice: what came during the first, long pass is caught up with before the following has to stand still.
	for range 2 {
		until := f.r.src.Durable()
		c.folded = func(at Checkpoint) {
			if at.Position > now.Position {
				tell(at, until)
			}
		}
		c.moved = c.folded // the last portion, and what came before an event that cannot be applied
		tell(c.at, until)
		if err := c.upTo(ctx, until); err != nil {
			return true, err
		}
	}
	c.folded, c.moved = nil, nil
	if err := f.takeOver(ctx, c); err != nil {
		return true, err
	}
	replaced = true
	if now.Position, now.Until, now.Events = c.at.Position, c.at.Position, c.at.Events; report != nil {
		report(now)
	}
	f.r.o.Logger.Info("opossum: a read model was rebuilt", "name", f.id.Name, "position", c.at.Position, "states", store.Index().Len())
	return true, nil
}

// takeOver puts what c has built in the place of the live one. It calls nobody's report: turn is held.
func (f *follower) takeOver(ctx context.Context, c *catcher) error {
	f.turn.Lock()
	defer f.turn.Unlock()
	defer f.begin()
	f.halt()
	if err := c.upTo(ctx, f.r.src.Durable()); err != nil { // at least as far as the live one has come: readers do not go back
		return err
	}
	if err := errors.Join(c.close(), f.r.o.Stores.Replace(f.id)); err != nil {
		return err
	}
	var old *generation
	f.set(func() {
		old, f.live = f.live, &generation{store: c.store}
		f.at, f.unfit, f.err, f.failedAt, f.attempts = c.at, nil, nil, 0, 0
		f.build, f.building = nil, nil // who wants another one from now on does not mean this one
		switch {
		case f.paused:
			f.state = Paused
		case f.state != Stopped:
			f.state = Following
		}
	})
	if old != nil {
		if err := f.retire(old); err != nil {
			f.r.o.Logger.Warn("opossum: what was kept of a read model could not be closed", "name", f.id.Name, "error", err)
		}
	}
	return nil
}

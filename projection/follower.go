package projection

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"opossum/dcb"
)

// How long changes stay in memory while there is a backlog: readers should see it shrink, but each state is written once for each time.
const (
	followEvery  = time.Second
	rebuildEvery = 30 * time.Second
)

// follower keeps one read model: it follows with the live store, and builds another one to replace it.
type follower struct {
	r     *Runner
	id    Identity
	query dcb.Query
	fold  func(Store) fold

	// turn is held by whoever starts or ends the following, or puts another store in the place of the live one.
	turn      sync.Mutex
	following *task
	rebuilds  sync.WaitGroup // those that nobody waits for

	mu       sync.Mutex
	live     *generation // nil: there is nothing to be read
	at       Checkpoint
	paused   bool
	closed   bool
	state    State // of the following
	unfit    error // what is live cannot be followed with; it is read until it is replaced
	err      error // of the last attempt
	failedAt dcb.Position
	attempts int
	build    *Progress
	building *building     // nil: none is going on
	changed  chan struct{} // closed, and replaced, when any of these changes
}

// task is a goroutine that can be ended.
type task struct {
	cancel context.CancelFunc
	ended  chan struct{}
}

// building is a rebuild that is going on.
type building struct {
	ended   chan struct{}
	err     error // once ended is closed
	givenUp bool  // then: because the ctx of its caller has ended; who waits for it goes on with it
}

// errLeft marks a panic of Rebuilding.Report, or a function that has ended its goroutine with runtime.Goexit, as FailNow of a test does.
var errLeft = errors.New("a function that was called has not returned")

// generation is a store that may be read until nobody does any more.
type generation struct {
	store   Store
	readers int
	retired bool
}

// open opens what is kept.
func (f *follower) open() error {
	store, err := f.r.o.Stores.Live(f.id)
	if err == nil {
		if err = f.ahead(store); err != nil {
			err = errors.Join(err, store.Close())
		}
	}
	switch {
	case err == nil:
		f.live, f.at, f.state = &generation{store: store}, store.Checkpoint(), Following
	case errors.Is(err, ErrUnfit):
		f.unfit, f.state = err, Unbuilt
		if !errors.Is(err, dcb.ErrNotFound) {
			f.r.o.Logger.Warn("opossum: a read model has to be rebuilt", "name", f.id.Name, "error", err)
		}
	default:
		return err
	}
	return nil
}

// ahead returns an error that Is ErrUnfit if what is kept includes events that the source does not have: an older copy of it was put back.
func (f *follower) ahead(store Store) error {
	if at, durable := store.Checkpoint().Position, f.r.src.Durable(); at > durable {
		return fmt.Errorf("%w: it has come to position %d, and the store ends at %d", ErrUnfit, at, durable)
	}
	return nil
}

// start sets what was opened in motion.
func (f *follower) start() {
	f.turn.Lock()
	f.begin()
	f.turn.Unlock()
	switch {
	case f.r.o.AtStart == RebuildAll:
		f.rebuildAlone(true)
	case f.r.o.AtStart == RebuildUnfit && f.isUnfit(), f.r.o.Stores.Interrupted(f.id):
		f.rebuildAlone(false)
	}
}

// set changes what mu guards, and wakes those who wait for a change.
func (f *follower) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
	close(f.changed)
	f.changed = make(chan struct{})
}

func (f *follower) isUnfit() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.unfit != nil
}

// begin lets it follow if it can. REQUIRES: turn is held.
func (f *follower) begin() {
	f.halt()
	f.mu.Lock()
	idle := f.live == nil || f.paused || f.closed || f.unfit != nil
	live := f.live
	f.mu.Unlock()
	if idle {
		return
	}
	f.set(func() { f.state = Following })
	ctx, cancel := context.WithCancel(f.r.ctx)
	t := &task{cancel: cancel, ended: make(chan struct{})}
	f.following = t
	go func() {
		defer close(t.ended)
		defer cancel()
		err := errLeft
		defer func() {
			if err != nil {
				f.set(func() { f.state, f.err, f.failedAt, f.attempts = Parked, err, 0, 1 })
			}
		}()
		f.follow(ctx, live)
		err = nil
	}()
}

// halt ends the following and waits for that. REQUIRES: turn is held.
func (f *follower) halt() {
	if t := f.following; t != nil {
		t.cancel()
		<-t.ended
		f.following = nil
	}
}

func (f *follower) catcher(store Store, every time.Duration) *catcher {
	return &catcher{
		src: f.r.src, query: f.query, fold: f.fold(store), store: store, at: store.Checkpoint(),
		budget: f.r.o.BudgetBytes, every: every, clock: f.r.o.Clock, saved: f.r.o.Clock(),
	}
}

// follow applies what comes, until ctx ends or something is wrong that time does not heal.
func (f *follower) follow(ctx context.Context, g *generation) {
	c := f.catcher(g.store, followEvery)
	c.moved = func(at Checkpoint) {
		f.set(func() {
			if f.at = at; f.unfit == nil {
				f.state, f.err, f.failedAt, f.attempts = Following, nil, 0, 0
			}
		})
	}
	defer func() {
		if err := c.close(); err != nil {
			f.r.o.Logger.Warn("opossum: a read model does not note how far it has come, and will see some events again", "name", f.id.Name, "error", err)
		}
	}()
	for {
		until, err := f.r.src.Durable(), error(nil)
		if until <= c.at.Position {
			until, err = f.r.src.Wait(ctx, c.at.Position)
		}
		if f.isUnfit() { // a reader has found that
			return
		}
		if err == nil {
			err = c.upTo(ctx, until)
		}
		if err != nil && (ctx.Err() != nil || !f.failed(ctx, g, err)) {
			return
		}
	}
}

// failed notes an error, and waits if it is worth another attempt.
func (f *follower) failed(ctx context.Context, g *generation, err error) (again bool) {
	log, bad := f.r.o.Logger, (*eventError)(nil)
	switch {
	case errors.As(err, &bad): // whatever else it Is: a definition may return any error
		attempts := f.failedWith(err, bad.at)
		if attempts >= f.r.o.Attempts {
			f.set(func() { f.state = Parked })
			log.Error("opossum: a read model is parked", "name", f.id.Name, "position", bad.at, "attempts", attempts, "error", err)
			return false
		}
		return f.rest(ctx, attempts)
	case errors.Is(err, dcb.ErrClosed):
		f.set(func() { f.state, f.err = Stopped, err })
		return false
	case errors.Is(err, ErrUnfit):
		log.Warn("opossum: a read model is damaged", "name", f.id.Name, "error", err)
		f.spoiled(g, err)
		return false
	default:
		log.Warn("opossum: a read model cannot follow, and tries again", "name", f.id.Name, "error", err)
		return f.rest(ctx, f.failedWith(err, 0))
	}
}

// failedWith notes an attempt that failed, and returns how many have in a row: at the same event, or not for the sake of any.
func (f *follower) failedWith(err error, at dcb.Position) (attempts int) {
	f.set(func() {
		if f.failedAt != at {
			f.attempts = 0
		}
		f.attempts++
		f.err, f.failedAt, f.state = err, at, Retrying
		attempts = f.attempts
	})
	return attempts
}

// rest waits as long as so many failures in a row demand, and reports false if ctx ends.
func (f *follower) rest(ctx context.Context, failures int) bool {
	t := time.NewTimer(f.r.o.delay(failures))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// spoiled notes that g is damaged. If it is still the live one, it is followed no more, read as far as it can be, and rebuilt.
func (f *follower) spoiled(g *generation, err error) {
	isNew := false
	f.set(func() {
		if isNew = f.live == g && f.unfit == nil; isNew {
			f.unfit, f.state = err, Unbuilt
		}
	})
	if isNew && f.r.o.AtStart != RebuildNone {
		f.rebuildAlone(true)
	}
}

func (f *follower) pause() {
	f.turn.Lock()
	defer f.turn.Unlock()
	f.set(func() { f.paused = true })
	f.halt()
	f.set(func() { f.state = Paused })
}

func (f *follower) resume() {
	f.turn.Lock()
	defer f.turn.Unlock()
	again, unfit := false, false
	f.set(func() {
		again, unfit = f.paused || f.state == Parked, f.unfit != nil
		if f.paused = false; again {
			f.attempts = 0
		}
		if unfit {
			f.state = Unbuilt
		}
	})
	switch {
	case unfit && f.r.o.AtStart != RebuildNone:
		f.rebuildAlone(false)
	case again:
		f.begin()
	}
}

func (f *follower) close() error {
	f.turn.Lock()
	f.set(func() { f.closed, f.state = true, Stopped })
	f.halt()
	f.turn.Unlock()
	f.rebuilds.Wait()
	f.mu.Lock()
	b := f.building
	f.mu.Unlock()
	if b != nil {
		<-b.ended
	}
	var g *generation // perhaps it is what was built at the last moment
	f.set(func() { g, f.live, f.state = f.live, nil, Stopped })
	if g == nil {
		return nil
	}
	return f.retire(g)
}

// acquire returns what is to be read, until it is released. Errors: dcb.ErrClosed, ErrNotBuilt.
func (f *follower) acquire() (*generation, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.closed:
		return nil, errClosed
	case f.live == nil:
		return nil, fmt.Errorf("opossum: projections: %w: %q: %w", ErrNotBuilt, f.id.Name, f.unfit)
	}
	f.live.readers++
	return f.live, nil
}

func (f *follower) release(g *generation) {
	f.mu.Lock()
	g.readers--
	last := g.retired && g.readers == 0
	f.mu.Unlock()
	if last {
		f.closeStore(g.store)
	}
}

// retire closes a store when its last reader has gone.
func (f *follower) retire(g *generation) error {
	f.mu.Lock()
	g.retired = true
	last := g.readers == 0
	f.mu.Unlock()
	if !last {
		return nil
	}
	return g.store.Close()
}

func (f *follower) closeStore(s Store) {
	if err := s.Close(); err != nil {
		f.r.o.Logger.Warn("opossum: what was kept of a read model could not be closed", "name", f.id.Name, "error", err)
	}
}

// wait returns when p is in the states.
func (f *follower) wait(ctx context.Context, p dcb.Position) error {
	for {
		f.mu.Lock()
		at, changed, err := f.at.Position, f.changed, error(nil)
		switch {
		case f.closed || f.state == Stopped:
			err = errClosed
		case f.live != nil && f.unfit == nil && at >= p:
			f.mu.Unlock()
			return nil
		case f.state == Parked && f.building == nil:
			err = fmt.Errorf("opossum: projections: %w: %q: %w", ErrParked, f.id.Name, f.err)
		}
		f.mu.Unlock()
		if err != nil {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (f *follower) status() Status {
	durable := f.r.src.Durable()
	f.mu.Lock()
	defer f.mu.Unlock()
	s := Status{Name: f.id.Name, Version: f.id.Version, State: f.state, Position: f.at.Position, Events: f.at.Events, FailedAt: f.failedAt, Attempts: f.attempts}
	if f.live != nil {
		s.States = f.live.store.Index().Len()
	}
	if durable > s.Position {
		s.Lag = uint64(durable - s.Position)
	}
	if f.unfit != nil {
		s.Unfit = f.unfit.Error()
	}
	if f.err != nil {
		s.Error = f.err.Error()
	}
	if f.build != nil {
		progress := *f.build
		s.Rebuild = &progress
	}
	return s
}

package decision

import (
	"context"
	"fmt"
	"iter"

	"opossum/dcb"
)

// Store is what decisions are made on.
type Store interface {
	// Read returns a view of what matches q after a position, pinned at the present head.
	Read(ctx context.Context, q dcb.Query, after dcb.Position) (View, error)
	// Append appends events if cond holds, and returns the position of the last one. The error Is dcb.ErrConditionFailed if it does not hold; what it failed for is
	// visible to reads by then.
	Append(ctx context.Context, events []dcb.Event, cond *dcb.Condition) (dcb.Position, error)
}

// View is one consistent read.
type View interface {
	All() iter.Seq2[dcb.SequencedEvent, error] // ascending; an error is yielded once, last
	Head() dcb.Position                        // where it is pinned
}

// Model is what a projection has made of a store so far. It is for one goroutine at a time.
type Model[S any] struct {
	store Store
	p     Projection[S]
	state S
	head  dcb.Position
	err   error // of a panic, which has left the state half changed
}

// Build reads what p is about, once, at the present head. Errors: ErrInvalidProjection, ErrProjectionPanicked, and those of Read.
func Build[S any](ctx context.Context, store Store, p Projection[S]) (*Model[S], error) {
	m := &Model[S]{store: store, p: p}
	if err := m.begin(); err != nil {
		return nil, err
	}
	if err := m.Refresh(ctx); err != nil {
		return nil, err
	}
	return m, nil
}

// State returns what the projection came to. What decides may not change it: a Refresh goes on from it.
func (m *Model[S]) State() S { return m.state }

// Head returns the position up to which the state includes everything that matters.
func (m *Model[S]) Head() dcb.Position { return m.head }

// Condition returns that nothing which matches the projection's query has come after Head. It is the caller's own.
func (m *Model[S]) Condition() *dcb.Condition {
	return &dcb.Condition{FailIfMatch: m.p.Query, After: m.head}
}

// Refresh goes on to the present head: only what is newer is read. After an error of the store, or the end of ctx, state and head still belong together, somewhere
// between, and it can be called again. After a panic of the projection the state is half changed: the model is of no use any more, and every call returns that error.
func (m *Model[S]) Refresh(ctx context.Context) error {
	if m.err != nil {
		return m.err
	}
	view, err := m.store.Read(ctx, m.p.Query, m.head)
	if err != nil {
		return err
	}
	if err := m.fold(view.All()); err != nil {
		return err
	}
	m.head = max(m.head, view.Head())
	return nil
}

func (m *Model[S]) begin() (err error) {
	if err := m.p.Validate(); err != nil {
		return fmt.Errorf("opossum: decision: %w", err)
	}
	defer m.recovered(&err)
	m.state = m.p.initial()
	return nil
}

// fold applies events one by one. The head moves with each, so that one is not applied twice if those behind it cannot be read.
func (m *Model[S]) fold(events iter.Seq2[dcb.SequencedEvent, error]) (err error) {
	defer m.recovered(&err)
	for e, err := range events {
		if err != nil {
			return err
		}
		m.state = m.p.apply(m.state, e)
		m.head = e.Position
	}
	return nil
}

// recovered makes an error of a projection's panic; other panics go on. It is deferred.
func (m *Model[S]) recovered(err *error) {
	switch r := recover().(type) {
	case nil:
	case *PanicError:
		m.err = fmt.Errorf("opossum: decision: %w", r)
		*err = m.err
	default:
		panic(r)
	}
}

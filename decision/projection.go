package decision

import (
	"cmp"
	"errors"
	"fmt"
	"runtime/debug"

	"opossum/dcb"
)

// ErrInvalidProjection marks a projection that cannot be used: it has no Apply, or a query that is invalid. The error names the projection.
var ErrInvalidProjection = errors.New("invalid projection")

// ErrProjectionPanicked marks a projection whose Initial or Apply panicked. errors.As finds the [PanicError].
var ErrProjectionPanicked = errors.New("projection panicked")

// Projection is one fact that a decision rests on, folded from the events that match a query. It is a value without state of its own: one may be used by any
// number of decisions at the same time, if its functions may.
//
// REQUIRES: what the functions return depends on their arguments alone. What else a fact depends on, such as the time, is an argument of the function that makes the
// projection.
type Projection[S any] struct {
	Name  string    // for error messages; optional
	Query dcb.Query // what matters: the condition of the decision. Required
	// Initial returns the state before the first event. nil: the zero S. It is called for each decision anew: what it returns, such as a map, must be nobody else's.
	Initial func() S
	// Apply returns the state after an event that matches Query; it gets them in the order of their positions, each once. It may change the state that it is given and
	// return that; the event is its own, too. Required.
	Apply func(state S, e dcb.SequencedEvent) S

	err error // of a part, if it is composed
}

// Pair is the state of two projections.
type Pair[A, B any] struct {
	First  A
	Second B
}

// Triple is the state of three projections.
type Triple[A, B, C any] struct {
	First  A
	Second B
	Third  C
}

// Join2 makes one projection of two: one query that matches what either's does, read once, and each folds its own events only. If one of them is invalid, so is the whole.
func Join2[A, B any](a Projection[A], b Projection[B]) Projection[Pair[A, B]] {
	return Projection[Pair[A, B]]{
		Query:   union(a.Query, b.Query),
		Initial: func() Pair[A, B] { return Pair[A, B]{a.initial(), b.initial()} },
		Apply: func(s Pair[A, B], e dcb.SequencedEvent) Pair[A, B] {
			return Pair[A, B]{a.applyOwn(s.First, e), b.applyOwn(s.Second, e)}
		},
		err: cmp.Or(a.named("the first", a.Validate()), b.named("the second", b.Validate())),
	}
}

// Join3 makes one projection of three.
func Join3[A, B, C any](a Projection[A], b Projection[B], c Projection[C]) Projection[Triple[A, B, C]] {
	return Projection[Triple[A, B, C]]{
		Query:   union(a.Query, b.Query, c.Query),
		Initial: func() Triple[A, B, C] { return Triple[A, B, C]{a.initial(), b.initial(), c.initial()} },
		Apply: func(s Triple[A, B, C], e dcb.SequencedEvent) Triple[A, B, C] {
			return Triple[A, B, C]{a.applyOwn(s.First, e), b.applyOwn(s.Second, e), c.applyOwn(s.Third, e)}
		},
		err: cmp.Or(a.named("the first", a.Validate()), b.named("the second", b.Validate()), c.named("the third", c.Validate())),
	}
}

// JoinAll makes one projection of any number of the same kind, such as one for each book in a cart. The states are in the order of the projections. None at all are
// invalid, and so are more than dcb.MaxQueryItems different query items in all. Each event is matched against each of them.
func JoinAll[S any](all ...Projection[S]) Projection[[]S] {
	all = append([]Projection[S](nil), all...)
	joined := Projection[[]S]{
		Initial: func() []S {
			states := make([]S, len(all))
			for i, p := range all {
				states[i] = p.initial()
			}
			return states
		},
		Apply: func(states []S, e dcb.SequencedEvent) []S {
			for i, p := range all {
				states[i] = p.applyOwn(states[i], e)
			}
			return states
		},
	}
	if len(all) == 0 {
		joined.err = fmt.Errorf("%w: JoinAll of none", ErrInvalidProjection)
	}
	queries := make([]dcb.Query, len(all))
	for i, p := range all {
		queries[i] = p.Query
		joined.err = cmp.Or(joined.err, p.named(fmt.Sprintf("number %d", i), p.Validate()))
	}
	joined.Query = union(queries...)
	return joined
}

// union matches what any of the queries matches. Parts often ask for the same: an item is asked, and counts for the limit of items, once.
func union(queries ...dcb.Query) dcb.Query {
	var items []dcb.QueryItem
	seen := make(map[string]bool)
	for _, q := range queries {
		if q.IsAll() {
			return q
		}
		for _, it := range q.Items() {
			if key := fmt.Sprintf("%q %q", it.Types, it.Tags); !seen[key] {
				seen[key] = true
				items = append(items, it)
			}
		}
	}
	return dcb.Match(items...)
}

// Validate returns nil, or an error that Is [ErrInvalidProjection] and names the projection; of a query also dcb.ErrInvalidQuery.
func (p Projection[S]) Validate() error {
	switch {
	case p.err != nil:
		return p.err
	case p.Apply == nil:
		return fmt.Errorf("%w%s: it has no Apply", ErrInvalidProjection, called(p.Name))
	}
	if err := p.Query.Validate(); err != nil {
		return fmt.Errorf("%w%s: %w", ErrInvalidProjection, called(p.Name), err)
	}
	return nil
}

// called is a name in an error's text, if there is one.
func called(name string) string {
	if name == "" {
		return ""
	}
	return fmt.Sprintf(" %q", name)
}

// named says which part of a joined projection an error is of, if that has no name of its own.
func (p Projection[S]) named(part string, err error) error {
	if err == nil || p.Name != "" {
		return err
	}
	return fmt.Errorf("%s of those joined: %w", part, err)
}

// PanicError is a panic of a projection.
type PanicError struct {
	Projection string       // its name, if it has one
	Position   dcb.Position // of the event that it was given; 0: Initial
	Value      any          // that it panicked with
	Stack      []byte       // of the goroutine then
}

// Error names projection, position and value.
func (e *PanicError) Error() string {
	where := "in Initial"
	if e.Position > 0 {
		where = fmt.Sprintf("at position %d", e.Position)
	}
	return fmt.Sprintf("%v%s %s: %v", ErrProjectionPanicked, called(e.Projection), where, e.Value)
}

// Unwrap returns [ErrProjectionPanicked].
func (e *PanicError) Unwrap() error { return ErrProjectionPanicked }

// caught turns a panic into one with a PanicError, so that the innermost projection is the one that is named. It is deferred.
func (p Projection[S]) caught(at dcb.Position) {
	switch r := recover().(type) {
	case nil:
	case *PanicError:
		panic(r)
	default:
		panic(&PanicError{Projection: p.Name, Position: at, Value: r, Stack: debug.Stack()})
	}
}

func (p Projection[S]) initial() (s S) {
	defer p.caught(0)
	if p.Initial != nil {
		s = p.Initial()
	}
	return s
}

func (p Projection[S]) apply(s S, e dcb.SequencedEvent) S {
	defer p.caught(e.Position)
	return p.Apply(s, e)
}

// applyOwn applies e if it is one of the projection's own.
func (p Projection[S]) applyOwn(s S, e dcb.SequencedEvent) S {
	if !p.Query.Matches(e.Event) {
		return s
	}
	return p.apply(s, e)
}

// Fold returns what p makes of a store that holds these events, at the positions from 1, and nothing else. It needs no store: tests of projections are written with it.
// Errors: ErrInvalidProjection, and ErrProjectionPanicked with the state so far.
func Fold[S any](p Projection[S], events ...dcb.Event) (S, error) {
	m := Model[S]{p: p}
	if err := m.begin(); err != nil {
		return m.state, err
	}
	err := m.fold(func(yield func(dcb.SequencedEvent, error) bool) {
		for i, e := range events {
			if p.Query.Matches(e) && !yield(dcb.SequencedEvent{Position: dcb.Position(i + 1), Event: e}, nil) {
				return
			}
		}
	})
	return m.state, err
}

package opossum

import (
	"context"

	"opossum/decision"
)

// What decisions are made of; see package decision.
type (
	Projection[S any]   = decision.Projection[S]
	Pair[A, B any]      = decision.Pair[A, B]
	Triple[A, B, C any] = decision.Triple[A, B, C]
	Model[S any]        = decision.Model[S]
	Decision            = decision.Decision
)

// Join2 makes one projection of two: one query that matches what either's does, read once, and each folds its own events only.
func Join2[A, B any](a Projection[A], b Projection[B]) Projection[Pair[A, B]] {
	return decision.Join2(a, b)
}

// Join3 makes one projection of three.
func Join3[A, B, C any](a Projection[A], b Projection[B], c Projection[C]) Projection[Triple[A, B, C]] {
	return decision.Join3(a, b, c)
}

// JoinAll makes one projection of any number of the same kind, such as one for each book in a cart. The states are in the order of the projections. None at all are
// invalid, and so are more than 4,096 different query items in all.
func JoinAll[S any](all ...Projection[S]) Projection[[]S] { return decision.JoinAll(all...) }

// Fold returns what p makes of a store that holds these events, at the positions from 1, and nothing else: for tests of projections.
// Errors: ErrInvalidProjection, and ErrProjectionPanicked with the state so far.
func Fold[S any](p Projection[S], events ...Event) (S, error) { return decision.Fold(p, events...) }

// DecideOption changes a single decision: a [Retry], or an option of its append. Of several Retry the last counts.
type DecideOption interface{ decide(*decideOptions) }

type decideOptions struct {
	retry  decision.Retry
	append []AppendOption
}

// Retry is a [DecideOption]: how often a decision is made at most while what it rests on changes, and how long the pauses are between. Its fields, with their
// defaults, are those of decision.Retry: Attempts, MinDelay, MaxDelay, and Rand and Wait for tests.
type Retry decision.Retry

func (r Retry) decide(o *decideOptions) { o.retry = decision.Retry(r) }

func (w whenDurable) decide(o *decideOptions) { o.append = append(o.append, w) }

// Build reads what p is about, once, at the present head: a state, and the condition that nothing that it rests on has changed. [Decide] does that and the rest;
// Build is for who appends by other means, or looks only.
//
// Errors: ErrInvalidProjection, ErrProjectionPanicked, and those of Read.
func Build[S any](ctx context.Context, store *Engine, p Projection[S]) (*Model[S], error) {
	return decision.Build(ctx, decisions{e: store}, p)
}

// Decide reads what p is about, has decide make events of it, and appends them, all or none, under the condition that nothing that matches p's query has happened
// since. If something has, it pauses, reads on from there and decides anew: 50 times at most, unless a [Retry] says otherwise.
//
// REQUIRES: decide does not change the state. It may be called several times; what it tells others, such as a number that it chose in a variable of its caller, is of the last call
// and true if Decide returns no error. A panic of decide goes on to the caller of Decide.
//
// Errors: what decide returns, as it is, and then nothing is appended; ErrNoEvents if it returns neither events nor an error; ErrInvalidOption: the Retry;
// ErrInvalidProjection; ErrProjectionPanicked; ErrConditionFailed after the last attempt; the end of ctx, which Is ErrConditionFailed as well if it came in a pause; and all errors of
// Read and Append. After ErrOutcomeUnknown the events may be there, and a second Decide reads them: a decision that must not be made twice has to recognise in its state that it was
// made, because an event's ID alone does not help where the condition is new. The Decision says how many attempts there were in any case.
func Decide[S any](ctx context.Context, store *Engine, p Projection[S], decide func(S) ([]Event, error), opts ...DecideOption) (Decision, error) {
	var o decideOptions
	for _, opt := range opts {
		opt.decide(&o)
	}
	return decision.Decide(ctx, decisions{store, o.append}, p, decide, o.retry)
}

// decisions is an engine as package decision wants it.
type decisions struct {
	e    *Engine
	opts []AppendOption
}

func (d decisions) Read(ctx context.Context, q Query, after Position) (decision.View, error) {
	v, err := d.e.Read(ctx, q, ReadOptions{After: after})
	if err != nil {
		return nil, err
	}
	return v, nil
}

func (d decisions) Append(ctx context.Context, events []Event, cond *Condition) (Position, error) {
	return d.e.Append(ctx, events, cond, d.opts...)
}

package projection

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"time"

	"opossum/dcb"
)

// Fold returns the states that a read model of d has after the events, by key: for tests of a definition. The events have the positions from 1 on, and those that d.Query does
// not match are passed over, as they would be. It keeps nothing. Errors: ErrInvalidDefinition; what Key, Related, Apply or Tags fail with, or panic with, and the position.
func Fold[S any](d Definition[S], events ...dcb.Event) (map[string]S, error) {
	if err := d.Validate(); err != nil {
		return nil, err
	}
	store, err := Memory().Build(d.identity(""), true)
	if err != nil {
		return nil, err
	}
	past := given(events)
	c := catcher{src: past, query: d.Query, fold: newFolding(d, store), store: store, budget: math.MaxInt64, every: math.MaxInt64, clock: time.Now}
	if err := c.upTo(context.Background(), past.Durable()); err != nil {
		return nil, fmt.Errorf("opossum: fold %q: %w", d.Name, err)
	}
	states := make(map[string]S, store.Index().Len())
	for _, i := range store.Index().Where(func(Info) bool { return true }) {
		r, err := store.Get(i.Key)
		if err != nil {
			return nil, err
		}
		state, err := decoded[S](r.State)
		if err != nil {
			return nil, err
		}
		states[i.Key] = *state
	}
	return states, nil
}

// given are events that have all happened.
type given []dcb.Event

func (g given) Durable() dcb.Position { return dcb.Position(len(g)) }
func (g given) StoreID() string       { return "" }

func (g given) Wait(context.Context, dcb.Position) (dcb.Position, error) {
	return 0, errors.ErrUnsupported // nothing follows them
}

func (g given) Read(_ context.Context, q dcb.Query, o dcb.ReadOptions) (View, error) {
	return among{g[:min(o.Before-1, g.Durable())], q, o.After}, nil
}

// among is what matches a query, after a position.
type among struct {
	events given
	query  dcb.Query
	after  dcb.Position
}

func (a among) All() iter.Seq2[dcb.SequencedEvent, error] {
	return func(yield func(dcb.SequencedEvent, error) bool) {
		for i, e := range slices.All(a.events) {
			at := dcb.Position(i + 1)
			if at > a.after && a.query.Matches(e) && !yield(dcb.SequencedEvent{Position: at, Event: e}, nil) {
				return
			}
		}
	}
}

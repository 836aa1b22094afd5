package projection

import (
	"context"
	"iter"

	"opossum/dcb"
)

// Source is where events come from. An engine of package opossum is one, through its method Projections.
type Source interface {
	// Read returns what matches q, within o, of what is durable.
	Read(ctx context.Context, q dcb.Query, o dcb.ReadOptions) (View, error)
	// Wait returns when something after a position is durable, and up to where everything is. It does not poll.
	Wait(ctx context.Context, after dcb.Position) (durable dcb.Position, err error)
	// Durable returns up to where everything is durable: nothing above may enter a read model.
	Durable() dcb.Position
	// StoreID names the store that the events are from.
	StoreID() string
}

// View is one consistent read.
type View interface {
	All() iter.Seq2[dcb.SequencedEvent, error] // ascending; an error is yielded once, last
}

package harness

import (
	"context"

	"opossum"
)

// Target is one way of keeping events, opened on an empty directory.
type Target interface {
	// Append returns when the events are durable. It is called by many writers at once, and keeps no reference to events.
	Append(ctx context.Context, events []opossum.Event) error
	// Close releases what the target holds. No Append is running.
	Close() error
}

// Way is a kind of target that a table can name.
type Way struct {
	Name string // short, for benchmark names: no spaces
	What string // one line for people
	Open func(dir string) (Target, error)
}

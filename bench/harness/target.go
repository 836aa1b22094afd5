package harness

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"opossum"
)

// Target is one way of keeping events, opened on an empty directory.
type Target interface {
	// Append returns when the events are durable, or, if the target was opened without flush, when they are written: all of them, or none.
	// cond may be nil. The error Is opossum.ErrConditionFailed if the condition does not hold, and errors.ErrUnsupported if the target
	// cannot check it. Append is called by many writers at once, and keeps no reference to events.
	Append(ctx context.Context, events []opossum.Event, cond *opossum.Condition) error
	// Close releases what the target holds. No Append is running.
	Close() error
}

// Store is a target that checks conditions and can be read.
type Store interface {
	Target
	// Read calls yield with the events that match q: with all of them, in order, or, if newest is not 0, with so many of the
	// newest, the newest first. What it yields is the caller's own or not to be changed.
	Read(ctx context.Context, q opossum.Query, newest int, yield func(opossum.SequencedEvent)) error
	// Last returns the newest event that matches q. The error Is opossum.ErrNotFound if there is none.
	Last(ctx context.Context, q opossum.Query) (opossum.SequencedEvent, error)
	// Head returns the highest readable position.
	Head() opossum.Position
}

// OpenOptions say how a target is opened.
type OpenOptions struct {
	Flush bool // false: in the target's own way of not syncing each append
}

// Way is a kind of target that a table can name.
type Way struct {
	Name     string `json:"name"`               // short, for benchmark names: no spaces
	What     string `json:"what"`               // one line for people
	Store    bool   `json:"store"`              // its target is a [Store]
	Settings string `json:"settings,omitempty"` // what is set otherwise than its library does by default, and why
	// Open opens a target in dir, which is empty or was left by a target of the same way.
	Open func(dir string, o OpenOptions) (Target, error) `json:"-"`
}

// openStore opens the way, with flush, in the directory dir/store, which it makes if there is none. The error Is errors.ErrUnsupported if the
// way is none of stores.
func (w Way) openStore(dir string) (Store, error) {
	if !w.Store {
		return nil, fmt.Errorf("%s cannot be read: %w", w.Name, errors.ErrUnsupported)
	}
	dir = filepath.Join(dir, historyStore)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	t, err := w.Open(dir, OpenOptions{Flush: true})
	if err != nil {
		return nil, err
	}
	return t.(Store), nil
}

// reads is the way of reading what the way keeps in a directory's store.
func (w Way) reads() ReadWay {
	return ReadWay{Name: w.Name, What: w.What, Open: func(dir string) (Reader, error) {
		s, err := w.openStore(dir)
		if err != nil {
			return nil, err
		}
		return storeReader{s}, nil
	}}
}

package harness

import (
	"context"
	"errors"

	"opossum"
)

// Reader answers queries about a history. It is used by one goroutine.
type Reader interface {
	// Read calls yield with the events that match q: with all of them, in order, or, if newest is not 0, with so many of the
	// newest, the newest first. What it yields is the caller's own or not to be changed.
	Read(ctx context.Context, q opossum.Query, newest int, yield func(opossum.SequencedEvent)) error
	// Last returns the newest event that matches q. The error Is opossum.ErrNotFound if there is none.
	Last(ctx context.Context, q opossum.Query) (opossum.SequencedEvent, error)
	// Refuse attempts what must not be appended because an event matches q. The error Is opossum.ErrConditionFailed.
	// REQUIRES: an event matches q.
	Refuse(ctx context.Context, q opossum.Query) error
	// Close releases what the reader holds.
	Close() error
}

// ReadWay is a way of reading the history that [History.Make] has put into a directory.
type ReadWay struct {
	Name string // short, for benchmark names: no spaces
	What string // one line for people
	// Open returns when queries can be answered at full speed: it is what a program waits for when it starts.
	Open func(dir string) (Reader, error)
	slow bool // is compared in a few queries only
}

// ReadWays returns opossum, and what it has to be compared with: no index at all, and an index that costs no I/O.
func ReadWays() []ReadWay {
	return []ReadWay{
		Opossum().reads(),
		{Name: "scan", What: "scan", Open: openScan, slow: true},
		{Name: "map", What: "map in memory", Open: openMemory},
	}
}

// storeReader is a store of which questions are asked.
type storeReader struct{ Store }

// refused is an event that never gets into the store.
var refused = []opossum.Event{{Type: "OrderRefused", Data: []byte(`{}`)}}

func (r storeReader) Refuse(ctx context.Context, q opossum.Query) error {
	err := r.Append(ctx, refused, &opossum.Condition{FailIfMatch: q})
	if err == nil {
		return errors.New("nothing matched, and it was appended")
	}
	return err
}

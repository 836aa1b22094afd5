package query

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync/atomic"

	"opossum/dcb"
)

var errUsed = errors.New("opossum: All was called before; read again for a second pass")

// View is one consistent read: whatever is appended meanwhile, it shows the store as it was at its head. It holds no
// resources and needs no Close.
type View struct {
	x    *Executor
	ctx  context.Context
	q    dcb.Query
	o    dcb.ReadOptions
	head dcb.Position
	last bool // of ReadLast
	used atomic.Bool
}

// Head returns the position at which the view is pinned: nothing after it is seen. It is the After of a condition that
// rests on this view.
func (v *View) Head() dcb.Position { return v.head }

// All yields the events of the view, ascending unless ReadOptions.Backwards. An error is yielded once, last, with
// a zero event: ErrClosed, ErrCorrupt, or that of the context given to Read. All may be used once.
func (v *View) All() iter.Seq2[dcb.SequencedEvent, error] {
	return func(yield func(dcb.SequencedEvent, error) bool) {
		if v.used.Swap(true) {
			yield(dcb.SequencedEvent{}, errUsed)
			return
		}
		n, err := 0, error(nil)
		if trace := v.x.cfg.Trace; trace != nil {
			end := trace(v.ctx, v.last)
			defer func() { end(n, err) }() // also when the body of the caller's loop panics
		}
		if err = v.each(&n, yield); err != nil {
			yield(dcb.SequencedEvent{}, fmt.Errorf("opossum: read: %w", err))
		}
	}
}

// each yields the events until the caller has enough, and counts them in n. It holds the segments that it reads until then.
func (v *View) each(n *int, yield func(dcb.SequencedEvent, error) bool) error {
	upto := v.head
	if v.o.Before > 0 {
		upto = min(upto, v.o.Before-1)
	}
	it, err := v.x.cfg.Index.Iterate(v.q, v.o.After, upto, v.o.Backwards)
	if err != nil {
		return err
	}
	defer it.Close()
	_, err = v.x.stream(v.ctx, v.q, it, v.o.Limit, func(e dcb.SequencedEvent) bool {
		*n++
		return yield(e, nil)
	})
	return err
}

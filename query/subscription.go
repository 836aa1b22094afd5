package query

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"sync/atomic"

	"opossum/dcb"
	"opossum/ledger"
)

// Subscription is a read that does not end at the head. It holds no resources and needs no Close.
type Subscription struct {
	x    *Executor
	ctx  context.Context
	q    dcb.Query
	at   atomic.Uint64
	used atomic.Bool
}

// Subscribe returns the events that match q after a position: those that exist, then those that come.
// Errors: ErrInvalidQuery, ErrClosed, ctx's.
func (x *Executor) Subscribe(ctx context.Context, q dcb.Query, after dcb.Position) (*Subscription, error) {
	if err := cmp.Or(ctx.Err(), q.Validate(), x.closed()); err != nil {
		return nil, fmt.Errorf("opossum: subscribe: %w", err)
	}
	s := &Subscription{x: x, ctx: ctx, q: q}
	s.at.Store(uint64(after))
	return s, nil
}

// Position returns how far the subscription has come: everything that matches up to here has been yielded. It moves over
// what does not match, too, so that it can be saved as a checkpoint. Safe for concurrent use.
func (s *Subscription) Position() dcb.Position { return dcb.Position(s.at.Load()) }

// All yields past events, then live ones, each once, in order, until the context of Subscribe ends, the engine is closed or
// poisoned, or something cannot be read: then that error is yielded once, last, with a zero event. All may be used once.
//
// It is Read repeated from the last position, waiting on the ledger: catching up and following are one path, with no seam.
func (s *Subscription) All() iter.Seq2[dcb.SequencedEvent, error] {
	return func(yield func(dcb.SequencedEvent, error) bool) {
		if s.used.Swap(true) {
			yield(dcb.SequencedEvent{}, errUsed)
			return
		}
		s.x.stats.subscriptions.Add(1)
		defer s.x.stats.subscriptions.Add(-1)
		for {
			head := max(s.x.cfg.Ledger.Get(ledger.Visible), s.Position())
			goOn, err := s.upTo(head, yield)
			if err == nil && goOn {
				err = s.x.cfg.Ledger.Wait(s.ctx, ledger.Visible, max(head, head+1)) // head+1 may wrap: then nothing can come
			}
			if err != nil {
				yield(dcb.SequencedEvent{}, fmt.Errorf("opossum: subscription: %w", err))
				return
			}
			if !goOn {
				return
			}
		}
	}
}

// upTo yields what matches up to head and moves the position there.
func (s *Subscription) upTo(head dcb.Position, yield func(dcb.SequencedEvent, error) bool) (goOn bool, err error) {
	it, err := s.x.cfg.Index.Iterate(s.q, s.Position(), head, false)
	if err != nil {
		return false, err
	}
	defer it.Close()
	goOn, err = s.x.stream(s.ctx, s.q, it, 0, func(e dcb.SequencedEvent) bool {
		s.at.Store(uint64(e.Position)) // before the body of the caller's loop runs, which may save it
		return yield(e, nil)
	})
	if goOn && err == nil {
		s.at.Store(uint64(head))
	}
	return goOn, err
}

package ledger

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"opossum/dcb"
)

// Number names one of the positions that divide history.
type Number uint8

// The numbers, from the left of history to the right.
//
//	INVARIANT: Materialized <= Indexed <= Durable <= Visible <= Assigned; each only ever grows.
const (
	Materialized Number = iota // filed, indexed and checkpointed: the log is not needed up to here
	Indexed                    // in durable index segments: memory answers from here on
	Durable                    // on the disk
	Visible                    // readable: acknowledged, and conditions of callers are checked up to here
	Assigned                   // given to appends, of which the last may still be in flight
	numbers
)

func (n Number) String() string {
	return [...]string{"Materialized", "Indexed", "Durable", "Visible", "Assigned"}[n]
}

// Ledger holds the numbers of an open store. Reading one is a single atomic load; waiting costs nothing to those who
// advance while nobody waits. All methods are safe for concurrent use.
type Ledger struct {
	at [numbers]atomic.Uint64

	waiting atomic.Int64 // waiters registered; lets Advance skip the lock
	mu      struct {
		sync.Mutex
		waiters map[*waiter]struct{}
		failed  error
	}
}

type waiter struct {
	number Number
	p      dcb.Position
	done   chan struct{}
}

// New starts with everything up to head durable and visible, up to indexed in segments, and up to materialized checkpointed.
// It panics if that breaks the invariant.
func New(materialized, indexed, head dcb.Position) *Ledger {
	if materialized > indexed || indexed > head {
		panic(fmt.Sprintf("ledger: %v starts at %d, %v at %d, the head is %d", Materialized, materialized, Indexed, indexed, head))
	}
	l := new(Ledger)
	l.mu.waiters = make(map[*waiter]struct{})
	l.at[Materialized].Store(uint64(materialized))
	l.at[Indexed].Store(uint64(indexed))
	for _, n := range []Number{Durable, Visible, Assigned} {
		l.at[n].Store(uint64(head))
	}
	return l
}

// Get returns a number.
func (l *Ledger) Get(n Number) dcb.Position { return dcb.Position(l.at[n].Load()) }

// Advance moves a number up to p and wakes who waits for it. Whatever p makes readable must be in place before.
// REQUIRES: one goroutine at a time advances each number, and the one to its right first. It panics if the invariant
// breaks: going on would acknowledge or delete what must not be.
func (l *Ledger) Advance(n Number, p dcb.Position) {
	if old := l.Get(n); p < old {
		panic(fmt.Sprintf("ledger: %v would fall from %d to %d", n, old, p))
	}
	if n+1 < numbers {
		if limit := l.Get(n + 1); p > limit {
			panic(fmt.Sprintf("ledger: %v would pass %v: %d > %d", n, n+1, p, limit))
		}
	}
	l.at[n].Store(uint64(p))
	if l.waiting.Load() == 0 { // a waiter registers first and looks again afterwards, so none is missed
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for w := range l.mu.waiters {
		if w.number == n && w.p <= p {
			l.release(w)
		}
	}
}

// Wait returns nil when number n has reached p, the error of Fail if that comes first, or ctx's error.
// What has been reached wins over both.
func (l *Ledger) Wait(ctx context.Context, n Number, p dcb.Position) error {
	if l.Get(n) >= p {
		return nil
	}
	w := &waiter{number: n, p: p, done: make(chan struct{})}
	l.waiting.Add(1)
	l.mu.Lock()
	if err := l.mu.failed; err != nil || l.Get(n) >= p {
		l.waiting.Add(-1)
		l.mu.Unlock()
		if l.Get(n) >= p {
			return nil
		}
		return err
	}
	l.mu.waiters[w] = struct{}{}
	l.mu.Unlock()

	select {
	case <-w.done:
	case <-ctx.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, still := l.mu.waiters[w]; still {
		l.release(w)
	}
	switch {
	case l.Get(n) >= p:
		return nil
	case l.mu.failed != nil:
		return l.mu.failed
	}
	return ctx.Err()
}

// release wakes a waiter and forgets it. REQUIRES: l.mu is held.
func (l *Ledger) release(w *waiter) {
	delete(l.mu.waiters, w)
	l.waiting.Add(-1)
	close(w.done)
}

// Fail makes every Wait that is not yet satisfied return err, now and later: the numbers will not move again.
// Only the first call counts.
func (l *Ledger) Fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.failed != nil {
		return
	}
	l.mu.failed = err
	for w := range l.mu.waiters {
		l.release(w)
	}
}

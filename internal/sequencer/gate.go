package sequencer

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"opossum/dcb"
	"opossum/ledger"
)

// fileBytes is what a filed event costs beside its bytes: at most a block and an inode.
const fileBytes = 4096 + 512

// Limits bound how far appends may run ahead of filing, and how full the disk may get.
type Limits struct {
	LagEvents  uint64 // events that are assigned and not yet checkpointed
	LagBytes   uint64 // and their bytes in the log
	FloorBytes uint64 // free space that appends leave
	LooseFiles uint64 // events of the backlog, at most, that will be filed in files of their own; 0: all
}

// gate is the admission: it lets appends pass while there is room, and holds them back in the order of their arrival.
type gate struct {
	limits Limits
	ledger *ledger.Ledger
	free   func() (uint64, error)
	hurry  func()
	excess func() bool // the index takes more memory than it should

	unseen int       // bytes written since free space was looked at; the committer's
	looked time.Time // and when that was

	lagBytes atomic.Uint64
	full     atomic.Bool   // free space was below the floor when last looked at
	blocked  atomic.Bool   // filing cannot go on for want of space
	held     atomic.Int64  // appends in line or in transit, so that a passer-by need not lock
	holds    atomic.Uint64 // appends that ever had to wait

	mu struct {
		sync.Mutex
		line    []*waiter // first come, first served
		transit bool      // one was let through and has neither staged nor given up: its room is not taken yet
		ended   error
	}
}

type waiter struct {
	pass chan struct{} // closed when it may go
	err  error
}

func (g *gate) init(cfg Config) {
	g.limits, g.ledger, g.free, g.hurry = cfg.Limits, cfg.Ledger, cfg.Free, cfg.Hurry
	g.excess = cfg.Index.Excess
	g.lagBytes.Store(cfg.Backlog)
	_, _, _ = g.look() // an error meets the first append, in room
}

// enter returns when an append may go on: at once, or after a wait at the lag limit. If it was held, the caller calls
// through once it has staged or given up. The limits may be passed by as many appends as are between here and staging:
// they bound memory and disk, and need not be exact.
func (g *gate) enter(ctx context.Context, sync func(context.Context) error) (held bool, err error) {
	if err := g.room(); err != nil {
		return false, err
	}
	if g.held.Load() == 0 && !g.lagging() {
		return false, nil
	}
	w, err := g.queue()
	if err != nil {
		return false, err
	}
	if g.behind() {
		g.hurry()
	}
	if err := sync(ctx); err != nil {
		return g.leave(w), err
	}
	g.next() // room may have come between looking and queueing
	select {
	case <-w.pass:
		if w.err != nil {
			return false, w.err
		}
		return true, g.room() // much may have been written since it was asked before
	case <-ctx.Done():
		return g.leave(w), fmt.Errorf("not written, held back by the lag of filing: %w", ctx.Err())
	}
}

// room reports ErrDiskFull while free space is below the floor. Free space is looked at by the committer now and then; while it
// is low, every append looks itself, so that room is noticed at once.
func (g *gate) room() error {
	if !g.full.Load() && !g.blocked.Load() {
		return nil
	}
	free, floor, err := g.look()
	if err != nil {
		return fmt.Errorf("free space: %w", err)
	}
	if g.full.Load() || g.blocked.Load() {
		return fmt.Errorf("%w: %d bytes free, %d wanted for events not yet filed and the floor", dcb.ErrDiskFull, free, floor)
	}
	return nil
}

// look measures free space against the floor and what the files of the backlog will need.
func (g *gate) look() (free, floor uint64, err error) {
	free, err = g.free()
	if err != nil {
		g.full.Store(true) // not known to be there: every append asks again
		return 0, 0, err
	}
	files := g.lagEvents()
	if g.limits.LooseFiles > 0 {
		files = min(files, g.limits.LooseFiles)
	}
	floor = g.limits.FloorBytes + files*fileBytes + g.lagBytes.Load()
	g.full.Store(free < floor)
	return free, floor, nil
}

func (g *gate) lagEvents() uint64 {
	return uint64(g.ledger.Get(ledger.Assigned) - g.ledger.Get(ledger.Materialized))
}

// lag returns how much of what the lag may be it is, from 0 to about 1.
func (g *gate) lag() float64 {
	share := func(lag, most uint64) float64 { return float64(lag) / float64(max(most, 1)) }
	return max(share(g.lagEvents(), g.limits.LagEvents), share(g.lagBytes.Load(), g.limits.LagBytes))
}

// lagging reports whether appends must wait: for filing, or for sealing.
func (g *gate) lagging() bool { return g.behind() || g.excess() }

// behind reports whether filing is at its limit.
func (g *gate) behind() bool {
	return g.lagEvents() >= g.limits.LagEvents || g.lagBytes.Load() >= g.limits.LagBytes
}

func (g *gate) queue() (*waiter, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.mu.ended != nil {
		return nil, g.mu.ended
	}
	w := &waiter{pass: make(chan struct{})}
	g.mu.line = append(g.mu.line, w)
	g.held.Add(1)
	g.holds.Add(1)
	return w, nil
}

// leave takes w out of the line, if it still stands there, and reports whether it was let through.
func (g *gate) leave(w *waiter) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := slices.Index(g.mu.line, w)
	if i < 0 {
		return w.err == nil
	}
	g.mu.line = slices.Delete(g.mu.line, i, i+1)
	g.held.Add(-1)
	return false
}

// next lets the first in line through if there is room. One at a time is on its way: the next is judged when the room of the one
// before is taken, so that order and limit hold.
func (g *gate) next() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.mu.transit || len(g.mu.line) == 0 || g.lagging() {
		return
	}
	g.mu.transit = true
	g.pop(nil)
}

// through is called by a held append once it has staged or given up.
func (g *gate) through() {
	g.mu.Lock()
	g.mu.transit = false
	g.mu.Unlock()
	g.held.Add(-1)
	g.next()
}

// pop lets the first in line through, or sends it away with err. REQUIRES: g.mu is held.
func (g *gate) pop(err error) {
	w := g.mu.line[0]
	g.mu.line = slices.Delete(g.mu.line, 0, 1)
	w.err = err
	if err != nil {
		g.held.Add(-1)
	}
	close(w.pass)
}

// release lets everyone go with err, now and later.
func (g *gate) release(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.mu.ended == nil {
		g.mu.ended = err
	}
	g.sendAway(err)
}

// sendAway empties the line with err. REQUIRES: g.mu is held.
func (g *gate) sendAway(err error) {
	for len(g.mu.line) > 0 {
		g.pop(err)
	}
}

// noSpace notes whether filing is stopped for want of space. Who waits for filing then waits in vain.
func (g *gate) noSpace(stopped bool) {
	g.blocked.Store(stopped)
	if !stopped {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.sendAway(fmt.Errorf("%w: events cannot be filed", dcb.ErrDiskFull))
}

func (g *gate) staged(b *batch) { g.lagBytes.Add(uint64(len(b.body))) }

// How long, and for how much written, a measurement of free space is good: far less than any floor worth having. Asking
// after every group would cost a tenth of its sync (ext4 sums counters over all processors: 25 us measured).
const (
	lookEvery = 50 * time.Millisecond
	lookBytes = 4 << 20
)

// committed looks at the disk when the last look has aged. REQUIRES: only the committer calls it.
func (g *gate) committed(bytes int, now time.Time) {
	g.unseen += bytes
	if g.full.Load() || g.unseen < lookBytes && now.Sub(g.looked) < lookEvery {
		return // while it is full, those who want to append look themselves
	}
	g.unseen, g.looked = 0, now
	_, _, _ = g.look() // an error here says nothing about the group that is committed; room reports it
}

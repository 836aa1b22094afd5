package peers

import (
	"runtime"
	"sync"
)

// Bounds of a group. The bytes are what a transaction of Badger holds with its index; the number is where opossum's bench found that a larger group costs
// more by leaving the disk idle than it gains by saving a sync.
const (
	maxGroupBytes = 4 << 20
	enough        = 128 // appends queued, for which the next group waits no more
	yields        = 4   // of the processor, at most, for that
)

// committer lets concurrent appends share commits, for the rivals that commit one at a time: whatever is queued when the last commit ends is the next group.
//
// There is no goroutine. The first append that finds nobody committing commits its own group at once, so a lone writer hands nothing over. Then the oldest of
// those who queued meanwhile has the turn. It first yields the processor, so that writers who were just answered can join:
// otherwise half of them would always miss the group.
type committer struct {
	// commit makes those of the group durable that can be, and sets err of the others. It is never called twice at a time.
	commit func(group []*attempt)

	mu    sync.Mutex
	queue []*waiter
	busy  bool // someone has the turn
}

type waiter struct {
	*attempt
	wake chan bool // true: it is your turn; false: you are answered
}

// do returns the outcome of a when the group that it joined has been committed.
func (c *committer) do(a *attempt) error {
	w := &waiter{a, make(chan bool, 1)}
	c.mu.Lock()
	c.queue = append(c.queue, w)
	alone := !c.busy
	c.busy = true
	c.mu.Unlock()
	if !alone {
		if !<-w.wake {
			return a.err
		}
		c.gather()
	}
	c.lead()
	return a.err
}

// gather lets writers run that could join the group.
func (c *committer) gather() {
	for range yields {
		c.mu.Lock()
		n := len(c.queue)
		c.mu.Unlock()
		if n >= enough {
			return
		}
		runtime.Gosched()
	}
}

// lead commits the group of the caller, who is first in the queue, answers the others, and gives the turn to the next.
func (c *committer) lead() {
	c.mu.Lock()
	n, size := 1, c.queue[0].size
	for n < len(c.queue) && size+c.queue[n].size <= maxGroupBytes {
		size += c.queue[n].size
		n++
	}
	group := c.queue[:n:n]
	c.queue = c.queue[n:]
	c.mu.Unlock()

	attempts := make([]*attempt, n)
	for i, w := range group {
		attempts[i] = w.attempt
	}
	c.commit(attempts)

	for _, w := range group[1:] {
		w.wake <- false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.busy = len(c.queue) > 0
	if c.busy {
		c.queue[0].wake <- true
	} else {
		c.queue = nil
	}
}

// settle sets the outcome of those in the group that have none yet.
func settle(group []*attempt, err error) {
	for _, a := range group {
		if a.err == nil {
			a.err = err
		}
	}
}

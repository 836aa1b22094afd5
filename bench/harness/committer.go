package harness

import (
	"math"
	"runtime"
	"sync"
)

// Grouping says what a committer does between answering one group and taking the next: it may yield the processor, so
// that the writers it has just answered can queue their next append and share one sync. It never waits by the clock.
type Grouping struct {
	Yields int // yield at most so often,
	Enough int // and no more once so many appends are queued
}

// The groupings that were compared; README.md has the figures.
var (
	// Drain takes what is there: half of the writers, while the other half is being answered.
	Drain = Grouping{}
	// YieldOnce lets everyone run once before each group.
	YieldOnce = Grouping{Yields: 1, Enough: math.MaxInt}
	// Adaptive goes on until all writers are back, or until there are about as many appends as two processors make ready
	// while one sync lasts: a larger group costs more by leaving the disk idle than it gains by saving a sync.
	Adaptive = Grouping{Yields: 4, Enough: 128}
)

// maxGroupBytes bounds a group and with it a frame; an append that does not fit joins the next group.
const maxGroupBytes = 16 << 20

// group is a number of appends that become durable together.
type group struct {
	buf     []byte // room for a frame header, then the records of all appends
	events  int
	appends int
	done    chan struct{} // closed when err is set: one wake-up call for all
	err     error
}

// committer makes groups of concurrent appends and commits one at a time.
//
// An append that finds the committer idle commits on its own goroutine: a lone writer pays for no hand-over. Whatever
// is queued meanwhile goes to one goroutine, which goes on until the queue is empty.
type committer struct {
	commit   func(*group) error
	grouping Grouping
	wake     chan struct{} // to the goroutine: you are the one who commits now
	ended    chan struct{} // the goroutine has returned
	spare    []byte        // the last group's memory; owned by whoever commits

	mu struct {
		sync.Mutex
		open *group // takes appends
		busy bool   // someone commits
	}
}

// newCommitter calls commit with one group at a time. commit keeps no reference to it. After an error every later group
// is still tried: a benchmark ends at the first error.
func newCommitter(grouping Grouping, commit func(*group) error) *committer {
	c := &committer{commit: commit, grouping: grouping, wake: make(chan struct{}, 1), ended: make(chan struct{})}
	c.mu.open = newGroup(nil)
	go c.run()
	return c
}

func newGroup(memory []byte) *group {
	return &group{buf: append(memory[:0], make([]byte, frameHeader)...), done: make(chan struct{})}
}

// append returns when a group with the records has been committed. It does not keep records.
func (c *committer) append(records []byte, events int) error {
	c.mu.Lock()
	for c.mu.open.appends > 0 && len(c.mu.open.buf)+len(records) > maxGroupBytes {
		full := c.mu.open
		c.mu.Unlock()
		<-full.done
		c.mu.Lock()
	}
	g := c.mu.open
	g.buf = append(g.buf, records...)
	g.events += events
	g.appends++
	alone := !c.mu.busy
	c.mu.busy = true
	c.mu.Unlock()

	if !alone {
		<-g.done
		return g.err
	}
	c.commitOpen()
	if !c.idle() {
		c.wake <- struct{}{}
	}
	return g.err
}

func (c *committer) run() {
	defer close(c.ended)
	for range c.wake {
		for {
			c.commitOpen()
			c.gather()
			if c.idle() {
				break
			}
		}
	}
}

// commitOpen closes the open group, commits it and answers its appends. REQUIRES: the caller is the one who commits.
func (c *committer) commitOpen() {
	next := newGroup(c.spare)
	c.mu.Lock()
	g := c.mu.open
	c.mu.open = next
	c.mu.Unlock()
	g.err = c.commit(g)
	c.spare = g.buf
	close(g.done)
}

// gather lets writers run, as c.grouping says.
func (c *committer) gather() {
	for range c.grouping.Yields {
		c.mu.Lock()
		enough := c.mu.open.appends >= c.grouping.Enough
		c.mu.Unlock()
		if enough {
			return
		}
		runtime.Gosched()
	}
}

// idle ends the caller's turn to commit if nothing is queued, and reports whether it did.
func (c *committer) idle() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.busy = c.mu.open.appends > 0
	return !c.mu.busy
}

// close ends the goroutine. No append is running.
func (c *committer) close() {
	close(c.wake)
	<-c.ended
}

// join makes a committer that groups so.
func (g Grouping) join(commit func(*group) error) joint { return newCommitter(g, commit) }

// soloist is the committer that makes no groups: each append is committed by itself, one after the other.
type soloist struct {
	commit func(*group) error
	mu     struct {
		sync.Mutex
		buf []byte
	}
}

// alone makes a soloist.
func alone(commit func(*group) error) joint { return &soloist{commit: commit} }

func (s *soloist) append(records []byte, events int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := group{buf: append(s.mu.buf[:0], make([]byte, frameHeader)...), events: events, appends: 1}
	g.buf = append(g.buf, records...)
	s.mu.buf = g.buf
	return s.commit(&g)
}

func (s *soloist) close() {}

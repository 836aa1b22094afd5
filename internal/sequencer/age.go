package sequencer

import (
	"sync"
	"time"

	"opossum/dcb"
)

// ages remembers when positions became visible, so that one can tell for how long the oldest of those after another has been so. It is safe for
// concurrent use. What it says is never too young, and too old by
// agesApart, or 1 % of it, at most.
type ages struct {
	mu    sync.Mutex
	marks []mark // ascending in both
}

// mark stands for the positions after the mark before it: the first of them became visible then.
type mark struct {
	upTo dcb.Position
	when time.Time
}

const (
	agesApart = 10 * time.Millisecond
	agesMost  = 256
)

// note says that everything up to p has become visible by now. Up to done nobody will ask any more.
func (a *ages) note(p, done dcb.Position, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.forget(done)
	n := len(a.marks)
	if n > 0 && now.Sub(a.marks[n-1].when) < agesApart {
		a.marks[n-1].upTo = p
		return
	}
	if n == agesMost { // what is closer than a fair share of the time they span becomes one
		apart, kept := now.Sub(a.marks[0].when)*2/agesMost, 1
		for _, m := range a.marks[1:] {
			if last := &a.marks[kept-1]; m.when.Sub(last.when) < apart {
				last.upTo = m.upTo
				continue
			}
			a.marks[kept] = m
			kept++
		}
		a.marks = a.marks[:kept]
	}
	a.marks = append(a.marks, mark{p, now})
}

// of returns for how long the oldest position after p has been visible, 0 if there is none.
func (a *ages) of(p dcb.Position, now time.Time) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.forget(p)
	if len(a.marks) == 0 {
		return 0
	}
	return max(now.Sub(a.marks[0].when), 0)
}

// forget drops the marks up to p. REQUIRES: a.mu is held.
func (a *ages) forget(p dcb.Position) {
	n := 0
	for n < len(a.marks) && a.marks[n].upTo <= p {
		n++
	}
	a.marks = a.marks[:copy(a.marks, a.marks[n:])]
}

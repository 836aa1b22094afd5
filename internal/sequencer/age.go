package sequencer

import (
	"math"
	"slices"
	"sync"
	"time"

	"opossum/dcb"
)

// ages remembers when positions became visible, so that one can tell for how long the oldest of those after another has been so. It is safe for
// concurrent use. What it says may be too old by agesApart and a hundredth of the longest time that it had to span meanwhile, never too young.
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
	if n := len(a.marks); n > 0 && now.Sub(a.marks[n-1].when) < agesApart {
		a.marks[n-1].upTo = p
		return
	}
	if len(a.marks) == agesMost {
		a.thin()
	}
	a.marks = append(a.marks, mark{p, now})
}

// thin makes one mark of the two neighbours that span the least together. So none spans much more than another, however many come. (Were every two made
// one whenever there are too many, the first would take in half of all.) REQUIRES: a.mu is held; there are three marks.
func (a *ages) thin() {
	least, span := 0, time.Duration(math.MaxInt64)
	for i := range len(a.marks) - 2 {
		if d := a.marks[i+2].when.Sub(a.marks[i].when); d < span {
			least, span = i, d
		}
	}
	a.marks[least].upTo = a.marks[least+1].upTo
	a.marks = slices.Delete(a.marks, least+1, least+2)
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

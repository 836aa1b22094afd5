package index

import (
	"errors"
	"math"
	"sync/atomic"

	"opossum/dcb"
	"opossum/internal/segment"
)

// View is what reads and conditions rest on: the segments up to a base, and the memory parts above it. It is immutable but for
// the parts that follow by their links, so it answers for everything that was staged when it is asked. It holds terms of events
// that are not visible yet, so every question carries the head up to which it is asked.
type View struct {
	base   dcb.Position
	files  *files
	memory *node // the oldest memory part with positions above base
}

// files are the segments of a view. They are counted: the last one who uses a set closes the segments that are in no other.
type files struct {
	all  []*held // ascending and adjacent, from position 1 on
	refs atomic.Int64
}

// held is a segment in use.
type held struct {
	*segment.Segment
	refs    atomic.Int64 // sets of files that it is in
	damaged atomic.Bool
	again   bool   // opened in the place of a damaged one, by Adopt
	report  func() // tells that damage was found
}

// note keeps an error of reading h in failed, unless there is one already. Damage is remembered, so that it is mended.
func (h *held) note(err error, failed *error) {
	if err == nil {
		return
	}
	if *failed == nil {
		*failed = err
	}
	if errors.Is(err, dcb.ErrCorrupt) && !h.damaged.Swap(true) {
		h.report()
	}
}

func newFiles(all []*held) *files {
	f := &files{all: all}
	f.refs.Store(1)
	for _, h := range all {
		h.refs.Add(1)
	}
	return f
}

// retain counts one more user, unless the last one has gone.
func (f *files) retain() bool {
	for {
		n := f.refs.Load()
		if n == 0 {
			return false
		}
		if f.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (f *files) release() {
	if f.refs.Add(-1) > 0 {
		return
	}
	for _, h := range f.all {
		if h.refs.Add(-1) == 0 {
			_ = h.Close() // unmapping what was mapped does not fail, and nobody could do anything about it
		}
	}
}

// Base is the position from which on memory answers: up to here segments do.
func (v *View) Base() dcb.Position { return v.base }

// Release ends the use of a view that Acquire returned.
func (v *View) Release() { v.files.release() }

// FirstMatch returns the lowest position in (after, upto] whose event matches q, 0 if there is none. The answer is
// exact. It reads segments only for positions up to Base; above it there is no I/O and no error. Safe for concurrent use.
func (v *View) FirstMatch(q dcb.Query, after, upto dcb.Position) (dcb.Position, error) {
	if after >= upto {
		return 0, nil
	}
	if q.IsAll() {
		return after + 1, nil
	}
	if after < v.base {
		for _, h := range v.files.all {
			p := fileOf(h)
			if lo, hi := p.clip(after, upto); lo < hi {
				if first, err := p.firstMatch(q, lo, hi); first != 0 || err != nil {
					return first, err
				}
			}
		}
	}
	for n := v.memory; n != nil; {
		p, next := v.memoryOf(n)
		if lo, hi := p.clip(after, upto); lo < hi {
			if first, err := p.firstMatch(q, lo, hi); first != 0 || err != nil {
				return first, err
			}
		}
		n = next
	}
	return 0, nil
}

func fileOf(h *held) part {
	r := h.Range()
	return part{lo: r.First - 1, hi: r.Last, file: h}
}

// memoryOf returns the part of a node, and the node after it. The link is read before the part is asked: whoever knows a
// position above it has seen the link set.
func (v *View) memoryOf(n *node) (part, *node) {
	next := n.next.Load()
	p := part{lo: max(n.recent.base, v.base), hi: math.MaxUint64, memory: n.recent}
	if next != nil {
		p.hi = next.recent.base
	}
	return p, next
}

// partsIn returns the parts that answer for (after, upto], ascending.
func (v *View) partsIn(after, upto dcb.Position) []part {
	var out []part
	add := func(p part) {
		if lo, hi := p.clip(after, upto); lo < hi {
			out = append(out, p)
		}
	}
	for _, h := range v.files.all {
		add(fileOf(h))
	}
	for n := v.memory; n != nil; {
		var p part
		p, n = v.memoryOf(n)
		add(p)
	}
	return out
}

package index

import (
	"sort"
	"sync/atomic"

	"opossum/dcb"
)

// Sizes of the chunks of one posting list. Most terms occur once (an order number, an e-mail address), so the first position
// costs no chunk; long lists should be few large pieces.
const (
	firstChunk = 4
	maxChunk   = 4096
)

// Postings are the ascending positions of one term. One goroutine at a time appends (the one that stages), any number
// read at the same time, without locks: a position is written before the count that makes it readable.
//
// A reader must clip what it reads to its head: positions beyond it may never become visible.
type Postings struct {
	hash    uint64 // of the term
	term    string
	first   atomic.Uint64 // the first position; 0: none yet
	newest  atomic.Pointer[chunk]
	pending int // appends in flight that may fill it while it is empty; guarded by the dictionary's shard
}

// chunk is a piece of a list; chunks are linked from the newest to the oldest.
type chunk struct {
	older *chunk
	n     atomic.Uint32 // positions in use
	at    []dcb.Position
}

// What lists and chunks cost in memory, slots of the dictionary and the allocator's rounding included.
const (
	listBytes  = 144
	chunkBytes = 64
)

// add appends p and returns how many bytes of memory that took, roughly.
// REQUIRES: the caller stages; p is greater than what was added before.
func (l *Postings) add(p dcb.Position) (bytes int) {
	if l.first.Load() == 0 {
		l.first.Store(uint64(p))
		return listBytes + max(len(l.term)-inlineBytes, 0)
	}
	c := l.newest.Load()
	if c == nil || int(c.n.Load()) == len(c.at) {
		size := firstChunk
		if c != nil {
			size = min(2*len(c.at), maxChunk)
		}
		next := &chunk{older: c, at: make([]dcb.Position, size)}
		next.at[0] = p
		next.n.Store(1)
		l.newest.Store(next)
		return chunkBytes + 8*size
	}
	n := c.n.Load()
	c.at[n] = p
	c.n.Store(n + 1)
	return 0
}

// empty reports whether nothing was ever added.
func (l *Postings) empty() bool { return l.first.Load() == 0 }

// firstAfter returns the lowest position in (after, upto], 0 if there is none. It walks from the newest back, because
// the window of a condition is mostly near the end; it allocates nothing.
func (l *Postings) firstAfter(after, upto dcb.Position) dcb.Position {
	var found dcb.Position
	for c := l.newest.Load(); c != nil; c = c.older {
		at := c.at[:c.n.Load()]
		i := above(at, after)
		if i < len(at) {
			found = at[i]
		}
		if i > 0 { // everything older is at or before after
			return within(found, upto)
		}
	}
	if first := dcb.Position(l.first.Load()); first > after {
		found = first
	}
	return within(found, upto)
}

func within(p, upto dcb.Position) dcb.Position {
	if p > upto {
		return 0
	}
	return p
}

// above returns the index of the first element greater than p.
func above(at []dcb.Position, p dcb.Position) int {
	return sort.Search(len(at), func(i int) bool { return at[i] > p })
}

// pieces returns the list's positions in (after, upto] as ascending slices, oldest first. The slices share memory with the
// list, whose used part never changes.
func (l *Postings) pieces(after, upto dcb.Position) [][]dcb.Position {
	var out [][]dcb.Position
	for c := l.newest.Load(); c != nil; c = c.older {
		at := c.at[:c.n.Load()]
		lo, hi := above(at, after), above(at, upto)
		if lo < hi {
			out = append(out, at[lo:hi])
		}
		if lo > 0 {
			reverse(out)
			return out
		}
	}
	if first := dcb.Position(l.first.Load()); first > after && first <= upto && first != 0 {
		out = append(out, []dcb.Position{first})
	}
	reverse(out)
	return out
}

func reverse[T any](s []T) {
	for i, j := 0, len(s)-1; i < j; i, j = i+1, j-1 {
		s[i], s[j] = s[j], s[i]
	}
}

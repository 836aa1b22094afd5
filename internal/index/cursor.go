package index

import (
	"math"
	"sort"

	"opossum/dcb"
	"opossum/internal/segment"
)

// A cursor yields keys in ascending order. A key is a position, or for a backwards read its complement, so that every
// combination below is written once and runs both ways.
type cursor interface {
	// peek returns the current key, done at the end.
	peek() uint64
	// seek moves to the first key >= k, never back.
	seek(k uint64)
}

// done is the key behind the last one. Position 0 does not exist, so its complement is free for this.
const done = math.MaxUint64

// order turns positions into keys and back.
type order struct{ backwards bool }

func (o order) key(p dcb.Position) uint64 {
	if o.backwards {
		return ^uint64(p)
	}
	return uint64(p)
}

func (o order) position(k uint64) dcb.Position {
	if o.backwards {
		return dcb.Position(^k)
	}
	return dcb.Position(k)
}

// none is the cursor over nothing.
type none struct{}

func (none) peek() uint64 { return done }
func (none) seek(uint64)  {}

// span yields every key from next to last.
type span struct{ next, last uint64 }

func (s *span) peek() uint64 {
	if s.next > s.last {
		return done
	}
	return s.next
}

func (s *span) seek(k uint64) { s.next = max(s.next, k) }

// listed yields the positions of a posting list, piece by piece.
type listed struct {
	order
	pieces [][]dcb.Position // each ascending, not empty; the pieces in the direction of the read
	i      int              // index into pieces[0], in the direction of the read
}

func newListed(o order, l *Postings, after, upto dcb.Position) cursor {
	pieces := l.pieces(after, upto)
	if len(pieces) == 0 {
		return none{}
	}
	if o.backwards {
		reverse(pieces)
	}
	return &listed{order: o, pieces: pieces}
}

// keyAt returns the i-th key of a piece in the direction of the read.
func (l *listed) keyAt(piece []dcb.Position, i int) uint64 {
	if l.backwards {
		i = len(piece) - 1 - i
	}
	return l.key(piece[i])
}

func (l *listed) peek() uint64 {
	if len(l.pieces) == 0 {
		return done
	}
	return l.keyAt(l.pieces[0], l.i)
}

func (l *listed) seek(k uint64) {
	for len(l.pieces) > 0 {
		piece := l.pieces[0]
		if l.keyAt(piece, len(piece)-1) >= k {
			// The step to the next key is the common one; try it before searching.
			if l.keyAt(piece, l.i) < k {
				l.i++
			}
			if l.keyAt(piece, l.i) < k {
				from := l.i
				l.i += sort.Search(len(piece)-from, func(i int) bool { return l.keyAt(piece, from+i) >= k })
			}
			return
		}
		l.pieces, l.i = l.pieces[1:], 0
	}
}

// onDisk yields the positions of a segment's list.
type onDisk struct {
	order
	c *segment.Cursor
	h *held
	// failed is the iterator's: a cursor that cannot go on looks like one at its end, and the error must not be lost.
	failed *error
}

func (d *onDisk) peek() uint64 {
	p, ok := d.c.Peek()
	if !ok {
		d.h.note(d.c.Err(), d.failed)
		return done
	}
	return d.key(p)
}

func (d *onDisk) seek(k uint64) { d.c.Seek(d.position(k)) }

// union yields the keys of any part once.
type union struct{ parts []cursor }

func newUnion(parts []cursor) cursor {
	switch len(parts) {
	case 0:
		return none{}
	case 1:
		return parts[0]
	}
	return &union{parts: parts}
}

// peek takes the least of all parts. Queries have few items; a heap would cost more than it saves below some dozens.
func (u *union) peek() uint64 {
	least := uint64(done)
	for _, p := range u.parts {
		least = min(least, p.peek())
	}
	return least
}

func (u *union) seek(k uint64) {
	for _, p := range u.parts {
		if p.peek() < k {
			p.seek(k)
		}
	}
}

// both yields the keys that all parts have: each part leaps to the highest key that another one is at.
type both struct{ parts []cursor }

func newBoth(parts []cursor) cursor {
	if len(parts) == 1 {
		return parts[0]
	}
	b := &both{parts: parts}
	b.agree()
	return b
}

func (b *both) peek() uint64 { return b.parts[0].peek() }

func (b *both) seek(k uint64) {
	b.parts[0].seek(k)
	b.agree()
}

// agree moves the parts forward until all are at the same key, be it the end.
func (b *both) agree() {
	k := b.parts[0].peek()
	for i := 0; i < len(b.parts); i++ {
		b.parts[i].seek(k)
		if at := b.parts[i].peek(); at != k { // it leapt beyond k, and all must follow
			k, i = at, -1
		}
	}
}

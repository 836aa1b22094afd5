package segment

import (
	"sort"

	"opossum/dcb"
)

// Cursor yields the positions of a list in (after, upto], ascending or descending. It is for one goroutine.
type Cursor struct {
	list      List
	backwards bool
	first     dcb.Position // the lowest position to yield
	last      dcb.Position // the highest
	block     uint64       // the block in at
	at        []dcb.Position
	i         int // the current position is at[i]
	current   dcb.Position
	err       error
}

// Cursor returns a cursor over the positions in (after, upto], at the first one in the direction of the read.
func (l List) Cursor(after, upto dcb.Position, backwards bool) *Cursor {
	c := &Cursor{list: l, backwards: backwards}
	if l.count == 0 {
		return c
	}
	r := l.m.place.r
	from, to, ok := r.clip(after, upto)
	if !ok {
		return c
	}
	c.first, c.last = r.First+dcb.Position(from), r.First+dcb.Position(to)
	c.at = make([]dcb.Position, 0, min(l.count, listBlock))
	if backwards {
		c.block = l.blocks()
		c.leap(c.last)
	} else {
		c.leap(c.first)
	}
	return c
}

// Peek returns the current position; ok is false at the end and after an error.
func (c *Cursor) Peek() (p dcb.Position, ok bool) { return c.current, c.current != 0 }

// Err returns the error that ended the cursor, nil if none did.
func (c *Cursor) Err() error { return c.err }

// Seek moves to the first position at or beyond p in the direction of the read: >= p, or <= p backwards. It never moves
// back. The next position and one in the same block are cheap; for any other one block is read.
func (c *Cursor) Seek(p dcb.Position) {
	if c.current == 0 || !c.beyond(p, c.current) {
		return
	}
	if !c.within(p) {
		c.leap(p)
		return
	}
	if c.backwards {
		if c.i--; c.at[c.i] > p {
			c.i = sort.Search(c.i, func(i int) bool { return c.at[i] > p }) - 1
		}
	} else if c.i++; c.at[c.i] < p {
		rest := c.at[c.i:]
		c.i += sort.Search(len(rest), func(i int) bool { return rest[i] >= p })
	}
	c.settle()
}

// beyond reports whether a comes after b in the direction of the read.
func (c *Cursor) beyond(a, b dcb.Position) bool {
	if c.backwards {
		return a < b
	}
	return a > b
}

// within reports whether the block at hand has a position at or beyond p.
func (c *Cursor) within(p dcb.Position) bool {
	if c.backwards {
		return c.at[0] <= p
	}
	return c.at[len(c.at)-1] >= p
}

// settle makes at[i] the current position, or ends the cursor if that one is outside the bounds.
func (c *Cursor) settle() {
	c.current = c.at[c.i]
	if c.current < c.first || c.current > c.last {
		c.current = 0
	}
}

// leap moves to a position in another block than the one at hand.
func (c *Cursor) leap(p dcb.Position) {
	c.current = 0
	if p < c.first || p > c.last {
		return
	}
	var found bool
	c.err = c.list.m.guard(func() (err error) {
		if c.backwards {
			found, err = c.leapDown(p)
		} else {
			found, err = c.leapUp(p)
		}
		return err
	})
	if found && c.err == nil {
		c.settle()
	}
}

// leapUp finds the lowest position >= p. REQUIRES: inside guard; every position in the block at hand is below p.
func (c *Cursor) leapUp(p dcb.Position) (found bool, err error) {
	lo, hi := c.block, c.list.blocks()
	if len(c.at) > 0 {
		lo++
	}
	from := uint64(p - c.list.m.place.r.First)
	if near := min(lo+1, hi); hi > 1 { // the next block is where most reads go
		if lo, err = c.list.blockFor(from, lo, near); err != nil {
			return false, err
		}
	}
	if lo, err = c.list.blockFor(from, lo, hi); err != nil || lo == hi {
		return false, err
	}
	if err := c.load(lo); err != nil {
		return false, err
	}
	c.i = sort.Search(len(c.at), func(i int) bool { return c.at[i] >= p })
	return c.i < len(c.at), nil
}

// leapDown finds the highest position <= p. REQUIRES: inside guard; every position in the block at hand is above p.
func (c *Cursor) leapDown(p dcb.Position) (found bool, err error) {
	if c.block == 0 {
		return false, nil
	}
	block, err := c.blockDown(uint64(p-c.list.m.place.r.First), c.block-1)
	if err != nil {
		return false, err
	}
	if err := c.load(block); err != nil {
		return false, err
	}
	if c.at[0] > p && block > 0 { // p lies between two blocks
		if err := c.load(block - 1); err != nil {
			return false, err
		}
	}
	c.i = sort.Search(len(c.at), func(i int) bool { return c.at[i] > p }) - 1
	return c.i >= 0, nil
}

// blockDown returns the first block up to hi whose last number is not below from, hi if there is none.
func (c *Cursor) blockDown(from, hi uint64) (uint64, error) {
	if hi > 0 { // the next block is where most reads go
		if last, _, err := c.list.skip(hi - 1); err != nil || last < from {
			return hi, err
		}
	}
	return c.list.blockFor(from, 0, hi)
}

// load decodes a block into at. REQUIRES: inside guard.
func (c *Cursor) load(block uint64) error {
	c.block, c.at = block, c.at[:c.list.inBlock(block)]
	return c.list.decode(block, c.at)
}

package index

import "opossum/dcb"

// Recent indexes the positions above its base in memory: each type and each tag to its ascending positions.
//
// Writing has two halves. Any goroutine interns the terms of its events beforehand, which costs the hashing and, for new
// terms, a shard's lock; the one that stages then only appends to lists it holds by pointer. Reading takes no lock.
type Recent struct {
	base  dcb.Position
	types dictionary
	tags  dictionary
}

// NewRecent covers positions above base.
func NewRecent(base dcb.Position) *Recent {
	r := &Recent{base: base}
	r.types.init()
	r.tags.init()
	return r
}

// Stage indexes the event at p. From now on it is found by whoever looks that far; everyone but the one who stages
// clips to the visible head.
// REQUIRES: one goroutine at a time; p is greater than all positions staged before.
func (r *Recent) Stage(p dcb.Position, terms Terms) {
	for _, l := range terms {
		l.add(p)
	}
}

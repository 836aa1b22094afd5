package index

import (
	"sync/atomic"

	"opossum/dcb"
	"opossum/internal/segment"
)

// Recent is a memory part: it indexes the positions above its base, each type and each tag to its ascending positions.
//
// Writing has two halves. Any goroutine interns the terms of its events beforehand, which costs the hashing and, for new
// terms, a shard's lock; the one that stages then only appends to lists it holds by pointer. Reading takes no lock.
type Recent struct {
	base  dcb.Position
	types dictionary
	tags  dictionary
	bytes atomic.Int64 // in use, roughly; only who stages writes it
}

func newRecent(base dcb.Position) *Recent {
	r := &Recent{base: base}
	r.types.init()
	r.tags.init()
	return r
}

// Stage indexes the event at p. From now on it is found by whoever looks that far; everyone but the one who stages
// clips to the visible head.
// REQUIRES: one goroutine at a time; p is greater than all positions staged before; the terms come from r's own Intern.
func (r *Recent) Stage(p dcb.Position, terms Terms) {
	n := 0
	for _, l := range terms {
		n += l.add(p)
	}
	r.bytes.Store(r.bytes.Load() + int64(n))
}

// lookup returns the list of a term, nil if there is none.
func (r *Recent) lookup(kind segment.Kind, term string) *Postings {
	if kind == segment.Type {
		return r.types.lookup(term)
	}
	return r.tags.lookup(term)
}

// node links the memory parts from old to new. The links lie beside the parts, so that an iterator that holds a part does not
// keep alive all that come after it.
type node struct {
	recent *Recent
	next   atomic.Pointer[node] // set once: from then on recent is complete, and covers up to the next one's base
}

package index

import (
	"hash/maphash"
	"strings"
	"sync"

	"opossum/dcb"
)

const shards = 64 // of a dictionary; enough that a few hundred goroutines rarely meet

// Recent indexes the positions above its base in memory: each type and each tag to its ascending positions.
//
// Writing has two halves. Any goroutine interns the terms of its events beforehand, which costs the hashing and may take
// a shard's lock; the one that stages then only appends to lists it holds by pointer. Reading takes no lock but a
// shard's, for as long as a lookup takes.
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

// dictionary maps terms to their lists.
type dictionary struct {
	seed   maphash.Seed
	shards [shards]struct {
		sync.RWMutex
		terms map[string]*Postings
	}
}

func (d *dictionary) init() {
	d.seed = maphash.MakeSeed()
	for i := range d.shards {
		d.shards[i].terms = make(map[string]*Postings)
	}
}

// lookup returns the list of a term, nil if there is none.
func (d *dictionary) lookup(term string) *Postings {
	s := &d.shards[maphash.String(d.seed, term)%shards]
	s.RLock()
	defer s.RUnlock()
	return s.terms[term]
}

// intern returns the list of a term, made if need be. An empty list is kept for the appends that hold it, and counts them.
func (d *dictionary) intern(term string) *Postings {
	s := &d.shards[maphash.String(d.seed, term)%shards]
	s.RLock()
	l := s.terms[term]
	s.RUnlock()
	if l != nil && !l.empty() {
		return l
	}
	s.Lock()
	defer s.Unlock()
	if l = s.terms[term]; l == nil {
		l = new(Postings)
		s.terms[strings.Clone(term)] = l // the caller's string may be part of something larger
	}
	if l.empty() {
		l.pending++
	}
	return l
}

// release undoes an intern whose event was not staged, so that rejected appends leave nothing behind.
func (d *dictionary) release(term string, l *Postings) {
	s := &d.shards[maphash.String(d.seed, term)%shards]
	s.Lock()
	defer s.Unlock()
	if l.pending > 0 {
		l.pending--
	}
	if l.pending == 0 && l.empty() && s.terms[term] == l {
		delete(s.terms, term)
	}
}

// Terms are the lists that one event goes into.
type Terms []*Postings

// Intern appends to dst the lists of e's type and tags. Either Stage or Release follows. Safe for concurrent use.
func (r *Recent) Intern(dst Terms, e *dcb.Event) Terms {
	dst = append(dst, r.types.intern(e.Type))
	for _, t := range e.Tags {
		dst = append(dst, r.tags.intern(string(t)))
	}
	return dst
}

// Release gives back what Intern returned for e, for an event that was not staged. Safe for concurrent use.
func (r *Recent) Release(e *dcb.Event, terms Terms) {
	r.types.release(e.Type, terms[0])
	for i, t := range e.Tags {
		r.tags.release(string(t), terms[1+i])
	}
}

// Stage indexes the event at p. From now on it is found by whoever looks that far; everyone but the one who stages
// clips to the visible head.
// REQUIRES: one goroutine at a time; p is greater than all positions staged before.
func (r *Recent) Stage(p dcb.Position, terms Terms) {
	for _, l := range terms {
		l.add(p)
	}
}

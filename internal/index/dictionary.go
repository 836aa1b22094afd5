package index

import (
	"hash/maphash"
	"strings"
	"sync"
	"sync/atomic"
	"unsafe"

	"opossum/dcb"
)

const (
	shards    = 64 // of a dictionary; enough that goroutines rarely meet when they add terms
	firstSlot = 16 // slots of a shard's first table: 32 KiB for an empty memory part
)

// dictionary maps terms to their posting lists.
//
// Looking up takes no lock: a shard's table is an immutable-size array of atomic pointers, probed in order. Adding takes
// the shard's lock; a full table is replaced by a larger one. A Go map under a read lock cost two contended atomic
// operations and a second hash for every term of every append, which was the largest single cost of an append.
type dictionary struct {
	seed   maphash.Seed
	shards [shards]shard
}

type shard struct {
	table atomic.Pointer[table]

	mu   sync.Mutex // for changes of the table
	used int        // slots in use, those of removed lists included
}

// table has a power of two of slots, of which at most three quarters are in use.
type table []atomic.Pointer[Postings]

// removed marks the slot of a list that was removed: a probe goes on behind it.
var removed = new(Postings)

func (d *dictionary) init() {
	d.seed = maphash.MakeSeed()
	for i := range d.shards {
		t := make(table, firstSlot)
		d.shards[i].table.Store(&t)
	}
}

// find returns the list of a term and its slot, or nil and the slot at which it would be added.
func (t table) find(hash uint64, term string) (*Postings, int) {
	mask := len(t) - 1
	for i := int(hash/shards) & mask; ; i = (i + 1) & mask {
		l := t[i].Load()
		if l == nil || l != removed && l.hash == hash && l.term == term {
			return l, i
		}
	}
}

func (d *dictionary) shard(term string) (*shard, uint64) {
	hash := maphash.String(d.seed, term)
	return &d.shards[hash%shards], hash
}

// lookup returns the list of a term, nil if there is none.
func (d *dictionary) lookup(term string) *Postings {
	s, hash := d.shard(term)
	l, _ := s.table.Load().find(hash, term)
	return l
}

// intern returns the list of a term, made if need be. An empty list is kept for the appends that hold it, and counts them.
func (d *dictionary) intern(term string) *Postings {
	s, hash := d.shard(term)
	if l, _ := s.table.Load().find(hash, term); l != nil && !l.empty() {
		return l
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	l, slot := s.table.Load().find(hash, term)
	if l == nil {
		l = newList(hash, term)
		(*s.table.Load())[slot].Store(l)
		if s.used++; s.used > len(*s.table.Load())*3/4 {
			s.rebuild()
		}
	}
	if l.empty() {
		l.pending++
	}
	return l
}

// release undoes an intern whose event was not staged, so that rejected appends leave nothing behind.
func (d *dictionary) release(l *Postings) {
	s := &d.shards[l.hash%shards]
	s.mu.Lock()
	defer s.mu.Unlock()
	if l.pending > 0 {
		l.pending--
	}
	if l.pending > 0 || !l.empty() {
		return
	}
	t := *s.table.Load()
	if found, slot := t.find(l.hash, l.term); found == l {
		t[slot].Store(removed) // the slot stays in use until the table is rebuilt
	}
}

// inlineBytes is the length up to which a term lies in one object with its list: most terms occur once, and every
// object is one more for the garbage collector to look at. (Slabs of many lists would be fewer still, but then
// rejected appends would leave their lists behind until the whole slab is free.)
const inlineBytes = 32

type shortList struct {
	Postings
	bytes [inlineBytes]byte
}

// newList returns the list of a term, which it copies: the caller's may be part of something larger.
func newList(hash uint64, term string) *Postings {
	if n := len(term); n > 0 && n <= inlineBytes {
		l := new(shortList)
		copy(l.bytes[:], term)
		l.hash = hash
		l.term = unsafe.String(&l.bytes[0], n) // the bytes are never written again
		return &l.Postings
	}
	return &Postings{hash: hash, term: strings.Clone(term)}
}

// rebuild replaces the table by one that has room, without the removed lists. REQUIRES: s.mu is held.
func (s *shard) rebuild() {
	old := *s.table.Load()
	live := 0
	for i := range old {
		if l := old[i].Load(); l != nil && l != removed {
			live++
		}
	}
	size := firstSlot
	for size*3/8 < live {
		size *= 2
	}
	next := make(table, size)
	for i := range old {
		if l := old[i].Load(); l != nil && l != removed {
			_, slot := next.find(l.hash, l.term)
			next[slot].Store(l)
		}
	}
	s.table.Store(&next)
	s.used = live
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

// Release gives back what Intern returned, for an event that was not staged. Safe for concurrent use.
func (r *Recent) Release(terms Terms) {
	for i, l := range terms {
		if i == 0 {
			r.types.release(l)
		} else {
			r.tags.release(l)
		}
	}
}

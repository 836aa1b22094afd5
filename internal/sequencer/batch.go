package sequencer

import (
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"

	"opossum/dcb"
	"opossum/internal/codec"
	"opossum/internal/index"
	"opossum/wal"
)

// batch is one append on its way: its events' records, and what must be known to place them. It keeps nothing of the
// caller's but the events slice, which it reads only until Append returns.
type batch struct {
	events []dcb.Event
	cond   *dcb.Condition
	body   []byte // the records; from staging on they belong to the group
	count  int
	recent *index.Recent // the memory part that the terms belong to
	terms  []index.Terms // of each event
	flat   index.Terms   // what terms are cut from
}

// batches recycles buffers. Large ones are left to the garbage collector, so that one huge append does not stay in memory.
var batches = sync.Pool{New: func() any { return new(batch) }}

const recycleBytes = 64 << 10

// newBatch validates and encodes: everything that needs neither the lock nor a position.
func newBatch(events []dcb.Event, cond *dcb.Condition, clock func() time.Time) (*batch, error) {
	if len(events) == 0 {
		return nil, dcb.ErrNoEvents
	}
	if cond != nil {
		if err := cond.Validate(); err != nil {
			return nil, err
		}
	}
	var now time.Time // one time for all events of the append that have none
	size := 0
	for i := range events {
		e := events[i]
		if e.Time.IsZero() {
			if now.IsZero() {
				now = clock()
			}
			e.Time = now
		}
		if err := e.Validate(); err != nil {
			return nil, fmt.Errorf("event %d: %w", i, err)
		}
		size += codec.RecordBytes(e)
	}
	b := batches.Get().(*batch)
	b.events, b.cond, b.count = events, cond, len(events)
	b.body = b.body[:0]
	if cap(b.body) < size && size <= wal.MaxBodyBytes {
		b.body = make([]byte, 0, size)
	}
	for i := range events {
		e := events[i]
		if e.Time.IsZero() {
			e.Time = now
		}
		b.body = codec.AppendRecord(b.body, e)
		if len(b.body) > wal.MaxBodyBytes {
			return nil, fmt.Errorf("event %d: the append is beyond %d bytes: %w", i, wal.MaxBodyBytes, dcb.ErrTooLarge)
		}
	}
	return b, nil
}

// recycle gives the buffers back. REQUIRES: no group will read the body any more.
func (b *batch) recycle() {
	if cap(b.body) > recycleBytes {
		return
	}
	clear(b.flat)
	*b = batch{body: b.body[:0], flat: b.flat[:0], terms: b.terms[:0]}
	batches.Put(b)
}

// check judges the condition over (after, upto]; the clauses' own bounds still apply. The existence clause goes first.
func (b *batch) check(v *index.View, after, upto dcb.Position) (c dcb.ConditionFailedError, failed bool, err error) {
	if b.cond == nil {
		return c, false, nil
	}
	if !b.cond.FailIfExists.IsZero() {
		if p, err := v.FirstMatch(b.cond.FailIfExists, after, upto); p != 0 || err != nil {
			return dcb.ConditionFailedError{Position: p, Exists: true}, err == nil, err
		}
	}
	if !b.cond.FailIfMatch.IsZero() {
		if p, err := v.FirstMatch(b.cond.FailIfMatch, max(after, b.cond.After), upto); p != 0 || err != nil {
			return dcb.ConditionFailedError{Position: p}, err == nil, err
		}
	}
	return c, false, nil
}

// intern finds the posting lists of the events in r, so that staging has only to append to them.
func (b *batch) intern(r *index.Recent) {
	b.recent = r
	b.flat, b.terms = b.flat[:0], b.terms[:0]
	for i := range b.events {
		b.flat = r.Intern(b.flat, &b.events[i])
	}
	rest := b.flat
	for i := range b.events {
		n := 1 + len(b.events[i].Tags)
		b.terms = append(b.terms, rest[:n])
		rest = rest[n:]
	}
}

// release undoes intern for a batch that was not staged.
func (b *batch) release() {
	for i := range b.events {
		b.recent.Release(b.terms[i])
	}
}

// place binds the records to their positions and stages the events.
func (b *batch) place(seed uint64, first dcb.Position) {
	rest := b.body
	for i := range b.events {
		p := first + dcb.Position(i)
		rest = rest[codec.Stamp(rest, seed, p):]
		b.recent.Stage(p, b.terms[i])
	}
}

// repeats reports whether the events around the match m are this append, written before: if m has the ID of the j-th
// event, then those from m-j on must have all the IDs in order. Only visible events are asked for their ID, up to head.
func (b *batch) repeats(m, head dcb.Position, id func(dcb.Position) ([16]byte, error)) (last dcb.Position, ok bool, err error) {
	for i := range b.events {
		if b.events[i].ID == uuid.Nil {
			return 0, false, nil
		}
	}
	at, err := id(m)
	if err != nil {
		return 0, false, err
	}
	for j := range b.events {
		if b.events[j].ID != at || dcb.Position(j) >= m {
			continue
		}
		first := m - dcb.Position(j)
		if first+dcb.Position(b.count)-1 > head {
			continue
		}
		same, err := b.standsAt(first, id)
		if err != nil || same {
			return first + dcb.Position(b.count) - 1, same, err
		}
	}
	return 0, false, nil
}

func (b *batch) standsAt(first dcb.Position, id func(dcb.Position) ([16]byte, error)) (bool, error) {
	for i := range b.events {
		at, err := id(first + dcb.Position(i))
		if err != nil {
			return false, err
		}
		if at != b.events[i].ID {
			return false, nil
		}
	}
	return true, nil
}

// group is what shares one frame and one sync.
type group struct {
	first    dcb.Position
	count    uint32
	bytes    int
	bodies   [][]byte // one an append
	syncOnly bool     // no events: it only asks for a sync
	done     chan struct{}
	err      error // set before done is closed
}

func (g *group) add(b *batch) {
	g.bodies = append(g.bodies, b.body)
	g.bytes += len(b.body)
	g.count += uint32(b.count)
}

// setPlaces notes where the records went, before anyone can ask for them.
func (g *group) setPlaces(pl *index.Places, at wal.Place) {
	p, off := g.first, at.Off
	for _, body := range g.bodies {
		for len(body) > 0 {
			n := codec.RecordLen(body)
			pl.Set(p, index.Place{Gen: uint32(at.Gen), Off: off, Len: uint32(n)})
			p, off, body = p+1, off+uint32(n), body[n:]
		}
	}
}

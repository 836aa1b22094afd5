package peers

import (
	"bytes"
	"encoding/binary"
	"math"

	"opossum"
	"opossum/bench/harness"
)

// The keys of the key-value stores. A term is a tag or a type; its length stands before it, so that no term is the beginning of another. Integers are big
// endian, so that the order of the keys is the order of the positions:
//
//	'e' | position u64                         -> record of the event
//	'g' | bytes of tag u16  | tag  | position u64 -> nothing
//	'y' | bytes of type u16 | type | position u64 -> nothing
const (
	kindEvent = 'e'
	kindTag   = 'g'
	kindType  = 'y'

	termHeader    = 3 // kind and length
	positionBytes = 8
)

var eventPrefix = []byte{kindEvent}

func appendTerm(buf []byte, kind byte, term string) []byte {
	return append(binary.BigEndian.AppendUint16(append(buf, kind), uint16(len(term))), term...)
}

func appendPosition(buf []byte, p opossum.Position) []byte {
	return binary.BigEndian.AppendUint64(buf, uint64(p))
}

func eventKey(p opossum.Position) []byte { return appendPosition([]byte{kindEvent}, p) }

// positionOf reads the position at the end of a key.
func positionOf(key []byte) opossum.Position {
	return opossum.Position(binary.BigEndian.Uint64(key[len(key)-positionBytes:]))
}

// eachKey calls put with the keys of an event's terms, which are put's to keep.
func eachKey(e *opossum.Event, p opossum.Position, put func(key []byte) error) error {
	if err := put(postingKey(kindType, e.Type, p)); err != nil {
		return err
	}
	for _, t := range e.Tags {
		if err := put(postingKey(kindTag, string(t), p)); err != nil {
			return err
		}
	}
	return nil
}

func postingKey(kind byte, term string, p opossum.Position) []byte {
	return appendPosition(appendTerm(make([]byte, 0, termHeader+len(term)+positionBytes), kind, term), p)
}

// view is one moment of a key-value store.
type view interface {
	// list returns the keys that are prefix and a position, in one direction.
	list(prefix []byte, backwards bool) list
	// record returns the record of an event, for the caller to keep.
	record(p opossum.Position) ([]byte, error)
}

// list walks over positions in one direction. An error ends it, and is what close returns.
type list interface {
	seek(p opossum.Position) (opossum.Position, bool) // the first one at p or beyond it
	step() (opossum.Position, bool)                   // the next one. REQUIRES: there was one before
	value() ([]byte, error)                           // of the present one, for the caller to keep
	close() error
}

// cursor is a list that is asked for positions that only advance. It steps before it seeks, because neighbours are common and near.
type cursor struct {
	list
	backwards bool
	at        opossum.Position
	more      bool
	placed    bool
}

// reach returns the first position at p or beyond it.
func (c *cursor) reach(p opossum.Position) (opossum.Position, bool) {
	if !c.placed {
		c.placed = true
		c.at, c.more = c.seek(p)
		return c.at, c.more
	}
	if c.more && before(c.at, p, c.backwards) {
		c.at, c.more = c.step()
		if c.more && before(c.at, p, c.backwards) {
			c.at, c.more = c.seek(p)
		}
	}
	return c.at, c.more
}

func before(a, b opossum.Position, backwards bool) bool {
	if backwards {
		return a > b
	}
	return a < b
}

// search finds the positions that match a query, in one direction: the intersections of the items' tags with the unions of their types, by leaps.
type search struct {
	backwards bool
	all       *cursor // of all events, if they are meant
	items     []item
}

type item struct{ tags, types []*cursor }

func newSearch(v view, q opossum.Query, backwards bool) *search {
	s := &search{backwards: backwards}
	open := func(prefix []byte) *cursor { return &cursor{list: v.list(prefix, backwards), backwards: backwards} }
	if q.IsAll() {
		s.all = open(eventPrefix)
	}
	q.Terms(func(types []string, tags []opossum.Tag) {
		var it item
		for _, t := range tags {
			it.tags = append(it.tags, open(appendTerm(nil, kindTag, string(t))))
		}
		for _, t := range types {
			it.types = append(it.types, open(appendTerm(nil, kindType, t)))
		}
		s.items = append(s.items, it)
	})
	return s
}

// next returns the first match at p or beyond it. It is called with positions that only advance.
func (s *search) next(p opossum.Position) (opossum.Position, bool) {
	if s.all != nil {
		return s.all.reach(p)
	}
	var best opossum.Position
	var found bool
	for _, it := range s.items {
		if at, ok := it.next(p, s.backwards); ok && (!found || before(at, best, s.backwards)) {
			best, found = at, true
		}
	}
	return best, found
}

func (it item) next(p opossum.Position, backwards bool) (opossum.Position, bool) {
	for {
		start := p
		for _, c := range it.tags {
			at, ok := c.reach(p)
			if !ok {
				return 0, false
			}
			p = at
		}
		if len(it.types) > 0 {
			var best opossum.Position
			var found bool
			for _, c := range it.types {
				if at, ok := c.reach(p); ok && (!found || before(at, best, backwards)) {
					best, found = at, true
				}
			}
			if !found {
				return 0, false
			}
			p = best
		}
		if p == start || len(it.tags)+min(len(it.types), 1) == 1 {
			return p, true
		}
	}
}

// close returns the first error of a list.
func (s *search) close() error {
	var first error
	end := func(c *cursor) {
		if err := c.close(); err != nil && first == nil {
			first = err
		}
	}
	if s.all != nil {
		end(s.all)
	}
	for _, it := range s.items {
		for _, c := range it.tags {
			end(c)
		}
		for _, c := range it.types {
			end(c)
		}
	}
	return first
}

// newest returns the position of the newest event, 0 if there is none.
func newest(v view) (opossum.Position, error) {
	l := v.list(eventPrefix, true)
	p, _ := l.seek(math.MaxInt64)
	return p, l.close()
}

// matchesIn reports whether an event after a position matches.
func matchesIn(v view, q opossum.Query, after opossum.Position) (bool, error) {
	s := newSearch(v, q, false)
	_, found := s.next(after + 1)
	return found, s.close()
}

// readKeys is Store.Read for key-value stores. Nothing above head is shown.
func readKeys(v view, head opossum.Position, q opossum.Query, newest int, yield func(opossum.SequencedEvent)) (err error) {
	if head == 0 {
		return nil
	}
	s := newSearch(v, q, newest > 0)
	defer func() {
		if closing := s.close(); err == nil {
			err = closing
		}
	}()
	p := opossum.Position(1)
	if s.backwards {
		p = head
	}
	for n := 0; newest == 0 || n < newest; n++ {
		at, ok := s.next(p)
		if !ok || at > head {
			return nil
		}
		var record []byte
		if s.all != nil {
			record, err = s.all.value()
		} else {
			record, err = v.record(at)
		}
		if err != nil {
			return err
		}
		e, err := harness.DecodeRecord(record)
		if err != nil {
			return err
		}
		yield(opossum.SequencedEvent{Position: at, Event: e})
		if s.backwards && at == 1 {
			return nil
		}
		p = at + 1
		if s.backwards {
			p = at - 1
		}
	}
	return nil
}

// within returns the position of a key, if the key is one of the prefix.
func within(prefix, key []byte) (opossum.Position, bool) {
	if len(key) != len(prefix)+positionBytes || !bytes.HasPrefix(key, prefix) {
		return 0, false
	}
	return positionOf(key), true
}

package segment

import (
	"encoding/binary"
	"sync/atomic"

	"github.com/blevesearch/vellum"
)

// run is about a thousand neighbouring terms: their lists, and behind these an FST from each term to its value.
type run struct {
	fence string // above all terms of the run before, not above those of this one
	start uint64 // of the lists
	fst   uint64 // where the FST starts and the lists end
	size  uint64 // of the FST
	dict  atomic.Pointer[dict]
}

// dict is the opened FST of a run. It reads in the mapping, whose blocks were verified when it was opened.
type dict struct {
	fst   *vellum.FST
	spare atomic.Pointer[vellum.Reader] // with its room for states; whoever takes it has it alone
}

// open returns the FST, verified. REQUIRES: inside guard.
func (r *run) open(m *mapping) (*dict, error) {
	if d := r.dict.Load(); d != nil {
		return d, nil
	}
	b, err := m.view(r.fst, r.size)
	if err != nil {
		return nil, err
	}
	fst, err := vellum.Load(b)
	if err != nil {
		return nil, m.corrupt(r.fst, "malformed terms: "+err.Error())
	}
	d := &dict{fst: fst}
	r.dict.Store(d)
	return d, nil
}

// find returns the list of key. REQUIRES: inside guard.
func (r *run) find(m *mapping, key []byte) (List, error) {
	d, err := r.open(m)
	if err != nil {
		return List{}, err
	}
	reader := d.spare.Swap(nil)
	if reader == nil {
		if reader, err = d.fst.Reader(); err != nil {
			return List{}, m.corrupt(r.fst, "malformed terms: "+err.Error())
		}
	}
	value, ok, err := reader.Get(key)
	d.spare.Store(reader)
	if err != nil {
		return List{}, m.corrupt(r.fst, "malformed terms: "+err.Error())
	}
	if !ok {
		return List{}, nil
	}
	return r.list(m, value)
}

// list decodes the value of a term. REQUIRES: inside guard.
func (r *run) list(m *mapping, value uint64) (List, error) {
	if value&inlined != 0 {
		p := value >> 1
		if p > m.place.r.span() {
			return List{}, m.corrupt(r.fst, errBeyond.Error())
		}
		return List{m: m, count: 1, one: uint32(p)}, nil
	}
	head := r.start + value>>1
	if value>>1 >= r.fst-r.start {
		return List{}, m.corrupt(r.fst, "a list is not in its run")
	}
	return r.head(m, head)
}

// head decodes the head of a list: count, bytes of its blocks, skip table. REQUIRES: inside guard; head < r.fst.
func (r *run) head(m *mapping, head uint64) (List, error) {
	b, err := m.view(head, min(maxHeadBytes, r.fst-head))
	if err != nil {
		return List{}, err
	}
	count, n := binary.Uvarint(b)
	size, k := binary.Uvarint(b[max(n, 0):])
	l := List{m: m, count: count, data: head - size, size: size, skips: head + uint64(n+k)}
	switch {
	case n <= 0 || k <= 0:
		return List{}, m.corrupt(head, errVarint.Error())
	case count < 2 || count-1 > m.place.r.span() || size < count || size > head-r.start:
		return List{}, m.corrupt(head, "the head of a list contradicts its place")
	}
	return l, nil
}

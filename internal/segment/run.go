package segment

import "encoding/binary"

// run is about a thousand neighbouring terms: their lists, behind these an FST from each term to its value, and behind that a filter of the terms.
type run struct {
	fence  string // above all terms of the run before, not above those of this one
	start  uint64 // of the lists
	fst    uint64 // where the FST starts and the lists end
	size   uint64 // of the FST
	filter uint64 // the size of the filter behind it; 0: there is none
}

// open returns the FST, verified. REQUIRES: inside guard, and the FST is used there only.
func (r *run) open(m *mapping) (fst, error) {
	b, err := m.view(r.fst, r.size)
	if err != nil {
		return fst{}, err
	}
	f, err := openFST(b)
	if err != nil {
		return fst{}, r.malformed(m, err)
	}
	return f, nil
}

func (r *run) malformed(m *mapping, err error) error {
	return m.corrupt(r.fst, "malformed terms: "+err.Error())
}

// passes reports whether a key may be in the run; if not, it certainly is not. REQUIRES: inside guard.
func (r *run) passes(m *mapping, key []byte) (bool, error) {
	if r.filter == 0 {
		return true, nil
	}
	hash := filterHash(key)
	block, err := m.view(r.fst+r.size+filterPlace(hash, r.filter), filterBlock)
	return err == nil && mayHave(block, hash), err
}

// find returns the list of key. REQUIRES: inside guard.
func (r *run) find(m *mapping, key []byte) (List, error) {
	if ok, err := r.passes(m, key); !ok || err != nil {
		return List{}, err
	}
	f, err := r.open(m)
	if err != nil {
		return List{}, err
	}
	value, ok, err := f.get(key)
	if err != nil {
		return List{}, r.malformed(m, err)
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

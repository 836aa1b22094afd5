package segment

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
)

// Entry is one term of a segment with its positions.
type Entry struct {
	Kind Kind
	Term string
	List List
}

// All yields all terms, ascending by kind and then by bytes. An error is yielded once, last.
func (s *Segment) All() iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		sc := scanner{m: s.mapping}
		for sc.next() {
			if !yield(Entry{Kind(sc.key[0]), string(sc.key[1:]), sc.list()}, nil) {
				return
			}
		}
		if sc.err != nil {
			yield(Entry{}, sc.err)
		}
	}
}

// scanner walks over all terms. It copies one run at a time out of the mapping, so that its user never runs under the guard.
type scanner struct {
	m     *mapping
	runs  []run
	key   []byte // the current term
	keys  []byte // of the run at hand, one behind the other
	ends  []int  // of each key in keys
	lists []List
	i     int    // the current term in the run
	last  []byte // the last term that was read, of this run or the one before; in keys, where the next run's take its place only after they are checked
	terms uint64
	nextR int // the next run
	begun bool
	err   error
}

func (s *scanner) list() List { return s.lists[s.i] }

// ended reports whether there is no current term any more.
func (s *scanner) ended() bool { return s.key == nil }

// next moves to the next term; false at the end and after an error.
func (s *scanner) next() bool {
	if s.i++; s.i < len(s.ends) {
		s.key = s.keys[s.ends[s.i-1]:s.ends[s.i]]
		return true
	}
	s.ends, s.key = s.ends[:0], nil
	if s.err == nil {
		s.err = s.m.guard(s.advance)
	}
	if s.i = 0; s.err != nil || len(s.ends) == 0 {
		return false
	}
	s.key = s.keys[:s.ends[0]]
	return true
}

// advance reads the directory at first, then run after run, and at the end compares the number of terms. REQUIRES: inside guard.
func (s *scanner) advance() (err error) {
	if !s.begun {
		if s.runs, err = s.m.readRuns(); err != nil {
			return err
		}
		s.begun = true
	}
	if s.nextR == len(s.runs) {
		if s.terms != s.m.foot.terms {
			return s.m.corrupt(uint64(len(s.m.data)-footerBytes), fmt.Sprintf("%d terms, and the footer says %d", s.terms, s.m.foot.terms))
		}
		return nil
	}
	r := &s.runs[s.nextR]
	s.nextR++
	if err := s.read(r); err != nil {
		return err
	}
	if len(s.ends) == 0 {
		return s.m.corrupt(r.fst, "a run without terms")
	}
	s.terms += uint64(len(s.ends))
	return nil
}

// read copies the terms of a run and decodes the heads of their lists.
func (s *scanner) read(r *run) error {
	f, err := r.open(s.m)
	if err != nil {
		return err
	}
	s.keys, s.lists = s.keys[:0], s.lists[:0]
	err = f.walk(maxRunBytes, func(key []byte, value uint64) error {
		if err := s.check(r, key); err != nil {
			return err
		}
		if ok, err := r.passes(s.m, key); err != nil {
			return err
		} else if !ok {
			return s.m.corrupt(r.fst+r.size, "a term is not in the filter of its run")
		}
		l, err := r.list(s.m, value)
		if err != nil {
			return err
		}
		start := len(s.keys)
		s.keys = append(s.keys, key...)
		s.ends = append(s.ends, len(s.keys))
		s.lists = append(s.lists, l)
		s.last = s.keys[start:]
		return nil
	})
	switch {
	case errors.Is(err, errFST) || errors.Is(err, errSteps):
		return r.malformed(s.m, err)
	case err == nil && s.m.foot.version > 1 && r.filter != uint64(filterBytes(len(s.ends))):
		return s.m.corrupt(r.fst+r.size, "a filter is not as long as that of so many terms")
	case err == nil && s.nextR < len(s.runs) && string(s.last) >= s.runs[s.nextR].fence:
		return s.m.corrupt(r.fst, "a term is not in its place")
	}
	return err
}

// check judges the next key: its form, and that it is above the last one and not below the fence of its run.
func (s *scanner) check(r *run, key []byte) error {
	switch {
	case len(key) < 2 || len(key) > maxKeyBytes || Kind(key[0]) != Type && Kind(key[0]) != Tag:
		return s.m.corrupt(r.fst, "a term of no kind or size that there is")
	case bytes.Compare(key, s.last) <= 0 || len(s.ends) == 0 && string(key) < r.fence:
		return s.m.corrupt(r.fst, "a term is not in its place")
	case len(s.ends) == runTerms:
		return s.m.corrupt(r.fst, "more terms than a run holds")
	}
	return nil
}

// Verify reads the whole segment anew, whatever was verified before: both ends, the sum of every block, and that every
// term and list decodes, ascending and within the range, to the counts in the footer. It returns what it finds first.
func (s *Segment) Verify() error {
	m := s.afresh()
	err := m.guard(func() error {
		f, err := m.parse()
		if err == nil && f != m.foot {
			err = m.corrupt(uint64(len(m.data)-footerBytes), "the footer is not what it was")
		}
		for block := uint64(0); err == nil && block < m.foot.blocks(); block++ {
			err = m.verify(block)
		}
		return err
	})
	if err != nil {
		return err
	}
	var postings uint64
	sc := scanner{m: m}
	for sc.next() {
		l := sc.list()
		for _, err := range l.Each() {
			if err != nil {
				return err
			}
		}
		postings += l.Len()
	}
	if sc.err == nil && postings != m.foot.postings {
		return m.corrupt(uint64(len(m.data)-footerBytes), fmt.Sprintf("%d postings, and the footer says %d", postings, m.foot.postings))
	}
	return sc.err
}

// afresh is the same file with nothing verified yet: what is copied or judged as a whole must not rest on a look at it long ago.
func (m *mapping) afresh() *mapping { return newMapping(m.path, m.data, m.place, m.foot) }

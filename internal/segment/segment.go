package segment

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"sync/atomic"

	"opossum/dcb"
)

// Segment is an open segment. All methods but Close are safe for concurrent use.
//
// Errors about the content are [dcb.CorruptError], which Is [dcb.ErrCorrupt] and names file, offset and range.
type Segment struct {
	*mapping
	runs atomic.Pointer[[]run] // nil until the first question
}

// Open opens the segment of a range in dir. It looks only at the two ends of the file, so it costs the same for any
// size, and damage between them is found when it is touched. It returns an error that Is
//
//   - [fs.ErrNotExist] if there is no such file,
//   - [dcb.ErrVersion] if a newer version wrote it,
//   - [dcb.ErrCorrupt] if the ends are not those of a segment of this range and seed.
func Open(dir string, seed uint64, r Range) (*Segment, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, Name(r))
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("segment: open: %w", err)
	}
	data, err := mapWhole(f)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("segment: open %s: %w", path, err)
	}
	m, err := judge(path, data, place{seed, r})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("segment: open: %w", err), unmap(data))
	}
	return &Segment{mapping: m}, nil
}

// judge looks at the ends of a file.
func judge(path string, data []byte, p place) (*mapping, error) {
	m := newMapping(path, data, p, footer{})
	err := m.guard(func() (err error) {
		m.foot, err = m.parse()
		return err
	})
	return newMapping(path, data, p, m.foot), err
}

// mapWhole maps f, whatever its size; an empty file needs no mapping.
func mapWhole(f *os.File) ([]byte, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	if info.Size() == 0 {
		return nil, nil
	}
	if info.Size() > math.MaxInt {
		return nil, errors.New("larger than this machine can map")
	}
	return mapFile(f, int(info.Size()))
}

// parse judges header and footer. REQUIRES: inside guard.
func (m *mapping) parse() (footer, error) {
	size := len(m.data)
	f, err := parseEnds(m.place, int64(size), m.data[:min(size, headerBytes)], m.data[max(0, size-footerBytes):])
	switch {
	case err == nil:
		return f, nil
	case errors.Is(err, dcb.ErrVersion):
		return f, fmt.Errorf("%s: %w", m.path, err)
	case errors.Is(err, errHeader):
		return f, m.corrupt(0, err.Error())
	}
	return f, m.corrupt(uint64(max(0, size-footerBytes)), err.Error())
}

// Range is the range of positions that the segment covers.
func (s *Segment) Range() Range { return s.place.r }

// Path is the path of the file.
func (s *Segment) Path() string { return s.path }

// Size is the length of the file in bytes.
func (s *Segment) Size() int64 { return int64(len(s.data)) }

// Terms is how many terms occur in the range.
func (s *Segment) Terms() uint64 { return s.foot.terms }

// Postings is how many positions the lists of all terms have together.
func (s *Segment) Postings() uint64 { return s.foot.postings }

// Close unmaps the file; a second Close does nothing.
// REQUIRES: nobody uses the segment, or a list, cursor or iterator that came from it, any more.
func (s *Segment) Close() error {
	data := s.data
	s.data = nil
	s.runs.Store(nil)
	if err := unmap(data); err != nil {
		return fmt.Errorf("segment: close %s: %w", s.path, err)
	}
	return nil
}

// Find returns the positions of a term; an absent term has none. For a term of up to 127 bytes it allocates nothing, once
// the run of terms that it needs has been opened and while no other goroutine asks the same run.
func (s *Segment) Find(kind Kind, term string) (List, error) {
	var room [128]byte
	key := append(append(room[:0], byte(kind)), term...)
	var l List
	err := s.guard(func() error {
		r, err := s.runFor(key)
		if r == nil || err != nil {
			return err
		}
		l, err = r.find(s.mapping, key)
		return err
	})
	if err != nil {
		return List{}, err
	}
	return l, nil
}

// runFor returns the run that holds key if any does: the last one whose fence is not above it.
func (s *Segment) runFor(key []byte) (*run, error) {
	runs, err := s.loaded()
	if err != nil {
		return nil, err
	}
	lo, hi := 0, len(runs)
	for lo < hi {
		if mid := (lo + hi) / 2; runs[mid].fence <= string(key) {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo == 0 {
		return nil, nil
	}
	return &runs[lo-1], nil
}

// loaded returns the directory, and reads it at first: 28 bytes and a fence for each thousand terms. Two goroutines may both read it.
func (s *Segment) loaded() ([]run, error) {
	if runs := s.runs.Load(); runs != nil {
		return *runs, nil
	}
	runs, err := s.mapping.readRuns()
	if err != nil {
		return nil, err
	}
	s.runs.CompareAndSwap(nil, &runs)
	return *s.runs.Load(), nil
}

// readRuns decodes and checks the directory. Lists, FSTs and filters stand one behind the other, from the header to the fences.
func (m *mapping) readRuns() ([]run, error) {
	le, foot := binary.LittleEndian, m.foot
	fences, err := m.view(foot.fences, foot.directory()-foot.fences)
	if err != nil {
		return nil, err
	}
	text := string(fences)
	entry := entryBytes(foot.version)
	b, err := m.view(foot.directory(), foot.runs*entry)
	if err != nil {
		return nil, err
	}
	runs := make([]run, foot.runs)
	start, fenced := uint64(headerBytes), uint64(0)
	for i := range runs {
		e := b[uint64(i)*entry:]
		fence, fenceLen, size, fst, filter := le.Uint64(e), uint64(le.Uint32(e[8:])), uint64(le.Uint32(e[12:])), le.Uint64(e[16:]), uint64(0)
		if foot.version > 1 {
			filter = uint64(le.Uint32(e[24:]))
		}
		if fence != fenced || fenceLen > uint64(len(text))-fenced || fst < start || fst > foot.fences || size+filter > foot.fences-fst || filter%filterBlock != 0 {
			return nil, m.corrupt(foot.directory()+uint64(i)*entry, "an entry of the directory is malformed")
		}
		r := &runs[i]
		r.start, r.fst, r.size, r.filter, r.fence = start, fst, size, filter, text[fence:fence+fenceLen]
		start, fenced = fst+size+filter, fenced+fenceLen
	}
	if start != foot.fences || fenced != uint64(len(text)) {
		return nil, m.corrupt(foot.directory(), "the directory does not cover the file")
	}
	return runs, nil
}

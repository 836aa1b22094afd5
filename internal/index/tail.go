package index

import (
	"fmt"
	"slices"

	"opossum/dcb"
	"opossum/internal/codec"
	"opossum/internal/segment"
)

// Tail takes the end of the log, frame by frame: it indexes in memory what no segment has, and notes the places of what is not filed.
// It is for the one goroutine that stages.
type Tail struct {
	ix     *Index
	places *Places
	seed   uint64
	staged dcb.Position // indexed up to here
	noted  dcb.Position // filed, or its place is noted, up to here
	bytes  uint64       // of the records whose places were noted
	terms  Terms
}

// NewTail goes on above what ix covers. Every event up to filed has its file, and places holds none yet.
func NewTail(ix *Index, places *Places, seed uint64, filed dcb.Position) *Tail {
	return &Tail{ix: ix, places: places, seed: seed, staged: ix.Base(), noted: filed}
}

// Bytes returns the size of all records whose places were noted.
func (t *Tail) Bytes() uint64 { return t.bytes }

// Adopt publishes segments that another process has written, in the place of those adopted before; they are adjacent and begin at position 1.
// What memory holds of their range is let go, and what Take is given of it is passed over. Nothing happens if they reach less
// far than the present ones, nor after an error, which is as that of Open. REQUIRES: the index has no Seal, Merge or Rebuild.
func (t *Tail) Adopt(ranges []segment.Range) error { return t.ix.adopt(ranges, t.staged) }

// InDoubt reports whether Adopt must be tried again though the ranges are the same, because a segment was found damaged.
func (t *Tail) InDoubt() bool {
	return slices.ContainsFunc(t.ix.view.Load().files.all, (*held).inDoubt)
}

// Take takes the records of the positions first to last: body, which stands at offset off of log generation gen. It passes over those
// that it took before. Each record that it indexes is verified; after an error at is the offset of what is damaged.
func (t *Tail) Take(gen uint64, off int64, body []byte, first, last dcb.Position) (at int64, err error) {
	for p := first; p <= last; p++ {
		rec, rest, ok := codec.NextRecord(body)
		if !ok {
			return off, fmt.Errorf("position %d: the frame holds no whole record", p)
		}
		if p > max(t.staged, t.ix.Base()) {
			e, err := codec.DecodeRecord(rec, t.seed, p)
			if err != nil {
				return off, fmt.Errorf("position %d: %w", p, err)
			}
			t.terms = t.ix.Active().Intern(t.terms[:0], &e)
			t.ix.Active().Stage(p, t.terms)
			t.staged = p
		}
		if p > t.noted {
			t.places.Set(p, Place{Gen: uint32(gen), Off: uint32(off), Len: uint32(len(rec))})
			t.bytes += uint64(len(rec))
			t.noted = p
		}
		off += int64(len(rec))
		body = rest
	}
	if len(body) > 0 {
		return off, fmt.Errorf("%d bytes behind the record of position %d", len(body), last)
	}
	return off, nil
}

// Skip says that the log has lost everything up to p, which is filed: its index is taken from segments, and, what they lack,
// from the events themselves. Its errors are those of fetch; after one it can be called again.
func (t *Tail) Skip(p dcb.Position, fetch Fetch) (err error) {
	if from := max(t.staged, t.ix.Base()); from < p {
		if t.staged, err = t.ix.stageAll(from, p, fetch); err != nil {
			return err
		}
	}
	if t.noted < p {
		t.places.Reset(p)
		t.noted = p
	}
	return nil
}

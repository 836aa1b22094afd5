package recovery

import (
	"errors"
	"fmt"
	"iter"
	"os"

	"opossum/dcb"
	"opossum/internal/codec"
	"opossum/internal/eventfile"
	"opossum/internal/pack"
)

// place is where an intact copy of an event is.
type place struct {
	kind  placeKind
	path  string
	off   int64  // of a record
	bytes uint32 // of a record
}

type placeKind uint8

const (
	inFile     placeKind = iota // the text of a whole file
	inLog                       // a record
	inPack                      // the pack of the position's shard
	inSalvaged                  // a pack that is damaged or out of place
)

// salvaged is a file in which records of packs were found, and of which positions.
type salvaged struct {
	path  string
	holds spans
}

// source returns the best intact copy of an event. A file or a pack is good only if it says what intact frames of the log say. Both count for
// more than what is left of damaged frames: that may be of an append that was never acknowledged. So does what is left of a pack, which only ever had durable events.
func (s *survey) source(p dcb.Position) (place, bool) {
	if s.files.good.has(p) {
		return place{path: s.files.path(p)}, true
	}
	if s.packs.good.has(p) {
		return place{kind: inPack, path: s.home(p)}, true
	}
	r, logged := s.log.records[p]
	if !logged || !r.live {
		for _, x := range s.salvaged {
			if x.holds.has(p) {
				return place{kind: inSalvaged, path: x.path}, true
			}
		}
	}
	if logged {
		return place{inLog, r.path, r.off, r.bytes}, true
	}
	path, ok := s.copies[p]
	return place{path: path}, ok
}

// bodies reads the events that a survey found. What it finds now must be what was found then.
type bodies struct {
	s     *survey
	moved map[string]string // where files are now, if they are not where they were

	path string // of file: neighbours are mostly in one
	file *os.File

	pack  *pack.Pack // likewise
	block int        // of pack, the one that was read last; -1: none
	raw   []byte     // its records

	heap heap
}

func (b *bodies) close() {
	if b.file != nil {
		_ = b.file.Close() // nothing was written
		b.file = nil
	}
	if b.pack != nil {
		_ = b.pack.Close()
		b.pack = nil
	}
	b.heap.close()
}

// event reads the best intact copy of the event at p.
func (b *bodies) event(p dcb.Position) (dcb.Event, error) {
	at, ok := b.s.source(p)
	if !ok {
		return dcb.Event{}, fmt.Errorf("position %d has no intact copy", p)
	}
	if now, ok := b.moved[at.path]; ok {
		at.path = now
	}
	var rec []byte
	var err error
	seed := b.s.packs.seed
	switch at.kind {
	case inFile:
		ev, err := eventfile.ReadFile(at.path)
		if err == nil && ev.Position != p {
			err = &dcb.CorruptError{File: at.path, Reason: fmt.Sprintf("two reads differ: it held event %d, and now holds event %d", p, ev.Position)}
		}
		return ev.Event, err
	case inLog:
		seed = b.s.log.id.Seed()
		rec, err = b.read(at)
	case inPack:
		rec, err = b.packed(p)
	case inSalvaged:
		rec, err = b.heap.record(at.path, seed, p)
	}
	if err != nil {
		return dcb.Event{}, err
	}
	e, err := codec.DecodeRecord(rec, seed, p)
	if err != nil {
		return dcb.Event{}, &dcb.CorruptError{File: at.path, Offset: at.off, Reason: fmt.Sprintf("two reads differ: position %d: %v", p, err)}
	}
	return e, nil
}

func (b *bodies) read(at place) ([]byte, error) {
	if b.file == nil || b.path != at.path {
		if b.file != nil {
			_ = b.file.Close()
		}
		f, err := os.Open(at.path)
		if err != nil {
			b.file = nil
			return nil, err
		}
		b.path, b.file = at.path, f
	}
	rec := make([]byte, at.bytes)
	if _, err := b.file.ReadAt(rec, at.off); err != nil {
		return nil, errors.Join(fmt.Errorf("two reads differ: %s at offset %d", at.path, at.off), err)
	}
	return rec, nil
}

// packed returns the record of p in the pack of its shard. It is valid until the next call. REQUIRES: there is a pack.
func (b *bodies) packed(p dcb.Position) ([]byte, error) {
	r, _ := b.s.packs.of(p)
	if b.pack == nil || b.pack.Range() != r {
		if b.pack != nil {
			_ = b.pack.Close()
		}
		opened, err := pack.Open(b.s.packs.dir, b.s.packs.seed, r)
		if err != nil {
			b.pack = nil
			return nil, err
		}
		b.pack, b.block = opened, -1
	}
	if i := b.pack.BlockOf(p); i != b.block {
		raw, err := b.pack.Block(i)
		if err != nil {
			return nil, err
		}
		b.block, b.raw = i, raw
	}
	return b.pack.Record(b.block, b.raw, p)
}

// heap reads records out of a file in which packs were salvaged. Who asks for neighbours, ascending, has each block decompressed once.
type heap struct {
	path string
	b    []byte
	next func() ([]byte, bool) // the next block
	stop func()
	raw  []byte
	at   map[dcb.Position]codec.Found // in raw
}

func (h *heap) close() {
	if h.stop != nil {
		h.stop()
	}
	*h = heap{}
}

// record returns the record of a position.
func (h *heap) record(path string, seed uint64, p dcb.Position) ([]byte, error) {
	if h.path != path {
		h.close()
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		h.path, h.b = path, b
	}
	for range 2 { // from where it is, and from the beginning
		for {
			if f, ok := h.at[p]; ok {
				return h.raw[f.Offset : f.Offset+f.Bytes], nil
			}
			if !h.advance(seed) {
				break
			}
		}
	}
	return nil, &dcb.CorruptError{File: path, Reason: fmt.Sprintf("two reads differ: the record of position %d is gone", p)}
}

// advance goes on to the next block. At the end it returns false, and begins anew.
func (h *heap) advance(seed uint64) (ok bool) {
	if h.next == nil {
		h.next, h.stop = iter.Pull(pack.Salvage(h.b))
	}
	if h.raw, ok = h.next(); !ok {
		h.stop()
		h.next, h.stop, h.at = nil, nil, nil
		return false
	}
	h.at = make(map[dcb.Position]codec.Found)
	for f := range codec.Salvage(h.raw, seed, 1, anyPosition) {
		h.at[f.Position] = f
	}
	return true
}

package recovery

import (
	"errors"
	"fmt"
	"os"

	"opossum/dcb"
	"opossum/internal/codec"
	"opossum/internal/eventfile"
)

// place is where an intact copy of an event is: a record of so many bytes, or the text of a whole file.
type place struct {
	path  string
	off   int64
	bytes uint32 // 0: an event file
}

// source returns the best intact copy of an event. A file is good only if it says what intact frames of the log say. It counts for
// more than what is left of damaged frames: that may be of an append that was never acknowledged.
func (s *survey) source(p dcb.Position) (place, bool) {
	if s.files.good.has(p) {
		return place{path: s.files.path(p)}, true
	}
	if r, ok := s.log.records[p]; ok {
		return place{r.path, r.off, r.bytes}, true
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
}

func (b *bodies) close() {
	if b.file != nil {
		_ = b.file.Close() // nothing was written
		b.file = nil
	}
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
	if at.bytes == 0 {
		ev, err := eventfile.ReadFile(at.path)
		if err == nil && ev.Position != p {
			err = &dcb.CorruptError{File: at.path, Reason: fmt.Sprintf("two reads differ: it held event %d, and now holds event %d", p, ev.Position)}
		}
		return ev.Event, err
	}
	rec, err := b.read(at)
	if err != nil {
		return dcb.Event{}, err
	}
	e, err := codec.DecodeRecord(rec, b.s.log.id.Seed(), p)
	if err != nil {
		return dcb.Event{}, &dcb.CorruptError{File: at.path, Offset: at.off, Reason: fmt.Sprintf("two reads differ: position %d: %v", p, err)}
	}
	return e, nil
}

func (b *bodies) read(at place) ([]byte, error) {
	if b.file == nil || b.path != at.path {
		b.close()
		f, err := os.Open(at.path)
		if err != nil {
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

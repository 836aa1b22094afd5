package eventfile

import (
	"errors"
	"fmt"
	"sync"

	"opossum/dcb"
	"opossum/internal/codec"
)

// Read returns the event of p. The error Is [fs.ErrNotExist] if there is no file, [fs.ErrInvalid] if p is 0, and is a [*dcb.CorruptError] if there is
// something that is not the file that Write wrote for p: damaged, for another position, or not a regular file.
func (s *Store) Read(p dcb.Position) (dcb.SequencedEvent, error) {
	if err := s.check("read", p); err != nil {
		return dcb.SequencedEvent{}, err
	}
	buf := buffers.Get().(*[]byte)
	defer recycle(buf)
	text, err := s.readRegular(p, *buf)
	if bad := unreadable(""); errors.As(err, &bad) {
		return dcb.SequencedEvent{}, s.corrupt(p, 0, string(bad))
	}
	if err != nil {
		return dcb.SequencedEvent{}, err
	}
	*buf = text
	return s.parse(p, text)
}

func (s *Store) parse(p dcb.Position, text []byte) (dcb.SequencedEvent, error) {
	ev, err := codec.ParseText(text)
	if te := (*codec.TextError)(nil); errors.As(err, &te) {
		return dcb.SequencedEvent{}, s.corrupt(p, te.Offset, te.Reason)
	}
	if ev.Position != p {
		return dcb.SequencedEvent{}, s.corrupt(p, 0, fmt.Sprintf("the file holds event %d", ev.Position))
	}
	return ev, nil
}

func (s *Store) corrupt(p dcb.Position, offset int64, reason string) error {
	return &dcb.CorruptError{File: s.Path(p), Offset: offset, Reason: fmt.Sprintf("event %d: %s", p, reason)}
}

// unreadable is an error of readRegular: what has the name is no file that could hold an event.
type unreadable string

func (u unreadable) Error() string { return string(u) }

const (
	errNotRegular = unreadable("not a regular file")
	errTooLong    = unreadable("longer than any event")
)

// buffers hold texts while they are parsed; the event that comes out shares no memory with them.
var buffers = sync.Pool{New: func() any { return new(make([]byte, 0, 4096)) }}

// recycle keeps buffers of the usual size only, so that one large event does not stay in memory for ever.
func recycle(buf *[]byte) {
	if cap(*buf) <= 64<<10 {
		buffers.Put(buf)
	}
}

// room returns buf, or a larger one, with a length of one byte more than a file of size bytes: a read that leaves it over
// has seen the end.
func room(buf []byte, size int64) ([]byte, error) {
	if size > codec.MaxTextBytes {
		return nil, errTooLong
	}
	if int64(cap(buf)) <= size {
		return make([]byte, size+1), nil
	}
	return buf[:size+1], nil
}

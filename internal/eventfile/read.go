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
	ev, err := readEvent(s.Path(p), func(buf []byte) ([]byte, error) { return s.readPosition(p, buf) })
	if err == nil && ev.Position != p {
		err = &dcb.CorruptError{File: s.Path(p), Reason: fmt.Sprintf("the file holds event %d", ev.Position)}
	}
	if ce := (*dcb.CorruptError)(nil); errors.As(err, &ce) {
		ce.Reason = fmt.Sprintf("event %d: %s", p, ce.Reason)
	}
	if err != nil {
		return dcb.SequencedEvent{}, err
	}
	return ev, nil
}

// ReadFile returns the event whose text the file at path holds, whatever its name says. The error Is [fs.ErrNotExist] if there
// is no file, and is a [*dcb.CorruptError] if it is none that Write wrote: damaged, or not a regular file.
func ReadFile(path string) (dcb.SequencedEvent, error) {
	return readEvent(path, func(buf []byte) ([]byte, error) { return readRegular(path, buf) })
}

// readEvent parses what read returns, which has the text in the buffer that it is given or in a larger one.
func readEvent(path string, read func(buf []byte) ([]byte, error)) (dcb.SequencedEvent, error) {
	buf := buffers.Get().(*[]byte)
	defer recycle(buf)
	text, err := read(*buf)
	if bad := unreadable(""); errors.As(err, &bad) {
		return dcb.SequencedEvent{}, &dcb.CorruptError{File: path, Reason: string(bad)}
	}
	if err != nil {
		return dcb.SequencedEvent{}, err
	}
	*buf = text
	ev, err := codec.ParseText(text)
	if te := (*codec.TextError)(nil); errors.As(err, &te) {
		return dcb.SequencedEvent{}, &dcb.CorruptError{File: path, Offset: te.Offset, Reason: te.Reason}
	}
	return ev, err
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

package eventfile

import (
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"opossum/dcb"
	"opossum/internal/codec"
)

// Read returns the event of p: from the pack of its shard, or its own file. The error Is [fs.ErrNotExist] if there is neither, [fs.ErrInvalid] if p is 0, and is a
// [*dcb.CorruptError] if there is something that is not what was written for p: damaged, for another position, or not a regular file.
func (s *Store) Read(p dcb.Position) (dcb.SequencedEvent, error) {
	if err := s.check("read", p); err != nil {
		return dcb.SequencedEvent{}, err
	}
	ev, packErr := s.packs.read(p)
	if packErr == nil {
		return ev, nil
	}
	ev, err := s.readLoose(p)
	if err == nil {
		return ev, nil
	}
	if errors.Is(err, fs.ErrNotExist) && (errors.Is(packErr, fs.ErrNotExist) || errors.Is(packErr, dcb.ErrCorrupt)) {
		return s.readMoved(p)
	}
	if !errors.Is(packErr, fs.ErrNotExist) {
		err = packErr
	}
	return dcb.SequencedEvent{}, err
}

// readMoved reads an event that was in none of the places where it was looked for: somebody packs or unpacks its shard, in this process or another.
// Both write first and delete then, so a second look finds it, at the latest in the file: the error is that of its file. A damaged pack
// may have been written again since it was opened, so it is opened anew.
func (s *Store) readMoved(p dcb.Position) (dcb.SequencedEvent, error) {
	s.packs.reopen(ShardOf(p))
	if err := s.packs.list(); err != nil {
		return dcb.SequencedEvent{}, err
	}
	ev, err := s.packs.read(p)
	if errors.Is(err, fs.ErrNotExist) {
		return s.readLoose(p)
	}
	return ev, err
}

// readLoose reads the loose file of p.
func (s *Store) readLoose(p dcb.Position) (dcb.SequencedEvent, error) {
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

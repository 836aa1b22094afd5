package query

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"sync/atomic"

	"opossum/dcb"
	"opossum/internal/codec"
	"opossum/internal/index"
	"opossum/wal"
)

const (
	// runBytes is how much of the log is read at once for several events: a batch of usual ones. One that is larger is read alone.
	runBytes = 128 << 10

	// gapBytes is how much is read over between two of them: to copy a page takes less than another call of the system.
	gapBytes = 4 << 10
)

// batch is a number of events that are read together.
type batch struct {
	positions []dcb.Position       // in the order in which they are yielded
	events    []dcb.SequencedEvent // as many: the first n have been read
	n         int
	err       error // why there are no more
	bytes     int   // about how much memory they take

	places []index.Place // scratch: of a run
}

// drop forgets the events that were read.
func (b *batch) drop() {
	clear(b.events[:b.n])
	b.positions, b.events, b.n, b.bytes = b.positions[b.n:], b.events[b.n:], 0, 0
}

// fill reads the events of b, which all must match q, until all are there, or one cannot be read, or they take batchBytes, or
// ctx or stop tell it to end.
func (x *Executor) fill(ctx context.Context, b *batch, q dcb.Query, stop *atomic.Bool) {
	buf := buffers.Get().(*[]byte)
	defer recycle(buf)
	for b.err == nil && b.n < len(b.positions) && b.bytes < batchBytes && !stop.Load() {
		if b.err = ctx.Err(); b.err != nil {
			return
		}
		from := b.n
		b.err = x.readSome(b, buf)
		for i, e := range b.events[from:b.n] {
			if !q.Matches(e.Event) {
				b.n, b.err = from+i, x.mismatch(e.Position)
				return
			}
			b.bytes += codec.RecordBytes(e.Event)
		}
	}
}

// readSome reads the next events of b that are together somewhere: at least one, or it returns an error.
func (x *Executor) readSome(b *batch, buf *[]byte) error {
	x.open.RLock()
	defer x.open.RUnlock()
	if x.open.closed.Load() {
		return dcb.ErrClosed
	}
	rest, out := b.positions[b.n:], b.events[b.n:]
	b.places = x.run(rest, b.places[:0])
	filed := len(b.places)
	if filed > 0 {
		n, err := x.fromLog(rest, b.places, out, buf)
		b.n += n
		if !errors.Is(err, wal.ErrTrimmed) {
			return err
		}
	} else {
		filed = x.withoutPlace(rest)
	}
	n, err := x.fromFiles(rest[:filed], out[:filed])
	b.n += n
	return err
}

// run appends to places those of the leading positions that can be read at once, in either direction; none if the first has none.
func (x *Executor) run(positions []dcb.Position, places []index.Place) []index.Place {
	var span stretch
	for _, p := range positions {
		at, ok := x.cfg.Places.Get(p)
		if !ok || len(places) > 0 && !span.takes(at) {
			break
		}
		span = span.with(at)
		places = append(places, at)
	}
	return places
}

// stretch is a part of a log generation: [from, to). The zero stretch is empty.
type stretch struct {
	gen      uint32
	from, to int64
}

// with returns the least stretch that holds s and a record of the same generation.
func (s stretch) with(at index.Place) stretch {
	from, to := int64(at.Off), int64(at.Off)+int64(at.Len)
	if s.to == 0 {
		return stretch{at.Gen, from, to}
	}
	return stretch{at.Gen, min(s.from, from), max(s.to, to)}
}

// takes reports whether the record there is near enough to be read with s.
func (s stretch) takes(at index.Place) bool {
	with := s.with(at)
	return at.Gen == s.gen && with.to-with.from <= runBytes && with.to-with.from <= s.to-s.from+int64(at.Len)+gapBytes
}

// fromLog reads the records at places, with one read if that succeeds. The log goes first even for filed events: that is cheaper than files.
// The error Is wal.ErrTrimmed if the log no longer has them; then they are filed.
func (x *Executor) fromLog(positions []dcb.Position, places []index.Place, out []dcb.SequencedEvent, buf *[]byte) (n int, err error) {
	var span stretch
	for _, at := range places {
		span = span.with(at)
	}
	b, err := x.readLog(span, buf)
	if err != nil && len(places) > 1 && !errors.Is(err, wal.ErrTrimmed) {
		return x.fromLog(positions, places[:1], out, buf) // what is wrong with a later one is not the first one's fault
	}
	if err != nil {
		return 0, err
	}
	for i, at := range places {
		if out[i], err = x.decode(b[int64(at.Off)-span.from:][:at.Len], positions[i], at); err != nil {
			return i, err
		}
	}
	return len(places), nil
}

// readLog returns what the log has there, in buf.
func (x *Executor) readLog(span stretch, buf *[]byte) ([]byte, error) {
	*buf = slices.Grow((*buf)[:0], int(span.to-span.from))
	b := (*buf)[:span.to-span.from]
	return b, x.cfg.Log.ReadAt(wal.Place{Gen: uint64(span.gen), Off: uint32(span.from)}, b)
}

func (x *Executor) decode(rec []byte, p dcb.Position, at index.Place) (dcb.SequencedEvent, error) {
	e, err := codec.DecodeRecord(rec, x.cfg.Seed, p)
	if err != nil {
		return dcb.SequencedEvent{}, &dcb.CorruptError{
			File: x.cfg.Log.Path(wal.Place{Gen: uint64(at.Gen), Off: at.Off}), Offset: int64(at.Off), Reason: fmt.Sprintf("position %d: %v", p, err),
		}
	}
	x.stats.fromLog.Add(1)
	return dcb.SequencedEvent{Position: p, Event: e}, nil
}

// fromLogAlone is fromLog for one event, which most reads are about.
func (x *Executor) fromLogAlone(p dcb.Position, at index.Place) (dcb.SequencedEvent, error) {
	buf := buffers.Get().(*[]byte)
	defer recycle(buf)
	b, err := x.readLog(stretch{}.with(at), buf)
	if err != nil {
		return dcb.SequencedEvent{}, err
	}
	return x.decode(b, p, at)
}

// withoutPlace returns how many of the leading positions are known to be filed. REQUIRES: the first is.
func (x *Executor) withoutPlace(positions []dcb.Position) int {
	n := slices.IndexFunc(positions[1:], func(p dcb.Position) bool { _, ok := x.cfg.Places.Get(p); return ok })
	if n < 0 {
		return len(positions)
	}
	return 1 + n
}

// fromFiles reads filed events: at least one, or it returns an error.
func (x *Executor) fromFiles(positions []dcb.Position, out []dcb.SequencedEvent) (n int, err error) {
	n, err = x.cfg.Files.ReadBatch(positions, out)
	x.stats.fromFiles.Add(uint64(n))
	if errors.Is(err, fs.ErrNotExist) {
		return n, &dcb.CorruptError{File: x.cfg.Files.Path(positions[n]), Reason: fmt.Sprintf("position %d: its file is missing, and no pack has it", positions[n])}
	}
	return n, err
}

// fetch reads the event at a visible position from where its body lives.
func (x *Executor) fetch(p dcb.Position) (dcb.SequencedEvent, error) {
	x.open.RLock()
	defer x.open.RUnlock()
	if x.open.closed.Load() {
		return dcb.SequencedEvent{}, dcb.ErrClosed
	}
	if at, ok := x.cfg.Places.Get(p); ok {
		e, err := x.fromLogAlone(p, at)
		if !errors.Is(err, wal.ErrTrimmed) {
			return e, err
		}
	}
	var e [1]dcb.SequencedEvent
	_, err := x.fromFiles([]dcb.Position{p}, e[:])
	return e[0], err
}

// matching fetches the event at p, of which the index says that it matches q. The event itself has the last word: if it does not,
// one of them is damaged, and neither may be believed.
func (x *Executor) matching(p dcb.Position, q dcb.Query) (dcb.SequencedEvent, error) {
	e, err := x.fetch(p)
	if err == nil && !q.Matches(e.Event) {
		err = x.mismatch(p)
	}
	return e, err
}

func (x *Executor) mismatch(p dcb.Position) error {
	return &dcb.CorruptError{File: x.cfg.Files.Home(p), Reason: fmt.Sprintf("position %d: the event is not what was indexed", p)}
}

// buffers hold records while they are decoded; the events that come out share no memory with them.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// recycle keeps buffers of the usual size only, so that one large event does not stay in memory for ever.
func recycle(buf *[]byte) {
	if cap(*buf) <= runBytes {
		buffers.Put(buf)
	}
}

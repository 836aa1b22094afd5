package harness

import (
	"context"
	"sync"

	"opossum"
)

// eventLog is a log without an index: records, made on the callers' goroutines, in frames, on some medium. Which medium,
// and whether concurrent appends share a frame and a sync, makes the difference between three ways.
type eventLog struct {
	medium medium
	joint  joint
	flush  bool
	memory sync.Pool // of *[]byte, for records

	// Owned by the one who commits.
	position uint64 // of the last event; it is durable if there are syncs
	sum      uint64 // of the last frame
}

// medium takes frames one after the other. It is used by one goroutine at a time.
type medium interface {
	// reserve makes room for a frame of n bytes. moved says that it begins a new generation, to be opened by a link frame.
	reserve(n int) (moved bool, err error)
	// next returns the place of the frame that write is given next.
	next() place
	write(frame []byte) error
	// sync makes durable what was written.
	sync() error
	close() error
}

// place says where a frame lies.
type place struct {
	generation uint64
	no         uint64 // of the frame in its generation, from 1
	offset     uint64 // in bytes from the start of the generation
}

// joint is where the appends of concurrent writers meet: committer or soloist.
type joint interface {
	append(records []byte, events int) error
	close()
}

func newEventLog(m medium, o OpenOptions, join func(commit func(*group) error) joint) *eventLog {
	l := &eventLog{medium: m, flush: o.Flush}
	l.memory.New = func() any { return new([]byte) }
	l.joint = join(l.commit)
	return l
}

// Append encodes and checksums on the caller's goroutine; the rest is the joint's.
func (l *eventLog) Append(_ context.Context, events []opossum.Event, cond *opossum.Condition) error {
	if err := unconditional(cond); err != nil {
		return err
	}
	records := l.memory.Get().(*[]byte)
	defer l.memory.Put(records)
	*records = (*records)[:0]
	for i := range events {
		*records = AppendRecord(*records, &events[i])
	}
	return l.joint.append(*records, len(events))
}

// commit makes g durable: one frame, one write, one sync if there is to be any.
func (l *eventLog) commit(g *group) error {
	moved, err := l.medium.reserve(len(g.buf) + 2*frameHeader)
	if err != nil {
		return err
	}
	if moved {
		if err := l.write(kindLink, 0, make([]byte, frameHeader)); err != nil {
			return err
		}
	}
	if err := l.write(kindGroup, g.events, g.buf); err != nil {
		return err
	}
	if l.flush {
		if err := l.medium.sync(); err != nil {
			return err
		}
	}
	l.position += uint64(g.events)
	return nil
}

// write fills in the header of the frame in buf and hands it to the medium.
func (l *eventLog) write(kind uint32, events int, buf []byte) error {
	f := frame{kind: kind, place: l.medium.next(), first: l.position + 1, events: uint32(events), durable: l.position, before: l.sum}
	l.sum = f.seal(buf)
	return l.medium.write(buf)
}

func (l *eventLog) Close() error {
	l.joint.close()
	return l.medium.close()
}

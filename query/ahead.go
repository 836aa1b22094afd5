package query

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"

	"opossum/dcb"
	"opossum/internal/index"
)

// Events are read ahead of whoever takes them, in batches that double: whoever takes few has little read in vain. All that one read, or one subscription,
// has in memory is maxAhead+1 batches, each of batchBytes and what was read in one piece with the last of them, at most an event or BatchBytes of package
// eventfile; and the buffers of runBytes that they are read with. Most have a small part of that: 256 events of 256 bytes are a tenth of a batch.
const (
	// batchEvents is how many events a batch has at most.
	batchEvents = 256

	// batchBytes is how much memory the events of a batch take, roughly, when reading stops. The rest is read when they have been taken.
	batchBytes = 1 << 20

	// aheadFrom is how many events a batch has that is worth a goroutine. Smaller ones come first, and are read by whoever waits for them.
	aheadFrom = 32

	// maxAhead is how many batches are read at a time, on as many processors.
	maxAhead = 4
)

// stream yields the events at the positions of it, in that order, at most limit (0: all of them), each of which must match q. goOn is false if yield returned
// false. An error comes after all events before it. Nothing is being read any more when stream returns.
func (x *Executor) stream(ctx context.Context, q dcb.Query, it *index.Iterator, limit int, yield func(dcb.SequencedEvent) bool) (goOn bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	p, ok := it.Next()
	if !ok {
		return true, it.Err()
	}
	e, err := x.matching(p, q) // mostly it stays alone: the last one, or one that has just been appended
	if err != nil {
		return false, err
	}
	if !yield(e) {
		return false, nil
	}
	if limit == 1 {
		return true, nil
	}
	if p, ok = it.Next(); !ok {
		return true, it.Err()
	}
	a := &ahead{x: x, ctx: ctx, q: q, it: it, second: p, limited: limit > 0, left: limit - 1, size: 2, most: min(runtime.GOMAXPROCS(0), maxAhead)}
	defer a.end()
	return a.each(yield)
}

// ahead reads the events of a stream in batches. The goroutine of the stream makes them and takes them; each is read by a goroutine that lives as
// long as that takes, so that nobody has to be told to end who waits for something.
type ahead struct {
	x       *Executor
	ctx     context.Context
	q       dcb.Query
	it      *index.Iterator
	second  dcb.Position // was taken from it already; 0 when it is in a batch
	limited bool
	left    int // positions that may still be taken, if limited

	size  int  // of the next batch
	most  int  // batches to read at a time
	warm  bool // batches have become large enough to be read ahead
	ended bool // there are no more positions
	queue []*aheadBatch
	spare []*aheadBatch

	stop    atomic.Bool // nobody needs what is being read
	readers sync.WaitGroup
}

type aheadBatch struct {
	batch
	allPositions []dcb.Position
	allEvents    []dcb.SequencedEvent
	done         chan struct{} // holds one when the batch has been read
}

// end returns when nothing is being read any more.
func (a *ahead) end() {
	a.stop.Store(true)
	a.readers.Wait()
}

func (a *ahead) each(yield func(dcb.SequencedEvent) bool) (goOn bool, err error) {
	for {
		a.prepare(true)
		if len(a.queue) == 0 {
			return true, a.it.Err()
		}
		b := a.queue[0]
		a.queue = append(a.queue[:0], a.queue[1:]...)
		<-b.done
		if b.n == len(b.positions) {
			a.size = min(2*b.n, batchEvents)
		} else {
			a.size = max(b.n, 1) // as many as fit into batchBytes
		}
		if a.warm {
			a.prepare(false)
		}
		for {
			for _, e := range b.events[:b.n] {
				if err := a.ctx.Err(); err != nil {
					return false, err
				}
				if a.x.open.closed.Load() {
					return false, dcb.ErrClosed
				}
				if !yield(e) {
					return false, nil
				}
			}
			if b.err != nil {
				return false, b.err
			}
			if b.drop(); len(b.positions) == 0 {
				break
			}
			a.x.fill(a.ctx, &b.batch, a.q, &a.stop)
		}
		a.spare = append(a.spare, b)
	}
}

// prepare sees to it that the next batches are being read. idle says that there is nothing to do meanwhile: then what is not worth a goroutine is read at once.
func (a *ahead) prepare(idle bool) {
	for len(a.queue) < a.most && !a.ended {
		a.warm = a.warm || a.size >= aheadFrom
		here := idle && len(a.queue) == 0
		if !here && !a.warm {
			return
		}
		b := a.next()
		if len(b.positions) == 0 {
			return
		}
		a.queue = append(a.queue, b)
		read := func() {
			a.x.fill(a.ctx, &b.batch, a.q, &a.stop)
			b.done <- struct{}{}
		}
		if here && (!a.warm || a.ended) {
			read()
			return
		}
		a.readers.Go(read)
	}
}

// next returns the next batch, of which nothing has been read. It is empty if there are no more positions.
func (a *ahead) next() *aheadBatch {
	var b *aheadBatch
	if n := len(a.spare); n > 0 {
		b, a.spare = a.spare[n-1], a.spare[:n-1]
	} else {
		b = &aheadBatch{done: make(chan struct{}, 1)}
	}
	size := a.size
	if a.limited {
		size = min(size, a.left)
	}
	b.allPositions = b.allPositions[:0]
	if a.second > 0 {
		b.allPositions = append(b.allPositions, a.second)
		a.second = 0
	}
	for len(b.allPositions) < size {
		p, ok := a.it.Next()
		if !ok {
			break
		}
		b.allPositions = append(b.allPositions, p)
	}
	n := len(b.allPositions)
	a.left -= n
	a.ended = n < a.size
	if cap(b.allEvents) < n {
		b.allEvents = make([]dcb.SequencedEvent, n)
	}
	b.batch = batch{positions: b.allPositions, events: b.allEvents[:n], places: b.places}
	return b
}

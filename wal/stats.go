package wal

import (
	"sync"
	"time"

	"opossum/internal/histogram"
)

// flushes counts what was made durable.
type flushes struct {
	took *histogram.Histogram[time.Duration]

	mu struct {
		sync.Mutex
		events, bytes uint64
		last          time.Time
		failures      uint64
		err           error
	}
}

// FlushBounds are the bounds of the buckets in which flush times are counted: those of every disk there is lie between them.
var FlushBounds = []time.Duration{
	50 * time.Microsecond, 100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond, 10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, time.Second, 5 * time.Second,
}

func (f *flushes) init() { f.took = histogram.New(time.Microsecond, time.Minute, FlushBounds...) }

func (f *flushes) note(events, bytes uint64, start, end time.Time) {
	f.took.Record(end.Sub(start))
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.events += events
	f.mu.bytes += bytes
	f.mu.last = end
}

func (f *flushes) failed(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.failures++
	f.mu.err = err
}

// Stats counts since Open.
type Stats struct {
	Flushes       histogram.Snapshot[time.Duration] // fdatasync calls that succeeded, by the time they took
	FlushedEvents uint64                            // made durable by them
	FlushedBytes  uint64                            // in frames
	LastFlush     time.Time                         // when the last of them ended; zero: there was none
	Failures      uint64                            // writes and syncs that failed: the log is broken after the first
	LastError     error                             // why; nil: none failed
	Rotations     uint64
	Live          int // generations
}

// Stats may be called at any time; the figures need not be of one instant.
func (l *Log) Stats() Stats {
	s := Stats{Flushes: l.flushes.took.Snapshot(), Rotations: l.rotations.Load(), Live: len(*l.gens.Load())}
	f := &l.flushes
	f.mu.Lock()
	defer f.mu.Unlock()
	s.FlushedEvents, s.FlushedBytes, s.LastFlush = f.mu.events, f.mu.bytes, f.mu.last
	s.Failures, s.LastError = f.mu.failures, f.mu.err
	return s
}

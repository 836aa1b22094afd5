package harness

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sync/errgroup"
)

// Fleet is a number of writers that append as fast as they are answered: a closed loop. It can run several times; each
// writer goes on in its stream, so that no unique tag occurs twice.
type Fleet struct {
	streams         []*Stream
	latencies       []*hdrhistogram.Histogram // of each writer, in the last run
	eventsPerAppend int
}

// NewFleet gives each writer its own stream of the workload.
func NewFleet(w Workload, writers, eventsPerAppend int) *Fleet {
	f := &Fleet{eventsPerAppend: eventsPerAppend}
	for i := range writers {
		f.streams = append(f.streams, w.Stream(i))
		f.latencies = append(f.latencies, newHistogram())
	}
	return f
}

// Limit ends a run by whichever of its bounds is set; no append begins beyond it, and all that have begun are waited for.
type Limit struct {
	Events int           // in all; the last append may be a smaller one
	Time   time.Duration // since the writers were released
}

// Result is what one run showed. Processor time and allocations are those of the whole process: harness, target, and what
// the target does in the background.
type Result struct {
	Events     int           `json:"events"`
	Elapsed    time.Duration `json:"elapsed_ns"` // from the release of the writers to the last answer
	CPU        time.Duration `json:"cpu_ns"`     // user and system; 0 where it cannot be told
	Allocs     uint64        `json:"allocs"`
	AllocBytes uint64        `json:"alloc_bytes"`
	P50        time.Duration `json:"p50_ns"` // latency of an append, event making excluded
	P99        time.Duration `json:"p99_ns"`
	Max        time.Duration `json:"max_ns"`
}

// Rate returns events per second.
func (r Result) Rate() float64 { return float64(r.Events) / r.Elapsed.Seconds() }

// Run lets all writers loose on t at the same moment and returns when all have ended. The first error ends the run.
func (f *Fleet) Run(ctx context.Context, t Target, limit Limit) (Result, error) {
	run := run{target: t, limit: limit, eventsPerAppend: f.eventsPerAppend, release: make(chan struct{})}
	var ready sync.WaitGroup
	writers, ctx := errgroup.WithContext(ctx)
	for i, s := range f.streams {
		f.latencies[i].Reset()
		ready.Add(1)
		writers.Go(func() error {
			ready.Done()
			<-run.release
			return run.write(ctx, s, f.latencies[i])
		})
	}
	ready.Wait()
	runtime.GC() // what earlier runs left behind is not collected at this one's cost
	before := readUsage()
	run.start = time.Now()
	close(run.release)
	err := writers.Wait()
	elapsed := time.Since(run.start)
	used := readUsage().since(before)
	if err == nil && run.done.Load() == 0 {
		err = errors.New("nothing was appended within the limit")
	}

	all := newHistogram()
	for _, h := range f.latencies {
		all.Merge(h)
	}
	return Result{
		Events:     int(run.done.Load()),
		Elapsed:    elapsed,
		CPU:        used.cpu,
		Allocs:     used.allocs,
		AllocBytes: used.allocBytes,
		P50:        time.Duration(all.ValueAtQuantile(50)),
		P99:        time.Duration(all.ValueAtQuantile(99)),
		Max:        time.Duration(all.Max()),
	}, err
}

// newHistogram counts nanoseconds from 1 us to 10 min with two significant digits.
func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(int64(time.Microsecond), int64(10*time.Minute), 2)
}

// run is what the writers of one run share.
type run struct {
	target          Target
	limit           Limit
	eventsPerAppend int
	release         chan struct{}
	start           time.Time
	taken           atomic.Int64 // events that writers have taken on, if limit.Events is set
	done            atomic.Int64 // events that were answered
}

// write appends the events of s until the limit is reached. The clock is read before and after each append.
func (r *run) write(ctx context.Context, s *Stream, latencies *hdrhistogram.Histogram) error {
	for {
		n := r.take()
		if n == 0 {
			return nil
		}
		events := s.Next(n)
		before := time.Now()
		if r.limit.Time > 0 && before.Sub(r.start) >= r.limit.Time {
			return nil
		}
		if ctx.Err() != nil { // another writer has failed, or the caller has had enough
			return context.Cause(ctx)
		}
		if err := r.target.Append(ctx, events); err != nil {
			return err
		}
		if err := latencies.RecordValue(int64(time.Since(before))); err != nil {
			return err
		}
		r.done.Add(int64(n))
	}
}

// take returns the number of events of the next append, 0 at the end.
func (r *run) take() int {
	if r.limit.Events == 0 {
		return r.eventsPerAppend
	}
	after := r.taken.Add(int64(r.eventsPerAppend))
	return max(0, min(r.eventsPerAppend, r.limit.Events-int(after)+r.eventsPerAppend))
}

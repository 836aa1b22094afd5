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

// Fleet is a number of writers that work as fast as they are answered, a closed loop, or as a schedule calls them, an open one. It can run
// several times; each writer goes on in its stream, so that no unique tag occurs twice.
type Fleet struct {
	load            Load
	streams         []*Stream
	latencies       []*hdrhistogram.Histogram // of each writer, in the last run
	eventsPerAppend int
}

// NewFleet gives each writer its own stream of the workload.
func NewFleet(w Workload, l Load, writers, eventsPerAppend int) *Fleet {
	return newFleet(w, l, 0, writers, eventsPerAppend)
}

// newFleet calls the first writer so: in a store that has events already, the writers must be others than those of before.
func newFleet(w Workload, l Load, first, writers, eventsPerAppend int) *Fleet {
	f := &Fleet{load: l, eventsPerAppend: eventsPerAppend}
	for i := range writers {
		f.streams = append(f.streams, w.Stream(first+i))
		f.latencies = append(f.latencies, newHistogram())
	}
	return f
}

// Limit ends a run by whichever of its bounds is set; no step begins beyond it, and all that have begun are waited for.
type Limit struct {
	Events int             // in all; the last append may be a smaller one
	Time   time.Duration   // since the writers were released
	Stop   <-chan struct{} // closed
	// Rate is the number of steps a second that the schedule calls for, of all writers together; 0: each goes on when it is answered. A step's
	// latency then counts from when it was due, not from when a writer was free for it, so that a store that stalls pays for all who would
	// have come meanwhile (no coordinated omission; Gil Tene's wrk2 does the same).
	Rate float64
	// Window is the length of the pieces in which Result.Windows shows the run; 0: none.
	Window time.Duration
}

// Result is what one run showed. Processor time and allocations are those of the whole process: harness, target, and what
// the target does in the background.
type Result struct {
	Events     int           `json:"events"`          // appended
	Steps      int           `json:"steps,omitempty"` // of the load: appends, and where it reads, reads
	Conflicts  int           `json:"conflicts,omitempty"`
	Elapsed    time.Duration `json:"elapsed_ns"` // from the release of the writers to the last answer
	CPU        time.Duration `json:"cpu_ns"`     // user and system; 0 where it cannot be told
	Allocs     uint64        `json:"allocs"`
	AllocBytes uint64        `json:"alloc_bytes"`
	P50        time.Duration `json:"p50_ns"` // latency of a step, event making excluded
	P99        time.Duration `json:"p99_ns"`
	Max        time.Duration `json:"max_ns"`
	Quantiles  []Quantile    `json:"quantiles,omitempty"`
	Windows    []Window      `json:"windows,omitempty"`
}

// Quantile says that Percent of all steps took no longer than Latency.
type Quantile struct {
	Percent float64       `json:"percent"`
	Latency time.Duration `json:"latency_ns"`
}

// percents are those of a result's quantiles.
var percents = []float64{0, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 99.95, 99.99, 100}

// Window is a piece of a run: what was answered in it.
type Window struct {
	At     time.Duration `json:"at_ns"` // its end, since the release of the writers
	Events int           `json:"events"`
	P50    time.Duration `json:"p50_ns"`
	P99    time.Duration `json:"p99_ns"`
	Lag    uint64        `json:"lag,omitempty"` // at its end: events acknowledged and not yet filed, of a target that files
}

// Rate returns events appended per second.
func (r Result) Rate() float64 { return float64(r.Events) / r.Elapsed.Seconds() }

// StepRate returns steps per second.
func (r Result) StepRate() float64 { return float64(r.Steps) / r.Elapsed.Seconds() }

// Run lets all writers loose on t at the same moment and returns when all have ended. The first error ends the run.
func (f *Fleet) Run(ctx context.Context, t Target, limit Limit) (Result, error) {
	run := run{target: t, load: f.load, limit: limit, eventsPerAppend: f.eventsPerAppend, release: make(chan struct{})}
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
	stop := run.begin(ctx)
	close(run.release)
	err := writers.Wait()
	elapsed := time.Since(run.start)
	stop()
	used := readUsage().since(before)
	if err == nil && run.steps.Load() == 0 {
		err = errors.New("nothing was appended within the limit")
	}

	all := newHistogram()
	for _, h := range f.latencies {
		all.Merge(h)
	}
	result := Result{
		Events:     int(run.done.Load()),
		Steps:      int(run.steps.Load()),
		Conflicts:  int(run.conflicts.Load()),
		Elapsed:    elapsed,
		CPU:        used.cpu,
		Allocs:     used.allocs,
		AllocBytes: used.allocBytes,
		P50:        time.Duration(all.ValueAtQuantile(50)),
		P99:        time.Duration(all.ValueAtQuantile(99)),
		Max:        time.Duration(all.Max()),
		Windows:    run.windows.all,
	}
	for _, p := range percents {
		result.Quantiles = append(result.Quantiles, Quantile{p, time.Duration(all.ValueAtQuantile(p))})
	}
	return result, err
}

// newHistogram counts nanoseconds from 1 us to 10 min with two significant digits.
func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(int64(time.Microsecond), int64(10*time.Minute), 2)
}

// run is what the writers of one run share.
type run struct {
	target          Target
	load            Load
	limit           Limit
	eventsPerAppend int
	release         chan struct{}
	start           time.Time
	due             <-chan time.Duration // of the schedule, if there is one: steps that are due, since start
	windows         windows
	taken           atomic.Int64 // events that writers have taken on, if limit.Events is set
	done            atomic.Int64 // events that were answered
	steps           atomic.Int64
	conflicts       atomic.Int64
}

// begin starts what goes on beside the writers. The returned function ends it.
func (r *run) begin(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var beside sync.WaitGroup
	if r.limit.Rate > 0 {
		due := make(chan time.Duration, int(r.limit.Rate)+1) // a second of steps may wait for a writer in the channel, and any number in the schedule
		r.due = due
		beside.Go(func() { pace(ctx, r.start, r.limit.Rate, r.limit.Time, due) })
	}
	if r.limit.Window > 0 {
		beside.Go(func() { r.windows.watch(ctx, r) })
	}
	return func() {
		cancel()
		beside.Wait()
	}
}

// write does the load's steps with s until the limit is reached. The clock is read before and after each step.
func (r *run) write(ctx context.Context, s *Stream, latencies *hdrhistogram.Histogram) error {
	for {
		n := r.take()
		if n == 0 {
			return nil
		}
		events := s.Next(n)
		before, more := r.next(ctx)
		if !more {
			return context.Cause(ctx)
		}
		if r.over(before) {
			return nil
		}
		if ctx.Err() != nil { // another writer has failed, or the caller has had enough
			return context.Cause(ctx)
		}
		done, err := r.load.step(ctx, r.target, s, events)
		if err != nil {
			return err
		}
		took := time.Since(before)
		if err := latencies.RecordValue(int64(took)); err != nil {
			return err
		}
		r.done.Add(int64(done.events))
		r.conflicts.Add(int64(done.conflicts))
		r.steps.Add(1)
		if r.limit.Window > 0 {
			r.windows.record(took)
		}
	}
}

// next returns when the next step is due: now, without a schedule. It is false at the schedule's end.
func (r *run) next(ctx context.Context) (time.Time, bool) {
	if r.due == nil {
		return time.Now(), true
	}
	select {
	case at, more := <-r.due:
		return r.start.Add(at), more
	case <-ctx.Done():
		return time.Time{}, false
	}
}

// over says whether no step may begin any more.
func (r *run) over(now time.Time) bool {
	select {
	case <-r.limit.Stop:
		return true
	default:
		return r.limit.Time > 0 && now.Sub(r.start) >= r.limit.Time
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

// pace sends when each step is due, as soon as it is, and closes due at the end: after limit, if that is not 0.
func pace(ctx context.Context, start time.Time, rate float64, limit time.Duration, due chan<- time.Duration) {
	defer close(due)
	clock := newSleeper()
	defer clock.close()
	for n := 0; ; n++ {
		at := time.Duration(float64(n) / rate * float64(time.Second))
		if limit > 0 && at >= limit {
			return
		}
		clock.until(start.Add(at))
		select {
		case due <- at:
		case <-ctx.Done():
			return
		}
	}
}

package harness

import (
	"context"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// windows shows a run piece by piece. Writers share one histogram: a lock held for 20 ns is little beside a step that ends with a sync.
type windows struct {
	mu      sync.Mutex
	current *hdrhistogram.Histogram // nil before the first step
	all     []Window
	told    bool // of steps: one that was recorded lies in all
}

func (w *windows) record(took time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.current == nil {
		w.current = newHistogram()
	}
	_ = w.current.RecordValue(int64(took)) // the writer's own histogram has taken it
}

// watch ends a window each time that its time has passed. What the last, unfinished one held is left out, unless all steps lie in it: a run that
// is shorter than a window is one.
func (w *windows) watch(ctx context.Context, r *run) {
	tick := time.NewTicker(r.limit.Window)
	defer tick.Stop()
	var before int64
	next := func() {
		done := r.done.Load()
		w.end(Window{At: time.Since(r.start), Events: int(done - before), Lag: lag(r.target)})
		before = done
	}
	for {
		select {
		case <-ctx.Done():
			if !w.told {
				next()
			}
			return
		case <-tick.C:
			next()
		}
	}
}

func (w *windows) end(one Window) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.current != nil {
		one.P50 = time.Duration(w.current.ValueAtQuantile(50))
		one.P99 = time.Duration(w.current.ValueAtQuantile(99))
		w.current.Reset()
		w.told = true
	}
	w.all = append(w.all, one)
}

// lag asks a target that files in the background how far that has fallen behind.
func lag(t Target) uint64 {
	if t, ok := t.(interface{ Lag() uint64 }); ok {
		return t.Lag()
	}
	return 0
}

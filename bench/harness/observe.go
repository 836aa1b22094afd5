package harness

import (
	"context"
	"path/filepath"
	"sync"
	"time"
)

// Moment is what was seen of a store and its process at one moment.
type Moment struct {
	At   time.Duration `json:"at_ns"`
	Lag  uint64        `json:"lag"`       // events acknowledged and not yet in their place; of a target that files
	Log  uint64        `json:"log_bytes"` // that its log occupies on the disk; 0 without a directory wal
	Anon uint64        `json:"anon_bytes"`
}

// Watched is what was seen between two moments.
type Watched struct {
	Moments []Moment `json:"moments"`
	Most    Moment   `json:"most"` // the most of each, looked for more often than there are moments; At says nothing
}

const watchEvery = 100 * time.Millisecond

// observe looks at the target, whose store is in dir, until stop is called, and keeps a moment for each step. The last moment is the end.
func observe(ctx context.Context, t Target, dir string, step time.Duration) (stop func() Watched) {
	ctx, cancel := context.WithCancel(ctx)
	var w Watched
	start := time.Now()
	look := func() Moment {
		m := Moment{At: time.Since(start), Lag: lag(t), Log: bytesIn(filepath.Join(dir, "wal")), Anon: readResident().Anon}
		w.Most.Lag, w.Most.Log, w.Most.Anon = max(w.Most.Lag, m.Lag), max(w.Most.Log, m.Log), max(w.Most.Anon, m.Anon)
		return m
	}
	var watching sync.WaitGroup
	watching.Go(func() {
		tick := time.NewTicker(min(step, watchEvery))
		defer tick.Stop()
		next := step
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if m := look(); m.At >= next {
				w.Moments = append(w.Moments, m)
				next = m.At.Truncate(step) + step
			}
		}
	})
	return func() Watched {
		cancel()
		watching.Wait()
		w.Moments = append(w.Moments, look())
		return w
	}
}

package harness

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"
)

// SustainedJob appends Events to the store in the directory store of the job's, which is new and which it leaves there, and waits until all of them are where they stay:
// in files or packs, and checkpointed. Too little space on the disk is an error.
type SustainedJob struct {
	Bytes           int           `json:"bytes"`
	Writers         int           `json:"writers"`
	EventsPerAppend int           `json:"events_per_append"`
	Events          int           `json:"events"`
	Window          time.Duration `json:"window_ns"` // as in Limit, and of the moments
	KeepFree        uint64        `json:"keep_free"` // bytes of the disk
}

// SustainedResult is what it showed. The result's own numbers are those of the appends.
type SustainedResult struct {
	Result
	Drained time.Duration `json:"drained_ns"` // from the release of the writers until all was in its place
	AllCPU  time.Duration `json:"all_cpu_ns"` // of the process in that time; 0 where it cannot be told
	Watched Watched       `json:"watched"`    // in that time
	Most    uint64        `json:"most_bytes"` // as in Resident
	Parts   []Part        `json:"parts"`      // of the store, closed
	Life    Device        `json:"life"`       // as in CellResult
}

// DrainRate returns the events a second that got where they stay.
func (r SustainedResult) DrainRate() float64 { return float64(r.Events) / r.Drained.Seconds() }

func (j SustainedJob) measure(ctx context.Context, root string, way Way) (result *SustainedResult, err error) {
	err = withSpace(ctx, root, j.KeepFree, func(ctx context.Context) error {
		before, _ := readDevice(root)
		s, err := way.openStore(root)
		if err != nil {
			return err
		}
		if s.Head() != 0 {
			err = errors.New("a store that is not new")
		} else {
			result, err = j.run(ctx, s, filepath.Join(root, historyStore))
		}
		if err = errors.Join(err, s.Close(), settle(root)); err != nil {
			return err
		}
		after, _ := readDevice(root)
		result.Life = after.since(before)
		result.Parts, err = partsOf(filepath.Join(root, historyStore))
		return err
	})
	return result, err
}

func (j SustainedJob) run(ctx context.Context, s Store, dir string) (*SustainedResult, error) {
	fleet := NewFleet(school(j.Bytes), Append, j.Writers, j.EventsPerAppend)
	before := cpuTime()
	stop := observe(ctx, s, dir, j.Window)
	run, err := fleet.Run(ctx, s, Limit{Events: j.Events, Window: j.Window})
	appended := time.Now()
	if err == nil {
		err = settled(ctx, s)
	}
	result := &SustainedResult{Result: run, Drained: run.Elapsed + time.Since(appended), AllCPU: cpuTime() - before}
	result.Watched, result.Most = stop(), readResident().Most
	return result, err
}

// school is the workload of scale.
func school(bytes int) Workload { return Workload{Seed: Default.Seed, Bytes: bytes, School: true} }

// withSpace calls do unless less than keep bytes of root's disk are free. Its context ends when they are no longer.
func withSpace(ctx context.Context, root string, keep uint64, do func(context.Context) error) error {
	free := func() (uint64, error) { return freeBytes(root) }
	if left, err := free(); err != nil || left < keep {
		return errors.Join(err, fmt.Errorf("%w: %d bytes are free, and %d have to be kept so", errLowSpace, left, keep))
	}
	spacious, stop := watchSpace(ctx, keep, free)
	defer stop()
	err := do(spacious)
	if err != nil && ctx.Err() == nil && spacious.Err() != nil {
		err = errors.Join(err, context.Cause(spacious))
	}
	return err
}

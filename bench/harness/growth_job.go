package harness

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// GrowthJob fills one target until it has Events, or for Time, or until less than KeepFree bytes of the disk are free: all three must be given.
type GrowthJob struct {
	Load            string        `json:"load"`
	Bytes           int           `json:"bytes"`
	NoFlush         bool          `json:"no_flush,omitempty"`
	Writers         int           `json:"writers"`
	EventsPerAppend int           `json:"events_per_append"`
	Events          int           `json:"events"`
	Time            time.Duration `json:"time_ns"` // of the appends; Settle may take as long once more
	KeepFree        uint64        `json:"keep_free"`
	Window          time.Duration `json:"window_ns"`        // as in Limit
	Settle          bool          `json:"settle,omitempty"` // then wait until all work in the background is done, within the bounds
}

// GrowthResult is what the growth showed.
type GrowthResult struct {
	Result
	Ended      Ended       `json:"ended"`
	Milestones []Milestone `json:"milestones,omitempty"`
	Behind     uint64      `json:"behind,omitempty"` // when the last append was answered: as Lag in Window
	Lag        uint64      `json:"lag,omitempty"`    // the same when it was closed
	Disk       uint64      `json:"disk_bytes"`       // that its files and directories occupy, closed
	Life       Device      `json:"life"`             // as in CellResult: also what was written back after it was closed; zero on no single device
	Memory     Footprint   `json:"memory"`           // before it was closed
}

// Ended is the bound that ended a growth.
type Ended string

const (
	EndedEvents Ended = "events"
	EndedTime   Ended = "time"
	EndedSpace  Ended = "space"
)

// Milestone is the speed about the time when a target had so many events: in the five windows about the one in which it got them, fewer at the
// ends of the run: two before it, and two after it.
type Milestone struct {
	Events int           `json:"events"`
	Rate   float64       `json:"events_per_second"`
	P99    time.Duration `json:"p99_ns"` // the highest of those windows
}

// growthMilestones are looked for in each growth.
var growthMilestones = []int{0, 1_000_000, 3_000_000, 10_000_000}

const milestoneWindows = 5

// milestones returns those that were reached within the windows.
func milestones(windows []Window, at []int) (all []Milestone) {
	done, next := 0, 0
	for i, w := range windows {
		done += w.Events
		for ; next < len(at) && at[next] <= done; next++ {
			all = append(all, milestone(windows, i, at[next]))
		}
	}
	return all
}

// milestone looks at the windows about the one at i.
func milestone(windows []Window, i, at int) Milestone {
	first, end := max(0, i-milestoneWindows/2), min(len(windows), i+milestoneWindows/2+1)
	m, events, began := Milestone{Events: at}, 0, time.Duration(0)
	if first > 0 {
		began = windows[first-1].At
	}
	for _, w := range windows[first:end] {
		events += w.Events
		m.P99 = max(m.P99, w.P99)
	}
	m.Rate = float64(events) / (windows[end-1].At - began).Seconds()
	return m
}

func (j GrowthJob) measure(ctx context.Context, root string, way Way) (*GrowthResult, error) {
	return j.grow(ctx, root, way, func() (uint64, error) { return freeBytes(root) })
}

// grow asks free how many bytes of the disk are.
func (j GrowthJob) grow(ctx context.Context, root string, way Way, free func() (uint64, error)) (result *GrowthResult, err error) {
	load, err := way.bear(j.Load)
	if err != nil {
		return nil, err
	}
	if j.Events <= 0 || j.Time <= 0 || j.KeepFree == 0 {
		return nil, errors.New("a growth without bounds: want events, time and bytes to keep free")
	}
	if left, err := free(); err != nil || left < j.KeepFree {
		return nil, errors.Join(err, fmt.Errorf("%d bytes are free, and %d have to be kept so", left, j.KeepFree))
	}
	err = inNewDir(root, func(dir string) error {
		before, _ := readDevice(root)
		t, err := way.Open(dir, OpenOptions{Flush: !j.NoFlush})
		if err != nil {
			return err
		}
		spacious, stop := watchSpace(ctx, j.KeepFree, free)
		result, err = j.run(ctx, spacious, t, load)
		stop()
		if err = errors.Join(err, t.Close(), settle(root)); err != nil {
			return err
		}
		after, _ := readDevice(root)
		result.Life = after.since(before)
		result.Disk, err = occupied(dir)
		return err
	})
	return result, err
}

// run appends until a bound is reached; spacious is the one of space, and ends with ctx too.
func (j GrowthJob) run(ctx, spacious context.Context, t Target, load Load) (*GrowthResult, error) {
	fleet := NewFleet(sized(j.Bytes), load, j.Writers, j.EventsPerAppend)
	run, err := fleet.Run(ctx, t, Limit{Events: j.Events, Time: j.Time, Stop: spacious.Done(), Window: j.Window})
	if err = errors.Join(err, context.Cause(ctx)); err != nil {
		return nil, err
	}
	result := &GrowthResult{Result: run, Ended: EndedTime, Milestones: milestones(run.Windows, growthMilestones), Behind: lag(t)}
	switch {
	case run.Events >= j.Events:
		result.Ended = EndedEvents
	case spacious.Err() != nil:
		result.Ended = EndedSpace
	}
	if j.Settle {
		err = j.settle(ctx, spacious, t)
	}
	result.Lag, result.Memory = lag(t), readFootprint()
	return result, err
}

// settle gives up at the job's bounds: the lag tells.
func (j GrowthJob) settle(ctx, spacious context.Context, t Target) error {
	bounded, cancel := context.WithTimeout(spacious, j.Time)
	defer cancel()
	if err := settled(bounded, t); err != nil && !errors.Is(err, bounded.Err()) {
		return err
	}
	return context.Cause(ctx)
}

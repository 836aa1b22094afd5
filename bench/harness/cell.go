package harness

import (
	"context"
	"errors"
	"os"
	"time"

	"golang.org/x/sync/errgroup"
)

// Cell is one measurement of a table: a way under one shape of load.
type Cell struct {
	Way             Way
	Load            Load
	Workload        Workload
	NoFlush         bool
	Writers         int
	EventsPerAppend int
	Time            time.Duration // measured; a fifth of it runs before, at most a second, to warm up
	Events          int           // measured, if Time is 0; a tenth of them is appended before
	Prefill         int           // events appended before that, 1,000 at a time
	Rate            float64       // as in Limit
	Window          time.Duration // as in Limit
	Keep            bool          // leave what was made to whoever gave the directory
	Beside          Load          // what as many other writers do on the same target at the same time; none if it has no name
	Settle          bool          // wait in the end until all work in the background is done, so that what the device was given is complete
}

// CellResult is what a cell showed.
type CellResult struct {
	Result
	// Life is what the device was given from before the target was opened until after it was closed and everything written back; of a cell
	// without Settle and of one on no single device it is zero.
	Life       Device `json:"life"`
	LifeEvents int    `json:"life_events"` // appended in that time
	// Run is what the device was given during the measured time.
	Run Device `json:"run"`
	// Beside is what those showed who worked beside, in the same time or a step longer. Processor time and allocations are of all in both results.
	Beside *Result `json:"beside,omitempty"`
}

// Measure runs the cell on an empty directory of its own under root, which it removes unless it is to keep it.
func (c Cell) Measure(ctx context.Context, root string) (result CellResult, err error) {
	in := InDir
	if c.Keep {
		in = inNewDir
	}
	err = in(root, func(dir string) error {
		before, _ := readDevice(root)
		t, err := c.Way.Open(dir, OpenOptions{Flush: !c.NoFlush})
		if err != nil {
			return err
		}
		result, err = c.measure(ctx, t, root)
		if err = errors.Join(err, t.Close()); err != nil || !c.Settle {
			return err
		}
		err = settle(root)
		after, _ := readDevice(root)
		result.Life = after.since(before)
		return err
	})
	return result, err
}

func (c Cell) measure(ctx context.Context, t Target, root string) (result CellResult, err error) {
	if err := c.prefill(ctx, t); err != nil {
		return result, err
	}
	fleet := NewFleet(c.Workload, c.Load, c.Writers, c.EventsPerAppend)
	warm, err := fleet.Run(ctx, t, Limit{Time: min(c.Time/5, time.Second), Events: c.Events / 10, Rate: c.Rate})
	if err != nil {
		return result, err
	}
	before, _ := readDevice(root)
	result.Result, result.Beside, err = c.run(ctx, t, fleet)
	after, _ := readDevice(root)
	result.Run = after.since(before)
	result.LifeEvents = c.Prefill + warm.Events + result.Events
	if result.Beside != nil {
		result.LifeEvents += result.Beside.Events
	}
	if c.Settle && err == nil {
		err = settled(ctx, t)
	}
	return result, err
}

// run lets the fleet loose, and beside it the other writers if there are any.
func (c Cell) run(ctx context.Context, t Target, fleet *Fleet) (result Result, beside *Result, err error) {
	limit := Limit{Time: c.Time, Events: c.Events, Rate: c.Rate, Window: c.Window}
	if c.Beside.Name == "" {
		result, err = fleet.Run(ctx, t, limit)
		return result, nil, err
	}
	stop := make(chan struct{})
	both, ctx := errgroup.WithContext(ctx)
	both.Go(func() error {
		others, err := newFleet(c.Workload, c.Beside, besideWriter, c.Writers, c.EventsPerAppend).Run(ctx, t, Limit{Stop: stop})
		beside = &others
		return err
	})
	both.Go(func() (err error) {
		defer close(stop)
		result, err = fleet.Run(ctx, t, limit)
		return err
	})
	err = both.Wait()
	return result, beside, err
}

const (
	prefillAppend = 1_000
	prefillWriter = 1 << 20 // none of the fleet's, so that its unique tags are its own
	besideWriter  = 2 << 20 // and the first of those beside
)

func (c Cell) prefill(ctx context.Context, t Target) error {
	s := c.Workload.Stream(prefillWriter)
	for left := c.Prefill; left > 0; {
		n := min(left, prefillAppend)
		if err := t.Append(ctx, s.Next(n), nil); err != nil {
			return err
		}
		left -= n
	}
	return nil
}

// InDir calls use with a new directory under root and removes it. Then it waits until the disk is quiet, so that what is
// measured next does not pay for what was measured before.
func InDir(root string, use func(dir string) error) error {
	return inNewDir(root, func(dir string) error { return errors.Join(use(dir), os.RemoveAll(dir)) })
}

// inNewDir is InDir without the removal: on ext4 a file costs ten times as much as usual for minutes after many were deleted, so jobs leave that to
// whoever has them made, when everything is measured.
func inNewDir(root string, use func(dir string) error) error {
	dir, err := os.MkdirTemp(root, "cell-")
	if err != nil {
		return err
	}
	return errors.Join(use(dir), settle(root))
}

// settle makes everything on the file system of dir durable, where the system can do that.
func settle(dir string) error {
	root, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := syncFileSystem(root); !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return nil
}

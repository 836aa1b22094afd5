package harness

import (
	"context"
	"errors"
	"os"
	"time"
)

// Cell is one measurement of a table: a way under one shape of load.
type Cell struct {
	Way             Way
	Workload        Workload
	Writers         int
	EventsPerAppend int
	Time            time.Duration // measured; a fifth of it runs before, to warm up
}

// Measure runs the cell on an empty directory of its own under root, which it removes.
func (c Cell) Measure(ctx context.Context, root string) (result Result, err error) {
	err = InDir(root, func(dir string) error {
		t, err := c.Way.Open(dir)
		if err != nil {
			return err
		}
		fleet := NewFleet(c.Workload, c.Writers, c.EventsPerAppend)
		_, err = fleet.Run(ctx, t, Limit{Time: c.Time / 5})
		if err == nil {
			result, err = fleet.Run(ctx, t, Limit{Time: c.Time})
		}
		return errors.Join(err, t.Close())
	})
	return result, err
}

// InDir calls use with a new directory under root and removes it. Then it waits until the disk is quiet, so that what is
// measured next does not pay for what was measured before.
func InDir(root string, use func(dir string) error) error {
	dir, err := os.MkdirTemp(root, "cell-")
	if err != nil {
		return err
	}
	return errors.Join(use(dir), os.RemoveAll(dir), settle(root))
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

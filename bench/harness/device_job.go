package harness

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"
)

// DeviceJob measures the ceilings that no way of keeping events can pass: how many bytes a second the device takes one after the other, and how
// often it can be made to keep a page. Each for Time.
type DeviceJob struct {
	Time time.Duration `json:"time_ns"`
}

// DeviceResult is what the device showed.
type DeviceResult struct {
	Sequential float64       `json:"bytes_per_second"` // blocks of 1 MiB at the end of one file, then one fdatasync, which counts
	Syncs      float64       `json:"syncs_per_second"` // pages of 4 KiB on pre-written space, one after the other, an fdatasync after each
	P50        time.Duration `json:"p50_ns"`           // of such a page, written and synced
	P99        time.Duration `json:"p99_ns"`
	Max        time.Duration `json:"max_ns"`
}

const (
	sequentialBlock = 1 << 20
	sequentialMost  = 4 << 30 // bytes, after which the time does not matter: memory takes them faster than a disk
	pageBytes       = 4 << 10
)

func (j DeviceJob) measure(ctx context.Context, root string) (result *DeviceResult, err error) {
	result = &DeviceResult{}
	return result, errors.Join(
		inNewDir(root, func(dir string) error { return result.sequential(ctx, dir, j.Time) }),
		inNewDir(root, func(dir string) error { return result.syncs(ctx, dir, j.Time) }),
	)
}

func (r *DeviceResult) sequential(ctx context.Context, dir string, limit time.Duration) (err error) {
	file, err := os.OpenFile(filepath.Join(dir, "sequential"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	block, written := letters(sequentialBlock), 0
	start := time.Now()
	for written == 0 || time.Since(start) < limit && written < sequentialMost {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		n, err := file.Write(block)
		if err != nil {
			return err
		}
		written += n
	}
	if err := syncData(file); err != nil {
		return err
	}
	r.Sequential = float64(written) / time.Since(start).Seconds()
	return nil
}

func (r *DeviceResult) syncs(ctx context.Context, dir string, limit time.Duration) (err error) {
	pages, err := openRing(dir, RingBytes)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, pages.close()) }()
	page, latencies := filler[:pageBytes], newHistogram()
	start := time.Now()
	for latencies.TotalCount() == 0 || time.Since(start) < limit {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		before := time.Now()
		if _, err := pages.reserve(len(page)); err != nil {
			return err
		}
		if err := errors.Join(pages.write(page), pages.sync()); err != nil {
			return err
		}
		if err := latencies.RecordValue(int64(time.Since(before))); err != nil {
			return err
		}
	}
	r.Syncs = float64(latencies.TotalCount()) / time.Since(start).Seconds()
	r.P50 = time.Duration(latencies.ValueAtQuantile(50))
	r.P99 = time.Duration(latencies.ValueAtQuantile(99))
	r.Max = time.Duration(latencies.Max())
	return nil
}

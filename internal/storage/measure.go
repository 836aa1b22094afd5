package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	"opossum/internal/step"
)

// Measurement is what flushes took on a disk, and what the system says of it.
type Measurement struct {
	Measured time.Time     `json:"measured"`
	Flushes  int           `json:"flushes"` // how many were timed
	Fastest  time.Duration `json:"fastestNs"`
	Median   time.Duration `json:"medianNs"`
	Slowest  time.Duration `json:"slowestNs"`
	Class    Class         `json:"class"` // by the median
	System
}

// budget bounds a measurement, whichever comes first.
type budget struct {
	flushes int
	time    time.Duration
}

var (
	openBudget  = budget{16, 250 * time.Millisecond} // Open waits for it, once in the life of a store
	probeBudget = budget{64, 800 * time.Millisecond} // a person waits for it
)

// more reports whether another flush is to be timed after so many that took so long with everything around them. One always is. The time may be
// exceeded by what one flush takes, for which there is no bound: a call that hangs in the kernel cannot be taken back.
func (b budget) more(flushes int, spent time.Duration) bool {
	return flushes == 0 || flushes < b.flushes && spent < b.time
}

// Measure times flushes in dir like those of the log: append a small block, fdatasync, again and again; at most 16, and none begins after 250 ms,
// except that one is always timed. The first one, which has to commit the new file as well, is not counted. now is the clock.
//
// The file is storage.probe and is removed again; that of a crash is overwritten. REQUIRES: dir is owned, so that nobody else measures so in it. The
// errors are those of the file system and name the file. They need not stop a store: what it promises does not rest on a measurement.
func Measure(dir string, now func() time.Time) (Measurement, error) {
	return measure(context.Background(), dir, filepath.Join(dir, probeName), openBudget, now)
}

// Probe is Measure for any directory, beside its owner and beside others who probe: its file has a name of its own. It takes its time, up to 64
// flushes or 800 ms. ctx ends it between two flushes, with ctx's error.
func Probe(ctx context.Context, dir string, now func() time.Time) (Measurement, error) {
	return measure(ctx, dir, filepath.Join(dir, fmt.Sprintf("%s-%016x", probeName, rand.Uint64())), probeBudget, now)
}

func measure(ctx context.Context, dir, path string, b budget, now func() time.Time) (Measurement, error) {
	system, err := Describe(dir)
	if err != nil {
		return Measurement{}, err
	}
	m := Measurement{Measured: now().UTC().Round(0), System: system}
	took, err := flushes(ctx, path, b, now)
	if err != nil {
		return Measurement{}, err
	}
	m.sum(took)
	return m, nil
}

// blockSize is how much is appended before a flush: a small group.
const blockSize = 4096

// flushes returns what each flush of a file took, the first one left out.
//
// The file keeps its name until the end. A nameless one could leave nothing behind, but for a file without links btrfs in many kernels skips the log
// that an fsync has to write otherwise, and something else would be measured.
func flushes(ctx context.Context, path string, b budget, now func() time.Time) (took []time.Duration, err error) {
	f, err := step.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close(), remove(path)) }()
	block := make([]byte, blockSize)
	for i := range block {
		block[i] = byte(rand.Uint32()) // nothing that compresses to nothing
	}
	var began, end time.Time
	for first := true; first || b.more(len(took), end.Sub(began)); first = false {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := step.Write(f, block); err != nil {
			return nil, err
		}
		begin := now()
		if err := step.Datasync(f); err != nil {
			return nil, err
		}
		end = now()
		if first {
			began = begin
		} else {
			took = append(took, end.Sub(begin))
		}
	}
	return took, nil
}

// remove removes a file that may be gone: an owner who opens the store clears away what looks left over.
func remove(path string) error {
	if err := step.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// sum fills in what the flushes come to, of which there is at least one.
func (m *Measurement) sum(took []time.Duration) {
	slices.Sort(took)
	n := len(took)
	m.Flushes, m.Fastest, m.Slowest = n, took[0], took[n-1]
	m.Median = (took[(n-1)/2] + took[n/2]) / 2
	m.Class = Classify(m.Median)
}

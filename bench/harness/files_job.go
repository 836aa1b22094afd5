package harness

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// FilesJob makes the event files of a way and nothing else: no log, no index, no engine. Their texts are taken from a store of the way, of one shard at most, which it makes
// before. They are written as the engine does it, without a name first where the system can, and synced all at once in the end.
type FilesJob struct {
	Bytes    int    `json:"bytes"`
	Events   int    `json:"events"`
	KeepFree uint64 `json:"keep_free"` // bytes of the disk
}

// FilesResult is what the files cost.
type FilesResult struct {
	Runs []FilesRun `json:"runs"` // of one goroutine, and of two, each in shards of its own
	// Occupied is what the file of one event occupies on the disk, with its share of the directory; the inode is not in it.
	Occupied float64 `json:"occupied_bytes"`
}

// FilesRun is one run.
type FilesRun struct {
	Goroutines int           `json:"goroutines"`
	Created    time.Duration `json:"created_ns"` // until all files had their names
	Durable    time.Duration `json:"durable_ns"` // until they were synced, too
}

const filesMostGoroutines = 2

// Best returns the quickest run to make the files durable. REQUIRES: there are runs.
func (r FilesResult) Best() FilesRun {
	return slices.MinFunc(r.Runs, func(a, b FilesRun) int { return int(a.Durable - b.Durable) })
}

func (j FilesJob) measure(ctx context.Context, root string, way Way) (result *FilesResult, err error) {
	if j.Events < filesMostGoroutines {
		return nil, fmt.Errorf("files of %d events: want at least %d", j.Events, filesMostGoroutines)
	}
	err = withSpace(ctx, root, j.KeepFree, func(ctx context.Context) error {
		texts, occupied, err := j.sample(ctx, root, way)
		if err != nil {
			return err
		}
		result = &FilesResult{Occupied: occupied}
		for n := 1; n <= filesMostGoroutines; n++ {
			err := inNewDir(root, func(dir string) error {
				run, err := j.create(ctx, dir, texts, n)
				result.Runs = append(result.Runs, run)
				return err
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	return result, err
}

// sample returns the texts of some event files that the way itself has made, and what each occupies.
func (j FilesJob) sample(ctx context.Context, root string, way Way) (texts [][]byte, occupied float64, err error) {
	err = inNewDir(root, func(dir string) error {
		s, err := way.openStore(dir)
		if err != nil {
			return err
		}
		_, err = NewFleet(school(j.Bytes), Append, fillWriters, historyAppend).Run(ctx, s, Limit{Events: min(j.Events, filesPerShard-1)})
		if err == nil {
			err = settled(ctx, s)
		}
		if err = errors.Join(err, s.Close(), settle(dir)); err != nil {
			return err
		}
		texts, occupied, err = readTexts(filepath.Join(dir, historyStore, "events"))
		return err
	})
	return texts, occupied, err
}

func readTexts(dir string) (texts [][]byte, occupied float64, err error) {
	var bytes uint64
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		bytes += diskBytes(info)
		if d.IsDir() || !strings.HasSuffix(path, ".json") {
			return nil
		}
		text, err := os.ReadFile(path)
		texts = append(texts, text)
		return err
	})
	if err == nil && len(texts) == 0 {
		err = fmt.Errorf("%s has no event files", dir)
	}
	return texts, float64(bytes) / float64(len(texts)), err
}

// create makes the files in shards, of which each goroutine takes the next one.
func (j FilesJob) create(ctx context.Context, dir string, texts [][]byte, goroutines int) (FilesRun, error) {
	each := min(filesPerShard, (j.Events+goroutines-1)/goroutines)
	var taken atomic.Int64
	start := time.Now()
	g, ctx := errgroup.WithContext(ctx)
	for range goroutines {
		g.Go(func() error {
			for {
				end := int(taken.Add(int64(each)))
				first := end - each
				if first >= j.Events {
					return nil
				}
				if err := createShard(ctx, filepath.Join(dir, fmt.Sprintf("%020d", first)), first, min(end, j.Events), texts); err != nil {
					return err
				}
			}
		})
	}
	if err := g.Wait(); err != nil {
		return FilesRun{}, err
	}
	run := FilesRun{Goroutines: goroutines, Created: time.Since(start)}
	err := settle(dir)
	run.Durable = time.Since(start)
	return run, err
}

// createShard makes the files first to end-1 in a new directory.
func createShard(ctx context.Context, dir string, first, end int, texts [][]byte) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	shard, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer shard.Close()
	for n := first; n < end; n++ {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := createIn(shard, fmt.Sprintf("%020d.json", n), texts[n%len(texts)]); err != nil {
			return err
		}
	}
	return nil
}

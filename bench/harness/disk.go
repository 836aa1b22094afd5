package harness

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"sync"
	"time"
)

// occupied returns what the files and directories below dir occupy on the disk, as du does. No two names are of one file.
func occupied(dir string) (bytes uint64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		bytes += diskBytes(info)
		return nil
	})
	return bytes, err
}

// Part is what a directory at the top of a store occupies with all that is in it; the last one has no name and is the store's own directory and the files in it.
type Part struct {
	Name  string `json:"name,omitempty"`
	Files int    `json:"files"`
	Dirs  int    `json:"dirs"`
	Bytes uint64 `json:"bytes"` // on the disk, as du counts
}

// partsOf returns the parts of the store in dir, by name. Nobody may be writing there.
func partsOf(dir string) (parts []Part, err error) {
	var own Part
	count := func(p *Part, d fs.DirEntry) error {
		info, err := d.Info()
		if err != nil {
			return err
		}
		if p.Bytes += diskBytes(info); d.IsDir() {
			p.Dirs++
		} else {
			p.Files++
		}
		return nil
	}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		up := filepath.Dir(path)
		switch {
		case path == dir || up == dir && !d.IsDir():
			return count(&own, d)
		case up == dir:
			parts = append(parts, Part{Name: d.Name()})
		}
		return count(&parts[len(parts)-1], d)
	})
	return append(parts, own), err
}

// bytesIn is occupied for a directory in which files come and go: it passes over what is gone when it is looked at.
func bytesIn(dir string) (bytes uint64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		if info, err := d.Info(); err == nil {
			bytes += diskBytes(info)
		}
		return nil
	})
	return bytes
}

const spaceEvery = 100 * time.Millisecond

// errLowSpace is the cause of the end of what watchSpace watches.
var errLowSpace = errors.New("too little free space on the disk")

// watchSpace returns a context that ends, because of errLowSpace, when less than keep bytes are free, or when that cannot be told any more; and with
// ctx. stop ends it.
func watchSpace(ctx context.Context, keep uint64, free func() (uint64, error)) (spacious context.Context, stop func()) {
	spacious, cancel := context.WithCancelCause(ctx)
	var watching sync.WaitGroup
	watching.Go(func() {
		tick := time.NewTicker(spaceEvery)
		defer tick.Stop()
		for {
			if left, err := free(); err != nil || left < keep {
				cancel(errors.Join(errLowSpace, err))
				return
			}
			select {
			case <-spacious.Done():
				return
			case <-tick.C:
			}
		}
	})
	return spacious, func() {
		cancel(nil)
		watching.Wait()
	}
}

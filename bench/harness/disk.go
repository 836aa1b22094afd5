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

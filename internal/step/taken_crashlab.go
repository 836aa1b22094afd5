//go:build crashlab && linux

package step

import (
	"errors"
	"path/filepath"
	"sync"
	"sync/atomic"
)

// ErrRefused is the error of the step that Taken refuses.
var ErrRefused = errors.New("the step is refused")

var watcher atomic.Pointer[func(Kind, string) error]

// Taken does something that changes the disk, and returns which steps it took, as in "rename ledger.json", paths relative to dir. The step number refuse,
// from 0, is not made and fails with ErrRefused; -1: none. It is for tests, which prove with it what a power cut would: what is synced, and in which
// order. Steps of other goroutines count as well, so one call runs at a time.
func Taken(dir string, refuse int, do func() error) (taken []string, err error) {
	var mu sync.Mutex
	see := func(kind Kind, path string) error {
		mu.Lock()
		defer mu.Unlock()
		if at, err := filepath.Rel(dir, path); err == nil {
			path = at
		}
		taken = append(taken, string(kind)+" "+path)
		if len(taken) == refuse+1 {
			return ErrRefused
		}
		return nil
	}
	err = Watched(see, do)
	mu.Lock()
	defer mu.Unlock()
	return taken, err
}

// Watched does something that changes the disk, and tells see of each step before it is made; an error of see is that of the step, which is not made then. It is for tests.
// Steps of other goroutines count as well, so one call runs at a time.
func Watched(see func(kind Kind, path string) error, do func() error) error {
	watcher.Store(&see)
	defer watcher.Store(nil)
	return do()
}

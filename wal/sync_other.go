//go:build !linux

package wal

import (
	"errors"
	"os"

	"opossum/internal/step"
)

// settle can only sync here: there is no portable way to drop a file from the cache.
func settle(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(step.Sync(f), f.Close())
}

// settleOpen makes durable what f holds, which is open for reading only: Windows does not permit that.
func settleOpen(f *os.File) error { return step.Sync(f) }

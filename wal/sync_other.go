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

// settleFrom makes durable what f holds, which is open for reading only: Windows does not permit that.
func settleFrom(f *os.File, _ int64) error { return step.Sync(f) }

//go:build !linux

package wal

import (
	"errors"
	"os"
	"runtime"
)

// fdatasync is a full sync where there is no cheaper call that keeps the promise (on macOS Go asks for F_FULLFSYNC).
func fdatasync(f *os.File) error { return f.Sync() }

// settle can only sync here: there is no portable way to drop a file from the cache.
func settle(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// settleFrom makes durable what f holds, which is open for reading only: Windows does not permit that.
func settleFrom(f *os.File, _ int64) error { return f.Sync() }

// syncDir makes the names in a directory durable. Windows has no such call; the README says what is not promised there.
func syncDir(path string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

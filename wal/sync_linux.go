package wal

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"opossum/internal/step"
)

// settle makes the file durable and drops it from the page cache, so that the next read shows what the disk holds.
func settle(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if err := step.Sync(f); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		return errors.Join(fmt.Errorf("fadvise %s: %w", path, err), f.Close())
	}
	return f.Close()
}

// settleOpen makes durable what f holds, which may be open for reading only, and drops it from the page cache. A file system that knows no sync is one that
// is never written, and shows what it holds.
//
// It drops all of the file, although only its end may be in doubt: the kernel keeps whatever is in one piece of memory with what is not to be dropped, and such
// a piece may be megabytes.
func settleOpen(f *os.File) error {
	if err := step.Datasync(f); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.EOPNOTSUPP) {
		return err
	}
	if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		return fmt.Errorf("fadvise %s: %w", f.Name(), err)
	}
	return nil
}

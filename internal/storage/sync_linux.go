package storage

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"opossum/internal/step"
)

// fdatasync is the call of the log, which is what is measured here.
func fdatasync(f *os.File) error {
	err := step.Do(step.KindSync, f.Name(), func() error {
		for {
			if err := unix.Fdatasync(int(f.Fd())); err != unix.EINTR {
				return err
			}
		}
	})
	if err != nil {
		return fmt.Errorf("fdatasync %s: %w", f.Name(), err)
	}
	return nil
}

package step

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Datasync makes the bytes and the length of f durable; time stamps may stay behind, and f may be open for reading only.
func Datasync(f *os.File) error {
	err := Do(KindSync, f.Name(), func() error {
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

//go:build unix

package segment

import (
	"os"

	"golang.org/x/sys/unix"
)

// mapFile returns the contents of f, which stay readable after f is closed. size is that of f, and not 0, which cannot be mapped.
func mapFile(f *os.File, size int) ([]byte, error) {
	b, err := unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ, unix.MAP_SHARED)
	return b, os.NewSyscallError("mmap", err)
}

func unmap(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	return os.NewSyscallError("munmap", unix.Munmap(b))
}

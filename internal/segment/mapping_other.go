//go:build !unix

package segment

import (
	"io"
	"os"
)

// mapFile returns the contents of f. Here they are read into memory: a mapped file could not be removed or replaced on Windows.
func mapFile(f *os.File, size int) ([]byte, error) {
	b := make([]byte, size)
	_, err := io.ReadFull(io.NewSectionReader(f, 0, int64(size)), b)
	return b, err
}

func unmap([]byte) error { return nil }

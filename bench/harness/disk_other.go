//go:build !unix

package harness

import (
	"errors"
	"fmt"
	"io/fs"
)

// freeBytes has no counterpart here.
func freeBytes(string) (uint64, error) {
	return 0, fmt.Errorf("the free space of a disk: %w on this system", errors.ErrUnsupported)
}

// diskBytes is the size of a file: blocks cannot be told here.
func diskBytes(info fs.FileInfo) uint64 { return uint64(info.Size()) }

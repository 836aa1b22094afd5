//go:build !linux

package harness

import (
	"errors"
	"fmt"
	"os"
)

// syncData falls back to a whole fsync (on macOS with F_FULLFSYNC, which os.File.Sync does there).
func syncData(f *os.File) error { return f.Sync() }

// syncFileSystem has no counterpart here. The way that needs it says so instead of measuring something else.
func syncFileSystem(*os.File) error {
	return fmt.Errorf("syncfs: %w on this system", errors.ErrUnsupported)
}

// syncDir leaves the names in a directory to the file system: not every system can sync a directory.
func syncDir(string) error { return nil }

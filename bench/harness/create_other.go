//go:build !linux

package harness

import (
	"os"
	"path/filepath"
)

// createIn makes a file in the directory under its name.
func createIn(dir *os.File, name string, text []byte) error {
	return writeFile(filepath.Join(dir.Name(), name), text, false)
}

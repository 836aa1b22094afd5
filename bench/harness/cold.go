package harness

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// readThrough reads every file below dir once, so that the system has what it holds in memory, as far as there is room.
func readThrough(dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, f)
		return errors.Join(err, f.Close())
	})
}

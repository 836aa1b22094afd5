package recovery

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"opossum/dcb"
	"opossum/internal/eventfile"
	"opossum/ledger"
)

// Exists reports whether dir holds a store, be it sound, damaged or of another version. An empty or missing directory does not, and neither does a
// creation that did not finish. It changes nothing, and in a directory with a ledger it looks no further.
//
// Errors: ErrNotStore if dir holds other things, or is none; those of the file system.
func Exists(dir string) (bool, error) {
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if !info.IsDir() {
		return false, fmt.Errorf("%s is no directory: %w", dir, dcb.ErrNotStore)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return false, err
	}
	if err := CheckNames(dir, entries); err != nil {
		return false, err
	}
	has := func(name string) bool {
		return slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() == name })
	}
	switch {
	case has(ledger.FileName):
		return true, nil
	case !has(EventsDir): // creation makes it next after the lock
		return has(WALDir) || has(IndexDir), nil
	}
	files, err := eventfile.OpenExisting(filepath.Join(dir, EventsDir))
	if err != nil {
		return false, err
	}
	state, err := Inspect(dir, files, false)
	if errors.Is(err, dcb.ErrCorrupt) {
		state.New, err = false, nil
	}
	return err == nil && !state.New, errors.Join(err, files.Close())
}

package pack

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"opossum/dcb"
	"opossum/internal/step"
)

const (
	suffix     = ".pack"
	tempPrefix = ".tmp-"

	dirPerm  = 0o755 // narrowed by the umask of the owner, as for every other file
	filePerm = 0o644
)

// Name returns the name of the file of a range, "00000000000000000001-00000000000000010000.pack".
func Name(r Range) string { return fmt.Sprintf("%020d-%020d%s", r.First, r.Last, suffix) }

// parseName accepts only what Name makes of a valid range, so that one range cannot have two names.
func parseName(name string) (Range, bool) {
	first, rest, _ := strings.Cut(name, "-")
	last, _, _ := strings.Cut(rest, ".")
	a, errA := strconv.ParseUint(first, 10, 64)
	b, errB := strconv.ParseUint(last, 10, 64)
	r := Range{dcb.Position(a), dcb.Position(b)}
	return r, errA == nil && errB == nil && r.valid() && Name(r) == name
}

// Listing is what a directory of packs holds. Each part ascends.
type Listing struct {
	Ranges []Range  // of files with the name of a pack, be they whole or not
	Temps  []string // names of files that were being written when a process died
	Others []string // names that are not of packs
}

// ListDir reads the names in a directory of packs; a missing directory is an empty one. Directories and symbolic links are others, whatever
// their names: a pack is a regular file.
func ListDir(dir string) (Listing, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return Listing{}, nil
	}
	if err != nil {
		return Listing{}, fmt.Errorf("pack: list: %w", err)
	}
	var l Listing
	for _, e := range entries {
		r, ok := parseName(e.Name())
		switch {
		case e.Type().IsRegular() && ok:
			l.Ranges = append(l.Ranges, r)
		case e.Type().IsRegular() && isTemp(e.Name()):
			l.Temps = append(l.Temps, e.Name())
		default:
			l.Others = append(l.Others, e.Name())
		}
	}
	slices.SortFunc(l.Ranges, func(a, b Range) int { return cmp.Or(cmp.Compare(a.First, b.First), cmp.Compare(a.Last, b.Last)) })
	return l, nil
}

func isTemp(name string) bool { return strings.HasPrefix(name, tempPrefix) }

// Remove deletes the file of a range, if it is there. It needs no sync: a deletion that a power cut undoes brings back a pack whose events
// stand elsewhere as well.
func Remove(dir string, r Range) error { return remove(filepath.Join(dir, Name(r))) }

// RemoveTemp deletes a half-written file by its name in Listing.Temps, and refuses any other name. REQUIRES: nobody writes it.
func RemoveTemp(dir, name string) error {
	if !isTemp(name) || filepath.Base(name) != name {
		return fmt.Errorf("pack: %q is not the name of a temporary file", name)
	}
	return remove(filepath.Join(dir, name))
}

func remove(path string) error {
	if err := step.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("pack: remove: %w", err)
	}
	return nil
}

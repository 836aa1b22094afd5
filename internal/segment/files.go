package segment

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
	suffix     = ".idx"
	tempPrefix = ".tmp-"

	dirPerm  = 0o755 // narrowed by the umask of the owner, as for every other file
	filePerm = 0o644
)

// Name returns the name of the file of a range, "00000000000000000001-00000000000000008192.idx".
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

// Listing is what the directory of an index holds. Each part ascends.
type Listing struct {
	Ranges []Range  // of files with the name of a segment, be they whole or not
	Temps  []string // names of files that were being built when a process died
	Others []string // names that are not the index's own
}

// ListDir reads the names in the directory of an index; a missing directory is an empty one. Directories and
// symbolic links are others, whatever their names: a segment is a regular file.
func ListDir(dir string) (Listing, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return Listing{}, nil
	}
	if err != nil {
		return Listing{}, fmt.Errorf("segment: list: %w", err)
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
	slices.SortFunc(l.Ranges, compareRanges)
	return l, nil
}

func isTemp(name string) bool { return strings.HasPrefix(name, tempPrefix) }

// compareRanges orders by the first position, and of those that start together the widest first.
func compareRanges(a, b Range) int {
	return cmp.Or(cmp.Compare(a.First, b.First), cmp.Compare(b.Last, a.Last))
}

// Remove deletes the file of a range, if it is there. It needs no sync: a deletion that a power cut undoes brings back a
// segment that is whole and superseded.
func Remove(dir string, r Range) error { return remove(filepath.Join(dir, Name(r))) }

// RemoveTemp deletes a half-built file by its name in Listing.Temps, and refuses any other name. REQUIRES: nobody builds it.
func RemoveTemp(dir, name string) error {
	if !isTemp(name) || filepath.Base(name) != name {
		return fmt.Errorf("segment: %q is not the name of a temporary file", name)
	}
	return remove(filepath.Join(dir, name))
}

func remove(path string) error {
	if err := step.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("segment: remove: %w", err)
	}
	return nil
}

// Cover chooses from ranges, in any order, those that count: disjoint and ascending. Of two that overlap, the wider one
// counts; of two equally wide ones, the one that starts lower. All others, doubles too, are superseded, ascending.
//
// A merge is wider than what it merged, so that both may lie side by side after a crash. Wider ranges are placed first;
// one that overlaps a placed one is superseded by it.
func Cover(ranges []Range) (chosen, superseded []Range) {
	byWidth := slices.SortedFunc(slices.Values(ranges), func(a, b Range) int {
		return cmp.Or(cmp.Compare(b.span(), a.span()), cmp.Compare(a.First, b.First))
	})
	for _, r := range byWidth {
		// chosen ascends and is disjoint, so only the neighbours of r's place can overlap it.
		i, _ := slices.BinarySearchFunc(chosen, r.First, func(c Range, first dcb.Position) int { return cmp.Compare(c.Last, first) })
		if i < len(chosen) && chosen[i].First <= r.Last {
			superseded = append(superseded, r)
		} else {
			chosen = slices.Insert(chosen, i, r)
		}
	}
	slices.SortFunc(superseded, compareRanges)
	return chosen, superseded
}

package eventfile

import (
	"errors"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"

	"opossum/dcb"
)

// Entry is something in a directory of event files, as [Walk] finds it.
type Entry struct {
	Path     string
	Position dcb.Position // whose file it is by its name and place; 0: nobody's
	Temp     bool         // a temporary file that a killed process left behind
}

// Walk yields what is in the directory dir: event files by their names, ascending by position, and whatever else stands there or in
// a shard. Shards themselves are not yielded, foreign directories are, but not what is in them. It opens no file. A missing
// directory is an empty one; any other error is yielded once, last.
func Walk(dir string) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		top, err := listDir(dir)
		if err != nil {
			yield(Entry{}, err)
			return
		}
		for _, e := range top {
			path := filepath.Join(dir, e.Name())
			first, ok := parseDigits(e.Name())
			if !ok || ShardOf(first) != first || !e.IsDir() {
				if !yield(Entry{Path: path}, nil) {
					return
				}
				continue
			}
			if !walkShard(path, first, yield) {
				return
			}
		}
	}
}

func walkShard(shard string, first dcb.Position, yield func(Entry, error) bool) (more bool) {
	entries, err := listDir(shard)
	if err != nil {
		yield(Entry{}, err)
		return false
	}
	for _, e := range entries {
		found := Entry{Path: shard + string(filepath.Separator) + e.Name()}
		if p, ok := parseFileName(e.Name(), first); ok {
			found.Position = p
		} else {
			found.Temp = strings.HasPrefix(e.Name(), tempPrefix) && e.Type().IsRegular()
		}
		if !yield(found, nil) {
			return false
		}
	}
	return true
}

// listDir returns the entries of a directory by name; of a missing one, none.
func listDir(dir string) ([]fs.DirEntry, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return entries, err
}

// Path returns the name of the file of p in the directory dir of event files, whether or not it exists.
func Path(dir string, p dcb.Position) string {
	return filepath.Join(dir, digits(ShardOf(p)), fileName(p))
}

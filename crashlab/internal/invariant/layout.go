package invariant

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"opossum"
)

// layout is which shards of a store are loose and which are packed, by their names (docs/format/event-file.md, docs/format/pack.md).
type layout struct {
	shards []opossum.Position                    // first ones of the directories of event files, ascending; not of those that only something else keeps
	packs  map[opossum.Position]opossum.Position // first to last
}

func layoutOf(dir string) (layout, error) {
	l := layout{packs: map[opossum.Position]opossum.Position{}}
	packs, err := names(filepath.Join(dir, "packs"))
	if err != nil {
		return l, err
	}
	for _, name := range packs {
		from, to, _ := strings.Cut(strings.TrimSuffix(name, ".pack"), "-")
		first, err1 := strconv.ParseUint(from, 10, 64)
		last, err2 := strconv.ParseUint(to, 10, 64)
		if errors.Join(err1, err2) == nil {
			l.packs[opossum.Position(first)] = opossum.Position(last)
		}
	}
	shards, err := names(filepath.Join(dir, "events"))
	if err != nil {
		return l, err
	}
	for _, name := range shards {
		first, err := strconv.ParseUint(name, 10, 64)
		if err != nil {
			continue
		}
		files, err := names(filepath.Join(dir, "events", name))
		if err != nil {
			return l, err
		}
		if len(files) == 0 || slices.ContainsFunc(files, func(name string) bool { return strings.HasSuffix(name, ".json") }) {
			l.shards = append(l.shards, opossum.Position(first))
		}
	}
	return l, nil
}

// packed reports whether a pack has the position.
func (l layout) packed(p opossum.Position) bool {
	for first, last := range l.packs {
		if first <= p && p <= last {
			return true
		}
	}
	return false
}

// String says what there is, for counting what a run has met.
func (l layout) String() string {
	switch both := len(l.both()); {
	case both > 0:
		return "shards both packed and loose"
	case len(l.packs) == 0:
		return "no packs"
	case len(l.shards) > 1:
		return "packed shards and loose ones"
	}
	return "packs, and one loose shard at most"
}

// both returns the shards that are loose and packed.
func (l layout) both() []opossum.Position {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(l.packs)), func(first opossum.Position) bool { return !slices.Contains(l.shards, first) })
}

// names lists a directory by name; one that is not there is empty.
func names(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out, err
}

// How long a store that has nothing to do may take to bring its shards in order, and how often it is looked at meanwhile.
const (
	untilIdle = 20 * time.Second
	lookEvery = 2 * time.Millisecond
)

// awaitIdle returns when no shard is both loose and packed. That they never come to an end is an error. REQUIRES: the store is open, and packs.
func awaitIdle(ctx context.Context, dir string) error {
	ctx, cancel := context.WithTimeout(ctx, untilIdle)
	defer cancel()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		l, err := layoutOf(dir)
		if err != nil || len(l.both()) == 0 {
			return err
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return fmt.Errorf("after %v of idle time these shards are both loose and packed: %v", untilIdle, l.both())
		}
	}
}

// nothingUnfinished: what was being written, in a crash or before a close, is gone; of event files only if there was something to be recovered, because
// there may be too many of them to look otherwise.
func nothingUnfinished(dir string, recovered bool) error {
	rooms := []string{"packs", "index"}
	if recovered {
		rooms = append(rooms, "events")
	}
	for _, room := range rooms {
		err := filepath.WalkDir(filepath.Join(dir, room), func(path string, d fs.DirEntry, err error) error {
			if err == nil && strings.HasPrefix(d.Name(), ".tmp-") {
				err = fmt.Errorf("%s is left of what was being written", path)
			}
			return err
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

package eventfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"opossum/dcb"
	"opossum/internal/pack"
	"opossum/internal/step"
)

// HighestValid returns the highest position above the given one that is intact in a file or a pack, and the path of that; 0 if there
// is none. It walks down from the top and reads no file of a position that is not above. What is damaged is passed over; what
// cannot be read, or is not permitted to be, is an error, since it might have been the answer.
func (s *Store) HighestValid(above dcb.Position) (p dcb.Position, file string, err error) {
	packed, path, err := s.packs.highest(above)
	if err != nil {
		return 0, "", err
	}
	if p, file, err = s.highestLoose(max(above, packed)); err != nil || p > 0 {
		return p, file, err
	}
	return packed, path, nil
}

func (s *Store) highestLoose(above dcb.Position) (p dcb.Position, file string, err error) {
	shards, err := s.shards()
	if err != nil {
		return 0, "", err
	}
	for _, first := range slices.Backward(shards) {
		if above >= first && above-first >= ShardPositions-1 {
			break // this shard and all before it end at or before above
		}
		p, err := s.highestValidIn(first, above)
		if err != nil {
			return 0, "", err
		}
		if p != 0 {
			return p, s.Path(p), nil
		}
	}
	return 0, "", nil
}

func (s *Store) highestValidIn(first, above dcb.Position) (dcb.Position, error) {
	entries, err := s.entries(first)
	if err != nil {
		return 0, err
	}
	for _, e := range slices.Backward(entries) {
		p, ok := parseFileName(e.Name(), first)
		if !ok {
			continue
		}
		if p <= above {
			break
		}
		_, err := s.readLoose(p)
		switch {
		case err == nil:
			return p, nil
		case !errors.Is(err, dcb.ErrCorrupt) && !errors.Is(err, fs.ErrNotExist):
			return 0, err
		}
	}
	return 0, nil
}

// RemoveTemp removes the temporary files that a killed process left behind, half-written packs included, and returns their paths; after an error, those
// that it has removed so far. REQUIRES: no Write and no Packing is in progress.
func (s *Store) RemoveTemp() (removed []string, err error) {
	err = s.walk(func(shard string, _ dcb.Position, e fs.DirEntry) error {
		if !strings.HasPrefix(e.Name(), tempPrefix) || !e.Type().IsRegular() {
			return nil
		}
		path := filepath.Join(shard, e.Name())
		if err := step.Remove(path); err != nil {
			return err
		}
		removed = append(removed, path)
		return nil
	})
	if err != nil {
		return removed, err
	}
	packs, err := s.RemovePackTemp()
	return append(removed, packs...), err
}

// RemovePackTemp is RemoveTemp for packs alone, which does not walk through the shards. REQUIRES: no Packing is in progress.
func (s *Store) RemovePackTemp() (removed []string, err error) {
	found, err := pack.ListDir(s.packs.dir)
	for _, name := range found.Temps {
		if err := pack.RemoveTemp(s.packs.dir, name); err != nil {
			return removed, err
		}
		removed = append(removed, filepath.Join(s.packs.dir, name))
	}
	return removed, err
}

// LooseShards returns the first positions of the shards that have a directory of loose files, be it full or not, ascending.
func (s *Store) LooseShards() ([]dcb.Position, error) { return s.shards() }

// HasLoose reports whether there is a loose file of the shard that begins at first.
func (s *Store) HasLoose(first dcb.Position) (bool, error) {
	entries, err := s.entries(first)
	return slices.ContainsFunc(entries, func(e fs.DirEntry) bool {
		_, ok := parseFileName(e.Name(), first)
		return ok
	}), err
}

// RemoveLoose removes the loose files of the positions from one to another, both included, as far as there are any, and the directory of a shard with the last
// of its positions, if nothing else is in it. REQUIRES: their events are durable in packs.
func (s *Store) RemoveLoose(from, to dcb.Position) error {
	for p := from; p <= to; p++ {
		if err := step.Remove(s.Path(p)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if shard := ShardOf(p); p == shard+ShardPositions-1 {
			s.writer.forgetShard(shard)
			if err := step.Remove(s.shardPath(shard)); err != nil && !errors.Is(err, fs.ErrNotExist) && !notEmpty(err) {
				return err
			}
		}
	}
	return nil
}

// notEmpty reports whether err is that of removing a directory that has something in it.
func notEmpty(err error) bool {
	return errors.Is(err, syscall.ENOTEMPTY) || errors.Is(err, fs.ErrExist)
}

// Usage returns the number of event files and the bytes that they occupy on disk: whole blocks where the system tells, else
// their sizes. Files that come and go meanwhile may or may not count.
func (s *Store) Usage() (files int, bytes int64, err error) {
	err = s.walk(func(_ string, first dcb.Position, e fs.DirEntry) error {
		if _, ok := parseFileName(e.Name(), first); !ok {
			return nil
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		files++
		bytes += allocated(info)
		return nil
	})
	return files, bytes, err
}

// walk calls f for everything in each shard, in ascending order, until it fails.
func (s *Store) walk(f func(shard string, first dcb.Position, e fs.DirEntry) error) error {
	shards, err := s.shards()
	if err != nil {
		return err
	}
	for _, first := range shards {
		entries, err := s.entries(first)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if err := f(s.shardPath(first), first, e); err != nil {
				return err
			}
		}
	}
	return nil
}

// shards returns the first positions of the shard directories that exist, ascending. Other things in the directory are
// not ours.
func (s *Store) shards() (firsts []dcb.Position, err error) {
	if s.closed.Load() {
		return nil, &fs.PathError{Op: "list", Path: s.dir, Err: fs.ErrClosed}
	}
	entries, err := os.ReadDir(s.dir)
	for _, e := range entries {
		if p, ok := parseDigits(e.Name()); ok && ShardOf(p) == p && e.IsDir() {
			firsts = append(firsts, p)
		}
	}
	return firsts, err
}

// entries lists a shard by name; a shard that was removed since it was seen is empty.
func (s *Store) entries(first dcb.Position) ([]fs.DirEntry, error) {
	entries, err := os.ReadDir(s.shardPath(first))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return entries, err
}

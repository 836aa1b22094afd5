package eventfile

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"opossum/dcb"
	"opossum/internal/step"
)

// Sync makes durable what every Write and Commit that has returned has written, names and directories included.
//
// Where syncfs reports errors (Linux since 5.8) it is one syncfs of the file system that holds the directory; elsewhere
// each file and each directory is synced by itself. There, an I/O error that the system met while nobody had the file open
// can go unnoticed; that is the best that such a system offers.
//
// A failed Sync is final: the system has dropped what it could not write and would call the next sync a success. Every
// later Sync therefore returns the same error. Open a new Store and write everything since the last successful Sync again.
func (s *Store) Sync() error {
	s.syncs.Lock()
	defer s.syncs.Unlock()
	if s.syncs.failed != nil {
		return s.syncs.failed
	}
	if s.closed.Load() {
		return &fs.PathError{Op: "sync", Path: s.dir, Err: fs.ErrClosed}
	}
	if s.perFile {
		s.syncs.failed = s.syncEach(s.pending.take())
	} else {
		s.syncs.failed = s.syncfs()
	}
	return s.syncs.failed
}

// Settle takes in what the system has to say of writes before this Store: a process that dies before it is told of a failed write leaves the error
// to whoever syncs next, and there it would end filing for what nobody rests on. REQUIRES: nothing was written by this Store, and nothing that was not
// synced before it is believed.
func (s *Store) Settle() {
	if !s.perFile {
		_ = s.syncfs() // the error is of files that are written anew
	}
}

// pending are the positions and packs written and not yet synced. Only the way that syncs file by file keeps them.
type pending struct {
	sync.Mutex
	positions map[dcb.Position]struct{}
	packs     []dcb.Position // the shards
}

func (p *pending) addPack(shard dcb.Position) {
	p.Lock()
	defer p.Unlock()
	p.packs = append(p.packs, shard)
}

func (p *pending) add(pos dcb.Position) {
	p.Lock()
	defer p.Unlock()
	if p.positions == nil {
		p.positions = make(map[dcb.Position]struct{})
	}
	p.positions[pos] = struct{}{}
}

func (p *pending) take() (positions, packs []dcb.Position) {
	p.Lock()
	defer p.Unlock()
	positions, packs = slices.Sorted(maps.Keys(p.positions)), p.packs
	p.positions, p.packs = nil, nil
	return positions, packs
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// maxSyncs is how many files are synced at a time: enough for the file system to put many into one commit of its journal.
const maxSyncs = 32

func (s *Store) syncEach(written, packed []dcb.Position) error {
	files, dirs := s.toSync(written, packed)
	if err := syncAll(files, openToSync); err != nil {
		return err
	}
	if runtime.GOOS == "windows" { // which cannot sync a directory, and logs changes of names by itself
		return nil
	}
	return syncAll(dirs, os.Open)
}

// toSync lists what must be synced for the files of the ascending positions: the files, then their shards, the directory and
// its parent. The last two are always included, because a killed process may have made a directory and never synced it. The same holds for packs.
func (s *Store) toSync(written, packed []dcb.Position) (files, dirs []string) {
	if len(written)+len(packed) == 0 {
		return nil, nil
	}
	for _, p := range written {
		files = append(files, s.Path(p))
		dirs = append(dirs, s.shardPath(ShardOf(p)))
	}
	dirs = slices.Compact(dirs)
	for _, shard := range packed {
		if path := s.packs.path(shard); exists(path) { // else it was removed again
			files = append(files, path)
		}
	}
	if len(packed) > 0 {
		dirs = append(dirs, s.packs.dir)
	}
	return files, append(dirs, s.dir, filepath.Dir(s.dir))
}

// openToSync opens a file: Windows syncs only what is open for writing.
func openToSync(path string) (*os.File, error) { return os.OpenFile(path, os.O_RDWR, 0) }

func syncAll(paths []string, open func(string) (*os.File, error)) error {
	var g errgroup.Group
	g.SetLimit(maxSyncs)
	for _, path := range paths {
		g.Go(func() error {
			f, err := open(path)
			if err != nil {
				return err
			}
			return errors.Join(step.Sync(f), f.Close())
		})
	}
	return g.Wait()
}

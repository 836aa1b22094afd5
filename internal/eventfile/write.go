package eventfile

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"

	"opossum/dcb"
	"opossum/internal/step"
)

// tempNames makes the names of temporary files. They never meet those that a killed process left behind, whose number may
// be the same, as in a container.
type tempNames struct {
	store uint64
	last  atomic.Uint64
}

func newTempNames() tempNames { return tempNames{store: rand.Uint64()} }

func (n *tempNames) next() string {
	return tempPrefix + strconv.FormatUint(n.store, 16) + "-" + strconv.FormatUint(n.last.Add(1), 16)
}

// writeRenamed writes under a temporary name and renames: the way that works everywhere.
func (s *Store) writeRenamed(p dcb.Position, text []byte) error {
	shard := s.shardPath(ShardOf(p))
	temp := filepath.Join(shard, s.writer.temp.next())
	err := makeShard(shard)
	if err == nil {
		err = createTemp(temp, text)
	}
	if err != nil {
		return &fs.PathError{Op: "write", Path: s.Path(p), Err: err}
	}
	if err := step.Rename(temp, s.Path(p)); err != nil {
		return errors.Join(err, step.Remove(temp))
	}
	return nil
}

// makeShard creates the directory unless it exists. A link in its place is refused: it might lead out of the file system that
// Sync syncs.
func makeShard(shard string) error {
	info, err := os.Lstat(shard)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err = step.Mkdir(shard, dirMode); errors.Is(err, fs.ErrExist) {
			err = nil
		}
	case err == nil && !info.IsDir():
		err = syscall.ENOTDIR
	}
	return err
}

// createTemp leaves either a complete file or none.
func createTemp(temp string, text []byte) error {
	f, err := step.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return err
	}
	if err = errors.Join(step.Write(f, text), f.Close()); err != nil {
		return errors.Join(err, step.Remove(temp))
	}
	return nil
}

package harness

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"

	"github.com/tidwall/wal"
	"golang.org/x/sync/errgroup"
)

// RotateBytes is the size at which the bare log leaves a generation for the next. tidwall/wal keeps the whole log in memory
// and grows that memory by a quarter at a time, which copies and first touches about five bytes for each one logged: the
// longer the log, the longer a write can take. README.md has the figures.
const RotateBytes = 4 << 20

// generations is the medium of the bare log: github.com/tidwall/wal used the way that suits it best. One log per
// directory, a frame per entry, no cycling of segments, and fdatasync through an own descriptor, outside its lock. The
// next directory is built while the last one is being written.
type generations struct {
	dir    string
	rotate int // bytes
	live   *generation
	built  chan built     // the next generation; always one under way or waiting
	left   errgroup.Group // closes the generations that are full
}

type built struct {
	generation *generation
	err        error
}

// generation is one directory with one log.
type generation struct {
	no      uint64
	log     *wal.Log
	file    *os.File // the log's only file, a second time
	entries uint64
	bytes   int
}

func openGenerations(dir string, rotate int) (*generations, error) {
	first, err := newGeneration(dir, 1)
	if err != nil {
		return nil, err
	}
	g := &generations{dir: dir, rotate: rotate, live: first, built: make(chan built, 1)}
	go g.build(2)
	return g, nil
}

func (g *generations) build(no uint64) {
	next, err := newGeneration(g.dir, no)
	g.built <- built{next, err}
}

// newGeneration makes an empty log whose name is durable.
func newGeneration(dir string, no uint64) (*generation, error) {
	path := filepath.Join(dir, strconv.FormatUint(no, 10))
	log, err := wal.Open(path, &wal.Options{NoSync: true, SegmentSize: math.MaxInt, AllowEmpty: true})
	if err != nil {
		return nil, fmt.Errorf("open log %s: %w", path, err)
	}
	file, err := os.OpenFile(filepath.Join(path, "00000000000000000001"), os.O_RDWR, 0)
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	g := &generation{no: no, log: log, file: file}
	if err := errors.Join(syncDir(path), syncDir(dir)); err != nil {
		return nil, errors.Join(err, g.close())
	}
	return g, nil
}

func (g *generation) close() error { return errors.Join(g.log.Close(), g.file.Close()) }

func (g *generations) reserve(n int) (moved bool, err error) {
	if g.live.entries == 0 {
		return true, nil
	}
	if g.live.bytes+n <= g.rotate {
		return false, nil
	}
	next := <-g.built
	if next.err != nil {
		g.built <- next // for close
		return false, next.err
	}
	g.left.Go(g.live.close)
	g.live = next.generation
	go g.build(g.live.no + 1)
	return true, nil
}

func (g *generations) next() place {
	return place{generation: g.live.no, no: g.live.entries + 1, offset: uint64(g.live.bytes)}
}

func (g *generations) write(frame []byte) error {
	g.live.entries++
	g.live.bytes += entryBytes(len(frame))
	return g.live.log.Write(g.live.entries, frame)
}

// entryBytes returns what tidwall/wal needs for n bytes: it puts their length before them.
func entryBytes(n int) int {
	var length [binary.MaxVarintLen64]byte
	return binary.PutUvarint(length[:], uint64(n)) + n
}

func (g *generations) sync() error { return syncData(g.live.file) }

func (g *generations) close() error {
	next := <-g.built
	if next.err == nil {
		next.err = next.generation.close()
	}
	return errors.Join(g.live.close(), next.err, g.left.Wait())
}

// Package eventfile keeps filed events: as loose files, one file per event, readable by people and tools, and as packs of whole shards.
//
//	<dir>/<shard>/<position>.json
//	<dir>/../packs/<first>-<last>.pack
//
// A shard is a directory of 10,000 positions, named by its first; position p lies in shard (p-1)/10000, counted from 0.
// Names have 20 digits, so that sorting by name is sorting by position:
//
//	events/00000000000000000001/00000000000000000042.json
//	events/00000000000000010001/00000000000000010001.json
//
// An event may stand in both for a while, because packing writes the pack first and removes the files when it is durable. Then the pack answers, and
// a loose file where the pack is damaged: both have checksums of their own, and nothing else is believed.
//
// The content of a loose file is the text of [codec.AppendText]; docs/format/event-file.md describes it. Everything here is derived from
// the log until [Store.Sync] has returned nil for it. Until then a power cut may leave any file missing, empty or wrong.
package eventfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"opossum/dcb"
	"opossum/internal/step"
)

const (
	nameDigits = 20 // of the largest Position
	fileSuffix = ".json"
	tempPrefix = ".tmp-"

	// Events are as private as the directory that the store is in; the umask narrows these as usual.
	dirMode  = 0o755
	fileMode = 0o644
)

// Store is a directory of event files. Its methods are safe for concurrent use, except where they say otherwise.
// REQUIRES: while it is open, nobody else moves its shard directories. Removing files that are synced, or whole shards of
// them, is allowed.
type Store struct {
	dir    string   // absolute, so that a change of the working directory changes nothing
	root   *os.File // held from before the first write: only so does syncfs report every failed write-back
	closed atomic.Bool
	writer writer
	packs  packs

	perFile bool // sync file by file; set by Open and by tests, before the first write
	pending pending
	syncs   struct {
		sync.Mutex       // one Sync at a time: what a running one has taken off pending is not durable yet
		failed     error // the first failure, for ever
	}
}

// Open opens the directory dir, and creates it if it is missing; its parent must exist.
func Open(dir string) (*Store, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if err := step.Mkdir(abs, dirMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return openRoot(abs)
}

// OpenExisting opens a directory to read from: it creates nothing. The error Is [fs.ErrNotExist] if it is missing.
// REQUIRES: only Bind, Read, ReadBatch, Path, Home, HighestValid, Usage, PackUsage and Close are called.
func OpenExisting(dir string) (*Store, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	return openRoot(abs)
}

func openRoot(abs string) (*Store, error) {
	root, err := os.Open(abs)
	if err != nil {
		return nil, err
	}
	info, err := root.Stat()
	if err == nil && !info.IsDir() {
		err = &fs.PathError{Op: "open", Path: abs, Err: syscall.ENOTDIR}
	}
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return &Store{
		dir: abs, root: root, writer: newWriter(), packs: newPacks(filepath.Join(filepath.Dir(abs), packDir)), perFile: !syncfsReports(),
	}, nil
}

// BoundCache sets how many bytes of decompressed blocks may be kept in memory; before, it is a MiB.
func (s *Store) BoundCache(bytes int64) { s.packs.blocks.bound(bytes) }

// Close releases the directory. It syncs nothing. Later calls of any method but Close fail with [fs.ErrClosed].
func (s *Store) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	s.writer.close()
	s.packs.close()
	return s.root.Close()
}

// Write makes text the file of p. An observer sees the former file or none until it sees the whole new one; what was there
// is always replaced, because it may be damage. Nothing is durable before [Store.Sync].
//
// A failed Write leaves the former file, or the new one if the last step failed, and no other. The error names the path
// and wraps that of the operating system, such as syscall.ENOSPC. It is [fs.ErrInvalid] if p is 0.
func (s *Store) Write(p dcb.Position, text []byte) error {
	if err := s.check("write", p); err != nil {
		return err
	}
	if err := s.writeFile(p, text); err != nil {
		return err
	}
	if s.perFile {
		s.pending.add(p)
	}
	return nil
}

// check refuses what no file can exist for.
func (s *Store) check(op string, p dcb.Position) error {
	if s.closed.Load() {
		return &fs.PathError{Op: op, Path: s.dir, Err: fs.ErrClosed}
	}
	if p == 0 {
		return &fs.PathError{Op: op, Path: filepath.Join(s.dir, fileName(p)), Err: fs.ErrInvalid}
	}
	return nil
}

// ShardOf returns the first position of the shard of p, which names it. REQUIRES: p > 0.
func ShardOf(p dcb.Position) dcb.Position { return (p-1)/ShardPositions*ShardPositions + 1 }

func (s *Store) shardPath(first dcb.Position) string {
	return s.dir + string(filepath.Separator) + digits(first)
}

// Home returns the path of what the event at p is read from first: the pack of its shard, if there is one, else its own file.
func (s *Store) Home(p dcb.Position) string {
	if shard := ShardOf(max(p, 1)); s.packs.has(shard) {
		return s.packs.path(shard)
	}
	return s.Path(p)
}

// Path returns the name of the file of p, whether or not it exists.
func (s *Store) Path(p dcb.Position) string {
	return s.shardPath(ShardOf(p)) + string(filepath.Separator) + fileName(p)
}

func fileName(p dcb.Position) string { return digits(p) + fileSuffix }

func digits(p dcb.Position) string {
	var b [nameDigits]byte
	for i := nameDigits - 1; i >= 0; i-- {
		b[i] = byte('0' + p%10)
		p /= 10
	}
	return string(b[:])
}

// parseDigits is the inverse of digits; ok is false for every other string.
func parseDigits(name string) (p dcb.Position, ok bool) {
	n, err := strconv.ParseUint(name, 10, 64)
	return dcb.Position(n), err == nil && len(name) == nameDigits && n > 0
}

// parseFileName is the inverse of fileName for the positions of the shard that starts at first.
func parseFileName(name string, first dcb.Position) (p dcb.Position, ok bool) {
	stem, ok := strings.CutSuffix(name, fileSuffix)
	if !ok {
		return 0, false
	}
	p, ok = parseDigits(stem)
	return p, ok && ShardOf(p) == first
}

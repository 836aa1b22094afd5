package wal

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	tidwall "github.com/tidwall/wal"

	"opossum/dcb"
	"opossum/internal/step"
)

const (
	segmentFile = "00000000000000000001" // tidwall/wal's name for a log that starts at index 1
	tempSuffix  = ".tmp"
	ackedFile   = "ACKED"

	dirPerm  = 0o755 // narrowed by the umask of the owner, as for every other file
	filePerm = 0o644
)

// Listing is what a log directory holds.
type Listing struct {
	Generations []uint64 // ascending
	Temps       []string // names of generations that were being built or removed when a process died
}

// List reads the names in a log directory. Names that are not the log's own are left alone.
func List(dir string) (Listing, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return Listing{}, fmt.Errorf("wal: list: %w", err)
	}
	var l Listing
	for _, e := range entries {
		name, temp := strings.CutSuffix(e.Name(), tempSuffix)
		gen, ok := parseGenName(name)
		switch {
		case !ok || !e.IsDir():
		case temp:
			l.Temps = append(l.Temps, e.Name())
		default:
			l.Generations = append(l.Generations, gen)
		}
	}
	slices.Sort(l.Generations)
	return l, nil
}

func genName(gen uint64) string { return fmt.Sprintf("%08d", gen) }

// parseGenName accepts only what genName makes, so that one generation cannot have two names.
func parseGenName(name string) (uint64, bool) {
	gen, err := strconv.ParseUint(name, 10, 64)
	return gen, err == nil && gen > 0 && genName(gen) == name
}

// GenerationPath returns the file that holds a generation's frames.
func GenerationPath(dir string, gen uint64) string {
	return filepath.Join(dir, genName(gen), segmentFile)
}

// ReadGeneration returns all bytes of a generation. With fromDisk it first makes them durable and drops them from the
// page cache: what a process left behind that was killed, or whose sync failed, may be right in memory and wrong on the
// disk, and only the disk counts. (Dropping is advice that the kernel may ignore; where it does not exist, the
// bytes are synced and read as they are.)
func ReadGeneration(dir string, gen uint64, fromDisk bool) ([]byte, error) {
	path := GenerationPath(dir, gen)
	if fromDisk {
		if err := settle(path); err != nil {
			return nil, fmt.Errorf("wal: settle generation %d: %w", gen, err)
		}
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("wal: read generation %d: %w", gen, err)
	}
	return b, nil
}

// RemoveGeneration deletes a generation, if it is there. Its name goes first, by rename, because a published name without
// its file would be damage to recovery: a process that dies in between leaves a temporary name. It needs no sync: a
// deletion that a power cut undoes brings back a generation that nothing needs, and recovery removes it again.
func RemoveGeneration(dir string, gen uint64) error {
	final := filepath.Join(dir, genName(gen))
	temp := final + tempSuffix
	if err := removeGenDir(temp); err != nil {
		return err
	}
	if err := step.Rename(final, temp); err != nil && !notExist(err) {
		return fmt.Errorf("wal: remove: %w", err)
	}
	return removeGenDir(temp)
}

// RemoveTemp deletes a half-built or half-removed generation by its name in Listing.Temps.
func RemoveTemp(dir, name string) error { return removeGenDir(filepath.Join(dir, name)) }

func removeGenDir(path string) error {
	if err := step.RemoveAll(path); err != nil {
		return fmt.Errorf("wal: remove: %w", err)
	}
	return nil
}

// tidwallOptions are made afresh for every Open, because it changes what it is given.
func tidwallOptions() *tidwall.Options {
	return &tidwall.Options{
		NoSync:      true,        // we sync, outside its lock and once per group
		SegmentSize: math.MaxInt, // never cycle: its new files and their names are not synced
		AllowEmpty:  true,        // a fresh log starts at index 1 in both modes; this one says so
		DirPerms:    dirPerm,
		FilePerms:   filePerm,
	}
}

// Built describes a generation that BuildGeneration published: durable, frames and name.
type Built struct {
	Gen  uint64
	No   uint64       // number of the last frame
	End  int64        // length of the file
	Sum  uint64       // of the last frame
	Base dcb.Position // 0 if not linked
	Next dcb.Position // 0 if not linked
}

// BuildGeneration writes a whole generation under a temporary name, syncs it, and publishes it by rename. With a nil
// link it holds only its header, ready for a later rotation; else commits follow whose bodies are copied as they are.
// REQUIRES: with a link, everything before base, which is at least 1, is durable or not needed; the commits go on from base.
// What stood under the temporary name is removed; the published name must be free. After an error it is free again.
func BuildGeneration(dir string, id StoreID, gen uint64, now time.Time, link *Link, base dcb.Position, commits []Frame) (Built, error) {
	final := filepath.Join(dir, genName(gen))
	temp := final + tempSuffix
	if err := removeGenDir(temp); err != nil {
		return Built{}, err
	}
	b, err := writeGeneration(temp, id, gen, now, link, base, commits)
	if err != nil {
		return Built{}, fmt.Errorf("wal: build generation %d: %w", gen, err)
	}
	if err := step.Rename(temp, final); err != nil {
		return Built{}, fmt.Errorf("wal: publish generation %d: %w", gen, err)
	}
	if err := step.SyncDir(dir); err != nil {
		return Built{}, errors.Join(fmt.Errorf("wal: publish generation %d: %w", gen, err), RemoveGeneration(dir, gen))
	}
	return b, nil
}

func writeGeneration(path string, id StoreID, gen uint64, now time.Time, link *Link, base dcb.Position, commits []Frame) (b Built, err error) {
	g, err := openGeneration(path, gen)
	if err != nil {
		return Built{}, err
	}
	defer func() { err = errors.Join(err, g.close()) }()

	w := frameWriter{id: id, generation: g}
	if err := w.write(Frame{Kind: KindHeader}, headerBody(id, now)); err != nil {
		return Built{}, err
	}
	if link != nil {
		if err := w.write(Frame{Kind: KindLink, First: base, Durable: base - 1}, link.encode()); err != nil {
			return Built{}, err
		}
		b.Base, b.Next = base, base
	}
	for _, c := range commits {
		// Everything rewritten is synced before the name appears, so each frame may say that all of it is durable.
		f := Frame{Kind: KindCommit, First: c.First, Count: c.Count, Durable: c.First - 1, DurableOff: uint64(w.end)}
		if err := w.write(f, c.Body); err != nil {
			return Built{}, err
		}
		b.Next = c.Last() + 1
	}
	b.Gen, b.No, b.End, b.Sum = gen, w.no, w.end, w.sum
	if err := step.Sync(g.file); err != nil {
		return Built{}, err
	}
	return b, step.SyncDir(path)
}

// generation is an open generation: tidwall's log to write with, and our own descriptor to sync and read with. The
// descriptor is opened before anything is written, so that it sees every write-back error.
type generation struct {
	no   uint64
	path string
	tail *tidwall.Log // nil once sealed
	file *os.File
	last dcb.Position // of a sealed generation: its last position
}

func openGeneration(path string, gen uint64) (*generation, error) {
	if err := refuseStrays(path); err != nil {
		return nil, err
	}
	var tail *tidwall.Log
	err := step.Do(step.KindCreate, path, func() (err error) {
		tail, err = tidwall.Open(path, tidwallOptions())
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	file, err := os.OpenFile(filepath.Join(path, segmentFile), os.O_RDWR, 0)
	if err != nil {
		return nil, errors.Join(err, closeTail(tail, path))
	}
	return &generation{no: gen, path: path, tail: tail, file: file}, nil
}

func (g *generation) close() error {
	if g.tail == nil {
		return g.file.Close()
	}
	return errors.Join(closeTail(g.tail, g.path), g.file.Close())
}

// closeTail: tidwall/wal syncs when it closes, although nobody waits for that here.
func closeTail(tail *tidwall.Log, path string) error { return step.Do(step.KindSync, path, tail.Close) }

// refuseStrays returns an error if a generation's directory holds another file that tidwall/wal would take for its own. It
// believes names: an empty file <number>.START makes it delete every segment before that number, and a second segment
// is where it would go on writing. None is ever made here, and foreign ones are for a person to judge.
func refuseStrays(path string) error {
	entries, err := os.ReadDir(path)
	if notExist(err) {
		return nil // tidwall/wal makes it
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if Deceives(e.Name()) {
			return &dcb.CorruptError{File: filepath.Join(path, e.Name()), Reason: "a foreign file in a log generation"}
		}
	}
	return nil
}

// Deceives reports whether tidwall/wal would take a file of this name in a generation's directory for its own, which it is not.
func Deceives(name string) bool {
	index := strings.TrimSuffix(strings.TrimSuffix(name, ".START"), ".END")
	_, err := strconv.ParseUint(index, 10, 64)
	return err == nil && len(index) == len(segmentFile) && name != segmentFile
}

// frameWriter appends frames to a generation and keeps the chain.
type frameWriter struct {
	*generation
	id  StoreID
	no  uint64 // of the last frame
	sum uint64
	end int64
	// prewritten is how long the file is, if it was filled with zeros beforehand for the frames to overwrite; else 0.
	prewritten int64
	buf        []byte // kept between frames; bounded by MaxBodyBytes
}

// write appends one frame as one entry. f carries what the caller knows; number, chain and sum are filled in here.
// After an error the generation must not be written to again: tidwall/wal may have kept a phantom of the entry.
func (w *frameWriter) write(f Frame, bodies ...[]byte) error {
	f.No, f.Prev = w.no+1, w.sum
	w.buf = append(w.buf[:0], make([]byte, FrameHeaderBytes)...)
	for _, b := range bodies {
		w.buf = append(w.buf, b...)
	}
	sum := sealFrame(w.buf, w.id, w.generation.no, f)
	err := step.Do(step.KindWrite, w.path, func() error { return w.tail.Write(f.No, w.buf) })
	if err != nil {
		return err
	}
	w.no, w.sum = f.No, sum
	w.end += int64(uvarintLen(uint64(len(w.buf))) + len(w.buf))
	return nil
}

// notExist reports whether err means that a file or directory is absent.
func notExist(err error) bool { return errors.Is(err, fs.ErrNotExist) }

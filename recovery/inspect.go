package recovery

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"opossum/dcb"
	"opossum/internal/eventfile"
	"opossum/internal/index"
	"opossum/internal/pack"
	"opossum/internal/segment"
	"opossum/internal/storage"
	"opossum/ledger"
	"opossum/wal"
)

// Names in a store's directory.
const (
	WALDir        = "wal"
	EventsDir     = "events"
	PacksDir      = "packs"
	IndexDir      = "index"
	QuarantineDir = "quarantine"
	LockFile      = "LOCK"
)

// ownNames are the names that may stand in a store's directory, beside those of storage.IsTemp. The last one belongs to a format of this version that
// this code does not write. No context can have such a name, so that a directory of contexts never looks like a store.
var ownNames = []string{
	LockFile, ledger.FileName, ledger.FileName + ".tmp", storage.FileName, WALDir, EventsDir, PacksDir, IndexDir, QuarantineDir, "projections",
}

// IsPart reports whether a file or directory of that name may stand in a store's directory.
func IsPart(name string) bool { return slices.Contains(ownNames, name) || storage.IsTemp(name) }

// State is what Inspect found. It is a value; the bodies of frames are left out.
type State struct {
	Dir         string
	New         bool // no store yet: an empty directory, or a creation that did not finish
	Ledger      ledger.State
	Generations []wal.Scanned // ascending
	Temps       []string      // half-built generations
	Acked       wal.Acked
	Filed       dcb.Position // highest position above the checkpoint that is intact in an event file or a pack; 0: none
	FiledAs     string       // and that
	Index       index.Found
}

// Indexed returns the highest position that a sound segment covers, and its range; 0 if there is none.
func (s State) Indexed() (p dcb.Position, r segment.Range) {
	if n := len(s.Index.Ranges); n > 0 {
		r = s.Index.Ranges[n-1]
	}
	return r.Last, r
}

// Inspect looks at the directory of a store and changes nothing in it. It binds files to the store that it finds. With fromDisk the log is read as the disk has
// it, not as the page cache does (see wal.ReadGeneration, which for that syncs what is there).
//
// Errors: ErrNotStore if the directory holds foreign things and no ledger; ErrVersion; ErrCorrupt if ledger.json is damaged or
// missing beside events; those of the file system.
func Inspect(dir string, files *eventfile.Store, fromDisk bool) (State, error) {
	s := State{Dir: dir}
	led, err := ledger.Load(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return s, s.inspectNew(files)
	}
	if err != nil {
		return s, err
	}
	s.Ledger = led
	id := wal.StoreID(led.Store)
	if err := files.Bind(id.Seed()); err != nil {
		return s, err
	}
	walDir := filepath.Join(dir, WALDir)
	list, err := wal.List(walDir)
	if errors.Is(err, fs.ErrNotExist) {
		return s, &dcb.CorruptError{File: walDir, Reason: "the log is missing"}
	}
	if err != nil {
		return s, err
	}
	s.Temps = list.Temps
	for _, gen := range list.Generations {
		g, err := scan(walDir, id, gen, fromDisk)
		if err != nil {
			return s, err
		}
		s.Generations = append(s.Generations, g)
	}
	if s.Acked, err = wal.ReadAcked(walDir, id); err != nil {
		return s, err
	}
	if s.Filed, s.FiledAs, err = files.HighestValid(led.Materialized); err != nil {
		return s, err
	}
	s.Index, err = index.Find(filepath.Join(dir, IndexDir), id.Seed())
	return s, err
}

// The ways in which a generation can lack its file: no scan then begins.
var (
	errMissing = errors.New("the file is missing")
	errEmpty   = errors.New("the file is empty")
)

// scan scans a generation and drops the bodies. A generation without its file is one of which nothing is intact.
func scan(walDir string, id wal.StoreID, gen uint64, fromDisk bool) (wal.Scanned, error) {
	b, err := wal.ReadGeneration(walDir, gen, fromDisk)
	if errors.Is(err, fs.ErrNotExist) {
		return wal.Scanned{Gen: gen, Stop: errMissing}, nil
	}
	if err != nil {
		return wal.Scanned{}, err
	}
	if len(b) == 0 {
		return wal.Scanned{Gen: gen, Stop: errEmpty}, nil
	}
	g := wal.Scan(b, id, gen)
	for _, frames := range [][]wal.Frame{g.Commits, g.Later} {
		for i := range frames {
			frames[i].Body = nil
		}
	}
	return g, nil
}

// inspectNew judges a directory without ledger.json. It is new if nothing in it can be an event: creation writes the ledger last,
// so one that died leaves an empty log. Where there are events, a missing ledger is damage: it is never guessed.
func (s *State) inspectNew(files *eventfile.Store) error {
	entries, err := os.ReadDir(s.Dir)
	if err != nil {
		return err
	}
	if err := CheckNames(s.Dir, entries); err != nil {
		return err
	}
	lost := &dcb.CorruptError{File: filepath.Join(s.Dir, ledger.FileName), Reason: "the ledger is missing beside existing events"}
	if p, _, err := files.HighestValid(0); err != nil || p > 0 {
		return errors.Join(err, orNil(p > 0, lost))
	}
	if list, err := pack.ListDir(filepath.Join(s.Dir, PacksDir)); err != nil || len(list.Ranges) > 0 {
		return errors.Join(err, orNil(len(list.Ranges) > 0, lost))
	}
	if list, err := segment.ListDir(filepath.Join(s.Dir, IndexDir)); err != nil || len(list.Ranges) > 0 {
		return errors.Join(err, orNil(len(list.Ranges) > 0, lost))
	}
	walDir := filepath.Join(s.Dir, WALDir)
	list, err := wal.List(walDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, gen := range list.Generations {
		b, err := wal.ReadGeneration(walDir, gen, false)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err == nil && !unborn(b, gen) { // without a file: a removal that did not finish
			return lost
		}
		s.Generations = append(s.Generations, wal.Scanned{Gen: gen})
	}
	s.New, s.Temps = true, list.Temps
	return nil
}

// unborn reports whether b is a generation as creation makes it: whole, without room, and the log begins with it and has no event.
func unborn(b []byte, gen uint64) bool {
	id, err := wal.IdentityOf(b, gen)
	if err != nil {
		return false
	}
	g := wal.Scan(b, id, gen)
	return g.Stop == nil && g.Room == 0 && g.Next() <= 1
}

// CheckNames returns an error that Is ErrNotStore if a directory with these entries has no ledger and holds a name that is not
// a store's.
func CheckNames(dir string, entries []fs.DirEntry) error {
	if slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() == ledger.FileName }) {
		return nil
	}
	for _, e := range entries {
		if !IsPart(e.Name()) {
			return fmt.Errorf("%s holds %q and no %s: %w", dir, e.Name(), ledger.FileName, dcb.ErrNotStore)
		}
	}
	return nil
}

func orNil(cond bool, err error) error {
	if cond {
		return err
	}
	return nil
}

package recovery

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"opossum/dcb"
	"opossum/internal/storage"
	"opossum/ledger"
	"opossum/wal"
)

// unfinishedDir is, in quarantine, what a repair that is not finished has put aside. When it is finished, the name becomes its time.
const unfinishedDir = "unfinished-repair"

// survey is what verify and repair found in a directory, all of it, without a judgement. It is a value: nothing in it refers to an
// open file, and no event's body is in it, only where intact ones are.
type survey struct {
	dir        string
	ledger     ledger.State // the zero State if it is damaged or missing
	ledgerErr  error        // why; nil if it is sound
	ledgerTemp bool
	probes     []string // paths of what measuring the disk has left
	log        logSurvey
	files      fileSurvey
	packs      packSurvey
	filed      spans // positions whose event is good in its file or its pack
	index      indexSurvey
	copies     map[dcb.Position]string // intact texts of events in places that are not their own
	salvaged   []salvaged              // records in packs that are damaged or out of place
	found      []wal.Found             // intact frames in what is damaged or out of place, without bodies
	ends       map[uint64]wal.Kind     // of which generation such frames go up to the end of a file, and what the last one is
	bound      dcb.Position            // no event that is looked for has a higher position
	foreign    []string                // names in the directory that are not a store's
	notDirs    []string                // paths of what should be directories of the store and are something else
	unfinished bool                    // a repair began and did not end
	unborn     bool                    // creating the store did not finish: there is no event, and Open begins anew
}

// gather looks at everything in dir and changes nothing.
//
// Errors are those that keep it from looking: ctx's, ErrNotStore, ErrVersion, permissions. What is damaged is in the survey.
func gather(ctx context.Context, dir string, m *meter) (*survey, error) {
	s := &survey{dir: dir, copies: make(map[dcb.Position]string), ends: make(map[uint64]wal.Kind)}
	if err := s.names(); err != nil {
		return nil, err
	}
	var err error
	s.ledger, err = ledger.Load(dir)
	if err != nil && !errors.Is(err, dcb.ErrCorrupt) && !absent(err) && !unreadable(err) {
		return nil, err
	}
	s.ledgerErr = err
	if err := s.log.gather(ctx, s, m); err != nil {
		return nil, err
	}
	if err := s.events(ctx, m); err != nil {
		return nil, err
	}
	if err := s.rescue(ctx, m); err != nil {
		return nil, err
	}
	s.unborn = absent(s.ledgerErr) && s.log.unborn && s.newest() == 0 && len(s.packs.found)+len(s.index.found.Ranges)+len(s.index.bad) == 0
	if absent(s.ledgerErr) && len(s.foreign) > 0 && s.log.id == (wal.StoreID{}) && s.newest() == 0 {
		return nil, fmt.Errorf("%s holds %q and no %s: %w", dir, s.foreign[0], ledger.FileName, dcb.ErrNotStore)
	}
	return s, nil
}

// CheckStore returns an error that Is ErrNotStore if there is nothing of a store in dir. It looks at names only.
func CheckStore(dir string) error { return (&survey{dir: dir}).names() }

// events looks at packs, event files and index, each by itself and both together.
func (s *survey) events(ctx context.Context, m *meter) (err error) {
	c, err := s.index.gather(ctx, s, m)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	if err := s.packs.gather(ctx, s, c, m); err != nil {
		return err
	}
	if err := s.files.gather(ctx, s, c, m); err != nil {
		return err
	}
	s.filed = union(slices.Concat(s.files.good, s.packs.good))
	return s.index.finish(ctx, s, c)
}

// names looks at the names in the directory itself.
func (s *survey) names() error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	ours := false
	for _, e := range entries {
		switch name := e.Name(); {
		case !IsPart(name):
			s.foreign = append(s.foreign, name)
		case storage.IsTemp(name): // which measuring the disk for a store to be may leave
			if e.Type().IsRegular() {
				s.probes = append(s.probes, filepath.Join(s.dir, name))
			}
		case name != LockFile && name != storage.FileName: // which a refused Open may leave
			ours = true
		}
		s.ledgerTemp = s.ledgerTemp || e.Name() == ledger.FileName+".tmp"
	}
	for _, name := range []string{WALDir, EventsDir, PacksDir, IndexDir} {
		path := filepath.Join(s.dir, name)
		if info, err := os.Stat(path); err == nil && !info.IsDir() { // links to directories are fine
			s.notDirs = append(s.notDirs, path)
		}
	}
	if !ours {
		return fmt.Errorf("%s: %w", s.dir, dcb.ErrNotStore)
	}
	_, err = os.Lstat(filepath.Join(s.dir, QuarantineDir, unfinishedDir))
	s.unfinished = err == nil
	if absent(err) {
		err = nil
	}
	return err
}

// newest returns the highest position that has an intact event in a file or a pack, 0 if there is none.
func (s *survey) newest() dcb.Position { return max(s.files.newest(), s.packs.newest) }

// newestFile returns the path of what holds that event.
func (s *survey) newestFile() string {
	if p := s.files.newest(); p > s.packs.newest {
		return s.files.path(p)
	}
	return s.home(s.packs.newest)
}

// home returns the path of what the event at p is read from first.
func (s *survey) home(p dcb.Position) string {
	if r, ok := s.packs.of(p); ok {
		return s.packs.path(r)
	}
	return s.files.path(p)
}

func absent(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// unreadable reports whether err says that the bytes are gone for good, and not that we are kept from them: such a file is as
// damaged as one with other bytes in it.
func unreadable(err error) bool {
	return errors.Is(err, syscall.EIO) || errors.Is(err, syscall.EISDIR) || errors.Is(err, syscall.ENOTDIR)
}

// state is what Inspect would have found, had the ledger been led.
func (s *survey) state(led ledger.State) State {
	filed := s.newest()
	if filed <= led.Materialized {
		filed = 0
	}
	st := State{
		Dir: s.dir, New: s.unborn, Ledger: led, Generations: s.log.gens, Temps: s.log.temps, Acked: s.log.acked, Filed: filed,
	}
	if filed > 0 {
		st.FiledAs = s.newestFile()
	}
	st.Index = s.index.found
	return st
}

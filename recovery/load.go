package recovery

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"runtime"

	"golang.org/x/sync/errgroup"

	"opossum/dcb"
	"opossum/internal/codec"
	"opossum/internal/eventfile"
	"opossum/internal/index"
	"opossum/wal"
)

// Load indexes all events: those up to the checkpoint from their files, those above from the log, whose places it notes as
// well. It returns the bytes of the latter. Every event is verified on the way; one that is missing or damaged is an
// error that Is ErrCorrupt.
//
// The work is in proportion to the store: the price of an index that lives in memory alone.
func Load(dir string, o Opened, files *eventfile.Store, recent *index.Recent, places *index.Places) (backlog uint64, err error) {
	if err := loadFiles(files, recent, o.Report.Materialized); err != nil {
		return 0, err
	}
	l := loader{o: o, walDir: filepath.Join(dir, WALDir), recent: recent, places: places}
	for _, g := range o.Live {
		if err := l.generation(g); err != nil {
			return 0, err
		}
	}
	return l.backlog, nil
}

const loadChunk = 256 // files that one goroutine reads before the next chunk

// loadFiles reads the event files up to s on all cores, and stages them in order.
func loadFiles(files *eventfile.Store, recent *index.Recent, s dcb.Position) error {
	g, ctx := errgroup.WithContext(context.Background())
	chunks := make(chan chan []index.Terms, 2*runtime.GOMAXPROCS(0)) // in order; the bound is on chunks read ahead
	g.Go(func() error {
		defer close(chunks)
		for from := dcb.Position(1); from <= s; from += loadChunk {
			read := make(chan []index.Terms, 1)
			select {
			case chunks <- read:
			case <-ctx.Done():
				return ctx.Err()
			}
			g.Go(func() error {
				terms, err := readChunk(files, recent, from, min(from+loadChunk-1, s))
				read <- terms
				return err
			})
		}
		return nil
	})
	g.Go(func() error {
		p := dcb.Position(0)
		for read := range chunks {
			for _, terms := range <-read {
				p++
				recent.Stage(p, terms)
			}
		}
		return nil
	})
	return g.Wait()
}

func readChunk(files *eventfile.Store, recent *index.Recent, from, to dcb.Position) ([]index.Terms, error) {
	out := make([]index.Terms, 0, to-from+1)
	for p := from; p <= to; p++ {
		e, err := files.Read(p)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, &dcb.CorruptError{File: files.Path(p), Reason: fmt.Sprintf("position %d: the file is missing", p)}
		}
		if err != nil {
			return nil, err
		}
		out = append(out, recent.Intern(nil, &e.Event))
	}
	return out, nil
}

// loader indexes the log above the checkpoint.
type loader struct {
	o       Opened
	walDir  string
	recent  *index.Recent
	places  *index.Places
	backlog uint64
}

func (l *loader) generation(g wal.Segment) error {
	id := wal.StoreID(l.o.Ledger.Store)
	b, err := wal.ReadGeneration(l.walDir, g.Gen, false)
	if err != nil {
		return err
	}
	s := wal.Scan(b, id, g.Gen)
	if s.Stop != nil || s.Next() != g.Last+1 { // it was whole when it was inspected
		return &dcb.CorruptError{
			File: wal.GenerationPath(l.walDir, g.Gen), Offset: s.Valid,
			Reason: fmt.Sprintf("two reads of the log differ: it ends at position %d, where %d was seen", int64(s.Next())-1, g.Last),
		}
	}
	for _, f := range s.Commits {
		if f.Last() <= l.o.Report.Materialized {
			continue
		}
		if err := l.frame(g.Gen, f, id.Seed()); err != nil {
			return err
		}
	}
	return nil
}

func (l *loader) frame(gen uint64, f wal.Frame, seed uint64) error {
	rest, off := f.Body, f.BodyOffset
	for p := f.First; p <= f.Last(); p++ {
		rec, next, ok := codec.NextRecord(rest)
		if !ok {
			return &dcb.CorruptError{File: wal.GenerationPath(l.walDir, gen), Offset: off, Reason: fmt.Sprintf("position %d: the frame holds no whole record", p)}
		}
		e, err := codec.DecodeRecord(rec, seed, p)
		if err != nil {
			return &dcb.CorruptError{File: wal.GenerationPath(l.walDir, gen), Offset: off, Reason: fmt.Sprintf("position %d: %v", p, err)}
		}
		if p > l.o.Report.Materialized {
			l.recent.Stage(p, l.recent.Intern(nil, &e))
			l.places.Set(p, index.Place{Gen: uint32(gen), Off: uint32(off), Len: uint32(len(rec))})
			l.backlog += uint64(len(rec))
		}
		off += int64(len(rec))
		rest = next
	}
	if len(rest) > 0 {
		return &dcb.CorruptError{File: wal.GenerationPath(l.walDir, gen), Offset: off, Reason: fmt.Sprintf("%d bytes behind the record of position %d", len(rest), f.Last())}
	}
	return nil
}

package recovery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"opossum/dcb"
	"opossum/internal/eventfile"
	"opossum/internal/index"
	"opossum/internal/segment"
	"opossum/wal"
)

// Loaded is what Load made ready.
type Loaded struct {
	Index   *index.Index
	Backlog uint64          // bytes of the log that are not yet filed
	Built   []segment.Range // of the index that was missing or damaged, built anew from event files
}

// Load makes the index and the places ready: it opens the segments, builds those that are missing or damaged up to the checkpoint
// from event files, and indexes the log above them. The work is in proportion to the log's tail unless something must be built. Every
// event that is indexed is verified; one that is missing or damaged is an error that Is ErrCorrupt.
func Load(o Opened, found index.Found, files *eventfile.Store, cfg index.Config, places *index.Places) (Loaded, error) {
	p := planIndex(found.Ranges, o.Report.Materialized)
	var out Loaded
	for _, gap := range p.build {
		built, err := index.Build(context.Background(), cfg.Dir, cfg.Seed, gap, FromFiles(files))
		if err != nil {
			return out, err
		}
		out.Built = append(out.Built, gap)
		p.keep = append(p.keep, built...)
	}
	if err := removeSegments(cfg.Dir, append(found.Remove, p.drop...), p.keep, found.Temps); err != nil {
		return out, err
	}
	slices.SortFunc(p.keep, func(a, b segment.Range) int { return cmp.Compare(a.First, b.First) })
	var err error
	if out.Index, err = index.Open(cfg, p.keep); err != nil {
		return out, err
	}
	seed := wal.StoreID(o.Ledger.Store).Seed()
	l := loader{o: o, ix: out.Index, tail: index.NewTail(out.Index, places, seed, o.Report.Materialized)}
	for _, g := range o.Live {
		if err := l.generation(g); err != nil {
			out.Index.Close()
			return out, err
		}
	}
	out.Backlog = l.tail.Bytes()
	return out, nil
}

// indexPlan says what becomes of the segments.
type indexPlan struct {
	keep  []segment.Range // ascending
	build []segment.Range // gaps at or below the checkpoint
	drop  []segment.Range // beyond a gap that only the log can fill: it is read from there on
}

// planIndex plans to have segments without a gap up to the checkpoint at least. It is a pure function.
func planIndex(sound []segment.Range, materialized dcb.Position) (p indexPlan) {
	next := dcb.Position(1)
	for i, r := range sound {
		if r.First > next && r.First-1 > materialized {
			p.drop = sound[i:]
			break
		}
		if r.First > next {
			p.build = append(p.build, segment.Range{First: next, Last: r.First - 1})
		}
		p.keep = append(p.keep, r)
		next = r.Last + 1
	}
	if next <= materialized {
		p.build = append(p.build, segment.Range{First: next, Last: materialized})
	}
	return p
}

// removeSegments removes the files of the ranges, but for those to be kept, and temporary files. What comes back after a power cut is
// superseded again.
func removeSegments(dir string, remove, keep []segment.Range, temps []string) error {
	for _, r := range remove {
		if slices.Contains(keep, r) { // built in the place of a damaged one
			continue
		}
		if err := segment.Remove(dir, r); err != nil {
			return err
		}
	}
	for _, name := range temps {
		if err := segment.RemoveTemp(dir, name); err != nil {
			return err
		}
	}
	return nil
}

// FromFiles fetches events from their files. One that is missing Is ErrCorrupt.
func FromFiles(files *eventfile.Store) index.Fetch {
	return func(p dcb.Position) (dcb.Event, error) {
		e, err := files.Read(p)
		if errors.Is(err, fs.ErrNotExist) {
			err = &dcb.CorruptError{File: files.Path(p), Reason: fmt.Sprintf("position %d: its file is missing, and no pack has it", p)}
		}
		return e.Event, err
	}
}

// loader indexes the log above the segments, and notes the places of what is above the checkpoint.
type loader struct {
	o    Opened
	ix   *index.Index
	tail *index.Tail
}

func (l *loader) generation(g wal.Segment) error {
	b, err := wal.ReadGeneration(l.o.WALDir, g.Gen, false)
	if err != nil {
		return err
	}
	s := wal.Scan(b, wal.StoreID(l.o.Ledger.Store), g.Gen)
	if s.Stop != nil || s.Next() != g.Last+1 { // it was whole when it was inspected
		return l.corrupt(g.Gen, s.Valid, fmt.Sprintf("two reads of the log differ: it ends at position %d, where %d was seen", int64(s.Next())-1, g.Last))
	}
	for _, f := range s.Commits {
		if f.Last() <= l.o.Report.Materialized {
			continue
		}
		if at, err := l.tail.Take(g.Gen, f.BodyOffset, f.Body, f.First, f.Last()); err != nil {
			return l.corrupt(g.Gen, at, err.Error())
		}
		if l.ix.Staged(f.Last()) && l.ix.Excess() { // the log is durable here
			if err := l.ix.Seal(f.Last()); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *loader) corrupt(gen uint64, off int64, reason string) error {
	return &dcb.CorruptError{File: wal.GenerationPath(l.o.WALDir, gen), Offset: off, Reason: reason}
}

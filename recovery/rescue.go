package recovery

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"opossum/dcb"
	"opossum/internal/codec"
	"opossum/internal/eventfile"
	"opossum/internal/pack"
	"opossum/internal/storage"
	"opossum/wal"
)

const anyPosition = dcb.Position(math.MaxUint64)

// maxRescue bounds the files that are looked through: the largest that the store can have written is well below.
const maxRescue = 4 << 30

// rescue looks through everything that is damaged, left over or out of place for what is still intact in it: texts of events,
// and records of the log and of packs.
func (s *survey) rescue(ctx context.Context, m *meter) error {
	s.bound = s.log.known(s) + 1<<32 // some 4 billion accidents in 2^64
	for _, g := range slices.Backward(s.log.gens) {
		if g.Stop != nil {
			if _, err := s.rescueFile(ctx, wal.GenerationPath(s.log.dir, g.Gen), s.log.ownUpto(g.Gen), m); err != nil {
				return err
			}
		}
	}
	for _, name := range s.log.temps {
		var gen uint64
		_, _ = fmt.Sscanf(name, "%d", &gen)
		if _, err := s.rescueTree(ctx, filepath.Join(s.log.dir, name), s.log.ownUpto(gen), m); err != nil {
			return err
		}
	}
	for _, b := range s.files.bad {
		if _, err := s.rescueFile(ctx, s.files.path(b.p), anyPosition, m); err != nil {
			return err
		}
	}
	for i := range s.packs.bad {
		b := &s.packs.bad[i]
		holds, err := s.rescueFile(ctx, s.packs.path(b.Range), anyPosition, m)
		if err != nil {
			return err
		}
		b.others = holds.without(spanOf(b.First, b.Last))
	}
	for _, path := range s.loose() {
		if _, err := s.rescueTree(ctx, path, anyPosition, m); err != nil {
			return err
		}
	}
	for _, strays := range [][]stray{s.files.strays, s.packs.strays, s.log.strays, s.index.strays} {
		for i := range strays {
			var err error
			if strays[i].holds, err = s.rescueTree(ctx, strays[i].path, anyPosition, m); err != nil {
				return err
			}
		}
	}
	return s.rescueUnfinished(ctx, m)
}

// loose lists what else may hold something.
func (s *survey) loose() []string {
	out := slices.Concat(s.notDirs, s.files.temps, s.packs.temps)
	for _, name := range append([]string{storage.FileName}, s.foreign...) {
		if path := filepath.Join(s.dir, name); isFile(path) { // foreign directories are left alone
			out = append(out, path)
		}
	}
	for _, b := range s.index.bad {
		out = append(out, s.index.path(b.Range))
	}
	if s.ledgerErr != nil {
		out = append(out, s.ledgerPath())
	}
	if s.log.mute != "" {
		out = append(out, wal.AckedPath(s.log.dir))
	}
	return out
}

func isFile(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.Mode().IsRegular()
}

// rescueTree looks through a file, or all files below a directory. It returns the positions of the events that it finds, those of the log excepted. What
// cannot be listed is passed over: it is not ours.
func (s *survey) rescueTree(ctx context.Context, path string, upto dcb.Position, m *meter) (holds spans, err error) {
	var all []Span
	err = filepath.WalkDir(path, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return ctx.Err()
		}
		found, err := s.rescueFile(ctx, path, upto, m)
		all = append(all, found...)
		return err
	})
	return union(all), err
}

// rescueFile looks through a file and returns the position of the event whose text it is, or those of the records in blocks of a pack. What cannot be
// read holds nothing.
func (s *survey) rescueFile(ctx context.Context, path string, upto dcb.Position, m *meter) (spans, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if ev, err := eventfile.ReadFile(path); err == nil {
		s.copies[ev.Position] = path
		return spanOf(ev.Position, ev.Position), nil
	}
	return s.rescueRecords(ctx, path, upto, m)
}

// rescueRecords looks through a file for records of the log and of packs, of positions up to one. It returns those of packs.
func (s *survey) rescueRecords(ctx context.Context, path string, upto dcb.Position, m *meter) (spans, error) {
	if info, err := os.Lstat(path); err != nil || !info.Mode().IsRegular() || info.Size() > maxRescue {
		return nil, nil
	}
	b, err := s.log.read(ctx, path, m)
	if err != nil {
		return nil, ctx.Err()
	}
	found := wal.FindFrames(b, s.log.id)
	for i := range found {
		found[i].Body = nil
	}
	s.found = append(s.found, found...)
	if n := len(found); n > 0 && len(bytes.TrimLeft(b[found[n-1].End:], "\x00")) == 0 { // behind it is room, at most
		s.ends[found[n-1].Gen] = found[n-1].Kind
	}
	for f := range codec.Salvage(b, s.log.id.Seed(), 1, min(upto, s.bound)) {
		s.log.note(f.Position, path, int64(f.Offset), b[f.Offset:f.Offset+f.Bytes], false)
	}
	holds := s.salvage(b, min(upto, s.bound))
	if len(holds) > 0 {
		s.salvaged = append(s.salvaged, salvaged{path, holds})
	}
	return holds, ctx.Err()
}

// salvage returns the positions up to one whose records are intact in blocks of packs.
func (s *survey) salvage(b []byte, upto dcb.Position) spans {
	var all []Span
	for raw := range pack.Salvage(b) {
		for f := range codec.Salvage(raw, s.packs.seed, 1, upto) {
			if n := len(all); n > 0 && all[n-1].Last+1 == f.Position {
				all[n-1].Last = f.Position
			} else {
				all = append(all, Span{f.Position, f.Position})
			}
		}
	}
	return union(all)
}

// rescueUnfinished looks through what a repair has put aside that was interrupted: it may have been about to bring back an
// event whose only copy stood in the place of another. A file under its own name was put aside for what it says.
func (s *survey) rescueUnfinished(ctx context.Context, m *meter) error {
	if !s.unfinished {
		return nil
	}
	return filepath.WalkDir(filepath.Join(s.dir, QuarantineDir, unfinishedDir), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(path, halfCopied) {
			return err
		}
		ev, err := eventfile.ReadFile(path)
		switch {
		case err != nil:
			_, err := s.rescueRecords(ctx, path, anyPosition, m)
			return err
		case filepath.Base(path) != filepath.Base(s.files.path(ev.Position)):
			s.copies[ev.Position] = path
		}
		return ctx.Err()
	})
}

package recovery

import (
	"cmp"
	"context"
	"errors"
	"path/filepath"
	"runtime"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"opossum/dcb"
	"opossum/internal/codec"
	"opossum/internal/eventfile"
)

// fileSurvey is what was found among the event files.
type fileSurvey struct {
	dir    string
	good   spans     // positions whose file is intact and says what log and pack say, if they hold the event
	bad    []badFile // ascending
	strays []stray
	temps  []string
}

// badFile is what has the name of an event's file and is not that event.
type badFile struct {
	p      dcb.Position
	offset int64
	reason string
	holds  dcb.Position // the event that it is instead, intact; 0: none. p itself: log or pack have another event there
}

// stray is something that stands where nothing of its kind belongs.
type stray struct {
	path    string
	holds   spans // the events in it, intact
	harmful bool  // opening the store is refused because of it
}

func (f *fileSurvey) path(p dcb.Position) string { return eventfile.Path(f.dir, p) }

// newest returns the highest position that has a file with an intact event of that position, 0 if there is none.
func (f *fileSurvey) newest() dcb.Position {
	top := f.good.last()
	for _, b := range f.bad {
		if b.holds == b.p {
			top = max(top, b.p)
		}
	}
	return top
}

// gather reads all event files, on all cores, and compares them with log, packs and index.
func (f *fileSurvey) gather(ctx context.Context, s *survey, c *comparison, m *meter) error {
	f.dir = filepath.Join(s.dir, EventsDir)
	if slices.Contains(s.notDirs, f.dir) {
		return nil
	}
	var good []Span
	var mu sync.Mutex
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0) + 1)
	g.Go(func() error {
		return f.walk(gctx, m, func(chunk []dcb.Position) {
			g.Go(func() error {
				spans, bad, err := f.check(gctx, chunk, s, c)
				m.move(uint64(len(chunk)), 0)
				mu.Lock()
				defer mu.Unlock()
				good, f.bad = append(good, spans...), append(f.bad, bad...)
				return err
			})
		})
	})
	if err := g.Wait(); err != nil {
		return err
	}
	f.good = union(good)
	slices.SortFunc(f.bad, func(a, b badFile) int { return cmp.Compare(a.p, b.p) })
	return nil
}

const checkChunk = 256 // files that are read in one go

// walk calls check with the positions that have a file, in chunks, and notes what is no event's file.
func (f *fileSurvey) walk(ctx context.Context, m *meter, check func([]dcb.Position)) error {
	var chunk []dcb.Position
	flush := func() {
		if len(chunk) > 0 {
			m.move(0, uint64(len(chunk)))
			check(chunk)
			chunk = nil
		}
	}
	for e, err := range eventfile.Walk(f.dir) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		switch {
		case e.Position > 0:
			if chunk = append(chunk, e.Position); len(chunk) == checkChunk {
				flush()
			}
		case e.Temp:
			f.temps = append(f.temps, e.Path)
		default:
			f.strays = append(f.strays, stray{path: e.Path})
		}
	}
	flush()
	return nil
}

// check reads the files of the positions, which ascend.
func (f *fileSurvey) check(ctx context.Context, chunk []dcb.Position, s *survey, c *comparison) (good []Span, bad []badFile, err error) {
	var buf []byte
	packed := bodies{s: s}
	defer packed.close()
	for _, p := range chunk {
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		ev, err := eventfile.ReadFile(f.path(p))
		ce := (*dcb.CorruptError)(nil)
		switch {
		case errors.As(err, &ce):
			bad = append(bad, badFile{p: p, offset: ce.Offset, reason: ce.Reason})
			continue
		case unreadable(err):
			bad = append(bad, badFile{p: p, reason: err.Error()})
			continue
		case err != nil:
			return nil, nil, err
		case ev.Position != p:
			bad = append(bad, badFile{p: p, reason: "the file holds another event", holds: ev.Position})
			continue
		}
		buf = codec.AppendRecord(buf[:0], ev.Event)
		if r, ok := s.log.records[p]; ok && r.live && codec.PayloadSum(buf) != r.sum {
			bad = append(bad, badFile{p: p, reason: "the file is intact, but the log has another event at this position", holds: p})
			continue
		}
		if !s.packs.good.has(p) {
			c.event(p, &ev.Event)
		} else if rec, err := packed.packed(p); err != nil {
			return nil, nil, err
		} else if codec.PayloadSum(buf) != codec.PayloadSum(rec) { // a record knows its store and position, and a file its position only
			bad = append(bad, badFile{p: p, reason: "the file is intact, but the pack has another event at this position", holds: p})
			continue
		}
		if n := len(good); n > 0 && good[n-1].Last == p-1 {
			good[n-1].Last = p
		} else {
			good = append(good, Span{p, p})
		}
	}
	return good, bad, nil
}

package index

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sync/errgroup"

	"opossum/dcb"
	"opossum/internal/segment"
)

const (
	buildPositions = 1 << 14 // of one segment that is built from events: what its memory part takes is bounded
	fetchPositions = 256     // that one goroutine fetches before the next chunk
)

// Fetch returns the event at a position. It is called by several goroutines at a time.
type Fetch func(dcb.Position) (dcb.Event, error)

// Build writes segments over the positions of r from their events, and returns their ranges, which are adjacent. They are durable. After
// an error those that were finished stay; they are sound.
func Build(ctx context.Context, dir string, seed uint64, r segment.Range, fetch Fetch) ([]segment.Range, error) {
	var done []segment.Range
	for first := r.First; ; {
		next := segment.Range{First: first, Last: first + min(r.Last-first, buildPositions-1)}
		memory := newRecent(first - 1)
		if _, err := stageFetched(ctx, memory, next, fetch); err != nil {
			return done, fmt.Errorf("index: build positions %d to %d: %w", next.First, next.Last, err)
		}
		if err := seal(dir, seed, memory, next); err != nil {
			return done, err
		}
		done = append(done, next)
		if next.Last == r.Last {
			return done, nil
		}
		first = next.Last + 1
	}
}

// stageFetched fetches the events of r on all cores and stages them in order. It returns the last position that it staged; after an error
// nothing behind what is missing is.
func stageFetched(ctx context.Context, memory *Recent, r segment.Range, fetch Fetch) (dcb.Position, error) {
	g, ctx := errgroup.WithContext(ctx)
	chunks := make(chan chan []Terms, 2*runtime.GOMAXPROCS(0)) // in order; the bound is on chunks read ahead
	g.Go(func() error {
		defer close(chunks)
		for first := r.First; first <= r.Last; first += fetchPositions {
			fetched := make(chan []Terms, 1)
			select {
			case chunks <- fetched:
			case <-ctx.Done():
				return ctx.Err()
			}
			g.Go(func() error {
				terms, err := fetchTerms(ctx, memory, segment.Range{First: first, Last: min(first+fetchPositions-1, r.Last)}, fetch)
				fetched <- terms
				return err
			})
		}
		return nil
	})
	next := r.First
	g.Go(func() error {
		for fetched := range chunks {
			chunk := <-fetched
			if chunk == nil { // it failed, and what follows has no place
				return nil
			}
			for _, terms := range chunk {
				memory.Stage(next, terms)
				next++
			}
		}
		return nil
	})
	err := g.Wait()
	return next - 1, err
}

func fetchTerms(ctx context.Context, memory *Recent, r segment.Range, fetch Fetch) ([]Terms, error) {
	out := make([]Terms, 0, r.Last-r.First+1)
	for p := r.First; p <= r.Last; p++ {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		e, err := fetch(p)
		if err != nil {
			return nil, err
		}
		out = append(out, memory.Intern(nil, &e))
	}
	return out, nil
}

// Rebuild replaces the segments that were found to be damaged by ones built from their events, and returns the ranges. Until then
// whoever reads them gets ErrCorrupt. One that cannot be built does not keep the others from it. For one goroutine at a time, which may
// not be in Merge.
func (ix *Index) Rebuild(ctx context.Context, fetch Fetch) (rebuilt []segment.Range, err error) {
	files, err := ix.acquireFiles()
	if err != nil {
		return nil, err
	}
	defer files.release()
	var errs []error
	for _, h := range files.all {
		if !h.damaged.Load() {
			continue
		}
		err := ix.room(h.Size())
		if err == nil {
			err = ix.rebuild(ctx, h.Range(), fetch)
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		rebuilt = append(rebuilt, h.Range())
	}
	return rebuilt, errors.Join(errs...)
}

func (ix *Index) rebuild(ctx context.Context, r segment.Range, fetch Fetch) error {
	ranges, err := Build(ctx, ix.cfg.Dir, ix.cfg.Seed, r, fetch)
	if err != nil {
		return err
	}
	if len(ranges) > 1 { // else the new file has taken the place of the damaged one
		if err := segment.Remove(ix.cfg.Dir, r); err != nil {
			return err
		}
	}
	var with []*held
	for _, part := range ranges {
		h, err := ix.hold(part)
		if err != nil {
			return closeHeld(with, err)
		}
		with = append(with, h)
	}
	ix.replace(r, with)
	ix.stats.rebuilds.Add(1)
	return nil
}

// Found is what Find decided about a directory of segments.
type Found struct {
	Ranges  []segment.Range // sound as far as their footers tell, disjoint, ascending; there may be gaps
	Damaged []error         // files that are not segments of this store; each error Is ErrCorrupt
	Remove  []segment.Range // superseded by wider ones, or damaged
	Temps   []string        // left by builders that were killed
}

// Find lists the segments in dir and looks at their footers. It changes nothing. Errors: ErrVersion, and those of the file system.
func Find(dir string, seed uint64) (Found, error) {
	list, err := segment.ListDir(dir)
	if err != nil {
		return Found{}, err
	}
	f := Found{Temps: list.Temps}
	var sound []segment.Range
	for _, r := range list.Ranges {
		s, err := segment.Open(dir, seed, r)
		switch {
		case errors.Is(err, dcb.ErrCorrupt):
			f.Damaged, f.Remove = append(f.Damaged, err), append(f.Remove, r)
			continue
		case errors.Is(err, os.ErrNotExist): // merged away since it was listed
			continue
		case err != nil:
			return Found{}, err
		}
		sound = append(sound, r)
		if err := s.Close(); err != nil {
			return Found{}, err
		}
	}
	var superseded []segment.Range
	f.Ranges, superseded = segment.Cover(sound)
	f.Remove = append(f.Remove, superseded...)
	return f, nil
}

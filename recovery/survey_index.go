package recovery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"opossum/dcb"
	"opossum/internal/index"
	"opossum/internal/segment"
)

// indexSurvey is what was found of the index.
type indexSurvey struct {
	dir      string
	seed     uint64
	found    index.Found
	bad      []badSegment // ascending: damaged, or not the index of its events
	leftover []string     // names of files that are superseded, or were being built
	strays   []stray
}

// badSegment is a segment that is to be built anew.
type badSegment struct {
	segment.Range
	offset int64
	reason string
}

func (x *indexSurvey) path(r segment.Range) string { return filepath.Join(x.dir, segment.Name(r)) }

// sound returns the ranges of the segments that count and are right.
func (x *indexSurvey) sound() []segment.Range {
	return slices.DeleteFunc(slices.Clone(x.found.Ranges), func(r segment.Range) bool {
		return slices.ContainsFunc(x.bad, func(b badSegment) bool { return b.Range == r })
	})
}

// gather lists the segments and verifies each by itself. What comes back compares them with the events; the caller closes it.
func (x *indexSurvey) gather(ctx context.Context, s *survey, m *meter) (*comparison, error) {
	x.dir, x.seed = filepath.Join(s.dir, IndexDir), s.log.id.Seed()
	if slices.Contains(s.notDirs, x.dir) {
		return new(comparison), nil
	}
	list, err := segment.ListDir(x.dir)
	if err != nil {
		return nil, err
	}
	if x.found, err = index.Find(x.dir, x.seed); err != nil {
		return nil, err
	}
	for _, name := range list.Others {
		x.strays = append(x.strays, stray{path: filepath.Join(x.dir, name)})
	}
	x.leftover = list.Temps
	x.sort(list)
	return x.open(ctx, m)
}

// sort tells apart why segments do not count: damage, or wider ones beside them.
func (x *indexSurvey) sort(list segment.Listing) {
	for _, r := range list.Ranges {
		i := slices.IndexFunc(x.found.Damaged, func(err error) bool {
			file, _, _ := refusedAt(err)
			return file == x.path(r)
		})
		if i >= 0 {
			_, offset, reason := refusedAt(x.found.Damaged[i])
			x.bad = append(x.bad, badSegment{r, offset, reason})
		} else if !slices.Contains(x.found.Ranges, r) {
			x.leftover = append(x.leftover, segment.Name(r))
		}
	}
}

// open opens the segments that count, and verifies them on all cores.
func (x *indexSurvey) open(ctx context.Context, m *meter) (*comparison, error) {
	c := &comparison{parts: make([]*comparedPart, len(x.found.Ranges))}
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, r := range x.found.Ranges {
		s, err := segment.Open(x.dir, x.seed, r)
		if err != nil {
			return nil, errors.Join(err, g.Wait(), c.close())
		}
		part := &comparedPart{Segment: s}
		c.parts[i] = part
		units := 1 + uint64(s.Size())/bytesPerUnit
		m.move(0, units)
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			part.note(s.Verify())
			m.move(units, 0)
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, errors.Join(err, c.close())
	}
	return c, nil
}

// comparison compares segments with the events that they index: each term of each event must be in its segment, and the segment must
// have as many postings as its events have terms. Together that makes them equal. event is safe for concurrent use.
type comparison struct{ parts []*comparedPart }

type comparedPart struct {
	*segment.Segment
	mu       sync.Mutex
	postings uint64 // of the events seen
	failed   error  // the first thing that is wrong
}

func (p *comparedPart) note(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failed == nil {
		p.failed = err
	}
}

func (p *comparedPart) fine() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.failed == nil
}

func (c *comparison) close() error {
	var errs []error
	for _, p := range c.parts {
		if p != nil {
			errs = append(errs, p.Close())
		}
	}
	return errors.Join(errs...)
}

// of returns the part that covers a position, nil if none does.
func (c *comparison) of(p dcb.Position) *comparedPart {
	i, _ := slices.BinarySearchFunc(c.parts, p, func(x *comparedPart, p dcb.Position) int { return cmp.Compare(x.Range().Last, p) })
	if i == len(c.parts) || c.parts[i].Range().First > p {
		return nil
	}
	return c.parts[i]
}

// event compares one event. REQUIRES: each position comes once.
func (c *comparison) event(p dcb.Position, e *dcb.Event) {
	part := c.of(p)
	if part == nil || !part.fine() {
		return
	}
	if err := part.holds(p, segment.Type, e.Type); err != nil {
		part.note(err)
		return
	}
	for _, t := range e.Tags {
		if err := part.holds(p, segment.Tag, string(t)); err != nil {
			part.note(err)
			return
		}
	}
	part.mu.Lock()
	defer part.mu.Unlock()
	part.postings += 1 + uint64(len(e.Tags))
}

// holds returns an error unless the segment has the term at p.
func (p *comparedPart) holds(at dcb.Position, kind segment.Kind, term string) error {
	l, err := p.Find(kind, term)
	if err != nil {
		return err
	}
	ok, err := l.Contains(at)
	if err == nil && !ok {
		what := map[segment.Kind]string{segment.Type: "type", segment.Tag: "tag"}[kind]
		err = &dcb.CorruptError{File: p.Path(), Reason: fmt.Sprintf("the event at position %d has the %s %q, and the index does not know of it", at, what, term)}
	}
	return err
}

// finish compares what is only in the log, and notes what is wrong. Segments with events that are intact nowhere are right as far
// as can be told.
func (x *indexSurvey) finish(ctx context.Context, s *survey, c *comparison) error {
	r := bodies{s: s}
	defer r.close()
	for _, part := range c.parts {
		known := true
		for p := range s.filed.gaps(part.Range().First, part.Range().Last).positions() {
			if err := ctx.Err(); err != nil {
				return err
			}
			if rec, ok := s.log.records[p]; !ok || !rec.live {
				known = false
				continue
			}
			e, err := r.event(p)
			if err != nil {
				return err
			}
			c.event(p, &e)
		}
		if n := part.Postings(); known && part.failed == nil && n != part.postings {
			part.note(&dcb.CorruptError{File: part.Path(), Reason: fmt.Sprintf("it has %d postings, where its events have %d", n, part.postings)})
		}
		if part.failed != nil {
			_, offset, reason := refusedAt(part.failed)
			x.bad = append(x.bad, badSegment{part.Range(), offset, reason})
		}
	}
	slices.SortFunc(x.bad, func(a, b badSegment) int { return cmp.Compare(a.First, b.First) })
	return nil
}

// termsOf returns what the index knows of some positions: type and tags. Of damaged segments it takes what it gets.
func (x *indexSurvey) termsOf(ctx context.Context, want spans) (map[dcb.Position]dcb.Event, error) {
	out := map[dcb.Position]dcb.Event{}
	for _, r := range x.found.Ranges {
		if len(want.within(r.First, r.Last)) == 0 {
			continue
		}
		if err := x.termsIn(ctx, r, want, out); err != nil && !errors.Is(err, dcb.ErrCorrupt) {
			return nil, err
		}
	}
	return out, nil
}

func (x *indexSurvey) termsIn(ctx context.Context, r segment.Range, want spans, out map[dcb.Position]dcb.Event) (err error) {
	s, err := segment.Open(x.dir, x.seed, r)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	for entry, err := range s.All() {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		for piece, err := range entry.List.Each() {
			if errors.Is(err, dcb.ErrCorrupt) {
				break // of this term alone: what is known of the others still counts
			}
			if err != nil {
				return err
			}
			for _, p := range piece {
				if !want.has(p) {
					continue
				}
				e := out[p]
				if entry.Kind == segment.Type {
					e.Type = entry.Term
				} else {
					e.Tags = append(e.Tags, dcb.Tag(entry.Term))
				}
				out[p] = e
			}
		}
	}
	return nil
}

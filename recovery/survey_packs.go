package recovery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"opossum/dcb"
	"opossum/internal/codec"
	"opossum/internal/eventfile"
	"opossum/internal/pack"
	"opossum/wal"
)

// packSurvey is what was found among the packs.
type packSurvey struct {
	dir    string
	seed   uint64       // with which their events were written
	found  []pack.Range // by their names, ascending: one for each shard that has a pack, be it whole or not
	good   spans        // positions whose record in the pack of their shard can be read, is intact, and says what the log says, if that still holds the event
	bad    []badPack    // ascending
	newest dcb.Position // that has an intact record, whatever the log says
	strays []stray
	temps  []string
}

// badPack is a pack in which not every record is good.
type badPack struct {
	pack.Range
	damage []stretch // ascending, not empty
	others spans     // positions beyond the range whose records it holds, intact: it is the pack of another shard
}

// stretch is what is wrong with the records of neighbouring positions.
type stretch struct {
	Span
	offset int64
	reason string
}

func (k *packSurvey) path(r pack.Range) string { return filepath.Join(k.dir, pack.Name(r)) }

// of returns the range of the pack of a position's shard; ok is false if that has none.
func (k *packSurvey) of(p dcb.Position) (r pack.Range, ok bool) {
	i, _ := slices.BinarySearchFunc(k.found, p, func(r pack.Range, p dcb.Position) int { return cmp.Compare(r.Last, p) })
	if i == len(k.found) || !k.found[i].Has(p) {
		return pack.Range{}, false
	}
	return k.found[i], true
}

// gather reads all packs, on all cores, and compares them with log and index.
func (k *packSurvey) gather(ctx context.Context, s *survey, c *comparison, m *meter) error {
	k.dir, k.seed = filepath.Join(s.dir, PacksDir), s.log.id.Seed()
	if slices.Contains(s.notDirs, k.dir) {
		return nil
	}
	if err := k.names(); err != nil {
		return err
	}
	if s.log.id == (wal.StoreID{}) {
		k.seed = k.writtenWith()
	}
	var good []Span
	var mu sync.Mutex
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for _, r := range k.found {
		units := uint64(1)
		if info, err := os.Lstat(k.path(r)); err == nil {
			units += uint64(info.Size()) / bytesPerUnit
		}
		m.move(0, units)
		g.Go(func() error {
			seen := packCheck{k: k, log: &s.log, c: c, bad: badPack{Range: r}}
			err := seen.run(gctx)
			m.move(units, 0)
			mu.Lock()
			defer mu.Unlock()
			good, k.newest = append(good, seen.good...), max(k.newest, seen.newest)
			if len(seen.bad.damage) > 0 {
				k.bad = append(k.bad, seen.bad)
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	k.good = union(good)
	slices.SortFunc(k.bad, func(a, b badPack) int { return cmp.Compare(a.First, b.First) })
	return nil
}

// names sorts what is in the directory.
func (k *packSurvey) names() error {
	list, err := pack.ListDir(k.dir)
	if err != nil {
		return err
	}
	for _, r := range list.Ranges {
		if eventfile.IsShard(r) {
			k.found = append(k.found, r)
		} else {
			k.strays = append(k.strays, stray{path: k.path(r)})
		}
	}
	for _, name := range list.Others {
		k.strays = append(k.strays, stray{path: filepath.Join(k.dir, name)})
	}
	for _, name := range list.Temps {
		k.temps = append(k.temps, filepath.Join(k.dir, name))
	}
	return nil
}

// writtenWith returns the seed of a store that has lost every other trace of its identity: a record whose position is known tells it, and the next one
// must agree. It is 0 if no pack begins with two records that do.
func (k *packSurvey) writtenWith() uint64 {
	for _, r := range k.found {
		b, err := readStart(k.path(r), maxFirstBlock)
		if err != nil {
			continue
		}
		for raw := range pack.Salvage(b) {
			first, rest, ok := codec.NextRecord(raw)
			if !ok {
				break
			}
			seed := codec.SeedOf(first, r.First)
			if second, _, ok := codec.NextRecord(rest); ok && codec.CheckRecord(second, seed, r.First+1) == nil {
				return seed
			}
			break
		}
	}
	return 0
}

// maxFirstBlock is more than the first block of nearly every pack takes: those of events that are larger are passed over.
const maxFirstBlock = 1 << 20

// packCheck reads one pack.
type packCheck struct {
	k   *packSurvey
	log *logSurvey
	c   *comparison

	good   []Span
	bad    badPack
	newest dcb.Position
}

func (x *packCheck) run(ctx context.Context) (err error) {
	p, err := pack.Open(x.k.dir, x.k.seed, x.bad.Range)
	if err != nil {
		return x.damaged(Span{x.bad.First, x.bad.Last}, err)
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	for i := range p.Blocks() {
		if err := ctx.Err(); err != nil {
			return err
		}
		at := p.Positions(i)
		raw, err := p.Block(i)
		if err != nil {
			if err := x.damaged(Span{at.First, at.Last}, err); err != nil {
				return err
			}
			continue
		}
		x.records(i, at, raw)
	}
	return nil
}

// damaged notes damage. Every other error is returned.
func (x *packCheck) damaged(at Span, err error) error {
	if !errors.Is(err, dcb.ErrCorrupt) && !unreadable(err) {
		return err
	}
	_, offset, reason := refusedAt(err)
	x.note(stretch{at, offset, reason})
	return nil
}

// note appends to what is wrong; neighbours with which the same is wrong are one stretch.
func (x *packCheck) note(s stretch) {
	if n := len(x.bad.damage); n > 0 {
		if last := &x.bad.damage[n-1]; last.Last+1 == s.First && last.reason == s.reason {
			last.Last = s.Last
			return
		}
	}
	x.bad.damage = append(x.bad.damage, s)
}

// records looks at the records of a block.
func (x *packCheck) records(i int, at pack.Range, raw []byte) {
	for p := at.First; p <= at.Last; p++ {
		rec, rest, ok := codec.NextRecord(raw)
		if !ok {
			x.note(stretch{Span: Span{p, at.Last}, reason: fmt.Sprintf("block %d is intact and holds no whole record here", i)})
			return
		}
		raw = rest
		e, err := codec.DecodeRecord(rec, x.k.seed, p)
		if err != nil {
			x.note(stretch{Span: Span{p, p}, reason: fmt.Sprintf("block %d is intact, but its %v", i, err)})
			continue
		}
		x.newest = p
		if r, ok := x.log.records[p]; ok && r.live && codec.PayloadSum(rec) != r.sum {
			x.note(stretch{Span: Span{p, p}, reason: "the record is intact, but the log has another event at this position"})
			continue
		}
		x.c.event(p, &e)
		if n := len(x.good); n > 0 && x.good[n-1].Last == p-1 {
			x.good[n-1].Last = p
		} else {
			x.good = append(x.good, Span{p, p})
		}
	}
}

package index

import (
	"context"
	"errors"
	"slices"
	"strings"

	"opossum/dcb"
	"opossum/internal/segment"
)

// Seal writes the positions up to upto that no segment has yet into segments, one for each memory part, and publishes them: from then
// on they answer, and complete memory parts are let go. What was sealed is durable. After an error Seal can be called again:
// it begins anew, with a new file. Safe for concurrent use with everything but Close.
//
// REQUIRES: upto is durable. (A segment proves that its positions were acknowledged.)
func (ix *Index) Seal(upto dcb.Position) error {
	ix.seal.Lock()
	defer ix.seal.Unlock()
	for {
		v := ix.view.Load()
		if v.base >= upto {
			return nil
		}
		part, _ := v.memoryOf(v.memory)
		r := segment.Range{First: v.base + 1, Last: min(upto, part.hi)}
		if err := seal(ix.cfg.Dir, ix.cfg.Seed, part.memory, r); err != nil {
			return err
		}
		h, err := ix.hold(r)
		if err != nil {
			return err
		}
		ix.replace(r, []*held{h})
		ix.stats.seals.Add(1)
	}
}

// seal writes the positions of r that memory holds into a segment.
func seal(dir string, seed uint64, memory *Recent, r segment.Range) error {
	b, err := segment.Create(dir, seed, r)
	if err != nil {
		return err
	}
	if err := write(b, memory, r); err != nil {
		return errors.Join(err, b.Abort())
	}
	return b.Commit()
}

func write(b *segment.Builder, memory *Recent, r segment.Range) error {
	for _, k := range []struct {
		kind  segment.Kind
		terms *dictionary
	}{{segment.Type, &memory.types}, {segment.Tag, &memory.tags}} {
		for _, l := range k.terms.sorted(r) {
			if err := b.Term(k.kind, l.term); err != nil {
				return err
			}
			for _, piece := range l.pieces(r.First-1, r.Last) {
				if err := b.Positions(piece); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// sorted returns the lists with positions in r, by term. Terms that are added meanwhile have none.
func (d *dictionary) sorted(r segment.Range) []*Postings {
	var out []*Postings
	for i := range d.shards {
		t := *d.shards[i].table.Load()
		for j := range t {
			if l := t[j].Load(); l != nil && l != removed && l.firstAfter(r.First-1, r.Last) != 0 {
				out = append(out, l)
			}
		}
	}
	slices.SortFunc(out, func(a, b *Postings) int { return strings.Compare(a.term, b.term) })
	return out
}

// Merge merges one run of neighbours if there are too many, and reports whether it did. Damaged ones are left out. The merged segment is
// durable before those that it replaces are removed. The error Is ErrDiskFull if there is less to spare than they take. For one
// goroutine at a time, which may not be in Rebuild.
func (ix *Index) Merge(ctx context.Context) (merged bool, err error) { return ix.merge(ctx, mostMerge) }

// MergeSmall is Merge, but of runs that together have few positions, so that it does not take long.
func (ix *Index) MergeSmall(ctx context.Context) (merged bool, err error) {
	return ix.merge(ctx, smallMerge)
}

func (ix *Index) merge(ctx context.Context, most uint64) (merged bool, err error) {
	files, err := ix.acquireFiles()
	if err != nil {
		return false, err
	}
	defer files.release()
	run := mergeable(files.all, most)
	if len(run) == 0 {
		return false, nil
	}
	inputs, bytes := make([]*segment.Segment, len(run)), int64(0)
	for k, h := range run {
		inputs[k] = h.Segment
		bytes += h.Size()
	}
	if err := ix.room(bytes); err != nil {
		return false, err
	}
	r, err := segment.Merge(ctx, ix.cfg.Dir, ix.cfg.Seed, inputs)
	if err != nil {
		for _, h := range run { // nobody knows which; those that are sound cost a rebuilding in vain
			if ce := (*dcb.CorruptError)(nil); errors.As(err, &ce) && ce.File == h.Path() {
				h.note(err, &err)
			}
		}
		return false, err
	}
	h, err := ix.hold(r)
	if err != nil {
		return false, err
	}
	replaced := ix.replace(r, []*held{h})
	ix.stats.merges.Add(1)
	var errs []error
	for _, h := range replaced {
		errs = append(errs, segment.Remove(ix.cfg.Dir, h.Range()))
	}
	return true, errors.Join(errs...)
}

// mergeable returns the run of neighbours that should be merged next, of less than most positions; none if there is nothing to do. It does not reach over a damaged
// segment, which cannot be merged before it is rebuilt.
func mergeable(all []*held, most uint64) []*held {
	for len(all) > 0 {
		n := slices.IndexFunc(all, func(h *held) bool { return h.damaged.Load() })
		if n < 0 {
			n = len(all)
		}
		sizes := make([]uint64, n)
		for i, h := range all[:n] {
			sizes[i] = uint64(h.Range().Last-h.Range().First) + 1
		}
		if i, j := planMerge(sizes, most); i < j {
			return all[i:j]
		}
		all = all[min(n+1, len(all)):]
	}
	return nil
}

const (
	fanIn    = 8   // neighbours of one tier that are merged into one of the next
	tierZero = 512 // positions: smaller segments are all of the lowest tier, in which writing often costs little

	mostMerge  = 1 << 32 // positions: more do not fit into a segment
	smallMerge = 1 << 16
)

// planMerge returns the run [i, j) of neighbours to be merged, given the number of positions of each segment; i == j if there is
// nothing to do. A run of most positions or more is left alone. Tiers fall from the oldest segment to the newest: one that is larger than what stands before it takes that in. And there are
// fewer than fanIn of each: then they become one of the next tier. So each position is written about once for every tier, and
// the number of segments grows with the logarithm of that of positions.
func planMerge(sizes []uint64, most uint64) (i, j int) {
	// run moves i from j-1 on to the left as long as like accepts the tier, and says what the run would have.
	run := func(like func(left, right int) bool) (positions uint64) {
		positions = sizes[j-1]
		for i = j - 1; i > 0 && like(tier(sizes[i-1]), tier(sizes[j-1])); i-- {
			positions += sizes[i-1]
		}
		return positions
	}
	for j = len(sizes); j > 0; j-- {
		if n := run(func(left, right int) bool { return left < right }); j-i > 1 && n < most {
			return i, j
		}
	}
	for j = len(sizes); j > 0; j = i {
		if n := run(func(left, right int) bool { return left == right }); j-i >= fanIn && n < most {
			return i, j
		}
	}
	return 0, 0
}

// tier returns the tier of a segment of n positions.
func tier(n uint64) (t int) {
	for top := uint64(tierZero); n > top; top *= fanIn {
		t++
	}
	return t
}

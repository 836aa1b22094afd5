package index

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"slices"

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
		select {
		case ix.sealed <- struct{}{}:
		default: // nobody has looked since the last one
		}
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
		for _, entry := range k.terms.sorted(r) {
			if err := b.Term(k.kind, entry.list.term); err != nil {
				return err
			}
			if err := writePositions(b, entry.list, r); err != nil {
				return err
			}
		}
	}
	return nil
}

func writePositions(b *segment.Builder, l *Postings, r segment.Range) error {
	if l.newest.Load() == nil { // the commonest
		return b.Positions([]dcb.Position{dcb.Position(l.first.Load())})
	}
	for _, piece := range l.pieces(r.First-1, r.Last) {
		if err := b.Positions(piece); err != nil {
			return err
		}
	}
	return nil
}

// sorted returns the lists with positions in r, by term. Terms that are added meanwhile have none.
func (d *dictionary) sorted(r segment.Range) []keyed {
	var out []keyed
	for i := range d.shards {
		t := *d.shards[i].table.Load()
		for j := range t {
			if l := t[j].Load(); l != nil && l != removed && l.firstAfter(r.First-1, r.Last) != 0 {
				out = append(out, keyed{pieceOf(l.term), l})
			}
		}
	}
	sortByTerm(out, pieceBytes)
	return out
}

// keyed is a list with a piece of its term, so that sorting compares numbers that lie side by side: following the pointers to the
// terms took more time than anything else in sealing.
type keyed struct {
	piece piece
	list  *Postings
}

// piece is the first pieceBytes of a string, and how many there are. Pieces are in the order of their strings; those of different strings are equal
// only if both have as many or more.
type piece struct{ high, low uint64 }

const pieceBytes = 15

func pieceOf(s string) piece {
	var b [16]byte
	b[pieceBytes] = byte(copy(b[:pieceBytes], s))
	return piece{binary.BigEndian.Uint64(b[:]), binary.BigEndian.Uint64(b[8:])}
}

func comparePieces(a, b keyed) int {
	if a.piece.high != b.piece.high {
		return cmp.Compare(a.piece.high, b.piece.high)
	}
	return cmp.Compare(a.piece.low, b.piece.low)
}

// sortByTerm sorts lists with different terms, whose pieces end at next in their terms and are equal before.
func sortByTerm(lists []keyed, next int) {
	slices.SortFunc(lists, comparePieces)
	for i, j := 0, 0; i < len(lists); i = j {
		for j = i + 1; j < len(lists) && lists[j].piece == lists[i].piece; j++ {
		}
		if j-i == 1 {
			continue
		}
		same := lists[i:j]
		for k := range same {
			same[k].piece = pieceOf(same[k].list.term[next:])
		}
		sortByTerm(same, next+pieceBytes)
	}
}

// Merge merges one run of neighbours if there are too many, and reports whether it did. Damaged ones are left out. The merged segment is
// durable before those that it replaces are removed. The error Is ErrDiskFull if there is less to spare than they take. For one
// goroutine at a time, which may not be in Rebuild.
//
// A large run takes long. Until it is done, the smaller ones that Seal brings meanwhile are merged beside it: else segments would pile up,
// and each makes every question slower.
func (ix *Index) Merge(ctx context.Context) (merged bool, err error) {
	return ix.merge(ctx, mostMerge)
}

// MergeSmall is Merge, but of runs that together have few positions, so that it does not take long.
func (ix *Index) MergeSmall(ctx context.Context) (merged bool, err error) {
	return ix.merge(ctx, smallMerge)
}

func (ix *Index) merge(ctx context.Context, most uint64) (merged bool, err error) {
	run, err := ix.mergeable(nil, most)
	if err != nil || run == nil {
		return false, err
	}
	defer run.release()
	if run.positions() < largeMerge {
		return ix.mergeRun(ctx, run, run.bytes())
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		merged, err = ix.mergeRun(ctx, run, run.bytes())
	}()
	beside := ix.mergeBeside(ctx, run)
	for {
		select {
		case <-done:
			return merged, errors.Join(err, beside)
		case <-ix.sealed:
			if beside == nil {
				beside = ix.mergeBeside(ctx, run)
			}
		}
	}
}

// mergeBeside merges runs that are not large until there are none, and does not touch those of large, which are being merged.
func (ix *Index) mergeBeside(ctx context.Context, large *files) error {
	for {
		run, err := ix.mergeable(large, largeMerge)
		if err != nil || run == nil {
			return err
		}
		_, err = ix.mergeRun(ctx, run, run.bytes()+large.bytes())
		run.release()
		if err != nil {
			return err
		}
	}
}

// mergeRun merges the segments of run, which are neighbours, if there are bytes to spare, and reports whether the merged one is published.
func (ix *Index) mergeRun(ctx context.Context, run *files, bytes int64) (merged bool, err error) {
	if err := ix.room(bytes); err != nil {
		return false, err
	}
	inputs := make([]*segment.Segment, len(run.all))
	for k, h := range run.all {
		inputs[k] = h.Segment
	}
	r, err := segment.Merge(ctx, ix.cfg.Dir, ix.cfg.Seed, inputs)
	if err != nil {
		for _, h := range run.all { // nobody knows which; those that are sound cost a rebuilding in vain
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

// mergeable returns the run of neighbours that should be merged next, of less than most positions, nil if there is nothing to do. It does not
// reach over a damaged segment, which cannot be merged before it is rebuilt, nor over one of busy, which may be nil. The caller releases it; it
// holds no other segments, so that what is merged away meanwhile is given back.
func (ix *Index) mergeable(busy *files, most uint64) (*files, error) {
	files, err := ix.acquireFiles()
	if err != nil {
		return nil, err
	}
	defer files.release()
	sizes, blocked := make([]uint64, len(files.all)), make([]bool, len(files.all))
	for i, h := range files.all {
		sizes[i] = h.positions()
		blocked[i] = h.damaged.Load() || busy != nil && slices.Contains(busy.all, h)
	}
	i, j := planAround(sizes, blocked, most)
	if i == j {
		return nil, nil
	}
	return newFiles(slices.Clone(files.all[i:j])), nil
}

// positions is how many positions the segment covers.
func (h *held) positions() uint64 { return uint64(h.Range().Last-h.Range().First) + 1 }

func (f *files) positions() (n uint64) {
	for _, h := range f.all {
		n += h.positions()
	}
	return n
}

func (f *files) bytes() (n int64) {
	for _, h := range f.all {
		n += h.Size()
	}
	return n
}

// planAround is planMerge for each stretch of neighbours between those that are blocked, the oldest stretch first.
func planAround(sizes []uint64, blocked []bool, most uint64) (i, j int) {
	for from := 0; from < len(sizes); {
		n := slices.Index(blocked[from:], true)
		if n < 0 {
			n = len(sizes) - from
		}
		if i, j := planMerge(sizes[from:from+n], most); i < j {
			return from + i, from + j
		}
		from += n + 1
	}
	return 0, 0
}

const (
	fanIn    = 8   // neighbours of one tier that are merged into one of the next
	tierZero = 512 // positions: smaller segments are all of the lowest tier, in which writing often costs little

	mostMerge  = 1 << 32 // positions: more do not fit into a segment
	smallMerge = 1 << 16
	largeMerge = 1 << 20 // those of as many take a second or more, and are not waited for by others
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
	for n > tierTop(t) {
		t++
	}
	return t
}

// tierTop is how many positions the segments of a tier have at most. REQUIRES: the tier is that of a segment.
func tierTop(t int) uint64 {
	top := uint64(tierZero)
	for range t {
		top *= fanIn
	}
	return top
}

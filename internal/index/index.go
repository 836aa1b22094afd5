package index

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"opossum/dcb"
	"opossum/internal/segment"
)

// Config of an Index.
type Config struct {
	Dir  string // of the segments; it need not exist yet
	Seed uint64 // of the store
	// RecentBytes is what the memory parts together should take. A quarter of it fills one.
	RecentBytes int64
	// Damaged is called when a segment turns out to be damaged, by whoever was reading.
	Damaged func()
	// Spare, if set, returns the bytes of disk that may be used up. Merge and Rebuild, which can do without, leave the rest to appends.
	Spare func() (uint64, error)
}

// Index is the index of an open store. Acquire, Iterate and the figures are for any goroutine; the others say whose they are.
type Index struct {
	cfg    Config
	view   atomic.Pointer[View] // nil once closed
	active atomic.Pointer[node] // its part takes what is staged

	publish sync.Mutex    // for changes of view
	seal    sync.Mutex    // one Seal at a time
	sealed  chan struct{} // has one if there are segments that no Merge has seen
	stats   struct{ seals, merges, rebuilds atomic.Uint64 }
}

// Open opens the segments of the ranges, which are adjacent and begin at position 1. Memory answers from there on.
// Only footers are looked at. The error names the file, and Is ErrCorrupt, fs.ErrNotExist or ErrVersion.
func Open(cfg Config, ranges []segment.Range) (*Index, error) {
	ix := &Index{cfg: cfg, sealed: make(chan struct{}, 1)}
	base, all, err := ix.holdAll(ranges, nil)
	if err != nil {
		return nil, err
	}
	n := &node{recent: newRecent(base)}
	ix.active.Store(n)
	ix.view.Store(&View{base: base, files: newFiles(all), memory: n})
	return ix, nil
}

func (ix *Index) hold(r segment.Range) (*held, error) {
	s, err := segment.Open(ix.cfg.Dir, ix.cfg.Seed, r)
	if err != nil {
		return nil, err
	}
	return &held{Segment: s, report: ix.cfg.Damaged}, nil
}

// Close lets go of the segments; each is unmapped when the last iterator over it is closed. From now on Acquire and Iterate
// return ErrClosed. REQUIRES: Seal, Merge and Rebuild are not running and will not be called.
func (ix *Index) Close() {
	if v := ix.view.Swap(nil); v != nil {
		v.files.release()
	}
}

// Acquire returns the present view; the caller releases it. The error Is ErrClosed.
func (ix *Index) Acquire() (*View, error) {
	for {
		v := ix.view.Load()
		if v == nil {
			return nil, fmt.Errorf("index: %w", dcb.ErrClosed)
		}
		if v.files.retain() { // else it was replaced between the two
			return v, nil
		}
	}
}

// acquireFiles returns the segments of the present view; the caller releases them. For long work: a view would keep alive all of the memory
// that is sealed meanwhile. The error Is ErrClosed.
func (ix *Index) acquireFiles() (*files, error) {
	v, err := ix.Acquire()
	if err != nil {
		return nil, err
	}
	return v.files, nil
}

// room returns an error that Is ErrDiskFull if there are fewer than bytes to spare.
func (ix *Index) room(bytes int64) error {
	if ix.cfg.Spare == nil {
		return nil
	}
	spare, err := ix.cfg.Spare()
	if err == nil && spare < uint64(bytes) {
		err = fmt.Errorf("%w: up to %d bytes wanted for index segments, %d to spare", dcb.ErrDiskFull, bytes, spare)
	}
	if err != nil {
		return fmt.Errorf("index: %w", err)
	}
	return nil
}

// Active returns the memory part that takes what is staged. Terms interned in another one cannot be staged any more.
func (ix *Index) Active() *Recent { return ix.active.Load().recent }

// Base is the position up to which segments answer; it is durable. 0 after Close.
func (ix *Index) Base() dcb.Position {
	if v := ix.view.Load(); v != nil {
		return v.base
	}
	return 0
}

// Staged begins a new memory part above p if the active one has its share of the memory, and reports whether it did: then there is
// something to seal. REQUIRES: the caller stages, and p is the last position staged.
func (ix *Index) Staged(p dcb.Position) (full bool) {
	if ix.Active().bytes.Load() < ix.cfg.RecentBytes/4 {
		return false
	}
	ix.Rotate(p)
	return true
}

// Rotate begins a new memory part above p, unless the active one is empty. REQUIRES: the caller stages, and p is the last position staged.
func (ix *Index) Rotate(p dcb.Position) {
	if p == ix.Active().base {
		return
	}
	n := &node{recent: newRecent(p)}
	ix.active.Load().next.Store(n) // before anything is staged in it: who knows of such a position finds the link
	ix.active.Store(n)
}

// Full returns the end of the newest memory part that is complete, if it is not sealed yet; 0 if there is none.
func (ix *Index) Full() dcb.Position {
	v := ix.view.Load()
	if end := ix.Active().base; v != nil && end > v.base {
		return end
	}
	return 0
}

// ActiveBytes is about what the active memory part takes.
func (ix *Index) ActiveBytes() int64 { return ix.Active().bytes.Load() }

// Bytes is about what all memory parts take.
func (ix *Index) Bytes() (n int64) {
	v := ix.view.Load()
	if v == nil {
		return 0
	}
	for at := v.memory; at != nil; at = at.next.Load() {
		n += at.recent.bytes.Load()
	}
	return n
}

// Excess reports whether the memory parts take more than they should: then appends must wait for sealing.
func (ix *Index) Excess() bool { return ix.Bytes() > ix.cfg.RecentBytes }

// replace publishes a view in which the segments of the range of r, which fall on borders of segments, are replaced by with. It returns
// the ones replaced, which are still open for those who use them.
func (ix *Index) replace(r segment.Range, with []*held) []*held {
	ix.publish.Lock()
	defer ix.publish.Unlock()
	old := ix.view.Load()
	i := slices.IndexFunc(old.files.all, func(h *held) bool { return h.Range().First >= r.First })
	if i < 0 {
		i = len(old.files.all)
	}
	j := i
	for j < len(old.files.all) && old.files.all[j].Range().Last <= r.Last {
		j++
	}
	replaced := old.files.all[i:j]
	ix.show(old, max(old.base, r.Last), slices.Concat(old.files.all[:i], with, old.files.all[j:]))
	return replaced
}

// show publishes a view over the segments all, which reach up to base, in the place of old. REQUIRES: ix.publish is held.
func (ix *Index) show(old *View, base dcb.Position, all []*held) {
	next := &View{base: base, files: newFiles(all), memory: old.memory}
	for n := next.memory.next.Load(); n != nil && n.recent.base <= base; n = n.next.Load() {
		next.memory = n
	}
	ix.view.Store(next)
	old.files.release()
}

// Stats are figures of an index, those of work since Open.
type Stats struct {
	Segments               int
	SegmentBytes           int64
	Tiers                  []TierStats // that have segments, from the lowest
	RecentBytes            int64
	Seals, Merges, Rebuilt uint64
}

// TierStats tells of the segments of one tier: those of about the same number of positions, of which eight are merged into one of the next.
type TierStats struct {
	Tier      int    `json:"tier"` // from 0
	Most      uint64 `json:"most"` // positions that a segment of the tier may have
	Segments  int    `json:"segments"`
	Positions uint64 `json:"positions"`
	Bytes     int64  `json:"bytes"`
}

// Stats may be called at any time.
func (ix *Index) Stats() Stats {
	s := Stats{
		RecentBytes: ix.Bytes(),
		Seals:       ix.stats.seals.Load(), Merges: ix.stats.merges.Load(), Rebuilt: ix.stats.rebuilds.Load(),
	}
	files, err := ix.acquireFiles()
	if err != nil {
		return s
	}
	defer files.release()
	s.Segments, s.SegmentBytes = len(files.all), files.bytes()
	s.Tiers = tiersOf(files.all)
	return s
}

func tiersOf(all []*held) (tiers []TierStats) {
	for _, h := range all {
		n := tier(h.positions())
		i, found := slices.BinarySearchFunc(tiers, n, func(t TierStats, n int) int { return cmp.Compare(t.Tier, n) })
		if !found {
			tiers = slices.Insert(tiers, i, TierStats{Tier: n, Most: tierTop(n)})
		}
		t := &tiers[i]
		t.Segments++
		t.Positions += h.positions()
		t.Bytes += h.Size()
	}
	return tiers
}

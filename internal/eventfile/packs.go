package eventfile

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"opossum/dcb"
	"opossum/internal/codec"
	"opossum/internal/pack"
)

// packDir is the name of the directory of packs, beside that of the shards.
const packDir = "packs"

// packs are the packs of a Store: which there are, by the shards that they hold, and those that are open. What is asked for last stays open.
type packs struct {
	dir    string
	blocks *blocks

	mu    sync.Mutex
	seed  uint64
	bound bool // the seed is known, and the directory was read
	known map[dcb.Position]struct{}
	here  map[dcb.Position]int // how often this Store has written or removed the pack of a shard
	moves int                  // the sum of these
	open  map[dcb.Position]*list.Element
	used  *list.List // of *openPack, the last used one first
	most  int        // that are open
}

// openPack is an open pack. INVARIANT: it is closed exactly when it is neither in used nor read from.
type openPack struct {
	*pack.Pack
	shard   dcb.Position
	version int // of packs.here
	readers int
	kept    bool // in used
}

func newPacks(dir string) packs {
	return packs{
		dir: dir, blocks: newBlocks(leastCache), known: make(map[dcb.Position]struct{}),
		here: make(map[dcb.Position]int), open: make(map[dcb.Position]*list.Element), used: list.New(), most: maxOpenPacks(),
	}
}

// shardRange is the range of the pack of a shard.
func shardRange(first dcb.Position) pack.Range {
	return pack.Range{First: first, Last: first + ShardPositions - 1}
}

// IsShard reports whether r is the range of a whole shard, as every pack of a Store is.
func IsShard(r pack.Range) bool { return ShardOf(r.First) == r.First && r == shardRange(r.First) }

// Bind tells the Store whose packs are its own: those written with the seed of its store. Before, it knows of none. It reads the names in
// the directory of packs, and opens none of them. It may be called again, with the same seed.
func (s *Store) Bind(seed uint64) error {
	s.packs.mu.Lock()
	s.packs.seed, s.packs.bound = seed, true
	s.packs.mu.Unlock()
	return s.packs.list()
}

// list reads the names again.
func (k *packs) list() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	for k.bound {
		moves := k.moves
		k.mu.Unlock()
		found, err := pack.ListDir(k.dir)
		k.mu.Lock()
		if err != nil {
			return err
		}
		if moves != k.moves { // the names may be older than what is known
			continue
		}
		known := make(map[dcb.Position]struct{}, len(found.Ranges))
		for _, r := range found.Ranges {
			if IsShard(r) {
				known[r.First] = struct{}{}
			}
		}
		k.known = known
		break
	}
	return nil
}

// has reports whether there is a pack of a shard, as far as is known.
func (k *packs) has(shard dcb.Position) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	_, ok := k.known[shard]
	return ok
}

// shards returns the shards that have packs, ascending.
func (k *packs) shards() []dcb.Position {
	k.mu.Lock()
	defer k.mu.Unlock()
	out := make([]dcb.Position, 0, len(k.known))
	for first := range k.known {
		out = append(out, first)
	}
	slices.Sort(out)
	return out
}

// acquire returns the open pack of a shard; the caller releases it. The error Is fs.ErrNotExist if there is none.
func (k *packs) acquire(shard dcb.Position) (*openPack, error) {
	k.mu.Lock()
	if e, ok := k.open[shard]; ok {
		k.used.MoveToFront(e)
		p := e.Value.(*openPack)
		p.readers++
		k.mu.Unlock()
		return p, nil
	}
	_, ok := k.known[shard]
	seed, version := k.seed, k.here[shard]
	k.mu.Unlock()
	if !ok {
		return nil, fs.ErrNotExist
	}
	opened, err := pack.Open(k.dir, seed, shardRange(shard)) // two goroutines may both open it
	if err != nil {
		return nil, err
	}
	p := &openPack{Pack: opened, shard: shard, version: version, readers: 1}
	k.keep(p)
	return p, nil
}

// keep keeps p open for those who come, unless its pack was replaced, removed or opened while p was being opened: then it is its reader's alone.
func (k *packs) keep(p *openPack) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, ok := k.known[p.shard]; !ok || k.open[p.shard] != nil || k.here[p.shard] != p.version {
		return
	}
	p.kept = true
	k.open[p.shard] = k.used.PushFront(p)
	for len(k.open) > k.most {
		k.drop(k.used.Back())
	}
}

// release ends the use of a pack. Nothing was written through its descriptor, so there is no error that would matter.
func (k *packs) release(p *openPack) {
	k.mu.Lock()
	defer k.mu.Unlock()
	p.readers--
	p.closeUnused()
}

func (p *openPack) closeUnused() {
	if !p.kept && p.readers == 0 {
		_ = p.Close()
	}
}

// drop takes one out of those that are kept open. REQUIRES: k is locked.
func (k *packs) drop(e *list.Element) {
	p := k.used.Remove(e).(*openPack)
	delete(k.open, p.shard)
	p.kept = false
	p.closeUnused()
}

// forget makes the next use of the pack of a shard open it anew, if it is still there.
func (k *packs) forget(shard dcb.Position, there bool) {
	k.mu.Lock()
	if e, ok := k.open[shard]; ok {
		k.drop(e)
	}
	if delete(k.known, shard); there {
		k.known[shard] = struct{}{}
	}
	k.here[shard]++
	k.moves++
	k.mu.Unlock()
	k.blocks.forget(shard)
}

// reopen makes the next use of the pack of a shard open it anew, and read it.
func (k *packs) reopen(shard dcb.Position) {
	k.mu.Lock()
	if e, ok := k.open[shard]; ok {
		k.drop(e)
	}
	k.mu.Unlock()
	k.blocks.forget(shard)
}

// close closes what is open once nobody reads from it.
func (k *packs) close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	clear(k.known)
	for k.used.Len() > 0 {
		k.drop(k.used.Back())
	}
}

func (k *packs) path(shard dcb.Position) string {
	return filepath.Join(k.dir, pack.Name(shardRange(shard)))
}

// block returns the records of block i of p, to be read only: it stays in the cache, because it is likely to be asked for again.
func (k *packs) block(p *openPack, i int) ([]byte, error) {
	id := blockID{p.shard, p.version, i}
	if raw, ok := k.blocks.get(id); ok {
		return raw, nil
	}
	raw, err := p.Block(i)
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if p.kept { // else the pack may have been replaced, and nobody would forget the block
		k.blocks.put(id, raw)
	}
	return raw, nil
}

// passing is block for whoever does not come back to it: it may stand in buf, which is made larger if need be.
func (k *packs) passing(p *openPack, i int, buf *[]byte) ([]byte, error) {
	if raw, ok := k.blocks.get(blockID{p.shard, p.version, i}); ok {
		return raw, nil
	}
	*buf = slices.Grow((*buf)[:0], p.RawBytes(i))
	return p.BlockIn(i, *buf)
}

// decode returns the event at pos out of the records of block i of p.
func (p *openPack) decode(i int, raw []byte, pos dcb.Position, seed uint64) (dcb.SequencedEvent, error) {
	rec, err := p.Record(i, raw, pos)
	if err != nil {
		return dcb.SequencedEvent{}, err
	}
	e, err := codec.DecodeRecord(rec, seed, pos)
	if err != nil {
		return dcb.SequencedEvent{}, &dcb.CorruptError{File: p.Path(), Reason: fmt.Sprintf("event %d, in block %d: %v", pos, i, err)}
	}
	return dcb.SequencedEvent{Position: pos, Event: e}, nil
}

// read returns the event at pos from the pack of its shard. The error Is fs.ErrNotExist if there is none.
func (k *packs) read(pos dcb.Position) (dcb.SequencedEvent, error) {
	p, err := k.acquire(ShardOf(pos))
	if err != nil {
		return dcb.SequencedEvent{}, err
	}
	defer k.release(p)
	i := p.BlockOf(pos)
	raw, err := k.block(p, i)
	if err != nil {
		return dcb.SequencedEvent{}, err
	}
	return p.decode(i, raw, pos, k.seed)
}

// verify reads a whole pack. The error is that of the first thing that is damaged.
func (k *packs) verify(ctx context.Context, shard dcb.Position) error {
	p, err := k.acquire(shard)
	if err != nil {
		return err
	}
	defer k.release(p)
	for i := range p.Blocks() {
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, err := p.check(i, k.seed); err != nil {
			return err
		}
	}
	return nil
}

// check verifies block i with all its records and returns the last position that is intact, 0 if none is.
func (p *openPack) check(i int, seed uint64) (last dcb.Position, err error) {
	raw, err := p.Block(i)
	if err != nil {
		return 0, err
	}
	at := p.Positions(i)
	for pos := at.First; pos <= at.Last; pos++ {
		rec, rest, ok := codec.NextRecord(raw)
		bad := errors.New("there is no whole record")
		if ok {
			bad = codec.CheckRecord(rec, seed, pos)
		}
		if bad != nil {
			return last, &dcb.CorruptError{File: p.Path(), Reason: fmt.Sprintf("event %d, in block %d: %v", pos, i, bad)}
		}
		last, raw = pos, rest
	}
	if len(raw) > 0 {
		return last, &dcb.CorruptError{File: p.Path(), Reason: fmt.Sprintf("block %d has %d bytes behind its last record", i, len(raw))}
	}
	return last, nil
}

// highest returns the highest position above the given one that is intact in a pack, and its path; 0 if there is none.
func (k *packs) highest(above dcb.Position) (dcb.Position, string, error) {
	for _, shard := range slices.Backward(k.shards()) {
		if shardRange(shard).Last <= above {
			break
		}
		last, err := k.highestIn(shard)
		if err != nil && !errors.Is(err, dcb.ErrCorrupt) && !errors.Is(err, fs.ErrNotExist) {
			return 0, "", err
		}
		if last > above {
			return last, k.path(shard), nil
		}
	}
	return 0, "", nil
}

func (k *packs) highestIn(shard dcb.Position) (dcb.Position, error) {
	p, err := k.acquire(shard)
	if err != nil {
		return 0, err
	}
	defer k.release(p)
	for i := p.Blocks() - 1; i >= 0; i-- {
		last, err := p.check(i, k.seed)
		if last > 0 || err != nil && !errors.Is(err, dcb.ErrCorrupt) {
			return last, err
		}
	}
	return 0, nil
}

// Packing writes the pack of one shard. It is for one goroutine.
type Packing struct {
	s     *Store
	shard dcb.Position
	b     *pack.Builder
}

// Pack begins the pack of the shard that begins at first. Its records are then added, those of all positions, ascending. REQUIRES: Bind was called; one Packing
// at a time for a shard.
func (s *Store) Pack(first dcb.Position) (*Packing, error) {
	if err := s.check("pack", first); err != nil {
		return nil, err
	}
	s.packs.mu.Lock()
	seed, bound := s.packs.seed, s.packs.bound
	s.packs.mu.Unlock()
	if !bound || ShardOf(first) != first {
		return nil, &fs.PathError{Op: "pack", Path: s.packs.path(first), Err: fs.ErrInvalid}
	}
	b, err := pack.Create(s.packs.dir, seed, shardRange(first))
	if err != nil {
		return nil, err
	}
	return &Packing{s: s, shard: first, b: b}, nil
}

// Add adds the record of the next position, as the log holds it. Nothing of it is kept.
func (w *Packing) Add(record []byte) error { return w.b.Add(record) }

// Commit publishes the pack, in the place of any that was there: from now on reads are answered from it. Nothing is durable before [Store.Sync].
// After an error Abort is what is left to do.
func (w *Packing) Commit() error {
	if err := w.b.Commit(); err != nil {
		return err
	}
	w.s.packs.forget(w.shard, true)
	if w.s.perFile {
		w.s.pending.addPack(w.shard)
	}
	return nil
}

// Abort removes what was written, unless it was committed.
func (w *Packing) Abort() error { return w.b.Abort() }

// Packed reports whether the shard of p has a pack, be it whole or not.
func (s *Store) Packed(p dcb.Position) bool { return s.packs.has(ShardOf(p)) }

// PackedHere reports whether the shard of p has a pack that this Store has written: a [Store.Sync] vouches for it.
func (s *Store) PackedHere(p dcb.Position) bool {
	s.packs.mu.Lock()
	defer s.packs.mu.Unlock()
	_, ok := s.packs.known[ShardOf(p)]
	return ok && s.packs.here[ShardOf(p)] > 0
}

// PackedShards returns the first positions of the shards that have packs, ascending.
func (s *Store) PackedShards() []dcb.Position { return s.packs.shards() }

// VerifyPack reads the pack of the shard that begins at first and verifies every record. The error Is ErrCorrupt, fs.ErrNotExist, ctx's, or that of the file system.
func (s *Store) VerifyPack(ctx context.Context, first dcb.Position) error {
	return s.packs.verify(ctx, first)
}

// RemovePack removes the pack of the shard that begins at first, if there is one. It opens no gap for who reads: REQUIRES that the events are durable in
// loose files, or above every checkpoint.
func (s *Store) RemovePack(first dcb.Position) error {
	if err := pack.Remove(s.packs.dir, shardRange(first)); err != nil {
		return err
	}
	s.packs.forget(first, false)
	return nil
}

// RemovePacksAbove removes the packs whose shards begin above p: after a crash nothing above the checkpoint is believed, and it is all written again.
// A pack that holds p as well stays; its checksums tell what it is worth.
func (s *Store) RemovePacksAbove(p dcb.Position) error {
	for _, first := range s.packs.shards() {
		if first > p {
			if err := s.RemovePack(first); err != nil {
				return err
			}
		}
	}
	return nil
}

// PackUsage returns the number of packs and the bytes that they occupy on disk.
func (s *Store) PackUsage() (packs int, bytes int64, err error) {
	for _, first := range s.packs.shards() {
		info, err := os.Lstat(s.packs.path(first))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return packs, bytes, err
		}
		packs++
		bytes += allocated(info)
	}
	return packs, bytes, nil
}

// CacheStats are figures of the cache of decompressed blocks, and of the packs that are kept open.
type CacheStats struct {
	Bytes, Budget int64 // in memory
	Hits, Misses  uint64
	OpenPacks     int
}

// CacheStats may be called at any time.
func (s *Store) CacheStats() CacheStats {
	b := s.packs.blocks
	b.mu.Lock()
	out := CacheStats{Bytes: b.bytes, Budget: b.most, Hits: b.stats.hits, Misses: b.stats.misses}
	b.mu.Unlock()
	s.packs.mu.Lock()
	defer s.packs.mu.Unlock()
	out.OpenPacks = len(s.packs.open)
	return out
}

package eventfile

import (
	"opossum/dcb"
	"opossum/internal/codec"
)

const (
	// BatchBytes is about how much one call of ReadBatch reads at most, and one event more.
	BatchBytes = 1 << 20

	// batchReads is how many files or blocks one call of ReadBatch reads at most: on a slow disk that takes long enough.
	batchReads = 32
)

// ReadBatch reads the events at the positions, which ascend or descend, into out, which is as long: of a block of a pack all at once. It returns how many it has
// read: at least one, unless the first of them is an error, which it returns; those of Read. It may stop early without one, so that nobody waits or needs
// memory for many at a time: then the caller goes on with the rest.
func (s *Store) ReadBatch(positions []dcb.Position, out []dcb.SequencedEvent) (n int, err error) {
	if len(positions) == 0 {
		return 0, nil
	}
	if err := s.check("read", positions[0]); err != nil {
		return 0, err
	}
	if n := s.packs.readBatch(positions, out); n > 0 {
		return n, nil
	}
	for size := 0; n < min(len(positions), batchReads) && size < BatchBytes; n++ {
		if n > 0 && s.packs.has(ShardOf(positions[n])) {
			break
		}
		if out[n], err = s.Read(positions[n]); err != nil {
			return n, err
		}
		size += codec.RecordBytes(out[n].Event)
	}
	return n, nil
}

// readBatch reads the leading positions that are in the pack of the first one's shard, as far as nothing is wrong there: Read finds out what it is, and what
// can be done about it.
func (k *packs) readBatch(positions []dcb.Position, out []dcb.SequencedEvent) (n int) {
	shard := ShardOf(positions[0])
	p, err := k.acquire(shard)
	if err != nil {
		return 0
	}
	defer k.release(p)
	buf := buffers.Get().(*[]byte)
	defer recycle(buf)
	size := 0
	for reads := 0; reads < batchReads && n < len(positions) && size < BatchBytes && ShardOf(positions[n]) == shard; reads++ {
		i := p.BlockOf(positions[n])
		at := p.Positions(i)
		here := 1 // of the positions are in this block
		for n+here < len(positions) && at.First <= positions[n+here] && positions[n+here] <= at.Last {
			here++
		}
		// Who takes much of a block is going through the pack, and does not come back to it, unless the batch ends in it.
		var raw []byte
		if few := uint64(here)*keepBelow < uint64(at.Last-at.First+1); few || n == 0 || n+here == len(positions) {
			raw, err = k.block(p, i)
		} else {
			raw, err = k.passing(p, i, buf)
		}
		if err != nil {
			return n
		}
		got := decodeAll(raw, at.First, positions[n:n+here], out[n:n+here], k.seed)
		for _, e := range out[n : n+got] {
			size += codec.RecordBytes(e.Event)
		}
		if n += got; got < here {
			return n
		}
	}
	return n
}

// keepBelow: a block of which less than this part is taken stays in the cache.
const keepBelow = 8

// decodeAll decodes the records of positions out of those of a block, which begin with that of first. It returns how many it could decode, up to the first bad one.
func decodeAll(raw []byte, first dcb.Position, positions []dcb.Position, out []dcb.SequencedEvent, seed uint64) int {
	var few [64]int // mostly enough, and not on the heap
	ends := append(few[:0], 0)
	for n, p := range positions {
		for dcb.Position(len(ends)) <= p-first+1 {
			last := ends[len(ends)-1]
			rec, _, ok := codec.NextRecord(raw[last:])
			if !ok {
				return n
			}
			ends = append(ends, last+len(rec))
		}
		e, err := codec.DecodeRecord(raw[ends[p-first]:ends[p-first+1]], seed, p)
		if err != nil {
			return n
		}
		out[n] = dcb.SequencedEvent{Position: p, Event: e}
	}
	return len(positions)
}

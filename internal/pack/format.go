package pack

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/cespare/xxhash/v2"

	"opossum/dcb"
)

// FormatVersion is the version of the pack format, see docs/format/pack.md.
const FormatVersion = 1

// Sizes of the format. docs/format/pack.md draws the bytes.
const (
	magic       = 0x4b43504f // "OPCK" in little endian
	headerBytes = 24
	entryBytes  = 24 // of the table of blocks
	footerBytes = 40
	tailBytes   = 8 // version and magic, the last bytes of a file in every version
	sumBytes    = 8

	// BlockBytes is from how many bytes of records on a block is closed. Smaller blocks compress worse, larger ones cost more for one event:
	// 8 KiB take 15 microseconds to read, 16 KiB 25, and save 4 % of the space.
	BlockBytes = 8 << 10

	// maxRecordBytes bounds a record: it stood in one frame of the log.
	maxRecordBytes = 16 << 20

	// maxRawBytes bounds a block: less than BlockBytes, and one record.
	maxRawBytes = BlockBytes + maxRecordBytes

	// maxPositions bounds a pack, and with it the table that opening reads.
	maxPositions = 1 << 20
)

// Range is a closed range of positions: First >= 1, Last >= First, at most 1<<20 positions.
type Range struct{ First, Last dcb.Position }

// Len is how many positions there are in r.
func (r Range) Len() uint64 { return uint64(r.Last-r.First) + 1 }

// Has reports whether p is in r.
func (r Range) Has(p dcb.Position) bool { return p >= r.First && p <= r.Last }

func (r Range) valid() bool {
	return r.First >= 1 && r.Last >= r.First && r.Last-r.First < maxPositions
}

func (r Range) check() error {
	if !r.valid() {
		return fmt.Errorf("pack: %d to %d is no range of a pack", r.First, r.Last)
	}
	return nil
}

// footer is what the fixed end of a file says.
type footer struct {
	table    uint64 // where the table starts, and the blocks end
	blocks   uint64
	tableSum uint64
}

// entry is what the table says of a block.
type entry struct {
	offset uint64
	first  uint32 // the first position in it, counted from the first of the pack
	raw    uint32 // bytes of its records
	sum    uint64 // of its bytes in the file
}

// place binds sums to the store, the pack and the place in it.
type place struct {
	seed uint64
	r    Range
}

// The parts of a file that are no blocks take their seeds from the end of the block numbers.
const (
	footerPlace = math.MaxUint64
	tablePlace  = math.MaxUint64 - 1
)

// sum is XXH64 of b, seeded with the place: store, range and number of the block.
func (p place) sum(number uint64, b []byte) uint64 {
	var s [32]byte
	binary.LittleEndian.PutUint64(s[0:], p.seed)
	binary.LittleEndian.PutUint64(s[8:], uint64(p.r.First))
	binary.LittleEndian.PutUint64(s[16:], uint64(p.r.Last))
	binary.LittleEndian.PutUint64(s[24:], number)
	var d xxhash.Digest
	d.ResetWithSeed(xxhash.Sum64(s[:]))
	_, _ = d.Write(b) // a hash never fails
	return d.Sum64()
}

// appendHeader: magic u32 | version u32 | first u64 | last u64.
func appendHeader(b []byte, r Range) []byte {
	b = binary.LittleEndian.AppendUint32(b, magic)
	b = binary.LittleEndian.AppendUint32(b, FormatVersion)
	b = binary.LittleEndian.AppendUint64(b, uint64(r.First))
	return binary.LittleEndian.AppendUint64(b, uint64(r.Last))
}

// appendEntry: offset u64 | first u32 | raw u32 | sum u64.
func appendEntry(b []byte, e entry) []byte {
	b = binary.LittleEndian.AppendUint64(b, e.offset)
	b = binary.LittleEndian.AppendUint32(b, e.first)
	b = binary.LittleEndian.AppendUint32(b, e.raw)
	return binary.LittleEndian.AppendUint64(b, e.sum)
}

// appendFooter: sum u64 of all that follows | table u64 | blocks u64 | table sum u64 | version u32 | magic u32.
func appendFooter(b []byte, p place, f footer) []byte {
	le, start := binary.LittleEndian, len(b)
	b = le.AppendUint64(b, 0)
	for _, v := range []uint64{f.table, f.blocks, f.tableSum} {
		b = le.AppendUint64(b, v)
	}
	b = le.AppendUint32(b, FormatVersion)
	b = le.AppendUint32(b, magic)
	le.PutUint64(b[start:], p.sum(footerPlace, b[start+sumBytes:]))
	return b
}

// The ways in which a file is not a pack of its range.
var (
	errShort  = errors.New("too short for a pack")
	errHeader = errors.New("the header is not that of this pack")
	errSum    = errors.New("the checksum of the footer does not match")
	errFooter = errors.New("the footer contradicts itself or the size of the file")
	errTable  = errors.New("the checksum of the table does not match")
	errEntry  = errors.New("an entry of the table is malformed")
)

// newer reports whether both ends of a file name the same version and one that this program does not know. One end alone proves
// nothing, because a single flipped bit must not look like the work of a newer program.
func newer(head, tail []byte) bool {
	if len(head) < tailBytes || len(tail) < tailBytes {
		return false
	}
	le := binary.LittleEndian
	tail = tail[len(tail)-tailBytes:]
	version := le.Uint32(head[4:])
	return le.Uint32(head) == magic && le.Uint32(tail[4:]) == magic && version == le.Uint32(tail) && version > FormatVersion
}

// parseEnds judges the first and the last bytes of a file of the given size.
// REQUIRES: head has headerBytes and tail has footerBytes, or the whole file if it is shorter.
func parseEnds(p place, size int64, head, tail []byte) (footer, error) {
	switch {
	case newer(head, tail):
		return footer{}, dcb.ErrVersion
	case size < headerBytes+footerBytes:
		return footer{}, errShort
	case !bytes.Equal(head, appendHeader(nil, p.r)):
		return footer{}, errHeader
	}
	le := binary.LittleEndian
	if le.Uint64(tail) != p.sum(footerPlace, tail[sumBytes:]) {
		return footer{}, errSum
	}
	f := footer{table: le.Uint64(tail[8:]), blocks: le.Uint64(tail[16:]), tableSum: le.Uint64(tail[24:])}
	if le.Uint64(tail[footerBytes-tailBytes:]) != magic<<32|FormatVersion || !f.fits(p.r, uint64(size)) {
		return footer{}, errFooter
	}
	return f, nil
}

// fits reports whether the places that f names can be those of a file of this size, which has at most one block for each position.
func (f footer) fits(r Range, size uint64) bool {
	return f.blocks >= 1 && f.blocks <= r.Len() && f.table >= headerBytes && f.table <= size && f.blocks*entryBytes+footerBytes == size-f.table
}

// parseTable judges the table. Blocks stand one behind the other, from the header to the table; each begins above the one before, and is
// no longer than its records can make it. REQUIRES: b has the length that f says.
func parseTable(p place, f footer, b []byte) ([]entry, error) {
	if p.sum(tablePlace, b) != f.tableSum {
		return nil, errTable
	}
	le := binary.LittleEndian
	out := make([]entry, f.blocks)
	for i := range out {
		e := entry{offset: le.Uint64(b), first: le.Uint32(b[8:]), raw: le.Uint32(b[12:]), sum: le.Uint64(b[16:])}
		b = b[entryBytes:]
		end := f.table
		if len(b) > 0 {
			end = le.Uint64(b) // where the next one starts
		}
		switch {
		case i == 0 && (e.offset != headerBytes || e.first != 0),
			i > 0 && e.first <= out[i-1].first,
			uint64(e.first) >= p.r.Len(), e.raw == 0, e.raw > maxRawBytes,
			end <= e.offset, end > f.table, end-e.offset > maxPacked(uint64(e.raw)):
			return nil, errEntry
		}
		out[i] = e
	}
	return out, nil
}

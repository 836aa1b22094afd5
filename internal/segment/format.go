package segment

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/cespare/xxhash/v2"

	"opossum/dcb"
)

// FormatVersion is the version of the segment format that is written, see docs/format/index.md. Version 1 is read as well.
const FormatVersion = 2

// Sizes of the format. docs/format/index.md draws the bytes.
const (
	magic        = 0x5844494f // "OIDX" in little endian
	headerBytes  = 24
	footerBytes  = 64
	tailBytes    = 8 // version and magic, the last bytes of a file in every version
	blockBytes   = 4096
	sumBytes     = 8
	listBlock    = 128
	skipBytes    = 8
	runTerms     = 1024
	runKeyBytes  = 64 << 10 // a run is closed when its keys have this many bytes
	maxTermBytes = 65_535
	maxKeyBytes  = 1 + maxTermBytes
	maxRunBytes  = runKeyBytes - 1 + maxKeyBytes // so its keys have at most this many
	maxHeadBytes = 5 + 5                         // two uvarints of at most 1 << 32
)

// Kind says what a term is. The zero Kind is invalid.
type Kind byte

// The kinds of terms, in the order in which a segment holds them.
const (
	Type Kind = 1 // the type of an event
	Tag  Kind = 2 // one tag of an event
)

// Range is a closed range of positions: First >= 1, Last >= First, Last-First < 1<<32.
type Range struct{ First, Last dcb.Position }

// span is how far the last position is from the first; positions in a file are numbers from 0 to span.
func (r Range) span() uint64 { return uint64(r.Last - r.First) }

func (r Range) valid() bool {
	return r.First >= 1 && r.Last >= r.First && r.span() <= math.MaxUint32
}

func (r Range) check() error {
	if !r.valid() {
		return fmt.Errorf("segment: %d to %d is no range of a segment", r.First, r.Last)
	}
	return nil
}

// entryBytes is the size of an entry of the directory of runs. Version 1 has no filters.
func entryBytes(version uint32) uint64 {
	if version == 1 {
		return 24
	}
	return 28
}

// footer is what the fixed end of a file says.
type footer struct {
	version  uint32
	end      uint64 // of the blocks, and where the table of their sums starts
	runs     uint64
	fences   uint64 // where the fences start; they end where the directory starts
	terms    uint64
	postings uint64
	tableSum uint64
}

// blocks is how many blocks there are before the table.
func (f footer) blocks() uint64 { return (f.end + blockBytes - 1) / blockBytes }

// directory is where the entries of the runs start.
func (f footer) directory() uint64 { return f.end - f.runs*entryBytes(f.version) }

// place binds sums to the store, the segment and the place in it.
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
func appendHeader(b []byte, version uint32, r Range) []byte {
	b = binary.LittleEndian.AppendUint32(b, magic)
	b = binary.LittleEndian.AppendUint32(b, version)
	b = binary.LittleEndian.AppendUint64(b, uint64(r.First))
	return binary.LittleEndian.AppendUint64(b, uint64(r.Last))
}

// appendFooter: sum u64 of all that follows | end of the blocks | runs | fences | terms | postings | table sum, u64 each |
// version u32 | magic u32.
func appendFooter(b []byte, p place, f footer) []byte {
	le, start := binary.LittleEndian, len(b)
	b = le.AppendUint64(b, 0)
	for _, v := range []uint64{f.end, f.runs, f.fences, f.terms, f.postings, f.tableSum} {
		b = le.AppendUint64(b, v)
	}
	b = le.AppendUint32(b, f.version)
	b = le.AppendUint32(b, magic)
	le.PutUint64(b[start:], p.sum(footerPlace, b[start+sumBytes:]))
	return b
}

// The ways in which the ends of a file are not those of a segment.
var (
	errShort  = errors.New("too short for a segment")
	errHeader = errors.New("the header is not that of this segment")
	errSum    = errors.New("the checksum of the footer does not match")
	errFooter = errors.New("the footer contradicts itself or the size of the file")
)

// newer reports whether both ends of a file name the same version and one that this program does not know. Every
// version starts with magic and version and ends with version and magic; one end alone proves nothing, because a
// single flipped bit must not look like the work of a newer program.
func newer(head, tail []byte) bool {
	if len(head) < tailBytes || len(tail) < tailBytes {
		return false
	}
	le := binary.LittleEndian
	tail = tail[len(tail)-tailBytes:]
	version := le.Uint32(head[4:])
	return le.Uint32(head) == magic && le.Uint32(tail[4:]) == magic && version == le.Uint32(tail) && version > FormatVersion
}

// parseEnds judges the first bytes and the last bytes of a file of the given size.
// REQUIRES: head has headerBytes and tail has footerBytes, or the whole file if it is shorter.
func parseEnds(p place, size int64, head, tail []byte) (footer, error) {
	switch {
	case newer(head, tail):
		return footer{}, dcb.ErrVersion
	case size < headerBytes+footerBytes:
		return footer{}, errShort
	}
	le := binary.LittleEndian
	version := le.Uint32(head[4:])
	if version < 1 || version > FormatVersion || !bytes.Equal(head, appendHeader(nil, version, p.r)) {
		return footer{}, errHeader
	}
	if le.Uint64(tail) != p.sum(footerPlace, tail[sumBytes:]) {
		return footer{}, errSum
	}
	u := func(i int) uint64 { return le.Uint64(tail[i*8:]) }
	f := footer{version: version, end: u(1), runs: u(2), fences: u(3), terms: u(4), postings: u(5), tableSum: u(6)}
	if le.Uint64(tail[footerBytes-tailBytes:]) != magic<<32|uint64(version) || !f.fits(uint64(size)) {
		return footer{}, errFooter
	}
	return f, nil
}

// fits reports whether the places that f names can be those of a file of this size.
func (f footer) fits(size uint64) bool {
	return f.end >= headerBytes && f.end <= size &&
		f.end+f.blocks()*sumBytes+footerBytes == size &&
		f.runs <= (f.end-headerBytes)/entryBytes(f.version) &&
		f.fences >= headerBytes && f.fences <= f.directory()
}

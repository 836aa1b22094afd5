package wal

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/cespare/xxhash/v2"

	"opossum/dcb"
)

// FormatVersion is the version of the frame format, see docs/format/log.md.
const FormatVersion = 1

// Sizes of the format. docs/format/log.md draws the bytes.
const (
	frameMagic       = 0x4d55534f // "OSUM" in little endian; never zero, so that zeroed space is no frame
	FrameHeaderBytes = 72
	MaxBodyBytes     = dcb.MaxAppendBytes
	headerBodyBytes  = 16 + 8
	linkBodyBytes    = 6 * 8
	beginBytes       = 2*(1+FrameHeaderBytes) + headerBodyBytes + linkBodyBytes // header and link as entries
)

// StoreID is the identity of a store. Every checksum is seeded with it: right bytes of another store are wrong bytes here.
type StoreID [16]byte

// Seed derives from the identity the seed of checksums outside frames.
func (id StoreID) Seed() uint64 { return xxhash.Sum64(id[:]) }

// Kind says what a frame is for. The zero Kind is invalid.
type Kind uint8

// The kinds of frames, in the order in which they stand in a generation: one header, one link, commits.
const (
	KindHeader Kind = 1 + iota
	KindLink
	KindCommit
)

// Frame is one decoded frame. Offsets count bytes of the generation's file.
type Frame struct {
	Kind       Kind
	No         uint64       // from 1; the index of tidwall/wal
	First      dcb.Position // position of the first event; of a link: of the first event that the generation may hold
	Count      uint32       // events in the body
	Durable    dcb.Position // highest position known to be durable when the frame was written
	DurableOff uint64       // and how much of this generation's file was
	Prev       uint64       // Sum of the frame before, 0 for the header
	Sum        uint64
	Offset     int64  // where the entry starts (its length prefix)
	BodyOffset int64  // where the body starts
	End        int64  // one past the entry
	Body       []byte // shares memory with what was scanned
}

// Last returns the position of the frame's last event.
func (f Frame) Last() dcb.Position { return f.First + dcb.Position(f.Count) - 1 }

// Link is the body of a link frame: how a generation continues the log.
type Link struct {
	Prev    uint64 // number of the generation that this one continues; 0: nothing before it is needed
	PrevEnd uint64 // length of that generation's file
	PrevSum uint64 // sum of its last frame
	// Checkpoint repeats the newest checkpoint at the time of writing, for repair.
	Checkpoint dcb.Position
	// Supersedes is the generation whose events from SupersedesFrom on stand here again, because recovery wrote them
	// anew; 0: none. Every generation between Prev and this one is superseded with it.
	Supersedes     uint64
	SupersedesFrom dcb.Position
}

// seedOf binds a sum to the store, the generation and the frame number.
func seedOf(id StoreID, gen, no uint64) uint64 {
	var b [32]byte
	copy(b[:], id[:])
	binary.LittleEndian.PutUint64(b[16:], gen)
	binary.LittleEndian.PutUint64(b[24:], no)
	return xxhash.Sum64(b[:])
}

// sealFrame fills in the header of the frame in b, whose body is already in place behind the header, and returns its sum.
//
//	 0 magic u32 | 4 version u8 | 5 kind u8 | 6 header bytes u16 | 8 generation u64 | 16 number u64 | 24 first u64
//	32 count u32 | 36 body bytes u32 | 40 durable position u64 | 48 durable offset u64 | 56 prev sum u64 | 64 sum u64
func sealFrame(b []byte, id StoreID, gen uint64, f Frame) uint64 {
	le := binary.LittleEndian
	le.PutUint32(b[0:], frameMagic)
	b[4], b[5] = FormatVersion, byte(f.Kind)
	le.PutUint16(b[6:], FrameHeaderBytes)
	le.PutUint64(b[8:], gen)
	le.PutUint64(b[16:], f.No)
	le.PutUint64(b[24:], uint64(f.First))
	le.PutUint32(b[32:], f.Count)
	le.PutUint32(b[36:], uint32(len(b)-FrameHeaderBytes))
	le.PutUint64(b[40:], uint64(f.Durable))
	le.PutUint64(b[48:], f.DurableOff)
	le.PutUint64(b[56:], f.Prev)
	sum := frameSum(b, id, gen, f.No)
	le.PutUint64(b[64:], sum)
	return sum
}

// frameSum is xxh64, seeded with the place, over the header before the sum field and the body behind it.
func frameSum(b []byte, id StoreID, gen, no uint64) uint64 {
	var d xxhash.Digest
	d.ResetWithSeed(seedOf(id, gen, no))
	_, _ = d.Write(b[:64]) // a hash never fails
	_, _ = d.Write(b[FrameHeaderBytes:])
	return d.Sum64()
}

// The ways in which bytes are not the next frame. They only explain; every one of them ends a scan.
var (
	errCut     = errors.New("the frame is cut short")
	errZeroes  = errors.New("the rest is zero bytes")
	errLength  = errors.New("the entry length is not that of a frame")
	errMagic   = errors.New("no frame starts here")
	errVersion = errors.New("unknown frame version")
	errSum     = errors.New("the frame checksum does not match")
	errPlace   = errors.New("the frame belongs to another place")
	errChain   = errors.New("the frame does not continue the one before")
	errBody    = errors.New("the frame body is malformed")
)

// parseFrame decodes the frame that is the whole of b. It checks everything that needs no context: form and sum under the
// frame's own number.
func parseFrame(b []byte, id StoreID, gen uint64) (Frame, error) {
	le := binary.LittleEndian
	switch {
	case len(b) < FrameHeaderBytes:
		return Frame{}, errLength
	case le.Uint32(b) != frameMagic:
		return Frame{}, errMagic
	case b[4] != FormatVersion || le.Uint16(b[6:]) != FrameHeaderBytes:
		return Frame{}, errVersion
	case int(le.Uint32(b[36:])) != len(b)-FrameHeaderBytes || len(b)-FrameHeaderBytes > MaxBodyBytes:
		return Frame{}, errLength
	case le.Uint64(b[8:]) != gen:
		return Frame{}, errPlace
	}
	f := Frame{
		Kind:       Kind(b[5]),
		No:         le.Uint64(b[16:]),
		First:      dcb.Position(le.Uint64(b[24:])),
		Count:      le.Uint32(b[32:]),
		Durable:    dcb.Position(le.Uint64(b[40:])),
		DurableOff: le.Uint64(b[48:]),
		Prev:       le.Uint64(b[56:]),
		Sum:        le.Uint64(b[64:]),
		Body:       b[FrameHeaderBytes:],
	}
	if frameSum(b, id, gen, f.No) != f.Sum {
		return Frame{}, errSum
	}
	if f.Kind < KindHeader || f.Kind > KindCommit {
		return Frame{}, errBody
	}
	return f, nil
}

// headerBody is the body of a header frame: identity and, for people who look, when the generation was made.
func headerBody(id StoreID, now time.Time) []byte {
	b := append([]byte(nil), id[:]...)
	return binary.LittleEndian.AppendUint64(b, uint64(now.Unix()))
}

// IdentityOf reads the identity out of the header frame at the start of a generation's file without knowing it before:
// for tools whose ledger is lost. The frame's sum under that identity must match.
func IdentityOf(b []byte, gen uint64) (StoreID, error) {
	entry, _, err := nextEntry(b)
	if err != nil {
		return StoreID{}, err
	}
	if len(entry) != FrameHeaderBytes+headerBodyBytes {
		return StoreID{}, errLength
	}
	id := StoreID(entry[FrameHeaderBytes:])
	if f, err := parseFrame(entry, id, gen); err != nil {
		return StoreID{}, err
	} else if f.Kind != KindHeader {
		return StoreID{}, errBody
	}
	return id, nil
}

func (l Link) encode() []byte {
	b := make([]byte, 0, linkBodyBytes)
	for _, v := range []uint64{l.Prev, l.PrevEnd, l.PrevSum, uint64(l.Checkpoint), l.Supersedes, uint64(l.SupersedesFrom)} {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	return b
}

func decodeLink(b []byte) (Link, error) {
	if len(b) != linkBodyBytes {
		return Link{}, errBody
	}
	u := func(i int) uint64 { return binary.LittleEndian.Uint64(b[i*8:]) }
	return Link{
		Prev: u(0), PrevEnd: u(1), PrevSum: u(2), Checkpoint: dcb.Position(u(3)),
		Supersedes: u(4), SupersedesFrom: dcb.Position(u(5)),
	}, nil
}

// nextEntry splits the entry of tidwall/wal at the start of b: uvarint(length), then length bytes. A length that no
// frame can have, or one not written in the shortest way, is refused before anything is believed or allocated.
func nextEntry(b []byte) (entry []byte, size int, err error) {
	n, prefix := binary.Uvarint(b)
	switch {
	case prefix == 0:
		return nil, 0, errCut
	case prefix < 0 || n < FrameHeaderBytes || n > FrameHeaderBytes+MaxBodyBytes || prefix != uvarintLen(n):
		return nil, 0, errLength
	case uint64(len(b)-prefix) < n:
		return nil, 0, errCut
	}
	return b[prefix : prefix+int(n)], prefix + int(n), nil
}

func uvarintLen(v uint64) int {
	n := 1
	for ; v >= 0x80; v >>= 7 {
		n++
	}
	return n
}

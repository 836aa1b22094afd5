package codec

import (
	"encoding/binary"
	"errors"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/google/uuid"

	"opossum/dcb"
)

// A record is one event in the body of a log frame. Integers are little endian, lengths are uvarints.
//
//	+-----------+----------------+------------------------------------------------------------------+
//	| u32 bytes | u64 sum        | payload                                                          |
//	+-----------+----------------+------------------------------------------------------------------+
//	  payload:  flags u8 | [id 16] | seconds i64 | nanoseconds u32 | len type
//	            | n { len tag } | n { len key len value } (keys ascending) | data: the rest
//
// sum is xxh64(payload) XOR place(seed, position). The first half needs no position, so the caller of Append computes it
// on its own goroutine; the second is stamped when the position is known. A record that is read at the wrong place, or
// in the wrong store, therefore fails its check although its bytes are right.
const (
	// RecordHeaderBytes precede the payload of every record.
	RecordHeaderBytes = 4 + 8

	flagID = 1 << 0

	minPayloadBytes = 1 + 8 + 4 + 1 + 1 + 1 + 1 // flags, time, a type of one byte, no tags, no metadata
)

// The ways in which decoding fails. They name no place: the caller knows it and says it.
var (
	errRecordShort = errors.New("record is cut short")
	errRecordSum   = errors.New("record checksum does not match")
	errRecordForm  = errors.New("record is malformed")
)

// AppendRecord appends the record of e, still without its place: [Stamp] completes it.
// REQUIRES: e is valid.
func AppendRecord(dst []byte, e dcb.Event) []byte {
	start := len(dst)
	dst = append(dst, make([]byte, RecordHeaderBytes)...)
	var flags byte
	if e.ID != uuid.Nil {
		flags |= flagID
	}
	dst = append(dst, flags)
	if flags&flagID != 0 {
		dst = append(dst, e.ID[:]...)
	}
	dst = binary.LittleEndian.AppendUint64(dst, uint64(e.Time.Unix()))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(e.Time.Nanosecond()))
	dst = appendString(dst, e.Type)
	dst = binary.AppendUvarint(dst, uint64(len(e.Tags)))
	for _, t := range e.Tags {
		dst = appendString(dst, string(t))
	}
	dst = binary.AppendUvarint(dst, uint64(len(e.Metadata)))
	if len(e.Metadata) > 0 {
		for _, k := range slices.Sorted(maps.Keys(e.Metadata)) { // one event, one encoding
			dst = appendString(dst, k)
			dst = appendString(dst, e.Metadata[k])
		}
	}
	dst = append(dst, e.Data...)

	payload := dst[start+RecordHeaderBytes:]
	binary.LittleEndian.PutUint32(dst[start:], uint32(len(payload)))
	binary.LittleEndian.PutUint64(dst[start+4:], xxhash.Sum64(payload))
	return dst
}

func appendString(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// RecordBytes returns an upper bound of the length of e's record, so that a caller can refuse or allocate before encoding.
func RecordBytes(e dcb.Event) int {
	n := RecordHeaderBytes + 1 + 16 + 12 + 3*binary.MaxVarintLen32 + len(e.Type) + len(e.Data)
	for _, t := range e.Tags {
		n += 3 + len(t)
	}
	for k, v := range e.Metadata {
		n += 2*binary.MaxVarintLen32 + len(k) + len(v)
	}
	return n
}

// Stamp binds the record at the start of b to its place and returns its length.
// REQUIRES: b starts with a record of AppendRecord that was not stamped before.
func Stamp(b []byte, seed uint64, p dcb.Position) int {
	sum := binary.LittleEndian.Uint64(b[4:])
	binary.LittleEndian.PutUint64(b[4:], sum^place(seed, p))
	return RecordLen(b)
}

// RecordLen returns the length of the record at the start of b, header included, as its header says.
// REQUIRES: len(b) >= RecordHeaderBytes.
func RecordLen(b []byte) int {
	return RecordHeaderBytes + int(binary.LittleEndian.Uint32(b))
}

// NextRecord splits the first record off b; ok is false if b does not hold a whole one.
func NextRecord(b []byte) (rec, rest []byte, ok bool) {
	if len(b) < RecordHeaderBytes {
		return nil, b, false
	}
	n := RecordLen(b)
	if n < RecordHeaderBytes+minPayloadBytes || n > len(b) {
		return nil, b, false
	}
	return b[:n:n], b[n:], true
}

// place is the part of a record's sum that depends on where it is. The finalizer of splitmix64 spreads neighbouring
// positions over all bits, so that no small damage turns one place into another.
func place(seed uint64, p dcb.Position) uint64 {
	x := seed + uint64(p)*0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// DecodeRecord verifies that rec is the whole record of position p and returns its event, which shares no memory with rec.
func DecodeRecord(rec []byte, seed uint64, p dcb.Position) (dcb.Event, error) {
	if len(rec) < RecordHeaderBytes+minPayloadBytes || RecordLen(rec) != len(rec) {
		return dcb.Event{}, errRecordShort
	}
	payload := rec[RecordHeaderBytes:]
	if binary.LittleEndian.Uint64(rec[4:])^place(seed, p) != xxhash.Sum64(payload) {
		return dcb.Event{}, errRecordSum
	}
	return decodePayload(payload)
}

// decodePayload parses what the checksum has already vouched for. It still trusts no length: a record written by a
// faulty encoder must be an error, never a panic. An event has one record: any other way to say the same is malformed.
func decodePayload(payload []byte) (dcb.Event, error) {
	var e dcb.Event
	r := reader{b: payload}
	flags := r.bytes(1)
	if r.bad || flags[0]&^flagID != 0 {
		return dcb.Event{}, errRecordForm
	}
	if flags[0]&flagID != 0 {
		copy(e.ID[:], r.bytes(16))
		r.require(e.ID != uuid.Nil)
	}
	sec, nsec := r.bytes(8), r.bytes(4)
	if r.bad {
		return dcb.Event{}, errRecordForm
	}
	nanos := binary.LittleEndian.Uint32(nsec)
	if nanos >= uint32(time.Second) {
		return dcb.Event{}, errRecordForm
	}
	e.Time = time.Unix(int64(binary.LittleEndian.Uint64(sec)), int64(nanos)).UTC()
	e.Type = string(r.lenBytes())
	r.require(e.Type != "")
	if n := r.count(2); n > 0 {
		e.Tags = make([]dcb.Tag, n)
		for i := range e.Tags {
			e.Tags[i] = dcb.Tag(r.lenBytes())
		}
	}
	if n := r.count(2); n > 0 {
		e.Metadata = make(map[string]string, n)
		last := ""
		for i := range n {
			k := string(r.lenBytes())
			r.require(i == 0 || k > last)
			e.Metadata[k] = string(r.lenBytes())
			last = k
		}
	}
	if r.bad {
		return dcb.Event{}, errRecordForm
	}
	if len(r.b) > 0 {
		e.Data = slices.Clone(r.b)
	}
	return e, nil
}

// reader takes a payload apart; once something does not fit, bad stays set and everything else comes back empty.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) bytes(n int) []byte {
	if n > len(r.b) {
		r.bad, r.b = true, nil
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

// require notes that the payload is bad unless ok.
func (r *reader) require(ok bool) {
	if !ok {
		r.bad, r.b = true, nil
	}
}

func (r *reader) uvarint() int {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || v > math.MaxInt32 || n > 1 && r.b[n-1] == 0 { // the last: not the shortest way
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return int(v)
}

func (r *reader) lenBytes() []byte { return r.bytes(r.uvarint()) }

// count reads a number of things of at least each bytes, and refuses one that the rest cannot hold before anything is allocated.
func (r *reader) count(each int) int {
	n := r.uvarint()
	if n > len(r.b)/each+1 {
		r.bad, r.b = true, nil
		return 0
	}
	return n
}

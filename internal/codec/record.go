package codec

import (
	"bytes"
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

// DecodeRecord verifies that rec is the whole record of position p and returns its event, which shares no memory with rec. Type, tags and metadata may
// share memory with each other: what is kept of them keeps no more than sharedBytes alive beside itself.
func DecodeRecord(rec []byte, seed uint64, p dcb.Position) (dcb.Event, error) {
	parts, err := verify(rec, seed, p)
	if err != nil {
		return dcb.Event{}, err
	}
	e := dcb.Event{ID: parts.id, Time: time.Unix(parts.seconds, int64(parts.nanos)).UTC()}
	if len(parts.names) <= sharedBytes {
		takeNames(&e, string(parts.names))
	} else {
		takeNames(&e, parts.names)
	}
	if len(parts.data) > 0 {
		e.Data = slices.Clone(parts.data)
	}
	return e, nil
}

// CheckRecord returns nil if DecodeRecord would, and its error otherwise, without making an event of it.
func CheckRecord(rec []byte, seed uint64, p dcb.Position) error {
	_, err := verify(rec, seed, p)
	return err
}

// sharedBytes is up to how many bytes type, tags and metadata are kept in one string, of which each is a part: much of what decoding takes is to
// allocate. So whoever keeps a short tag keeps that much alive at most, and not a long neighbour.
const sharedBytes = 512

// parts is a payload taken apart, as far as that needs no memory of its own.
type parts struct {
	id      uuid.UUID
	seconds int64
	nanos   uint32
	names   []byte // type, tags and metadata, with their lengths and numbers
	data    []byte
}

// verify takes the record of position p apart. It trusts no length although the checksum vouches for it: a record written by
// a faulty encoder must be an error, never a panic. An event has one record: any other way to say the same is malformed.
func verify(rec []byte, seed uint64, p dcb.Position) (parts, error) {
	if len(rec) < RecordHeaderBytes+minPayloadBytes || RecordLen(rec) != len(rec) {
		return parts{}, errRecordShort
	}
	payload := rec[RecordHeaderBytes:]
	if binary.LittleEndian.Uint64(rec[4:])^place(seed, p) != xxhash.Sum64(payload) {
		return parts{}, errRecordSum
	}
	out, ok := takeApart(payload)
	if !ok {
		return parts{}, errRecordForm
	}
	return out, nil
}

func takeApart(payload []byte) (out parts, ok bool) {
	r := reader{b: payload}
	flags := r.bytes(1)
	if r.bad || flags[0]&^flagID != 0 {
		return parts{}, false
	}
	if flags[0]&flagID != 0 {
		copy(out.id[:], r.bytes(16))
		r.require(out.id != uuid.Nil)
	}
	sec, nsec := r.bytes(8), r.bytes(4)
	if r.bad {
		return parts{}, false
	}
	out.seconds, out.nanos = int64(binary.LittleEndian.Uint64(sec)), binary.LittleEndian.Uint32(nsec)
	r.require(out.nanos < uint32(time.Second))
	start := r.at
	r.require(len(r.lenBytes()) > 0)
	for range r.count(2) {
		r.lenBytes()
	}
	var last []byte
	for i := range r.count(2) {
		k := r.lenBytes()
		r.lenBytes()
		r.require(i == 0 || bytes.Compare(k, last) > 0)
		last = k
	}
	if r.bad {
		return parts{}, false
	}
	out.names, out.data = payload[start:r.at], payload[r.at:]
	return out, true
}

// takeNames gives e the type, tags and metadata of names: parts of it if it is a string, copies if it is not.
// REQUIRES: names is of takeApart.
func takeNames[S string | []byte](e *dcb.Event, names S) {
	var part S
	part, names = takeString(names)
	e.Type = string(part)
	n, names := takeNumber(names)
	if n > 0 {
		e.Tags = make([]dcb.Tag, n)
		for i := range e.Tags {
			part, names = takeString(names)
			e.Tags[i] = dcb.Tag(part)
		}
	}
	n, names = takeNumber(names)
	if n > 0 {
		e.Metadata = make(map[string]string, n)
		for range n {
			var value S
			part, names = takeString(names)
			value, names = takeString(names)
			e.Metadata[string(part)] = string(value)
		}
	}
}

func takeString[S string | []byte](s S) (first, rest S) {
	n, s := takeNumber(s)
	return s[:n], s[n:]
}

// takeNumber reads the uvarint at the start of s, which is known to be one.
func takeNumber[S string | []byte](s S) (n int, rest S) {
	for i, shift := 0, 0; ; i, shift = i+1, shift+7 {
		n |= int(s[i]&0x7f) << shift
		if s[i] < 0x80 {
			return n, s[i+1:]
		}
	}
}

// reader takes a payload apart; once something does not fit, bad stays set and everything else comes back empty.
type reader struct {
	b   []byte
	at  int // of what is next
	bad bool
}

func (r *reader) fail() { r.bad, r.at = true, len(r.b) }

// require notes that the payload is bad unless ok.
func (r *reader) require(ok bool) {
	if !ok {
		r.fail()
	}
}

func (r *reader) bytes(n int) []byte {
	if n > len(r.b)-r.at {
		r.fail()
		return nil
	}
	r.at += n
	return r.b[r.at-n : r.at]
}

func (r *reader) lenBytes() []byte { return r.bytes(r.uvarint()) }

func (r *reader) uvarint() int {
	if r.at < len(r.b) && r.b[r.at] < 0x80 { // nearly all of them
		r.at++
		return int(r.b[r.at-1])
	}
	return r.longUvarint()
}

func (r *reader) longUvarint() int {
	v, n := binary.Uvarint(r.b[r.at:])
	if n <= 0 || v > math.MaxInt32 || n > 1 && r.b[r.at+n-1] == 0 { // the last: not the shortest way
		r.fail()
		return 0
	}
	r.at += n
	return int(v)
}

// count reads a number of things of at least each bytes, and refuses one that the rest cannot hold before anything is allocated.
func (r *reader) count(each int) int {
	n := r.uvarint()
	if n > (len(r.b)-r.at)/each+1 {
		r.fail()
		return 0
	}
	return n
}

package codec

import (
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/cespare/xxhash/v2"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"opossum/dcb"
)

// plainDecode is the decoder in its plainest form, with which logs were read first: what it says of any bytes, DecodeRecord says.
func plainDecode(rec []byte, seed uint64, p dcb.Position) (dcb.Event, error) {
	if len(rec) < RecordHeaderBytes+minPayloadBytes || RecordLen(rec) != len(rec) {
		return dcb.Event{}, errRecordShort
	}
	payload := rec[RecordHeaderBytes:]
	if binary.LittleEndian.Uint64(rec[4:])^place(seed, p) != xxhash.Sum64(payload) {
		return dcb.Event{}, errRecordSum
	}
	return plainPayload(payload)
}

func plainPayload(payload []byte) (dcb.Event, error) {
	var e dcb.Event
	r := plainReader{b: payload}
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

// plainReader takes a payload apart; once something does not fit, bad stays set and everything else comes back empty.
type plainReader struct {
	b   []byte
	bad bool
}

func (r *plainReader) bytes(n int) []byte {
	if n > len(r.b) {
		r.bad, r.b = true, nil
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *plainReader) require(ok bool) {
	if !ok {
		r.bad, r.b = true, nil
	}
}

func (r *plainReader) uvarint() int {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || v > math.MaxInt32 || n > 1 && r.b[n-1] == 0 { // the last: not the shortest way
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return int(v)
}

func (r *plainReader) lenBytes() []byte { return r.bytes(r.uvarint()) }

func (r *plainReader) count(each int) int {
	n := r.uvarint()
	if n > len(r.b)/each+1 {
		r.bad, r.b = true, nil
		return 0
	}
	return n
}

// requirePlain compares with the plain decoder what the others say of b.
func requirePlain(t require.TestingT, b []byte, p dcb.Position) {
	want, wantErr := plainDecode(b, recordTestSeed, p)
	got, err := DecodeRecord(b, recordTestSeed, p)
	require.Equal(t, wantErr, err)
	require.Equal(t, want, got)
	require.Equal(t, wantErr, CheckRecord(b, recordTestSeed, p))
}

func TestDecodersAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ev := drawRecordEvent(t)
		rec := recordOf(ev)
		requirePlain(t, rec, ev.Position)
		requirePlain(t, rec, ev.Position+1)

		payload := slices.Clone(rec[RecordHeaderBytes:]) // and of payloads that are nearly those of events, under a right checksum
		for range rapid.IntRange(1, 3).Draw(t, "changes") {
			payload[rapid.IntRange(0, len(payload)-1).Draw(t, "at")] = rapid.Byte().Draw(t, "byte")
		}
		payload = payload[:rapid.IntRange(0, len(payload)).Draw(t, "bytes")]
		requirePlain(t, payloadRecord(payload, ev.Position), ev.Position)
	})
}

// TestWhatIsKeptOfAnEventIsSmall: its parts share memory only where all of them are short, and what a caller does with the data changes nothing else.
func TestWhatIsKeptOfAnEventIsSmall(t *testing.T) {
	at := func(s string) uintptr { return uintptr(unsafe.Pointer(unsafe.StringData(s))) }
	for _, long := range []int{0, sharedBytes, 60_000} {
		ev := textTestEvent()
		ev.Event.Tags = append(ev.Event.Tags, dcb.Tag("long:"+strings.Repeat("x", long)))
		e, err := DecodeRecord(recordOf(ev), recordTestSeed, ev.Position)
		require.NoError(t, err)
		between := uintptr(2) // the number of tags and the length of the first
		require.Equal(t, long == 0, at(string(e.Tags[0])) == at(e.Type)+uintptr(len(e.Type))+between, long)
		for i := range e.Data {
			e.Data[i] = 0xff
		}
		_ = append(e.Data, "more"...)
		e.Data = ev.Event.Data
		requireSameEvent(t, ev, dcb.SequencedEvent{Position: ev.Position, Event: e})
	}
}

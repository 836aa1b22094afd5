package codec

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"opossum/dcb"
)

const recordTestSeed = 0x0123456789abcdef

// recordOf returns the stamped record of an event.
func recordOf(e dcb.SequencedEvent) []byte {
	b := AppendRecord(nil, e.Event)
	Stamp(b, recordTestSeed, e.Position)
	return b
}

// payloadRecord returns the record of a payload that AppendRecord would not write.
func payloadRecord(payload []byte, p dcb.Position) []byte {
	b := append(make([]byte, RecordHeaderBytes), payload...)
	binary.LittleEndian.PutUint32(b, uint32(len(payload)))
	binary.LittleEndian.PutUint64(b[4:], xxhash.Sum64(payload))
	Stamp(b, recordTestSeed, p)
	return b
}

func drawRecordEvent(t *rapid.T) dcb.SequencedEvent {
	ev := dcb.SequencedEvent{Position: dcb.Position(rapid.Uint64Min(1).Draw(t, "position"))}
	e := &ev.Event
	copy(e.ID[:], rapid.OneOf(rapid.Just([]byte(nil)), rapid.SliceOfN(rapid.Byte(), 16, 16)).Draw(t, "id"))
	e.Type = rapid.StringN(1, 20, -1).Draw(t, "type")
	for i, s := range rapid.SliceOfNDistinct(rapid.StringN(1, 300, -1), 0, 5, rapid.ID[string]).Draw(t, "tags") {
		if i == 0 && rapid.IntRange(0, 9).Draw(t, "long") == 0 {
			s = strings.Repeat("x", 65_535)
		}
		e.Tags = append(e.Tags, dcb.Tag(s))
	}
	e.Metadata = rapid.MapOfN(rapid.StringN(0, 5, -1), rapid.StringN(0, 200, -1), 0, 5).Draw(t, "metadata")
	e.Data = rapid.SliceOfN(rapid.Byte(), 0, 500).Draw(t, "data")
	first, last := time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC).Unix(), time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC).Unix()
	e.Time = time.Unix(rapid.Int64Range(first, last).Draw(t, "seconds"), rapid.Int64Range(0, 999_999_999).Draw(t, "nanoseconds"))
	require.NoError(t, e.Validate())
	return ev
}

// TestRecordGolden pins the bytes of a record: logs with these bytes exist, so a difference means a new version of the
// frame format. No flag rewrites the file.
func TestRecordGolden(t *testing.T) {
	want, err := os.ReadFile("testdata/record-v1.hex")
	require.NoError(t, err)
	least := dcb.SequencedEvent{Position: 1, Event: dcb.Event{Type: "T", Time: time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC)}}
	require.Equal(t, string(want), hex.Dump(append(recordOf(textTestEvent()), recordOf(least)...)))
}

// TestRecordLayout builds a record field by field as docs/format/log.md draws it.
func TestRecordLayout(t *testing.T) {
	ev := textTestEvent()
	le := binary.LittleEndian
	payload := append([]byte{1}, ev.Event.ID[:]...)
	payload = le.AppendUint64(payload, uint64(ev.Event.Time.Unix()))
	payload = le.AppendUint32(payload, 123456789)
	payload = append(payload, "\x0fStudentEnrolled"...)
	payload = append(payload, "\x02\x09student:7\x09course:c1"...)
	payload = append(payload, "\x02\x04host\x05a\"b\\c\x04user\x03ann"...)
	payload = append(payload, `{"student": 7}`...)

	x := uint64(recordTestSeed) // splitmix64 of the position
	for range ev.Position {
		x += 0x9e3779b97f4a7c15
	}
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	x ^= x >> 31
	want := le.AppendUint32(nil, uint32(len(payload)))
	want = le.AppendUint64(want, xxhash.Sum64(payload)^x)
	require.Equal(t, append(want, payload...), recordOf(ev))
}

func TestRecordRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ev := drawRecordEvent(t)
		rec := recordOf(ev)
		require.LessOrEqual(t, len(rec), RecordBytes(ev.Event), "the bound is one")
		require.Equal(t, len(rec), RecordLen(rec))
		kept := bytes.Clone(rec)
		e, err := DecodeRecord(rec, recordTestSeed, ev.Position)
		require.NoError(t, err)
		requireSameEvent(t, ev, dcb.SequencedEvent{Position: ev.Position, Event: e})
		require.Equal(t, rec, recordOf(dcb.SequencedEvent{Position: ev.Position, Event: e}), "one event, one encoding")

		for i := range rec { // the event keeps nothing of the record
			rec[i] ^= 0xff
		}
		requireSameEvent(t, ev, dcb.SequencedEvent{Position: ev.Position, Event: e})

		_, err = DecodeRecord(kept, recordTestSeed, ev.Position+1)
		require.ErrorIs(t, err, errRecordSum)
		_, err = DecodeRecord(kept, recordTestSeed+1, ev.Position)
		require.ErrorIs(t, err, errRecordSum)
	})
}

// TestRecordBytesBound tries the bound where lengths get longer.
func TestRecordBytesBound(t *testing.T) {
	long := strings.Repeat("x", 65_535)
	for _, n := range []int{0, 1, 127, 128, 1024} {
		e := dcb.Event{ID: uuid.Max, Type: long, Time: time.Now(), Metadata: map[string]string{}}
		for i := range n {
			e.Tags = append(e.Tags, dcb.Tag(fmt.Sprint(i)+long[:min(n, 300)]))
			e.Metadata[fmt.Sprint(i)] = long[:n]
		}
		e.Data = []byte(long)
		require.LessOrEqual(t, len(AppendRecord(nil, e)), RecordBytes(e), n)
	}
	e := dcb.Event{ID: uuid.Max, Type: long, Time: time.Now()}
	for i := range 50 { // the longest lengths, and nothing else to make up for them
		e.Tags = append(e.Tags, dcb.Tag(long[:65_000]+fmt.Sprint(i)))
	}
	require.LessOrEqual(t, len(AppendRecord(nil, e)), RecordBytes(e))
}

func TestRecordEveryFlippedBit(t *testing.T) {
	ev := textTestEvent()
	rec := recordOf(ev)
	for bit := range 8 * len(rec) {
		rec[bit/8] ^= 1 << (bit % 8)
		e, err := DecodeRecord(rec, recordTestSeed, ev.Position)
		require.Error(t, err, "bit %d", bit)
		require.Zero(t, e)
		rec[bit/8] ^= 1 << (bit % 8)
	}
}

func TestRecordEveryTruncation(t *testing.T) {
	ev := textTestEvent()
	rec := recordOf(ev)
	for n := range rec {
		_, err := DecodeRecord(rec[:n], recordTestSeed, ev.Position)
		require.ErrorIs(t, err, errRecordShort, "cut at %d", n)
		_, rest, ok := NextRecord(rec[:n])
		require.False(t, ok)
		require.Len(t, rest, n)
	}
	_, err := DecodeRecord(append(rec, 0), recordTestSeed, ev.Position)
	require.ErrorIs(t, err, errRecordShort)
}

// TestRecordPlaces: of many neighbouring positions and seeds a record is accepted at its own only.
func TestRecordPlaces(t *testing.T) {
	ev := textTestEvent()
	for _, p := range []dcb.Position{1, 42, 1 << 32, math.MaxUint64} {
		ev.Position = p
		rec := recordOf(ev)
		for d := -1000; d <= 1000; d++ {
			_, err := DecodeRecord(rec, recordTestSeed, p+dcb.Position(d))
			require.Equal(t, d == 0, err == nil, "position %d%+d", p, d)
			_, err = DecodeRecord(rec, recordTestSeed+uint64(d), p)
			require.Equal(t, d == 0, err == nil, "seed %+d", d)
		}
		for bit := range 64 {
			_, err := DecodeRecord(rec, recordTestSeed, p^1<<bit)
			require.ErrorIs(t, err, errRecordSum)
			_, err = DecodeRecord(rec, recordTestSeed^1<<bit, p)
			require.ErrorIs(t, err, errRecordSum)
		}
	}
}

func TestStamp(t *testing.T) {
	ev := textTestEvent()
	plain := AppendRecord([]byte("before"), ev.Event)[6:]
	_, err := DecodeRecord(plain, recordTestSeed, ev.Position)
	require.ErrorIs(t, err, errRecordSum, "without its place a record is none")

	rec := append(bytes.Clone(plain), "the next record"...)
	require.Equal(t, len(plain), Stamp(rec, recordTestSeed, ev.Position), "the length leads to the next")
	require.Equal(t, "the next record", string(rec[len(plain):]))
	require.Equal(t, plain[:4], rec[:4])
	require.NotEqual(t, plain[4:12], rec[4:12])
	require.Equal(t, plain[12:], rec[12:len(plain)], "the payload stays")
	_, err = DecodeRecord(rec[:len(plain)], recordTestSeed, ev.Position)
	require.NoError(t, err)

	Stamp(rec, recordTestSeed, ev.Position)
	require.Equal(t, plain, rec[:len(plain)], "twice undoes it")
}

func TestNextRecord(t *testing.T) {
	ev := textTestEvent()
	var body []byte
	var want [][]byte
	for p := dcb.Position(1); p <= 5; p++ {
		ev.Position, ev.Event.Data = p, bytes.Repeat([]byte("x"), int(p))
		want = append(want, recordOf(ev))
		body = append(body, want[p-1]...)
	}
	rest := body
	for i := range want {
		rec, r, ok := NextRecord(rest)
		require.True(t, ok)
		require.Equal(t, want[i], rec)
		require.Equal(t, len(rec), cap(rec), "appending to it does not touch the next")
		rest = r
	}
	require.Empty(t, rest)
	_, _, ok := NextRecord(rest)
	require.False(t, ok)
	for _, n := range []uint32{0, minPayloadBytes - 1, uint32(len(body)), math.MaxInt32, math.MaxUint32} {
		binary.LittleEndian.PutUint32(body, n)
		_, _, ok := NextRecord(body)
		require.False(t, ok, n)
	}
}

// TestRecordMalformed gives the decoder payloads with right sums that no encoder writes: errors, never a panic, and nothing is
// allocated for what is not there.
func TestRecordMalformed(t *testing.T) {
	ev := textTestEvent()
	ev.Event.Metadata = map[string]string{"host": "a", "user": "b"}
	payload := recordOf(ev)[RecordHeaderBytes:]
	keysAt := 1 + 16 + 12 + 16 + 21 + 1
	typeAt := 1 + 16 + 12
	set := func(at int, b ...byte) []byte {
		p := bytes.Clone(payload)
		copy(p[at:], b)
		return p
	}
	huge := []byte{0xff, 0xff, 0xff, 0xff, 0x07} // MaxInt32
	for name, p := range map[string][]byte{
		"unknown flag":           set(0, 3),
		"nanoseconds":            set(1+16+8, 0x00, 0xca, 0x9a, 0x3b), // a whole second
		"type beyond the end":    set(typeAt, 0x7f|0x80, 0x7f),
		"huge type":              set(typeAt, huge...),
		"beyond 31 bits":         set(typeAt, 0xff, 0xff, 0xff, 0xff, 0x0f),
		"beyond 64 bits":         set(typeAt, bytes.Repeat([]byte{0xff}, 11)...),
		"huge number of tags":    set(typeAt+16, huge...),
		"tag beyond the end":     set(typeAt+16, 1, 0xff, 0x7f),
		"huge number of entries": set(typeAt+16+1+20, huge...),
		"ID of zeroes":           set(1, make([]byte, 16)...),
		"a key twice":            set(keysAt, []byte("\x04user")...),
		"keys not in order":      set(keysAt, []byte("\x04zero")...),
		"type of no bytes":       set(typeAt, 0),
		"type of no bytes alone": append(make([]byte, 1+12), 0, 0, 0, 'x'),
		"longer length":          slices.Insert(set(typeAt, 15|0x80), typeAt+1, 0),
		"ID is cut":              append([]byte{1}, make([]byte, minPayloadBytes-1)...),
		"lengths are missing":    append([]byte{0}, bytes.Repeat([]byte{0x80}, minPayloadBytes-1)...),
	} {
		allocs := testing.AllocsPerRun(1, func() {
			e, err := DecodeRecord(payloadRecord(p, 7), recordTestSeed, 7)
			require.ErrorIs(t, err, errRecordForm, name)
			require.Zero(t, e)
		})
		require.Less(t, allocs, 100.0, name)
		requirePlain(t, payloadRecord(p, 7), 7)
	}
	_, err := DecodeRecord(payloadRecord(payload, 7), recordTestSeed, 7)
	require.NoError(t, err)
}

func FuzzDecodeRecord(f *testing.F) {
	ev := textTestEvent()
	rec := recordOf(ev)
	f.Add(rec, false)
	f.Add(rec[RecordHeaderBytes:], true)
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 'T', 0, 0}, true)
	f.Add(slices.Repeat([]byte{0xff}, 40), true)
	f.Fuzz(func(t *testing.T, b []byte, seal bool) {
		if seal {
			b = payloadRecord(b, ev.Position)
		}
		requirePlain(t, b, ev.Position)
		e, err := DecodeRecord(b, recordTestSeed, ev.Position)
		if err != nil {
			require.Zero(t, e)
			return
		}
		again := recordOf(dcb.SequencedEvent{Position: ev.Position, Event: e})
		require.Equal(t, b, again, "an event has one record")
	})
}

package wal

import (
	"encoding/binary"
	"encoding/hex"
	"os"
	"testing"

	"github.com/cespare/xxhash/v2"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"opossum/dcb"
)

// TestGoldenGeneration pins the bytes of format version 1. There is no flag that rewrites the file: stores with these bytes exist,
// so a difference means a new version number and a reader for both.
func TestGoldenGeneration(t *testing.T) {
	want, err := os.ReadFile("testdata/generation-v1.hex")
	require.NoError(t, err)

	dir := t.TempDir()
	commits := []Frame{
		{First: 100, Count: 2, Body: []byte(smallBodies[0])},
		{First: 102, Count: 1, Body: []byte(smallBodies[1])},
	}
	built, err := BuildGeneration(dir, testID, smallGen, testClock, &smallLink, smallBase, commits)
	require.NoError(t, err)
	got, err := ReadGeneration(dir, smallGen, false)
	require.NoError(t, err)
	require.Equal(t, string(want), hex.Dump(got))
	require.Equal(t, string(want), hex.Dump(small()), "the tests forge what the log writes")

	s := Scan(got, testID, smallGen)
	require.NoError(t, s.Stop)
	require.Equal(t, Built{Gen: smallGen, No: 4, End: s.Size, Sum: s.Sum, Base: 100, Next: 103}, built)
	require.Equal(t, smallLink, s.Link)
	for i, c := range s.Commits {
		require.Equal(t, smallBodies[i], string(c.Body))
	}
}

// TestFrameLayout writes a frame field by field as docs/format/log.md draws it.
func TestFrameLayout(t *testing.T) {
	le := binary.LittleEndian
	seed := xxhash.Sum64(le.AppendUint64(le.AppendUint64(append([]byte(nil), testID[:]...), 9), 5))

	b := []byte("OSUM")
	b = append(b, 1, 3)
	b = le.AppendUint16(b, 72)
	b = le.AppendUint64(b, 9)        // generation
	b = le.AppendUint64(b, 5)        // number
	b = le.AppendUint64(b, 1000)     // first position
	b = le.AppendUint32(b, 3)        // events
	b = le.AppendUint32(b, 4)        // bytes of the body
	b = le.AppendUint64(b, 998)      // durable position
	b = le.AppendUint64(b, 4000)     // durable offset
	b = le.AppendUint64(b, 0xabcdef) // sum before
	summed := append(b[:64:64], "body"...)
	var d xxhash.Digest
	d.ResetWithSeed(seed)
	_, _ = d.Write(summed)
	b = le.AppendUint64(b, d.Sum64())
	require.Len(t, b, FrameHeaderBytes)
	b = append(b, "body"...)

	f, err := parseFrame(b, testID, 9)
	require.NoError(t, err)
	require.Equal(t, Frame{
		Kind: KindCommit, No: 5, First: 1000, Count: 3, Durable: 998, DurableOff: 4000, Prev: 0xabcdef, Sum: d.Sum64(), Body: []byte("body"),
	}, f)
	require.EqualValues(t, 1002, f.Last())

	sealed := append(make([]byte, FrameHeaderBytes), "body"...)
	require.Equal(t, f.Sum, sealFrame(sealed, testID, 9, f))
	require.Equal(t, b, sealed)
}

func TestAckedLayout(t *testing.T) {
	le := binary.LittleEndian
	b := le.AppendUint32([]byte("1ACK"), 0)
	for _, v := range []uint64{3, 4096, 77} {
		b = le.AppendUint64(b, v)
	}
	var d xxhash.Digest
	d.ResetWithSeed(xxhash.Sum64(testID[:]))
	_, _ = d.Write(b)
	b = le.AppendUint64(b, d.Sum64())

	a := Acked{Gen: 3, Offset: 4096, Position: 77}
	require.Equal(t, b, a.encode(testID))
	require.Equal(t, a, decodeAcked(b, testID))

	require.Zero(t, decodeAcked(b, otherID), "another store")
	require.Zero(t, decodeAcked(append(b, 0), testID))
	for n := range b {
		require.Zero(t, decodeAcked(b[:n], testID), "cut at %d", n)
	}
	for bit := range 8 * len(b) {
		b[bit/8] ^= 1 << (bit % 8)
		require.Zero(t, decodeAcked(b, testID), "bit %d", bit)
		b[bit/8] ^= 1 << (bit % 8)
	}
}

func TestReadAcked(t *testing.T) {
	dir := t.TempDir()
	a, err := ReadAcked(dir, testID)
	require.NoError(t, err, "no file is a silent witness")
	require.Zero(t, a)

	write(t, make([]byte, ackedBytes), dir, ackedFile)
	a, err = ReadAcked(dir, testID)
	require.NoError(t, err, "zeroes, as a power cut may leave them")
	require.Zero(t, a)

	write(t, Acked{Gen: 1, Offset: 2, Position: 3}.encode(testID), dir, ackedFile)
	a, err = ReadAcked(dir, testID)
	require.NoError(t, err)
	require.Equal(t, Acked{Gen: 1, Offset: 2, Position: 3}, a)

	require.NoError(t, os.Remove(dir+"/"+ackedFile))
	require.NoError(t, os.Mkdir(dir+"/"+ackedFile, 0o755))
	_, err = ReadAcked(dir, testID)
	require.Error(t, err, "what cannot be read is not silence")
}

func TestIdentityOf(t *testing.T) {
	b := small()
	id, err := IdentityOf(b, smallGen)
	require.NoError(t, err)
	require.Equal(t, testID, id)

	end := starts(t, b)[1]
	for n := range end {
		_, err := IdentityOf(b[:n], smallGen)
		require.Error(t, err, "cut at %d", n)
	}
	for bit := range 8 * end {
		b[bit/8] ^= 1 << (bit % 8)
		_, err := IdentityOf(b, smallGen)
		require.Error(t, err, "bit %d", bit)
		b[bit/8] ^= 1 << (bit % 8)
	}
	_, err = IdentityOf(b, smallGen+1)
	require.ErrorIs(t, err, errPlace)
	_, err = IdentityOf(b[end:], smallGen)
	require.ErrorIs(t, err, errLength, "a link is no header")

	g := forge{id: testID, gen: smallGen}
	_, err = IdentityOf(g.frame(Frame{Kind: KindCommit, First: 1, Count: 1}, headerBody(testID, testClock)).b, smallGen)
	require.ErrorIs(t, err, errBody, "a commit that looks like a header")
}

// TestSeedsDiffer: a frame's place and a store's identity take part in every sum.
func TestSeedsDiffer(t *testing.T) {
	seen := map[uint64]bool{testID.Seed(): true, otherID.Seed(): true}
	n := 2
	for _, id := range []StoreID{testID, otherID} {
		for gen := range uint64(20) {
			for no := range uint64(20) {
				seen[seedOf(id, gen, no)] = true
				n++
			}
		}
	}
	require.Len(t, seen, n)
}

func TestLinkRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		u := rapid.Uint64()
		l := Link{
			Prev: u.Draw(t, "prev"), PrevEnd: u.Draw(t, "end"), PrevSum: u.Draw(t, "sum"), Checkpoint: dcb.Position(u.Draw(t, "checkpoint")),
			Supersedes: u.Draw(t, "supersedes"), SupersedesFrom: dcb.Position(u.Draw(t, "from")),
		}
		b := l.encode()
		got, err := decodeLink(b)
		require.NoError(t, err)
		require.Equal(t, l, got)
		_, err = decodeLink(b[:len(b)-1])
		require.ErrorIs(t, err, errBody)
		_, err = decodeLink(append(b, 0))
		require.ErrorIs(t, err, errBody)
	})
}

func TestNextEntry(t *testing.T) {
	least := append([]byte{FrameHeaderBytes}, make([]byte, FrameHeaderBytes)...)
	entry, size, err := nextEntry(append(least, "more"...))
	require.NoError(t, err)
	require.Len(t, entry, FrameHeaderBytes)
	require.Equal(t, 1+FrameHeaderBytes, size)

	for name, c := range map[string]struct {
		b    []byte
		want error
	}{
		"nothing":           {nil, errCut},
		"half a length":     {[]byte{0x80}, errCut},
		"half an entry":     {least[:40], errCut},
		"length 0":          {make([]byte, 100), errLength},
		"below a header":    {append([]byte{FrameHeaderBytes - 1}, make([]byte, 100)...), errLength},
		"two bytes for one": {append([]byte{FrameHeaderBytes | 0x80, 0}, make([]byte, 100)...), errLength},
		"above the largest": {binary.AppendUvarint(nil, FrameHeaderBytes+MaxBodyBytes+1), errLength},
		"overflow":          {[]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02}, errLength},
		"largest, absent":   {binary.AppendUvarint(nil, FrameHeaderBytes+MaxBodyBytes), errCut},
	} {
		_, _, err := nextEntry(c.b)
		require.ErrorIs(t, err, c.want, name)
	}
}

func TestUvarintLen(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.Uint64().Draw(t, "v") >> rapid.IntRange(0, 63).Draw(t, "shift")
		require.Equal(t, len(binary.AppendUvarint(nil, v)), uvarintLen(v))
	})
}

// A length is accepted in its shortest form alone, so that form has to be known at each of its steps.
func TestTheLengthOfALength(t *testing.T) {
	for shift := range 64 {
		for _, v := range []uint64{1<<shift - 1, 1 << shift, 1<<shift + 1} {
			require.Equal(t, len(binary.AppendUvarint(nil, v)), uvarintLen(v), "%d", v)
		}
	}
}

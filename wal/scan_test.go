package wal

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"opossum/dcb"
)

func TestScanIntact(t *testing.T) {
	b := small()
	at := starts(t, b)
	s := Scan(b, testID, smallGen)
	require.NoError(t, s.Stop)
	require.Empty(t, s.Later)
	require.Equal(t, s.Size, s.Valid)
	require.EqualValues(t, 4, s.LastNo())
	require.EqualValues(t, smallBase, s.Base)
	require.EqualValues(t, 103, s.Next())
	for i, c := range s.Commits {
		require.EqualValues(t, i+3, c.No)
		require.Equal(t, at[i+2], c.Offset)
		require.Equal(t, at[i+3], c.End)
		require.Equal(t, smallBodies[i], string(b[c.BodyOffset:c.End]))
	}
	empty := Scan(nil, testID, smallGen)
	require.Equal(t, Scanned{Gen: smallGen}, empty)
	require.Zero(t, empty.Next())
}

func TestScanEveryTruncation(t *testing.T) {
	b := small()
	want, at := Scan(b, testID, smallGen), starts(t, b)
	whole := 0
	for n := range b {
		if int64(n) == at[whole+1] {
			whole++
		}
		s := Scan(b[:n], testID, smallGen)
		requirePrefix(t, want, s, whole)
		require.Equal(t, at[whole], s.Valid)
		require.Empty(t, s.Later)
		if int64(n) == at[whole] {
			require.NoError(t, s.Stop, "cut at %d, between two frames", n)
		} else {
			require.ErrorIs(t, s.Stop, errCut, "cut at %d", n)
		}
	}
}

func TestScanEveryFlippedBit(t *testing.T) {
	b := small()
	want, at := Scan(b, testID, smallGen), starts(t, b)
	for bit := range 8 * len(b) {
		hit := 0 // the frame that is hit, from 0
		for int64(bit/8) >= at[hit+1] {
			hit++
		}
		b[bit/8] ^= 1 << (bit % 8)
		s := Scan(b, testID, smallGen)
		requirePrefix(t, want, s, hit)
		require.Error(t, s.Stop, "bit %d", bit)
		require.Equal(t, at[hit], s.Valid)

		// Everything behind is found as it was; so is the frame that is hit, if only its length is.
		behind := hit + 1
		if int64(bit/8) == at[hit] {
			behind = hit
		}
		require.Len(t, s.Later, 4-behind, "bit %d", bit)
		for i, f := range s.Later {
			require.EqualValues(t, behind+i+1, f.No)
			require.Equal(t, at[behind+i]+1, f.Offset, "the length of a later entry is not believed, so it starts behind that")
			require.Equal(t, at[behind+i+1], f.End)
			require.Equal(t, b[f.BodyOffset:f.End], f.Body)
		}
		b[bit/8] ^= 1 << (bit % 8)
	}
}

// TestScanRoom: zeros behind a frame are space for more, wherever a whole frame ends but before the first.
func TestScanRoom(t *testing.T) {
	b := small()
	want := Scan(b, testID, smallGen)
	headerEnd := 1 + FrameHeaderBytes + headerBodyBytes
	for _, n := range []int{1, 2, 7, 8, 9, 71, 72, 73, 4096, 5000} {
		zeros := make([]byte, n)
		s := Scan(append(bytes.Clone(b), zeros...), testID, smallGen)
		require.NoError(t, s.Stop, "%d zero bytes", n)
		require.Len(t, s.Commits, 2, "a zero byte is an entry to tidwall/wal, and none here")
		require.EqualValues(t, n, s.Room)
		s.Room = 0
		require.Equal(t, want, s)

		s = Scan(append(bytes.Clone(b[:headerEnd]), zeros...), testID, smallGen)
		require.NoError(t, s.Stop)
		require.True(t, s.Header && !s.Linked)
		require.EqualValues(t, n, s.Room)

		s = Scan(zeros, testID, smallGen)
		require.ErrorIs(t, s.Stop, errZeroes, "nothing is written before the header")
		require.EqualValues(t, n, s.Size)
		require.Zero(t, s.Room)

		s = Scan(append(append(bytes.Clone(b), 0, 0, 1), zeros...), testID, smallGen)
		require.ErrorIs(t, s.Stop, errLength, "zeros to the end, or it is something else")
		require.EqualValues(t, len(b), s.Valid)
		require.EqualValues(t, len(b)+3, s.Size, "what may have been written ends where the zeros begin")
		require.EqualValues(t, n, s.Room)
	}
}

// TestScanRoomBehindDamage: frames behind the damage may end in zeros of their own, which are no room.
func TestScanRoomBehindDamage(t *testing.T) {
	for _, tail := range []string{"x", "x\x00\x00\x00"} {
		f := (&forge{id: testID, gen: smallGen}).header().link(Link{}, 1).commit(1, 1, "one")
		at := len(f.b)
		f.commit(2, 1, tail)
		end := len(f.b)
		b := append(f.b, make([]byte, 100)...)
		b[at-1] ^= 1
		s := Scan(b, testID, smallGen)
		require.Error(t, s.Stop)
		require.Len(t, s.Later, 1)
		require.EqualValues(t, end, s.Size)
		require.EqualValues(t, 100, s.Room)
	}
}

func TestScanGarbageTail(t *testing.T) {
	b := small()
	want := Scan(b, testID, smallGen)
	rapid.Check(t, func(t *rapid.T) {
		garbage := rapid.SliceOfN(rapid.Byte(), 1, 300).Draw(t, "garbage")
		s := Scan(append(bytes.Clone(b), garbage...), testID, smallGen)
		requirePrefix(t, want, s, 4)
		require.Equal(t, zeroesAtEnd(garbage) == len(garbage), s.Stop == nil)
		require.Empty(t, s.Later)
	})
}

// TestScanRefuses gives the scanner frames whose sums are right and which still are not the next frame.
func TestScanRefuses(t *testing.T) {
	base := func() *forge {
		g := &forge{id: testID, gen: smallGen}
		return g.header().link(smallLink, smallBase).commit(100, 2, "first")
	}
	second := base().commit(102, 1, "second")
	third := bytes.Clone(base().commit(102, 1, "second").commit(103, 1, "third").b[len(second.b):])
	secondEntry := second.b[len(base().b):]
	commit := func(first dcb.Position, count uint32) Frame {
		return Frame{Kind: KindCommit, First: first, Count: count}
	}

	for _, c := range []struct {
		name   string
		b      []byte
		frames int // that are believed
		want   error
	}{
		{"of another generation", base().append(other(testID, smallGen+1)), 3, errPlace},
		{"of another store", base().append(other(otherID, smallGen)), 3, errSum},
		{"the frame before once more", base().append(entry(base().b, 2)), 3, errPlace},
		{"the header once more", base().append(entry(base().b, 0)), 3, errPlace},
		{"a frame is missing", base().append(third), 3, errPlace},
		{"two frames are swapped", base().append(append(bytes.Clone(third), secondEntry...)), 3, errPlace},
		{"right number, wrong chain", base().raw(Frame{Kind: KindCommit, No: 4, First: 102, Count: 1, Prev: 1}, nil).b, 3, errChain},
		{"a gap in the positions", base().frame(commit(103, 1), nil).b, 3, errChain},
		{"positions once more", base().frame(commit(101, 1), nil).b, 3, errChain},
		{"no events", base().frame(commit(102, 0), nil).b, 3, errBody},
		{"a second link", base().link(smallLink, 102).b, 3, errBody},
		{"a second header", base().header().b, 3, errBody},
		{"kind 0", base().frame(Frame{First: 102, Count: 1}, nil).b, 3, errBody},
		{"kind 4", base().frame(Frame{Kind: 4, First: 102, Count: 1}, nil).b, 3, errBody},
		{"version 2", base().append(resealed(secondEntry, 4, 2)), 3, errVersion},
		{"a longer frame header", base().append(resealed(secondEntry, 6, 80)), 3, errVersion},
		{"another magic", base().append(resealed(secondEntry, 0, 'o')), 3, errMagic},
		{"a shorter body", base().append(resealed(secondEntry, 36, byte(len("second")-1))), 3, errLength},
		{"a length in more bytes than it needs", base().append(append([]byte{secondEntry[0] | 0x80, 0}, secondEntry[1:]...)), 3, errLength},
		{"commits without a link", (&forge{id: testID, gen: smallGen}).header().commit(1, 1, "x").b, 1, errBody},
		{"no header", (&forge{id: testID, gen: smallGen}).link(smallLink, 1).b, 0, errBody},
		{"a header of another store, sealed with ours", (&forge{id: testID, gen: smallGen}).frame(Frame{Kind: KindHeader}, headerBody(otherID, testClock)).b, 0, errBody},
		{"a header that is longer", (&forge{id: testID, gen: smallGen}).frame(Frame{Kind: KindHeader}, append(headerBody(testID, testClock), 0)).b, 0, errBody},
		{"a link at position 0", (&forge{id: testID, gen: smallGen}).header().frame(Frame{Kind: KindLink}, smallLink.encode()).b, 1, errBody},
		{"a link that is shorter", (&forge{id: testID, gen: smallGen}).header().frame(Frame{Kind: KindLink, First: 1}, smallLink.encode()[1:]).b, 1, errBody},
		{"positions beyond the last", (&forge{id: testID, gen: smallGen}).header().link(smallLink, math.MaxUint64).commit(math.MaxUint64, 2, "").b, 2, errChain},
	} {
		s := Scan(c.b, testID, smallGen)
		require.ErrorIs(t, s.Stop, c.want, c.name)
		require.EqualValues(t, c.frames, s.LastNo(), c.name)
		require.Equal(t, s.Valid, starts(t, c.b[:s.Valid])[c.frames], c.name)
	}
	require.NoError(t, Scan(second.b, testID, smallGen).Stop)
	require.NoError(t, Scan(base().frame(commit(102, 1), nil).b, testID, smallGen).Stop, "a body may be empty")
}

// append returns the bytes with others behind them.
func (g *forge) append(b []byte) []byte { return append(bytes.Clone(g.b), b...) }

// other returns the entry of a commit that would fit behind three frames, but belongs elsewhere.
func other(id StoreID, gen uint64) []byte {
	g := forge{id: id, gen: gen}
	n := len(g.header().link(smallLink, smallBase).commit(100, 2, "first").b)
	return g.commit(102, 1, "second").b[n:]
}

func entry(b []byte, i int) []byte {
	for range i {
		_, size, _ := nextEntry(b)
		b = b[size:]
	}
	_, size, _ := nextEntry(b)
	return bytes.Clone(b[:size])
}

// resealed changes a byte of a frame's header and makes the sum right again.
func resealed(entry []byte, off int, v byte) []byte {
	e := bytes.Clone(entry)
	frame := e[1:]
	frame[off] = v
	binary.LittleEndian.PutUint64(frame[64:], frameSum(frame, testID, smallGen, binary.LittleEndian.Uint64(frame[16:])))
	return e
}

func TestScanHugeLengths(t *testing.T) {
	b := small()
	for _, n := range []uint64{MaxBodyBytes + FrameHeaderBytes + 1, 1 << 40, math.MaxInt64, math.MaxUint64} {
		huge := append(binary.AppendUvarint(bytes.Clone(b), n), "OSUMxxxx"...)
		s := Scan(huge, testID, smallGen)
		require.ErrorIs(t, s.Stop, errLength)
		require.Len(t, s.Commits, 2)
	}
	// The same inside a frame's header, where only findLater looks.
	frame := append([]byte{1, 2, 3}, entry(b, 3)[1:]...)
	binary.LittleEndian.PutUint32(frame[3+36:], math.MaxUint32)
	s := Scan(append(bytes.Clone(b), frame...), testID, smallGen)
	require.Error(t, s.Stop)
	require.Empty(t, s.Later)
}

// TestScanFindsLater destroys ranges of a longer generation: every frame that is not touched is found behind the damage.
func TestScanFindsLater(t *testing.T) {
	g := forge{id: testID, gen: 1}
	g.header().link(Link{}, 1)
	for p := dcb.Position(1); p <= 12; p++ {
		g.commit(p, 1, strings.Repeat("x", int(p*13)))
	}
	at := starts(t, g.b)
	want := Scan(g.b, testID, 1)
	rapid.Check(t, func(t *rapid.T) {
		from := rapid.IntRange(0, len(g.b)-1).Draw(t, "from")
		to := rapid.IntRange(from+1, len(g.b)).Draw(t, "to")
		b := bytes.Clone(g.b)
		for i := from; i < to; i++ {
			b[i] ^= 0xa5
		}
		s := Scan(b, testID, 1)
		whole, behind := 0, len(at)-1
		for int64(from) >= at[whole+1] {
			whole++
		}
		for behind > 0 && int64(to) <= at[behind-1]+int64(uvarintLen(uint64(at[behind]-at[behind-1]))) {
			behind--
		}
		requirePrefix(t, want, s, whole)
		require.Error(t, s.Stop)
		found := map[uint64]bool{}
		for _, f := range s.Later {
			require.NotZero(t, f.No)
			found[f.No] = true
			if f.No > 2 {
				require.Equal(t, want.Commits[f.No-3].Body, f.Body)
			}
		}
		for i := behind; i < len(at)-1; i++ {
			require.True(t, found[uint64(i+1)], "frame %d", i+1)
		}
	})
}

// convicts says what recovery asks of later frames: does one prove that the damage is in what was durable?
func convicts(s Scanned) bool {
	for _, f := range s.Later {
		if f.DurableOff > uint64(s.Valid) || f.Durable >= s.Next() && s.Linked {
			return true
		}
	}
	return false
}

// TestEmbeddedFramesConvictNobody: events may hold anything, so also the log's own bytes, whose sums are right. Torn apart, such
// an event shows intact frames behind the tear. They are older than it, so they claim nothing about it.
func TestEmbeddedFramesConvictNobody(t *testing.T) {
	g := forge{id: testID, gen: 1}
	g.header().link(Link{}, 1).commit(1, 1, "plain").commit(2, 1, "plain too")
	g.commit(3, 1, string(g.b)) // the whole log so far
	g.commit(4, 1, "x"+string(g.b)+"y"+string(g.b))
	want, at := Scan(g.b, testID, 1), starts(t, g.b)
	require.NoError(t, want.Stop)
	require.Len(t, want.Commits, 4, "what lies inside a body is no frame")

	sawCopies := false
	for n := at[4] + 1; n < at[6]; n++ {
		s := Scan(g.b[:n], testID, 1)
		if n == at[5] {
			require.NoError(t, s.Stop)
			continue
		}
		require.ErrorIs(t, s.Stop, errCut)
		require.False(t, convicts(s), "cut at %d", n)
		sawCopies = sawCopies || len(s.Later) > 0
	}
	require.True(t, sawCopies)
}

// TestLaterFramesConvictRot is the other side: a later frame that was written after a sync convicts damage before it.
func TestLaterFramesConvictRot(t *testing.T) {
	g := forge{id: testID, gen: 1}
	g.header().link(Link{}, 1).commit(1, 1, "one").commit(2, 1, "two").commit(3, 1, "three")
	at := starts(t, g.b)
	for i := at[2]; i < at[4]; i++ {
		g.b[i] ^= 1
		require.True(t, convicts(Scan(g.b, testID, 1)), "byte %d", i)
		g.b[i] ^= 1
	}
}

// TestScanProperty wounds a random generation in random ways, and expects a prefix of the truth, with nothing invented.
func TestScanProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := drawGeneration(t)
		want := Scan(g.b, testID, g.gen)
		require.NoError(t, want.Stop)
		at := starts(t, g.b)

		b := bytes.Clone(g.b)
		for i := range rapid.IntRange(1, 3).Draw(t, "wounds") {
			b = wound(t, b, i)
		}
		s := Scan(b, testID, g.gen)
		n := int(s.LastNo())
		requirePrefix(t, want, s, n)
		require.Equal(t, at[n], s.Valid)
		require.True(t, bytes.Equal(b[:s.Valid], g.b[:s.Valid]), "what is believed is what was written")
		require.Equal(t, s.Valid+s.Room == int64(len(b)), s.Stop == nil)
		for _, f := range s.Later {
			require.Greater(t, f.Offset, s.Valid)
			require.True(t, bytes.Contains(g.b, b[f.Offset:f.End]), "a frame that nobody wrote: %d", f.No)
		}
	})
}

func drawGeneration(t *rapid.T) *forge {
	g := &forge{id: testID, gen: rapid.Uint64Range(1, math.MaxUint64).Draw(t, "gen")}
	next := dcb.Position(rapid.Uint64Range(1, 1<<40).Draw(t, "base"))
	g.header().link(Link{}, next)
	for i := range rapid.IntRange(0, 6).Draw(t, "commits") {
		body := string(rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, fmt.Sprint("body ", i)))
		if rapid.Bool().Draw(t, "embeds") {
			body += string(g.b[rapid.IntRange(0, len(g.b)).Draw(t, "of"):])
		}
		count := rapid.Uint32Range(1, 100).Draw(t, "count")
		g.commit(next, count, body)
		next += dcb.Position(count)
	}
	return g
}

func wound(t *rapid.T, b []byte, i int) []byte {
	if len(b) == 0 {
		return b
	}
	at := rapid.IntRange(0, len(b)-1).Draw(t, fmt.Sprint("at ", i))
	end := rapid.IntRange(at, len(b)).Draw(t, fmt.Sprint("end ", i))
	switch rapid.IntRange(0, 5).Draw(t, fmt.Sprint("kind ", i)) {
	case 0:
		b[at] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
	case 1:
		return b[:at]
	case 2:
		clear(b[at:end])
	case 3: // some bytes twice
		return append(append(bytes.Clone(b[:end]), b[at:end]...), b[end:]...)
	case 4: // some bytes not at all
		return append(bytes.Clone(b[:at]), b[end:]...)
	case 5:
		return append(b, rapid.SliceOfN(rapid.Byte(), 0, 100).Draw(t, "tail")...)
	}
	return b
}

func TestZeroesAtEnd(t *testing.T) {
	for n := range 40 {
		b := make([]byte, n)
		require.Equal(t, n, zeroesAtEnd(b))
		for i := range b {
			b[i] = 1
			require.Equal(t, n-i-1, zeroesAtEnd(b), "%d of %d", i, n)
			b[i] = 0
		}
	}
}

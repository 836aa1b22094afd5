package pack

import (
	"bytes"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"pgregory.net/rapid"

	"opossum/dcb"
	"opossum/internal/codec"
)

// Any records in, the same records out, whatever their sizes: many in a block, or each a block of its own.
func TestEveryRecordComesBack(t *testing.T) {
	dir := t.TempDir()
	noise := make([]byte, 100<<10)
	_, _ = rand.NewChaCha8([32]byte{7}).Read(noise)
	rapid.Check(t, func(t *rapid.T) {
		first := dcb.Position(rapid.Uint64Range(1, math.MaxUint64-50).Draw(t, "first"))
		sizes := rapid.SliceOfN(rapid.OneOf(rapid.IntRange(0, 300), rapid.IntRange(0, 2*BlockBytes), rapid.IntRange(0, len(noise)/2)), 1, 40).Draw(t, "sizes")
		r := Range{first, first + dcb.Position(len(sizes)) - 1}
		var recs [][]byte
		for i, size := range sizes {
			e := dcb.Event{Type: rapid.SampledFrom([]string{"A", "Enrolled"}).Draw(t, "type"), Time: time.Unix(int64(size), 0)}
			switch rapid.IntRange(0, 2).Draw(t, "data") {
			case 0:
				e.Data = make([]byte, size)
			case 1:
				e.Data = noise[size : 2*size]
			case 2:
				e.Data = bytes.Repeat([]byte("some text "), size/10)
			}
			recs = append(recs, stamped(e, first+dcb.Position(i)))
		}
		build(t, dir, r, recs)
		p, err := Open(dir, testSeed, r)
		require.NoError(t, err)
		defer p.Close()
		requireHolds(t, p, recs)
		size := 0
		for i, rec := range recs { // blocks are closed as early as can be, so one event costs one small block
			if size += len(rec); size >= BlockBytes {
				size = 0
				require.Equal(t, r.First+dcb.Position(i), p.Positions(p.BlockOf(r.First+dcb.Position(i))).Last)
			}
		}
		require.NoError(t, Remove(dir, r))
	})
}

// Tables around the length of what Open reads at first, and much longer ones.
func TestLongTables(t *testing.T) {
	const most = (endBytes - footerBytes) / entryBytes
	for _, blocks := range []int{most - 1, most, most + 1, 3 * most} {
		dir, r := t.TempDir(), Range{10_001, 10_000 + dcb.Position(blocks)}
		var recs [][]byte
		for p := r.First; p <= r.Last; p++ {
			recs = append(recs, stamped(dcb.Event{Type: "A", Data: make([]byte, BlockBytes)}, p))
		}
		build(t, dir, r, recs)
		p := open(t, dir, r)
		require.Equal(t, blocks, p.Blocks())
		requireHolds(t, p, recs)
	}
}

func TestOneRecord(t *testing.T) {
	for _, r := range []Range{{1, 1}, {math.MaxUint64, math.MaxUint64}} {
		dir := t.TempDir()
		recs := [][]byte{stamped(dcb.Event{Type: "A"}, r.First)} // the smallest there is
		build(t, dir, r, recs)
		p := open(t, dir, r)
		require.Equal(t, 1, p.Blocks())
		require.Equal(t, r, p.Positions(0))
		require.EqualValues(t, len(readFile(t, p.Path())), p.Size())
		require.True(t, bytes.Equal(recs[0], first(p.Block(0))))
	}
}

func first(b []byte, _ error) []byte { return b }

// The largest records that a frame of the log can hold, of bytes that compress and of bytes that do not.
func TestHugeRecords(t *testing.T) {
	dir, r := t.TempDir(), Range{1, 3}
	huge := func(p dcb.Position, noise bool) []byte {
		e := dcb.Event{Type: "A", Data: make([]byte, 16<<20)}
		e.Data = e.Data[:16<<20-(codec.RecordLen(codec.AppendRecord(nil, e))-16<<20)]
		if noise {
			_, _ = rand.NewChaCha8([32]byte{1}).Read(e.Data)
		}
		rec := stamped(e, p)
		require.Len(t, rec, maxRecordBytes)
		return rec
	}
	small := stamped(dcb.Event{Type: "A", Data: make([]byte, BlockBytes-100)}, 1)
	recs := [][]byte{small, huge(2, true), huge(3, false)}
	build(t, dir, r, recs)
	p := open(t, dir, r)
	require.Equal(t, 2, p.Blocks())
	require.Greater(t, p.RawBytes(0), maxRecordBytes+BlockBytes-200)
	requireHolds(t, p, recs)
	for raw := range Salvage(readFile(t, p.Path())) {
		require.GreaterOrEqual(t, len(raw), maxRecordBytes)
	}
}

// A block comes in the memory that it is given, if that has room, and nothing behind it is touched.
func TestBlockIn(t *testing.T) {
	dir := t.TempDir()
	build(t, dir, smallRange, records(smallRange))
	p := open(t, dir, smallRange)
	for i := range p.Blocks() {
		want, err := p.Block(i)
		require.NoError(t, err)
		for _, room := range []int{0, len(want) - 1, len(want), len(want) + 100} {
			buf := bytes.Repeat([]byte("x"), room)
			got, err := p.BlockIn(i, buf)
			require.NoError(t, err)
			require.True(t, bytes.Equal(want, got))
			require.Equal(t, room >= len(want), room > 0 && &got[0] == &buf[0])
			if room > len(want) {
				require.Equal(t, bytes.Repeat([]byte("x"), room-len(want)), buf[len(want):])
			}
		}
	}
}

// Record does not judge, but never leads out of the block.
func TestRecordOfABlockThatIsCut(t *testing.T) {
	dir := t.TempDir()
	build(t, dir, smallRange, records(smallRange))
	p := open(t, dir, smallRange)
	raw, err := p.Block(0)
	require.NoError(t, err)
	at := p.Positions(0)
	for n := range len(raw) {
		_, err := p.Record(0, raw[:n], at.Last)
		requireDamage(t, err, p.Path())
	}
}

// Many goroutines share a pack, and the decoders.
func TestConcurrentReaders(t *testing.T) {
	dir, r := t.TempDir(), Range{1, 200}
	recs := records(r)
	recs[77] = stamped(dcb.Event{Type: "A", Metadata: map[string]string{"k": string(make([]byte, 3*pooledBytes))}}, 78)
	recs[99] = stamped(dcb.Event{Type: "A", Data: noisy(3 * pooledBytes)}, 100) // by a decoder of its own
	build(t, dir, r, recs)
	p := open(t, dir, r)
	var g errgroup.Group
	for i := range 8 {
		g.Go(func() error {
			rng := rand.New(rand.NewPCG(uint64(i), 0))
			for range 300 {
				pos := dcb.Position(1 + rng.Uint64N(200))
				raw, err := p.Block(p.BlockOf(pos))
				if err != nil {
					return err
				}
				rec, err := p.Record(p.BlockOf(pos), raw, pos)
				if err != nil || !bytes.Equal(recs[pos-1], rec) {
					t.Errorf("position %d: %v", pos, err)
				}
				clear(raw) // it is the caller's
			}
			return nil
		})
	}
	g.Go(func() error {
		build(t, t.TempDir(), r, recs)
		return nil
	})
	require.NoError(t, g.Wait())
}

func noisy(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{2}).Read(b)
	return b
}

package pack

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"math"
	"strings"
	"testing"

	"github.com/cespare/xxhash/v2"
	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"

	"opossum/dcb"
	"opossum/internal/codec"
)

const goldenFile = "testdata/pack-v1.hex"

// TestGoldenPack: packs of format version 1 can be read for ever. The golden file is never written again: stores with these bytes exist.
func TestGoldenPack(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, undump(t, goldenFile), dir, Name(smallRange))
	p := open(t, dir, smallRange)
	require.Equal(t, 3, p.Blocks())
	requireHolds(t, p, records(smallRange))
}

// TestWriter pins what the writer makes. If the bytes outside of the frames differ from those of the golden file, the format has changed: that is a
// new version, and a reader for both. If only the sum differs, the zstd module compresses otherwise than it did: any reader takes either. Then
// look at BenchmarkAdd and BenchmarkBlock, let the zstd program read a block, and put the new sum here; the golden file stays.
func TestWriter(t *testing.T) {
	dir := t.TempDir()
	build(t, dir, smallRange, records(smallRange))
	b, golden := readFile(t, dir, Name(smallRange)), undump(t, goldenFile)
	require.Equal(t, golden[:headerBytes], b[:headerBytes])
	require.Equal(t, golden[len(golden)-tailBytes:], b[len(b)-tailBytes:])
	p := open(t, dir, smallRange)
	require.Equal(t, 3, p.Blocks())
	for i, want := range []Range{{101, 104}, {105, 108}, {109, 109}} {
		require.Equal(t, want, p.Positions(i), "a block is closed as soon as it has 8 KiB")
	}
	requireHolds(t, p, records(smallRange))
	require.Equal(t, uint64(0x7d578719711e9f44), xxhash.Sum64(b), "zstd compresses otherwise than it did: see the comment of this test")
}

// TestLayout reads the golden file as docs/format/pack.md draws it, with nothing of this package but the names of the events.
func TestLayout(t *testing.T) {
	b := undump(t, goldenFile)
	le := binary.LittleEndian
	u64 := func(off uint64) uint64 { return le.Uint64(b[off:]) }
	sum := func(number uint64, part []byte) uint64 {
		seed := []byte(nil)
		for _, v := range []uint64{testSeed, 101, 109, number} {
			seed = le.AppendUint64(seed, v)
		}
		d := xxhash.NewWithSeed(xxhash.Sum64(seed))
		_, _ = d.Write(part)
		return d.Sum64()
	}

	require.Equal(t, "OPCK\x01\x00\x00\x00", string(b[:8]))
	require.EqualValues(t, 101, u64(8))
	require.EqualValues(t, 109, u64(16))

	size := uint64(len(b))
	foot := size - 40
	require.Equal(t, "\x01\x00\x00\x00OPCK", string(b[size-8:]))
	require.Equal(t, sum(math.MaxUint64, b[foot+8:]), u64(foot))
	table, blocks, tableSum := u64(foot+8), u64(foot+16), u64(foot+24)
	require.Equal(t, foot, table+24*blocks)
	require.Equal(t, sum(math.MaxUint64-1, b[table:foot]), tableSum)

	next, pos := uint64(24), dcb.Position(101)
	for i := range blocks {
		entry := table + 24*i
		start, first, raw := u64(entry), le.Uint32(b[entry+8:]), le.Uint32(b[entry+12:])
		end := table
		if i+1 < blocks {
			end = u64(entry + 24)
		}
		require.Equal(t, next, start)
		require.Equal(t, sum(i, b[start:end]), u64(entry+16))
		require.LessOrEqual(t, end-start, uint64(raw)+uint64(raw)/256+64)
		require.Equal(t, "\x28\xb5\x2f\xfd", string(b[start:start+4]))
		d, err := zstd.NewReader(bytes.NewReader(b[start:end]), zstd.WithDecoderConcurrency(1)) // as the zstd program reads it
		require.NoError(t, err)
		var recs bytes.Buffer
		_, err = recs.ReadFrom(d)
		require.NoError(t, err)
		d.Close()
		require.Len(t, recs.Bytes(), int(raw))
		require.Equal(t, pos, 101+dcb.Position(first))
		for recs.Len() > 0 {
			rec := recs.Next(12 + int(le.Uint32(recs.Bytes())))
			require.Equal(t, record(pos), rec)
			e, err := codec.DecodeRecord(rec, testSeed, pos)
			require.NoError(t, err)
			require.Equal(t, event(pos), e)
			pos++
		}
		next = end
	}
	require.EqualValues(t, 110, pos)
	require.Equal(t, table, next)
}

func undump(t require.TestingT, path string) (b []byte) {
	for line := range strings.Lines(string(readFile(t, path))) {
		line, _, _ = strings.Cut(line, "|")
		_, line, _ = strings.Cut(line, " ") // behind the offset
		some, err := hex.DecodeString(strings.Join(strings.Fields(line), ""))
		require.NoError(t, err)
		b = append(b, some...)
	}
	return b
}

package eventfile

import (
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"opossum/dcb"
	"opossum/internal/codec"
)

// readAll reads a batch as callers do, call by call.
func readAll(t *testing.T, s *Store, positions []dcb.Position) (out []dcb.SequencedEvent, calls int, err error) {
	out = make([]dcb.SequencedEvent, len(positions))
	for at := 0; at < len(positions); calls++ {
		n, err := s.ReadBatch(positions[at:], out[at:])
		if at += n; err != nil {
			return out[:at], calls, err
		}
		require.Positive(t, n, "each call gets on")
	}
	return out, calls, nil
}

func TestReadBatch(t *testing.T) {
	s := openStore(t)
	var up []dcb.Position
	for p := dcb.Position(9_950); p < 10_050; p++ { // over the end of a shard
		require.NoError(t, s.Write(p, text(p)))
		if p%3 > 0 {
			up = append(up, p)
		}
	}
	down := slices.Clone(up)
	slices.Reverse(down)
	for _, positions := range [][]dcb.Position{nil, up[:1], up, down} {
		got, calls, err := readAll(t, s, positions)
		require.NoError(t, err)
		require.LessOrEqual(t, calls, len(positions)/batchReads+1)
		for i, p := range positions {
			require.Equal(t, event(p, `{"student": 7}`), got[i])
		}
	}
	for i := range up { // an error comes after what is before it, and is that of Read
		require.NoError(t, os.Remove(s.Path(up[i])))
		got, _, err := readAll(t, s, up)
		require.ErrorIs(t, err, fs.ErrNotExist)
		require.Len(t, got, i)
		require.NoError(t, os.WriteFile(s.Path(up[i]), []byte("rot"), 0o644))
		got, _, err = readAll(t, s, up)
		require.ErrorIs(t, err, dcb.ErrCorrupt)
		require.ErrorContains(t, err, s.Path(up[i]))
		require.Len(t, got, i)
		require.NoError(t, s.Write(up[i], text(up[i])))
	}
	_, _, err := readAll(t, s, []dcb.Position{0})
	require.ErrorIs(t, err, fs.ErrInvalid)
	require.NoError(t, s.Close())
	_, _, err = readAll(t, s, up)
	require.ErrorIs(t, err, fs.ErrClosed)
}

// TestReadBatchStopsEarly: whoever asks for many large events does not get all of them at once.
func TestReadBatchStopsEarly(t *testing.T) {
	s := openStore(t)
	const size = BatchBytes/4 + 1
	var positions []dcb.Position
	for p := dcb.Position(1); p <= 9; p++ {
		require.NoError(t, s.Write(p, codec.AppendText(nil, event(p, strings.Repeat("x", size)))))
		positions = append(positions, p)
	}
	_, calls, err := readAll(t, s, positions)
	require.NoError(t, err)
	require.Equal(t, 3, calls)
}

// TestReadBatchOfPacks: from packs where there are some, in either direction, thin or dense, and from loose files between them and where a pack is damaged.
func TestReadBatchOfPacks(t *testing.T) {
	s := openBound(t)
	packShard(t, s, 1)
	packShard(t, s, 2*ShardPositions+1)
	for p := dcb.Position(9_990); p < 20_010; p++ { // loose files of the shard without a pack, and a few beside packs
		if p < 10_050 || p > 19_950 {
			require.NoError(t, s.Write(p, text(p)))
		}
	}
	want := func(p dcb.Position) dcb.SequencedEvent {
		if s.Packed(p) {
			return dcb.SequencedEvent{Position: p, Event: packedEvent(p)}
		}
		return event(p, `{"student": 7}`)
	}
	for _, every := range []dcb.Position{1, 3, 7, 100, 1_000} {
		var up []dcb.Position
		for p := dcb.Position(1); p <= 3*ShardPositions; p += every {
			if p < 500 || p > 9_900 && p < 10_050 || p > 19_950 && p < 20_100 || p > 29_500 {
				up = append(up, p)
			}
		}
		down := slices.Clone(up)
		slices.Reverse(down)
		for _, positions := range [][]dcb.Position{up, down} {
			got, _, err := readAll(t, s, positions)
			require.NoError(t, err)
			for i, p := range positions {
				require.Equal(t, want(p), got[i])
			}
		}
	}
	require.LessOrEqual(t, s.CacheStats().Bytes, s.CacheStats().Budget)

	damage(t, s.packs.path(2*ShardPositions+1), 40) // in the first block, which loose files replace in part
	s.packs.forget(2*ShardPositions+1, true)
	var up []dcb.Position
	for p := dcb.Position(20_001); p < 20_100; p++ {
		up = append(up, p)
	}
	got, _, err := readAll(t, s, up)
	require.ErrorIs(t, err, dcb.ErrCorrupt)
	require.ErrorContains(t, err, s.packs.path(2*ShardPositions+1))
	require.Len(t, got, 9)
	for i, p := range up[:9] {
		require.Equal(t, event(p, `{"student": 7}`), got[i])
	}
}

// TestReadBatchStopsBeforeABadRecord, as one that memory has damaged, in a block that was right. Then the block is read again.
func TestReadBatchStopsBeforeABadRecord(t *testing.T) {
	s := openBound(t)
	packShard(t, s, 1)
	ups := []dcb.Position{4, 5, 6, 7, 8, 9}
	_, _, err := readAll(t, s, ups)
	require.NoError(t, err)
	raw, ok := s.packs.blocks.get(blockID{shard: 1, version: 1})
	require.True(t, ok)
	for range 6 {
		_, raw, _ = codec.NextRecord(raw)
	}
	raw[codec.RecordHeaderBytes] ^= 1
	require.Equal(t, 3, s.packs.readBatch(ups, make([]dcb.SequencedEvent, len(ups))))
	got, _, err := readAll(t, s, ups)
	require.NoError(t, err)
	require.Len(t, got, 6)
}

// TestReadBatchGoesThroughAPackWithoutFillingTheCache, and what it takes a little of stays.
func TestReadBatchGoesThroughAPackWithoutFillingTheCache(t *testing.T) {
	s := openBound(t)
	packShard(t, s, 1)
	var all, few []dcb.Position
	for p := dcb.Position(1); p <= ShardPositions; p++ {
		all = append(all, p)
		if p%500 == 0 {
			few = append(few, p)
		}
	}
	_, calls, err := readAll(t, s, all)
	require.NoError(t, err)
	blocks := s.packs.open[1].Value.(*openPack).Blocks()
	require.LessOrEqual(t, s.packs.blocks.used.Len(), 2*calls, "blocks in which a call began or ended")
	require.Greater(t, blocks, 4*calls)
	before := s.CacheStats()
	for range 2 {
		_, _, err = readAll(t, s, few)
		require.NoError(t, err)
	}
	after := s.CacheStats()
	require.GreaterOrEqual(t, after.Hits-before.Hits, uint64(len(few)))
	require.LessOrEqual(t, after.Misses-before.Misses, uint64(len(few)))
}

package eventfile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"opossum/dcb"
	"opossum/internal/codec"
)

const packSeed = 7

func openBound(t *testing.T) *Store {
	s := openStore(t)
	require.NoError(t, s.Bind(packSeed))
	return s
}

// packedEvent is the event at p as packs hold it; the loose file of p has another one, so that it shows which of them was read.
func packedEvent(p dcb.Position) dcb.Event {
	ev, err := codec.ParseText(text(p))
	if err != nil {
		panic(err)
	}
	ev.Event.Metadata = map[string]string{"from": "pack"}
	return ev.Event
}

func packShard(t *testing.T, s *Store, first dcb.Position) {
	w, err := s.Pack(first)
	require.NoError(t, err)
	var rec []byte
	for p := first; p < first+ShardPositions; p++ {
		rec = codec.AppendRecord(rec[:0], packedEvent(p))
		codec.Stamp(rec, packSeed, p)
		require.NoError(t, w.Add(rec))
	}
	require.NoError(t, w.Commit())
	require.NoError(t, w.Abort(), "it does nothing any more")
}

func damage(t *testing.T, path string, at int64) {
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	if at < 0 {
		at += int64(len(b))
	}
	b[at] ^= 1
	require.NoError(t, os.WriteFile(path, b, 0o644))
}

func TestAPackAnswersBeforeALooseFile(t *testing.T) {
	s := openBound(t)
	require.NoError(t, s.Write(5, text(5)))
	require.Equal(t, s.Path(5), s.Home(5))
	packShard(t, s, 1)
	require.True(t, s.Packed(5))
	require.False(t, s.Packed(10_001))
	require.Equal(t, s.packs.path(1), s.Home(5))
	for _, p := range []dcb.Position{1, 5, 5, 9_999, 10_000} {
		ev, err := s.Read(p)
		require.NoError(t, err)
		require.Equal(t, dcb.SequencedEvent{Position: p, Event: packedEvent(p)}, ev)
	}
	_, err := s.Read(10_001)
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.Positive(t, s.CacheStats().Hits)
}

func TestALooseFileAnswersForADamagedPack(t *testing.T) {
	for name, at := range map[string]int64{"header": 0, "first block": 40, "table": -100, "footer": -1} {
		t.Run(name, func(t *testing.T) {
			s := openBound(t)
			require.NoError(t, s.Write(5, text(5)))
			packShard(t, s, 1)
			damage(t, s.packs.path(1), at)
			ev, err := s.Read(5)
			require.NoError(t, err)
			require.Empty(t, ev.Event.Metadata["from"])
			require.ErrorIs(t, s.VerifyPack(t.Context(), 1), dcb.ErrCorrupt)
			require.NoError(t, os.Remove(s.Path(5)))
			_, err = s.Read(5)
			ce := (*dcb.CorruptError)(nil)
			require.ErrorAs(t, err, &ce)
			require.Equal(t, s.packs.path(1), ce.File, "the pack is named, not the file that never was")
		})
	}
}

func TestAReaderFindsWhatAnotherProcessPacksAndUnpacks(t *testing.T) {
	owner := openBound(t)
	for p := dcb.Position(1); p <= ShardPositions; p++ {
		require.NoError(t, owner.Write(p, text(p)))
	}
	reader, err := OpenExisting(owner.dir)
	require.NoError(t, err)
	defer reader.Close()
	require.NoError(t, reader.Bind(packSeed))
	from := func(p dcb.Position) string {
		ev, err := reader.Read(p)
		require.NoError(t, err)
		return ev.Event.Metadata["from"]
	}
	require.Empty(t, from(5))
	packShard(t, owner, 1)
	require.NoError(t, owner.RemoveLoose(1, 100))
	require.Empty(t, from(101), "it has not looked again")
	require.Equal(t, "pack", from(5))
	require.NoError(t, owner.RemoveLoose(101, ShardPositions))
	require.NoDirExists(t, filepath.Dir(owner.Path(1)))
	require.Equal(t, "pack", from(ShardPositions))

	require.NoError(t, owner.Write(7, text(7)), "the directory is made again")
	require.NoError(t, owner.RemovePack(1))
	require.Equal(t, "pack", from(7), "what is open stays readable")
	reader.packs.forget(1, true)
	require.Empty(t, from(7))
	_, err = reader.Read(8)
	require.ErrorIs(t, err, fs.ErrNotExist)
}

func TestHighestValidLooksIntoPacks(t *testing.T) {
	s := openBound(t)
	require.NoError(t, s.Write(3, text(3)))
	packShard(t, s, 10_001)
	packShard(t, s, 20_001)
	highest := func(above dcb.Position) (dcb.Position, string) {
		p, file, err := s.HighestValid(above)
		require.NoError(t, err)
		return p, file
	}
	p, file := highest(0)
	require.Equal(t, dcb.Position(30_000), p)
	require.Equal(t, s.packs.path(20_001), file)
	p, _ = highest(30_000)
	require.Zero(t, p)
	require.NoError(t, s.Write(30_001, text(30_001)))
	p, file = highest(0)
	require.Equal(t, dcb.Position(30_001), p)
	require.Equal(t, s.Path(30_001), file)
	require.NoError(t, s.RemoveLoose(30_001, 30_001))

	damage(t, s.packs.path(20_001), -1)
	s.packs.forget(20_001, true)
	p, _ = highest(0)
	require.Equal(t, dcb.Position(20_000), p, "a pack that is none says nothing")

	require.NoError(t, s.RemovePacksAbove(10_001))
	require.Equal(t, []dcb.Position{10_001}, s.PackedShards())
	packs, bytes, err := s.PackUsage()
	require.NoError(t, err)
	require.Equal(t, 1, packs)
	require.Positive(t, bytes)
}

func TestFewPacksStayOpenAndFewBlocksInMemory(t *testing.T) {
	s := openBound(t)
	s.packs.most = 2
	s.BoundCache(64 << 10)
	for i := range dcb.Position(4) {
		packShard(t, s, i*ShardPositions+1)
	}
	for round := range 3 {
		for p := dcb.Position(1); p <= 4*ShardPositions; p += 331 {
			ev, err := s.Read(p)
			require.NoError(t, err, "round %d", round)
			require.Equal(t, p, ev.Position)
		}
	}
	stats := s.CacheStats()
	require.LessOrEqual(t, stats.OpenPacks, 2)
	require.LessOrEqual(t, stats.Bytes, int64(64<<10))
	require.Positive(t, stats.Bytes)
	require.Len(t, s.packs.blocks.at, s.packs.blocks.used.Len())
	s.BoundCache(0)
	require.Zero(t, s.CacheStats().Bytes)
}

func TestAPackIsReplacedUnderItsReaders(t *testing.T) {
	s := openBound(t)
	packShard(t, s, 1)
	p, err := s.packs.acquire(1)
	require.NoError(t, err)
	_, err = s.packs.block(p, 0)
	require.NoError(t, err)
	packShard(t, s, 1)
	require.Zero(t, s.CacheStats().Bytes, "what the former pack had is forgotten")
	_, err = s.packs.block(p, 0)
	require.NoError(t, err, "who reads it goes on")
	require.Zero(t, s.CacheStats().Bytes)
	s.packs.release(p)
	require.ErrorIs(t, p.Close(), fs.ErrClosed)
}

func TestPacksOfOthersAreNone(t *testing.T) {
	s := openBound(t)
	packShard(t, s, 1)
	other, err := Open(s.dir)
	require.NoError(t, err)
	defer other.Close()
	_, err = other.Read(1)
	require.ErrorIs(t, err, fs.ErrNotExist, "nobody has said whose packs are its own")
	_, err = other.Pack(1)
	require.ErrorIs(t, err, fs.ErrInvalid)
	require.NoError(t, other.Bind(packSeed+1))
	_, err = other.Read(1)
	require.ErrorIs(t, err, dcb.ErrCorrupt)
	for _, name := range []string{"00000000000000000001-00000000000000000002.pack", "00000000000000000002-00000000000000010001.pack", "notes.txt"} {
		require.NoError(t, os.WriteFile(filepath.Join(s.packs.dir, name), nil, 0o644))
	}
	require.NoError(t, s.Bind(packSeed))
	require.Equal(t, []dcb.Position{1}, s.PackedShards(), "only whole shards count")
	_, err = s.Pack(2)
	require.ErrorIs(t, err, fs.ErrInvalid)
}

func TestAPackIsSyncedByItselfWhereTheFileSystemIsNot(t *testing.T) {
	s := openBound(t)
	s.perFile = true
	packShard(t, s, 1)
	packShard(t, s, 10_001)
	require.NoError(t, s.RemovePack(10_001))
	files, dirs := s.toSync(nil, []dcb.Position{1, 10_001})
	require.Equal(t, []string{s.packs.path(1)}, files)
	require.Equal(t, []string{s.packs.dir, s.dir, filepath.Dir(s.dir)}, dirs)
	require.NoError(t, s.Sync())
}

func TestHalfWrittenPacksAreRemoved(t *testing.T) {
	s := openBound(t)
	w, err := s.Pack(1)
	require.NoError(t, err)
	removed, err := s.RemoveTemp()
	require.NoError(t, err)
	require.Len(t, removed, 1)
	require.Error(t, errors.Join(w.Commit()), "it is not complete")
	require.NoError(t, w.Abort())
}

func TestACancelledVerificationEnds(t *testing.T) {
	s := openBound(t)
	packShard(t, s, 1)
	ctx, cancel := context.WithCancel(t.Context())
	require.NoError(t, s.VerifyPack(ctx, 1))
	cancel()
	require.ErrorIs(t, s.VerifyPack(ctx, 1), context.Canceled)
	require.ErrorIs(t, s.VerifyPack(t.Context(), 10_001), fs.ErrNotExist)
}

func BenchmarkReadPacked(b *testing.B) {
	s, err := Open(filepath.Join(b.TempDir(), "events"))
	require.NoError(b, err)
	defer s.Close()
	require.NoError(b, s.Bind(packSeed))
	w, err := s.Pack(1)
	require.NoError(b, err)
	for p := dcb.Position(1); p <= ShardPositions; p++ {
		rec := codec.AppendRecord(nil, packedEvent(p))
		codec.Stamp(rec, packSeed, p)
		require.NoError(b, w.Add(rec))
	}
	require.NoError(b, w.Commit())
	for name, cache := range map[string]int64{"cached": 64 << 20, "uncached": 0} {
		b.Run(name, func(b *testing.B) {
			s.BoundCache(cache)
			p := dcb.Position(0)
			for b.Loop() {
				p = (p+7919)%ShardPositions + 1
				if _, err := s.Read(p); err != nil {
					b.Fatal(fmt.Errorf("%d: %w", p, err))
				}
			}
		})
	}
}

// longerShard packs a shard again so that its blocks end elsewhere.
func longerShard(t *testing.T, s *Store, first dcb.Position) {
	w, err := s.Pack(first)
	require.NoError(t, err)
	for p := first; p < first+ShardPositions; p++ {
		e := packedEvent(p)
		e.Metadata["filler"] = strings.Repeat("x", int(p%100))
		rec := codec.AppendRecord(nil, e)
		codec.Stamp(rec, packSeed, p)
		require.NoError(t, w.Add(rec))
	}
	require.NoError(t, w.Commit())
}

// Who is reading a pack while it is replaced goes on with the old one: the blocks of the new one are not its own.
func TestBlocksOfAReplacedPackAreNotTakenForThoseOfTheNewOne(t *testing.T) {
	s := openBound(t)
	packShard(t, s, 1)
	old, err := s.packs.acquire(1)
	require.NoError(t, err)
	defer s.packs.release(old)
	longerShard(t, s, 1)
	for _, p := range []dcb.Position{1, 500, 5_000, 10_000} {
		ev, err := s.Read(p)
		require.NoError(t, err)
		require.Len(t, ev.Event.Metadata["filler"], int(p%100), "the new one is read")
		i := old.BlockOf(p)
		raw, err := s.packs.block(old, i)
		require.NoError(t, err)
		_, err = old.decode(i, raw, p, packSeed)
		require.NoError(t, err)
		_, err = s.Read(p)
		require.NoError(t, err)
	}
}

// What was opened just before it was replaced is not kept for others.
func TestAPackThatWasReplacedWhileItWasOpenedIsNotKept(t *testing.T) {
	s := openBound(t)
	packShard(t, s, 1)
	old, err := s.packs.acquire(1)
	require.NoError(t, err)
	late := &openPack{Pack: old.Pack, shard: 1, version: old.version, readers: 1}
	longerShard(t, s, 1)
	s.packs.keep(late)
	require.False(t, late.kept)
	s.packs.release(old)
	ev, err := s.Read(99)
	require.NoError(t, err)
	require.NotEmpty(t, ev.Event.Metadata["filler"])
}

// Readers open, list and read packs while they are written again and again. What is open or known at the end is the last one.
func TestReadersBesideAPackThatIsReplaced(t *testing.T) {
	s := openBound(t)
	packShard(t, s, 1)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for p := dcb.Position(1); ; p = p%ShardPositions + 1 {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := s.Read(p); err != nil {
					t.Error(err)
				}
				s.packs.reopen(1)
				if err := s.packs.list(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 3 {
		packShard(t, s, 1)
		longerShard(t, s, 1)
		require.True(t, s.Packed(1))
		require.True(t, s.PackedHere(1))
		ev, err := s.Read(99)
		require.NoError(t, err)
		require.NotEmpty(t, ev.Event.Metadata["filler"])
		require.NoError(t, s.VerifyPack(t.Context(), 1))
	}
	close(stop)
	wg.Wait()
}

// Another process may have written a damaged pack again: it is opened anew before anybody is told of damage.
func TestADamagedPackThatAnotherProcessWroteAgainIsRead(t *testing.T) {
	owner := openBound(t)
	packShard(t, owner, 1)
	damage(t, owner.packs.path(1), 100)
	reader, err := OpenExisting(owner.dir)
	require.NoError(t, err)
	defer reader.Close()
	require.NoError(t, reader.Bind(packSeed))
	_, err = reader.Read(1)
	require.ErrorIs(t, err, dcb.ErrCorrupt)
	packShard(t, owner, 1)
	_, err = reader.Read(1)
	require.NoError(t, err)
	require.False(t, reader.PackedHere(1))
}

func TestHasLoose(t *testing.T) {
	s := openBound(t)
	has := func() bool {
		loose, err := s.HasLoose(1)
		require.NoError(t, err)
		return loose
	}
	require.False(t, has(), "no directory")
	require.NoError(t, s.Write(7, text(7)))
	require.True(t, has())
	require.NoError(t, os.Rename(s.Path(7), s.Path(7)+".bak"))
	require.False(t, has(), "only what is none of ours")
}

package materializer

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"opossum/dcb"
	"opossum/internal/eventfile"
	"opossum/ledger"
	"opossum/wal"
)

const (
	shard = eventfile.ShardPositions
	part  = shard / 4 // of a shard
)

// many makes n events durable.
func (r *rig) many(n int) {
	r.Helper()
	for n > 0 {
		k := min(n, 500)
		r.write(k, true)
		n -= k
	}
}

// looseUpTo files events in files of their own, as if they had come one by one: the backlog is never as long as a shard.
func (r *rig) looseUpTo(p dcb.Position) {
	r.Helper()
	for r.next <= p {
		r.many(min(int(p-r.next)+1, shard/2))
		require.NoError(r, r.Wait(r.Context(), r.next-1))
	}
}

func (r *rig) fileCount() int {
	r.Helper()
	n, _, err := r.files.Usage()
	require.NoError(r, err)
	return n
}

func TestABacklogAsLongAsAShardIsPacked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1<<20)
		r.cfg.LooseEvents = 10 * shard
		r.many(2*shard + part)
		bytes := r.lagBytes(1, 2*shard+part)
		r.start()
		require.NoError(t, r.Wait(t.Context(), 2*shard+part))
		require.Equal(t, []dcb.Position{1, shard + 1}, r.files.PackedShards())
		require.Equal(t, part, r.fileCount())
		require.Equal(t, Stats{Files: part, Packs: 2, Packed: 2 * shard, Checkpoints: r.Stats().Checkpoints, Trimmed: r.Stats().Trimmed}, r.Stats())
		r.requireFiled(2*shard + part)
		require.Less(t, len(r.generations()), 3, "the log is trimmed")
		require.Equal(t, bytes, r.filedBytes())
	})
}

func TestAPackTakesInWhatOfItsShardIsLoose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1<<20)
		r.cfg.LooseEvents = 10 * shard
		r.start()
		r.looseUpTo(part)
		before := r.filedBytes()
		resume, err := r.Pause(t.Context())
		require.NoError(t, err)
		r.many(2 * shard)
		bytes := r.lagBytes(part+1, 2*shard+part)
		resume()
		require.NoError(t, r.Wait(t.Context(), 2*shard+part))
		require.Equal(t, bytes, r.filedBytes()-before, "what was loose was counted before")
		pass(time.Minute) // the files of the first shard go in idle time
		require.Equal(t, part, r.fileCount(), "those at the end")
		require.NoDirExists(t, filepath.Dir(r.files.Path(1)))
		r.requireFiled(2*shard + part)
	})
}

// filedBytes is told after the position has moved.
func (r *rig) filedBytes() uint64 {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.filed
}

// lagBytes is how many bytes of the log the records of the positions have.
func (r *rig) lagBytes(from, to dcb.Position) (n uint64) {
	for p := from; p <= to; p++ {
		at, ok := r.places.Get(p)
		require.True(r, ok)
		n += uint64(at.Len)
	}
	return n
}

func TestOldShardsArePackedInIdleTimeAndNewOnesAreNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1<<20)
		r.cfg.LooseEvents = shard + 5
		r.start()
		r.looseUpTo(2*shard + 4)
		pass(time.Minute)
		require.Empty(t, r.files.PackedShards(), "one event too few")
		require.Equal(t, 2*shard+4, r.fileCount())
		r.looseUpTo(2*shard + 5)
		pass(time.Minute)
		require.Equal(t, []dcb.Position{1}, r.files.PackedShards())
		require.Equal(t, shard+5, r.fileCount())
		r.requireFiled(2*shard + 5)
	})
}

func TestPackingWaitsWhileAppendsAreBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1<<20)
		r.cfg.LooseEvents = 1
		r.cfg.Busy = func() time.Duration { return time.Duration(r.held.Load()) * time.Since(time.Unix(0, 0)) } // all the time, while held is 1
		r.pacer = newPacer(r.cfg.Busy)
		r.cfg.Held = func() bool { return false }
		r.start()
		r.looseUpTo(shard)
		r.held.Store(1)
		r.looseUpTo(shard + 1)
		pass(time.Minute)
		require.Equal(t, shard+1, r.fileCount(), "no file is removed")
		r.held.Store(0)
		pass(time.Minute)
		require.Equal(t, 1, r.fileCount())
	})
}

func TestFilesStayIfTheirPackCannotBeSynced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1<<20)
		r.start()
		r.looseUpTo(shard + 1)
		require.NoError(t, r.Stop())
		require.NoError(t, writePack(r.files, 1), "as an owner leaves it who dies before the sync")
		broken, err := eventfile.Open(filepath.Join(r.dir, "events"))
		require.NoError(t, err)
		require.NoError(t, broken.Bind(testID.Seed()))
		r.again(func(c *Config) {
			c.LooseEvents, c.Files = 1, broken
			require.NoError(t, broken.Close())
		})
		pass(time.Minute)
		require.Equal(t, shard+1, r.fileCount())
	})
}

func TestADamagedPackBesideItsFilesIsWrittenAgain(t *testing.T) {
	for name, harm := range map[string]func(path string) error{
		"empty":     func(path string) error { return os.Truncate(path, 0) },
		"cut short": func(path string) error { return os.Truncate(path, 5000) },
		"zeros":     func(path string) error { return os.WriteFile(path, make([]byte, 100_000), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, 1<<20)
				r.start()
				r.looseUpTo(shard + 10)
				require.NoError(t, r.Stop())
				require.NoError(t, writePack(r.files, 1))
				require.NoError(t, harm(r.files.Home(1)))
				r.again(func(c *Config) { c.LooseEvents = 5 * shard })
				pass(time.Minute)
				require.NoError(t, r.files.VerifyPack(t.Context(), 1))
				require.Equal(t, 10, r.fileCount())
				r.requireFiled(shard + 10)
			})
		})
	}
}

// again starts another materializer over the same store, as the next owner does.
func (r *rig) again(change func(*Config)) {
	r.Helper()
	cfg := r.cfg
	cfg.Ledger = ledger.New(r.ledger.Get(ledger.Materialized), r.index.Base(), r.ledger.Get(ledger.Visible))
	r.ledger = cfg.Ledger
	require.NoError(r, r.files.Bind(testID.Seed()))
	change(&cfg)
	r.Materializer = New(cfg)
	r.start()
}

func TestADamagedPackWhoseFilesAreGoneIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1<<20)
		r.start()
		r.looseUpTo(shard + 10)
		require.NoError(t, r.Stop())
		require.NoError(t, writePack(r.files, 1))
		require.NoError(t, os.Truncate(r.files.Home(1), 5000))
		require.NoError(t, os.Remove(r.files.Path(7)))
		r.again(func(c *Config) { c.LooseEvents = 1 })
		pass(time.Minute)
		require.Equal(t, shard+9, r.fileCount(), "what is left is kept for a repair")
		_, _, failed := r.seen()
		require.Empty(t, failed)
		_, err := r.files.Read(7)
		require.ErrorIs(t, err, dcb.ErrCorrupt)
	})
}

func TestPackAndUnpack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1<<20)
		r.cfg.LooseEvents = 10 * shard
		r.start()
		r.looseUpTo(2*shard + 7)
		var done, total uint64
		count := func(d, t uint64) { done, total = d, t }
		require.NoError(t, r.Pack(t.Context(), count))
		require.Equal(t, []dcb.Position{1, shard + 1}, r.files.PackedShards())
		require.Equal(t, 7, r.fileCount())
		require.EqualValues(t, 2*shard, done)
		require.EqualValues(t, 2*shard, total)
		require.NoError(t, r.Pack(t.Context(), nil), "there is nothing to do")
		require.NoError(t, r.Stop())
		require.ErrorIs(t, r.Unpack(t.Context(), nil), dcb.ErrClosed)

		r.again(func(c *Config) { c.LooseEvents = KeepLoose })
		ctx, cancel := context.WithCancel(t.Context())
		require.ErrorIs(t, r.Unpack(ctx, func(d, _ uint64) {
			if d > 0 {
				cancel()
			}
		}), context.Canceled)
		require.Equal(t, []dcb.Position{shard + 1}, r.files.PackedShards(), "what is done stays done")
		require.NoError(t, r.Unpack(t.Context(), nil))
		require.Empty(t, r.files.PackedShards())
		require.Equal(t, 2*shard+7, r.fileCount())
		r.requireFiled(2*shard + 7)
	})
}

func TestNoPackIsWrittenWhereThereIsNoRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1<<20)
		r.cfg.LooseEvents = 1
		r.cfg.Spare = func() (uint64, error) { return shardBytes - 1, nil }
		r.start()
		r.looseUpTo(shard + 1)
		pass(time.Minute)
		require.Empty(t, r.files.PackedShards())
		require.ErrorIs(t, r.Pack(t.Context(), nil), dcb.ErrDiskFull)
		require.Equal(t, shard+1, r.fileCount())
	})
}

func TestAPackThatMeetsAnErrorIsBegunAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1<<20)
		r.cfg.LooseEvents = 1
		packs := filepath.Join(r.dir, "packs")
		require.NoError(t, os.WriteFile(packs, nil, 0o600)) // no directory can be made here
		r.many(shard)
		r.start()
		pass(time.Second)
		require.True(t, r.Stats().Stalled)
		require.Zero(t, r.ledger.Get(ledger.Materialized))
		require.NoError(t, os.Remove(packs))
		require.NoError(t, r.Wait(t.Context(), shard))
		require.False(t, r.Stats().Stalled)
		r.requireFiled(shard)
	})
}

func TestStopAmidAPackLeavesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1<<20)
		r.cfg.LooseEvents = 1
		r.cfg.Busy = func() time.Duration { return time.Duration(r.busy.Add(int64(time.Hour))) } // filing rests between bursts
		r.pacer = newPacer(r.cfg.Busy)
		r.pacer.next.packed = part
		r.many(shard)
		r.Start()
		synctest.Wait()
		names, err := filepath.Glob(filepath.Join(r.dir, "packs", ".tmp-*"))
		require.NoError(t, err)
		require.Len(t, names, 1, "it is at it")
		require.NoError(t, r.Stop())
		names, err = filepath.Glob(filepath.Join(r.dir, "packs", "*"))
		require.NoError(t, err)
		require.Empty(t, names)
		require.Zero(t, r.ledger.Get(ledger.Materialized))
	})
}

func TestPlanOfABurst(t *testing.T) {
	most := burstSize{files: 64, packed: 3 * part}
	at := filingAt{next: 1}
	require.Equal(t, burst{from: 1, to: min(64, shard-1)}, planBurst(at, shard-1, true, most), "one too few for a pack")
	require.Equal(t, burst{from: 1, to: min(64, shard)}, planBurst(at, shard, false, most), "never packed")
	require.Equal(t, burst{from: 1, to: 10}, planBurst(at, 10, true, most))

	at = filingAt{next: shard + part + 1} // the shard is loose up to there
	durable := dcb.Position(2*shard + part)
	var all []burst
	for at.next <= durable {
		b := planBurst(at, durable, true, most)
		all, at = append(all, b), at.after(b, false)
	}
	require.Equal(t, []burst{
		{from: shard + 1, to: shard + 3*part, packed: true},
		{from: shard + 3*part + 1, to: 2 * shard, packed: true},
		{from: 2*shard + 1, to: min(2*shard+64, durable)},
	}, all[:3], "the pack has the whole shard")
	require.Equal(t, durable, all[len(all)-1].to)
}

// What of a shard is filed cannot be read: the rest of it goes into files, to its end and in however many bursts, and the next one into a pack.
func TestPlanOfAShardThatCannotBePacked(t *testing.T) {
	most := burstSize{files: part, packed: shard}
	durable := dcb.Position(2 * shard)
	at := filingAt{next: part}
	b := planBurst(at, durable, true, most)
	require.True(t, b.packed)
	at = at.after(b, true)
	for at.next <= shard {
		b = planBurst(at, durable, true, most)
		require.Equal(t, burst{from: at.next, to: min(at.next+part-1, shard)}, b)
		at = at.after(b, false)
	}
	require.Equal(t, burst{from: shard + 1, to: 2 * shard, packed: true}, planBurst(at, durable, true, most))
}

func TestTheLagHurriesFiling(t *testing.T) {
	cost := 2 * time.Millisecond
	require.Greater(t, restFor(cost, 1, 0), restFor(cost, 1, pressing/2))
	require.Equal(t, restLeast, restFor(cost, 1, pressing/2))
	require.Zero(t, restFor(cost, 1, pressing))
	require.Zero(t, restFor(cost, 1, 1))
}

// What a dead owner could not write it may have told nobody, so its pack is written again before the files go; one's own pack is not.
func TestOnlyAPackOfOnesOwnIsBelieved(t *testing.T) {
	for _, own := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, 1<<20)
			r.start()
			r.looseUpTo(shard + 1)
			require.NoError(t, r.Stop())
			by := r.files
			if !own {
				var err error
				by, err = eventfile.Open(filepath.Join(r.dir, "events"))
				require.NoError(t, err)
				defer by.Close()
				require.NoError(t, by.Bind(testID.Seed()))
			}
			require.NoError(t, writePack(by, 1))
			before, err := os.Stat(by.Home(1))
			require.NoError(t, err)
			kept, err := os.Open(by.Home(1)) // so that its inode is not used again
			require.NoError(t, err)
			defer kept.Close()
			r.again(func(c *Config) { c.LooseEvents = 10 * shard })
			pass(time.Minute)
			after, err := os.Stat(by.Home(1))
			require.NoError(t, err)
			require.Equal(t, own, os.SameFile(before, after))
			require.Equal(t, 1, r.fileCount())
			r.requireFiled(shard + 1)
		})
	}
}

func TestADirectoryThatCannotBeRemovedIsTriedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1<<20)
		r.cfg.LooseEvents = 1
		var asked atomic.Int64
		r.cfg.Busy = func() time.Duration { asked.Add(1); return 0 }
		r.start()
		r.looseUpTo(shard / 2)
		require.NoError(t, os.WriteFile(filepath.Join(filepath.Dir(r.files.Path(1)), "notes.txt"), nil, 0o600))
		r.looseUpTo(2*shard + 1)
		pass(time.Minute)
		require.Equal(t, []dcb.Position{1, shard + 1}, r.files.PackedShards())
		require.Equal(t, 1, r.fileCount())
		before := asked.Load()
		pass(time.Minute)
		require.Equal(t, before, asked.Load(), "it is at rest")
		require.NoError(t, r.Pack(t.Context(), nil))

		require.NoError(t, r.Stop())
		pack, err := os.Stat(r.files.Home(1))
		require.NoError(t, err)
		r.again(func(*Config) {})
		pass(time.Minute)
		again, err := os.Stat(r.files.Home(1))
		require.NoError(t, err)
		require.True(t, os.SameFile(pack, again), "there is nothing to be packed")
	})
}

func TestADamagedShardKeepsNoOtherFromBeingPacked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1<<20)
		log := new(lines)
		r.cfg.Logger = slog.New(slog.NewTextHandler(log, nil))
		r.start()
		r.looseUpTo(3*shard + 1)
		require.NoError(t, r.Stop())
		require.NoError(t, os.Truncate(r.files.Path(7), 10))
		r.again(func(c *Config) { c.LooseEvents = shard + 1 })
		pass(time.Minute)
		require.Equal(t, []dcb.Position{shard + 1}, r.files.PackedShards())
		r.looseUpTo(3*shard + 2)
		pass(time.Minute)
		require.Equal(t, 1, log.count("cannot be read"), "it is not tried over and over")
		err := r.Pack(t.Context(), nil)
		require.ErrorIs(t, err, dcb.ErrCorrupt)
		require.ErrorContains(t, err, r.files.Path(7))
		require.Equal(t, []dcb.Position{shard + 1, 2*shard + 1}, r.files.PackedShards())

		require.NoError(t, r.Stop())
		damage(t, r.files.Home(shard+1))
		r.again(func(c *Config) { c.LooseEvents = KeepLoose })
		require.ErrorIs(t, r.Unpack(t.Context(), nil), dcb.ErrCorrupt)
		require.Equal(t, []dcb.Position{shard + 1}, r.files.PackedShards(), "the other one is unpacked")
		_, _, failed := r.seen()
		require.Empty(t, failed)
	})
}

// damage changes a byte in the middle of a file.
func damage(t *testing.T, path string) {
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	b[len(b)/2] ^= 1
	require.NoError(t, os.WriteFile(path, b, 0o600))
}

// lines is a log that is counted.
type lines struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(b)
}

func (l *lines) count(what string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.all.String(), what)
}

func TestAShardWhoseBeginningCannotBeReadIsFiledInFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1<<20)
		r.cfg.LooseEvents = 10 * shard
		r.start()
		r.looseUpTo(part)
		require.NoError(t, r.Stop())
		r.damageLog(1)
		require.NoError(t, os.Truncate(r.files.Path(1), 10))
		r.many(2 * shard)
		r.again(func(*Config) {})
		require.NoError(t, r.Wait(t.Context(), 2*shard+part))
		_, _, failed := r.seen()
		require.Empty(t, failed)
		require.Equal(t, []dcb.Position{shard + 1}, r.files.PackedShards(), "the next one is packed")
		for p := dcb.Position(2); p <= 2*shard+part; p++ {
			_, err := r.files.Read(p)
			require.NoError(t, err)
		}
		_, err := r.files.Read(1)
		require.ErrorIs(t, err, dcb.ErrCorrupt)
	})
}

// damageLog overwrites the record of p.
func (r *rig) damageLog(p dcb.Position) {
	r.Helper()
	at, ok := r.places.Get(p)
	require.True(r, ok)
	f, err := os.OpenFile(r.log.Path(wal.Place{Gen: uint64(at.Gen)}), os.O_WRONLY, 0)
	require.NoError(r, err)
	_, err = f.WriteAt(make([]byte, at.Len), int64(at.Off))
	require.NoError(r, errors.Join(err, f.Close()))
}

// The log is not needed below the checkpoint, so damage in it there is no reason to end filing.
func TestAPackTakesFromFilesWhatIsDamagedInTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1<<20)
		r.cfg.LooseEvents = 10 * shard
		r.start()
		r.looseUpTo(part)
		require.NoError(t, r.Stop())
		r.many(shard)
		r.damageLog(3)
		r.again(func(*Config) {})
		require.NoError(t, r.Wait(t.Context(), shard+part))
		require.Equal(t, []dcb.Position{1}, r.files.PackedShards())
		r.requireFiled(shard + part)
	})
}

// Packing in idle time waits while appends are busy. Who calls Pack waits for neither.
func TestPackHurriesPackingInIdleTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1<<20)
		r.cfg.LooseEvents = 1
		r.cfg.Busy = func() time.Duration { return time.Duration(r.busy.Add(int64(time.Minute))) }
		r.pacer = newPacer(r.cfg.Busy)
		r.start()
		r.looseUpTo(shard + 1)
		pass(time.Minute)
		require.Equal(t, shard+1, r.fileCount(), "it waits")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.NoError(t, r.Pack(ctx, nil))
		require.Equal(t, 1, r.fileCount())
	})
}

func TestPackEndsWithItsContextWhileAnotherIsAtIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1<<20)
		r.cfg.LooseEvents = 10 * shard
		r.start()
		r.looseUpTo(shard + 1)
		resume, err := r.Pause(t.Context())
		require.NoError(t, err)
		first := make(chan error)
		go func() { first <- r.Pack(t.Context(), nil) }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, r.Pack(ctx, nil), context.DeadlineExceeded)
		resume()
		require.NoError(t, <-first)
		require.Equal(t, 1, r.fileCount())
	})
}

// A crash may leave a pack whose end is above the checkpoint, and which a power cut has damaged there. It is no loss: those events are filed again.
func TestUnpackWaitsForWhatIsAboveTheCheckpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1<<20)
		r.start()
		r.looseUpTo(part)
		require.NoError(t, r.Stop())
		require.NoError(t, writePack(r.files, 1))
		damage(t, r.files.Home(1))
		r.many(shard)
		r.again(func(*Config) {})
		require.NoError(t, r.Unpack(t.Context(), nil))
		require.Empty(t, r.files.PackedShards())
		require.NoError(t, r.Wait(t.Context(), shard+part))
		require.Equal(t, shard+part, r.fileCount())
		r.requireFiled(shard + part)
	})
}

func TestUnpackLeavesTheRoomThatOthersLayClaimTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1<<20)
		r.start()
		r.looseUpTo(shard)
		require.NoError(t, r.Stop())
		require.NoError(t, writePack(r.files, 1))
		r.again(func(c *Config) { c.Spare = func() (uint64, error) { return shardBytes - 1, nil } })
		require.ErrorIs(t, r.Unpack(t.Context(), nil), dcb.ErrDiskFull)
		require.Len(t, r.files.PackedShards(), 1)
	})
}

func TestPackSaysWhatFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1<<20)
		r.cfg.LooseEvents = 10 * shard
		r.start()
		r.looseUpTo(shard)
		boom := errors.New("boom")
		r.cfg.Spare = func() (uint64, error) { return 0, boom }
		err := r.Pack(t.Context(), nil)
		require.ErrorIs(t, err, boom)
		require.NotErrorIs(t, err, dcb.ErrDiskFull)
	})
}

package materializer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"opossum/dcb"
	"opossum/internal/codec"
	"opossum/internal/eventfile"
	"opossum/internal/index"
	"opossum/ledger"
	"opossum/wal"
)

func TestMain(m *testing.M) {
	warmUp()
	goleak.VerifyTestMain(m)
}

// warmUp packs a shard, so that the compressor, which all share, makes its channels outside of every bubble.
func warmUp() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	files, err := eventfile.Open(filepath.Join(dir, "events"))
	if err == nil {
		err = errors.Join(files.Bind(testID.Seed()), writePack(files, 1), files.VerifyPack(context.Background(), 1), files.Close())
	}
	if err != nil {
		panic(err)
	}
}

// writePack packs the shard that begins at first.
func writePack(files *eventfile.Store, first dcb.Position) error {
	w, err := files.Pack(first)
	if err != nil {
		return err
	}
	for p := first; p < first+eventfile.ShardPositions; p++ {
		rec := codec.AppendRecord(nil, event(p).Event)
		codec.Stamp(rec, testID.Seed(), p)
		if err := w.Add(rec); err != nil {
			return err
		}
	}
	return w.Commit()
}

// These tests run in bubbles of testing/synctest: time stands still until nothing else can happen, so that "within a second"
// and "not before a second has passed" are exact, and nothing waits in earnest.

// rig is a materializer on a real log and real files, whose other surroundings are recorded.
type rig struct {
	*testing.T
	*Materializer
	dir    string
	log    *wal.Log
	ledger *ledger.Ledger
	index  *index.Index
	places *index.Places
	files  *eventfile.Store
	next   dcb.Position

	busy, held atomic.Int64
	fail       atomic.Pointer[error] // what Checkpoint returns

	mu          sync.Mutex
	checkpoints []dcb.Position
	filed       uint64
	noSpace     []bool // changes only
	failed      []error
}

var testID = wal.StoreID{1, 2, 3}

// newRig prepares everything; the caller starts the materializer. Events up to materialized count as filed.
func newRig(t *testing.T, rotate int64) *rig {
	t.Helper()
	r := &rig{T: t, dir: t.TempDir(), next: 1, ledger: ledger.New(0, 0, 0), places: index.NewPlaces(0)}
	walDir := filepath.Join(r.dir, "wal")
	require.NoError(t, os.Mkdir(walDir, 0o755))
	b, err := wal.BuildGeneration(walDir, testID, 1, time.Now(), &wal.Link{}, 1, nil)
	require.NoError(t, err)
	r.log, err = wal.Open(walDir, testID, []wal.Segment{{Gen: 1}}, wal.Witness{Gen: 1, End: b.End, Sum: b.Sum}, b.No, wal.Options{RotateBytes: rotate})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, r.log.Close()) })
	r.index, err = index.Open(index.Config{Dir: filepath.Join(r.dir, "index"), Seed: testID.Seed(), RecentBytes: 1 << 20, Damaged: func() {}}, nil)
	require.NoError(t, err)
	t.Cleanup(r.index.Close)
	r.openFiles(filepath.Join(r.dir, "events"))
	return r
}

func (r *rig) openFiles(dir string) {
	r.Helper()
	files, err := eventfile.Open(dir)
	require.NoError(r, err)
	require.NoError(r, files.Bind(testID.Seed()))
	r.Cleanup(func() { require.NoError(r, files.Close()) })
	r.files = files
	r.Materializer = New(Config{
		Ledger: r.ledger, Log: r.log, Index: r.index, Places: r.places, Files: r.files, Seed: testID.Seed(),
		Logger: slog.New(slog.DiscardHandler), Checkpoint: r.checkpointed,
		Filed:   func(bytes uint64) { r.mu.Lock(); defer r.mu.Unlock(); r.filed += bytes },
		Sealed:  func() {},
		Sync:    func(context.Context) error { return nil },
		Fetch:   func(p dcb.Position) (dcb.Event, error) { return event(p).Event, nil },
		NoSpace: r.spaceChanged,
		Busy:    func() time.Duration { return time.Duration(r.busy.Load()) },
		Held:    func() bool { return r.held.Load() > 0 },
		Lag:     func() float64 { return 0 },
		Spare:   func() (uint64, error) { return 1 << 62, nil },

		LooseEvents: KeepLoose,
		Failed:      func(err error) { r.mu.Lock(); defer r.mu.Unlock(); r.failed = append(r.failed, err) },
	})
}

// start sets the materializer in motion and stops it with the test.
func (r *rig) start() {
	r.Start()
	r.Cleanup(func() { _ = r.Stop() })
}

func event(p dcb.Position) dcb.SequencedEvent {
	return dcb.SequencedEvent{Position: p, Event: dcb.Event{
		Type: "T", Tags: []dcb.Tag{"a"}, Data: fmt.Appendf(nil, `{"p":%d}`, p), Time: time.Unix(1_800_000_000, 0).UTC(),
	}}
}

// write appends a frame of n events and makes them visible, and durable with sync.
func (r *rig) write(n int, sync bool) {
	r.Helper()
	first, lens := r.next, []int(nil)
	var body []byte
	for range n {
		rec := codec.AppendRecord(nil, event(r.next).Event)
		codec.Stamp(rec, testID.Seed(), r.next)
		body, lens = append(body, rec...), append(lens, len(rec))
		e := event(r.next).Event
		r.index.Active().Stage(r.next, r.index.Active().Intern(nil, &e))
		r.next++
	}
	at, err := r.log.Append(first, uint32(n), [][]byte{body})
	require.NoError(r, err)
	off := at.Off
	for i, l := range lens {
		r.places.Set(first+dcb.Position(i), index.Place{Gen: uint32(at.Gen), Off: off, Len: uint32(l)})
		off += uint32(l)
	}
	r.ledger.Advance(ledger.Assigned, r.next-1)
	r.ledger.Advance(ledger.Visible, r.next-1)
	if sync {
		r.sync()
	}
}

func (r *rig) sync() {
	r.Helper()
	require.NoError(r, r.log.Sync())
	r.ledger.Advance(ledger.Durable, r.log.Durable())
}

// checkpointed stands in for ledger.json.
func (r *rig) checkpointed(s dcb.Position) error {
	if err := r.fail.Load(); err != nil {
		return *err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.checkpoints = append(r.checkpoints, s)
	return nil
}

func (r *rig) spaceChanged(stopped bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := len(r.noSpace); n == 0 && stopped || n > 0 && r.noSpace[n-1] != stopped {
		r.noSpace = append(r.noSpace, stopped)
	}
}

func (r *rig) seen() (checkpoints []dcb.Position, noSpace []bool, failed []error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]dcb.Position(nil), r.checkpoints...), append([]bool(nil), r.noSpace...), append([]error(nil), r.failed...)
}

// requireFiled checks that exactly the events up to p have files, and that they are right.
func (r *rig) requireFiled(p dcb.Position) {
	r.Helper()
	for q := dcb.Position(1); q <= p; q++ {
		got, err := r.files.Read(q)
		require.NoError(r, err, "position %d", q)
		require.Equal(r, event(q), got)
	}
	highest, path, err := r.files.HighestValid(0)
	require.NoError(r, err)
	require.Equal(r, p, highest, "the highest event file is %s", path)
}

// pass lets d pass, in the bubble's time.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func (r *rig) generations() []uint64 {
	r.Helper()
	list, err := wal.List(filepath.Join(r.dir, "wal"))
	require.NoError(r, err)
	return list.Generations
}

func TestFilesAppearAtOnceAndTheCheckpointComesAfterASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 0)
		r.start()
		r.write(3, true)
		synctest.Wait()
		r.requireFiled(3)
		r.write(2, true)
		synctest.Wait()
		r.requireFiled(5)
		checkpoints, _, _ := r.seen()
		require.Empty(t, checkpoints, "nobody waits, and the second has not passed")
		require.Zero(t, r.ledger.Get(ledger.Materialized))

		pass(checkpointEvery)
		checkpoints, _, _ = r.seen()
		require.Equal(t, []dcb.Position{5}, checkpoints)
		require.Equal(t, dcb.Position(5), r.ledger.Get(ledger.Materialized))
		pass(time.Hour)
		checkpoints, _, _ = r.seen()
		require.Len(t, checkpoints, 1, "nothing new, no checkpoint")
		require.Equal(t, Stats{Files: 5, Checkpoints: 1}, r.Stats())
	})
}

func TestACheckpointComesAfterSoManyEventsWhateverTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 0)
		require.EqualValues(t, 8192, r.every)
		const checkpointEvents = 8 * burstEvents // fewer, to be quick
		r.every = checkpointEvents
		r.start()
		const n = checkpointEvents + 100
		r.write(n, true)
		synctest.Wait()
		checkpoints, _, _ := r.seen()
		require.Equal(t, []dcb.Position{checkpointEvents}, checkpoints)
		pass(checkpointEvery)
		checkpoints, _, _ = r.seen()
		require.Equal(t, []dcb.Position{checkpointEvents, n}, checkpoints)
		require.Equal(t, dcb.Position(n), r.ledger.Get(ledger.Materialized))
	})
}

// The order is write, syncfs, ledger, delete. That syncfs comes before the ledger shows where it fails.
func TestACheckpointIsMadeWhenItsFilesAreThereAndTheLogIsTrimmedAfterwards(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2<<10)
		var before []uint64
		var errs []error
		r.cfg.Checkpoint = func(s dcb.Position) error {
			for p := r.ledger.Get(ledger.Materialized) + 1; p <= s; p++ {
				if got, err := r.files.Read(p); err != nil || got.Position != p {
					errs = append(errs, fmt.Errorf("the checkpoint at %d is made without the file of %d: %w", s, p, err))
				}
			}
			if m := r.ledger.Get(ledger.Materialized); m >= s {
				errs = append(errs, fmt.Errorf("Materialized is %d before the checkpoint at %d is made", m, s))
			}
			before = r.generations()
			if first := r.log.FirstGeneration(); before[0] != first {
				errs = append(errs, fmt.Errorf("generation %d is deleted before the checkpoint at %d is made", first, s))
			}
			return nil
		}
		r.start()
		for range 8 {
			for range 12 {
				r.write(10, true)
				synctest.Wait() // so that a successor is built in time
			}
			require.NoError(t, r.Wait(t.Context(), r.next-1))
			require.Equal(t, r.next-1, r.ledger.Get(ledger.Materialized))
			require.Empty(t, errs)
			synctest.Wait()
			after := r.generations()
			require.Greater(t, len(before), len(after), "the log has rotated: what is checkpointed is deleted")
			require.LessOrEqual(t, len(after), 2, "the current generation and its successor stay")
		}
		require.Positive(t, r.Stats().Trimmed)
		r.requireFiled(r.next - 1)
	})
}

func TestAGenerationThatIsFiledInPartStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1<<10)
		r.write(10, true)
		r.start()
		synctest.Wait()
		resume, err := r.Pause(t.Context())
		require.NoError(t, err)
		for r.log.Stats().Rotations == 0 {
			r.write(5, true)
			synctest.Wait()
		}
		require.NoError(t, r.Wait(t.Context(), 10))
		require.Equal(t, uint64(1), r.log.FirstGeneration(), "it has events that are not filed")
		resume()
		require.NoError(t, r.Wait(t.Context(), r.next-1))
		synctest.Wait()
		require.Greater(t, r.log.FirstGeneration(), uint64(1))
	})
}

func TestWaitPromptsTheCheckpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 0)
		r.start()
		start := time.Now()
		r.write(1000, true)
		require.NoError(t, r.Wait(t.Context(), 700))
		require.GreaterOrEqual(t, r.ledger.Get(ledger.Materialized), dcb.Position(700))
		require.Equal(t, start, time.Now(), "it waited for the time to pass")
		synctest.Wait()
		require.NoError(t, r.Wait(t.Context(), 1000)) // filed already, and not checkpointed
		require.Equal(t, dcb.Position(1000), r.ledger.Get(ledger.Materialized))
		require.Equal(t, start, time.Now(), "it waited for the time to pass")
		require.NoError(t, r.Wait(t.Context(), 3))
		require.Zero(t, r.wants.highest(), "a want stays behind")
	})
}

func TestManyWaitersAreAllAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 0)
		r.start()
		var done sync.WaitGroup
		for i := range 50 {
			done.Go(func() {
				if err := r.Wait(t.Context(), dcb.Position(1+i*7)); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		start := time.Now()
		for range 36 {
			r.write(10, true)
			synctest.Wait()
		}
		done.Wait()
		require.Equal(t, start, time.Now())
		require.Zero(t, r.wants.highest())
	})
}

func TestWaitEndsWithItsContextAndWithTheLedger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 0)
		r.start()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		require.ErrorIs(t, r.Wait(ctx, 1), context.DeadlineExceeded)
		end := errors.New("the end")
		r.ledger.Fail(end)
		require.ErrorIs(t, r.Wait(t.Context(), 1), end)
		require.Zero(t, r.wants.highest())
	})
}

func TestAppendsThatAreHeldPromptTheCheckpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 0)
		r.start()
		r.held.Store(1)
		start := time.Now()
		r.write(200, true)
		synctest.Wait()
		require.Equal(t, dcb.Position(200), r.ledger.Get(ledger.Materialized))
		require.Equal(t, start, time.Now())
	})
}

func TestOnlyWhatIsDurableIsFiled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 0)
		r.start()
		r.write(3, true)
		r.write(5, false) // visible, not durable: relaxed flushing
		pass(time.Minute)
		r.requireFiled(3)
		require.Equal(t, dcb.Position(3), r.ledger.Get(ledger.Materialized))
		r.sync()
		pass(time.Minute)
		r.requireFiled(8)
	})
}

func TestFilingGoesOnFromTheCheckpointAndWritesAgainWhatStandsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 0)
		r.write(6, true)
		require.NoError(t, r.index.Seal(2))
		r.ledger.Advance(ledger.Indexed, 2)
		r.ledger.Advance(ledger.Materialized, 2)
		require.NoError(t, r.files.Write(2, []byte("not to be touched")))
		require.NoError(t, r.files.Write(3, nil)) // as power cuts leave files: empty, zero, whole but of something else
		require.NoError(t, r.files.Write(4, make([]byte, 100)))
		require.NoError(t, r.files.Write(5, codec.AppendText(nil, event(4))))
		r.openFiles(filepath.Join(r.dir, "events"))
		r.start()
		require.NoError(t, r.Wait(t.Context(), 6))
		for p := dcb.Position(3); p <= 6; p++ {
			got, err := r.files.Read(p)
			require.NoError(t, err)
			require.Equal(t, event(p), got)
		}
		text, err := os.ReadFile(r.files.Path(2))
		require.NoError(t, err)
		require.Equal(t, "not to be touched", string(text))
		_, err = os.Stat(r.files.Path(1))
		require.ErrorIs(t, err, os.ErrNotExist)
		synctest.Wait()
		require.Equal(t, Stats{Files: 4, Checkpoints: 1}, r.Stats())
	})
}

func TestABacklogOfBytesIsTakenOffExactly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 0)
		r.start()
		var want uint64
		for p := dcb.Position(1); p <= 300; p++ {
			want += uint64(len(codec.AppendRecord(nil, event(p).Event)))
		}
		for range 3 {
			r.write(100, true)
			require.NoError(t, r.Wait(t.Context(), r.next-1))
		}
		synctest.Wait()
		require.Equal(t, want, r.filed)
	})
}

// obstruct makes the files of the first shard impossible to write, until the returned function is called.
func (r *rig) obstruct() (clear func()) {
	r.Helper()
	shard := filepath.Dir(r.files.Path(1))
	require.NoError(r, os.WriteFile(shard, []byte("not a directory"), 0o644))
	return func() { require.NoError(r, os.Remove(shard)) }
}

func TestAFailedWriteStallsFilingUntilItPassesAndRefusesNoAppends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 0)
		clear := r.obstruct()
		r.start()
		r.write(3, true)
		pass(time.Minute)
		checkpoints, noSpace, failed := r.seen()
		require.Empty(t, checkpoints)
		require.Empty(t, noSpace, "there is space")
		require.Empty(t, failed, "what may pass is no failure")
		require.Equal(t, Stats{Stalled: true}, r.Stats())
		clear()
		start := time.Now()
		require.NoError(t, r.Wait(t.Context(), 3))
		require.LessOrEqual(t, time.Since(start), retryEvery)
		require.False(t, r.Stats().Stalled)
		r.requireFiled(3)
	})
}

func TestStopWhileStalledEndsAtOnceAndKeepsWhatIsFiled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 0)
		clear := r.obstruct()
		r.start()
		r.write(3, true)
		synctest.Wait()
		require.True(t, r.Stats().Stalled)
		require.NoError(t, r.Stop())
		require.NoError(t, r.Stop(), "a second time")
		checkpoints, _, failed := r.seen()
		require.Empty(t, checkpoints)
		require.Empty(t, failed)
		clear()
	})
}

func TestStopCheckpointsWhatIsFiledAndLeavesTheBacklog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 0)
		r.start()
		r.write(7, true)
		synctest.Wait()
		resume, err := r.Pause(t.Context())
		require.NoError(t, err)
		r.write(20, true)
		synctest.Wait()
		require.NoError(t, r.Stop(), "paused")
		resume()
		require.Equal(t, dcb.Position(7), r.ledger.Get(ledger.Materialized))
		r.requireFiled(7)
		resume, err = r.Pause(t.Context()) // after the end: nothing to pause
		require.NoError(t, err)
		resume()
	})
}

func TestPauseHoldsFilingUntilResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 0)
		r.start()
		resume, err := r.Pause(t.Context())
		require.NoError(t, err)
		r.write(5, true)
		pass(time.Minute)
		r.requireFiled(0)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = r.Pause(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded, "one at a time")
		resume()
		resume() // any number of times
		require.NoError(t, r.Wait(t.Context(), 5))
		resume()
		again, err := r.Pause(t.Context())
		require.NoError(t, err)
		resume() // of the first pause: it must not end the second
		r.write(1, true)
		pass(time.Minute)
		r.requireFiled(5)
		again()
	})
}

func TestAbortMakesNoCheckpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 0)
		r.start()
		r.write(7, true)
		synctest.Wait()
		r.Abort()
		synctest.Wait()
		require.NoError(t, r.Stop())
		checkpoints, _, failed := r.seen()
		require.Empty(t, checkpoints)
		require.Empty(t, failed)
		require.Zero(t, r.ledger.Get(ledger.Materialized))
	})
}

// A failed sync: nothing above the last checkpoint may be believed, so neither ledger nor log are touched.
func TestAFailedSyncEndsFilingForGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 0)
		r.start()
		r.write(4, true)
		require.NoError(t, r.Wait(t.Context(), 4))
		r.write(3, true)
		synctest.Wait()
		r.requireFiled(7)
		require.NoError(t, r.files.Close()) // every Sync fails from now on
		pass(checkpointEvery)
		checkpoints, _, failed := r.seen()
		require.Equal(t, []dcb.Position{4}, checkpoints, "a checkpoint without its sync")
		require.Len(t, failed, 1)
		require.ErrorIs(t, failed[0], os.ErrClosed)
		require.Equal(t, dcb.Position(4), r.ledger.Get(ledger.Materialized))
		require.ErrorIs(t, r.Stop(), os.ErrClosed)
		_, _, failed = r.seen()
		require.Len(t, failed, 1, "told once")
	})
}

func TestAFailedCheckpointEndsFilingForGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1<<10)
		bad := error(syscall.EIO)
		r.fail.Store(&bad)
		r.start()
		for range 20 {
			r.write(5, true)
			synctest.Wait()
		}
		before := r.generations()
		pass(checkpointEvery)
		_, _, failed := r.seen()
		require.Len(t, failed, 1)
		require.ErrorIs(t, failed[0], syscall.EIO)
		require.Zero(t, r.ledger.Get(ledger.Materialized))
		require.Equal(t, before, r.generations(), "the log is trimmed without a checkpoint")
		require.ErrorIs(t, r.Stop(), syscall.EIO)
	})
}

func TestADiskThatIsFullForTheLedgerPausesAndGoesOn(t *testing.T) {
	for _, full := range []error{syscall.ENOSPC, syscall.EDQUOT} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, 1<<10)
			err := fmt.Errorf("ledger: %w", full)
			r.fail.Store(&err)
			r.start()
			for range 20 {
				r.write(5, true)
				synctest.Wait()
			}
			before := r.generations()
			pass(time.Minute)
			_, noSpace, failed := r.seen()
			require.Equal(t, []bool{true}, noSpace)
			require.Empty(t, failed)
			require.Zero(t, r.ledger.Get(ledger.Materialized))
			require.Equal(t, before, r.generations(), "the log is trimmed without a checkpoint")
			require.True(t, r.Stats().Stalled)
			r.fail.Store(nil)
			pass(retryEvery)
			_, noSpace, _ = r.seen()
			require.Equal(t, []bool{true, false}, noSpace)
			require.Positive(t, r.ledger.Get(ledger.Materialized))
			require.False(t, r.Stats().Stalled)
			require.NoError(t, r.Wait(t.Context(), 100))
		})
	}
}

func TestStopWhileTheLedgerHasNoSpaceEndsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 0)
		full := error(syscall.ENOSPC)
		r.fail.Store(&full)
		r.start()
		r.write(5, true)
		pass(2 * checkpointEvery)
		require.True(t, r.Stats().Stalled)
		require.NoError(t, r.Stop())
		require.Zero(t, r.ledger.Get(ledger.Materialized))
	})
}

// One stage that goes on must not say that the other does.
func TestAStageThatGoesOnDoesNotSpeakForTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 0)
		r.start()
		synctest.Wait()
		full := error(syscall.ENOSPC)
		r.fail.Store(&full)
		r.write(5, true)
		pass(2 * checkpointEvery) // the checkpoint has no space
		for range 3 {
			r.write(5, true) // and files are written all the while
			pass(retryEvery)
		}
		_, noSpace, _ := r.seen()
		require.Equal(t, []bool{true}, noSpace, "appends were let in though the checkpoint has no space")
		require.True(t, r.Stats().Stalled)
		r.fail.Store(nil)
		require.NoError(t, r.Wait(t.Context(), 20))
	})
}

func TestDamageInTheLogEndsFilingForGoodAndNamesThePlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 0)
		r.write(5, true)
		at, ok := r.places.Get(4)
		require.True(t, ok)
		path := r.log.Path(wal.Place{Gen: uint64(at.Gen)})
		b, err := os.ReadFile(path)
		require.NoError(t, err)
		b[at.Off+at.Len-1] ^= 1
		require.NoError(t, os.WriteFile(path, b, 0o644))
		r.start()
		synctest.Wait()
		_, _, failed := r.seen()
		require.Len(t, failed, 1)
		var ce *dcb.CorruptError
		require.ErrorAs(t, failed[0], &ce)
		require.Equal(t, path, ce.File)
		require.Equal(t, int64(at.Off), ce.Offset)
		require.Contains(t, ce.Reason, "position 4")
		require.ErrorIs(t, r.Stop(), dcb.ErrCorrupt)
		_, err = r.files.Read(4)
		require.ErrorIs(t, err, os.ErrNotExist, "damage was filed")
		require.Less(t, r.ledger.Get(ledger.Materialized), dcb.Position(4))
	})
}

func TestAPositionThatIsNowhereInTheLogEndsFilingForGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 0)
		for _, n := range []ledger.Number{ledger.Assigned, ledger.Visible, ledger.Durable} {
			r.ledger.Advance(n, 1)
		}
		r.start()
		synctest.Wait()
		require.ErrorContains(t, r.Stop(), "position 1")
		_, _, failed := r.seen()
		require.Len(t, failed, 1)
	})
}

func TestALedgerThatFailedEndsFiling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 0)
		r.start()
		synctest.Wait()
		end := errors.New("poisoned")
		r.ledger.Fail(end)
		synctest.Wait()
		require.ErrorIs(t, r.Stop(), end)
	})
}

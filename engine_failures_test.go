package opossum

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"opossum/internal/codec"
	"opossum/ledger"
	"opossum/wal"
)

func TestAFailedWriteOrSyncPoisonsTheEngineAndReopeningRecovers(t *testing.T) {
	for _, where := range []string{"write", "sync"} {
		t.Run(where, func(t *testing.T) {
			dir, v := t.TempDir(), new(valve)
			h := hooks{}
			if where == "write" {
				h.wal.Write = v.write
			} else {
				h.wal.Fdatasync = v.fdatasync
			}
			e := openStore(t, dir, nil, h)
			appendOK(t, e, nil, event("Visible", "a"), event("Visible", "b"))
			require.NoError(t, e.WaitMaterialized(ctxb, 2))
			sub, err := e.Subscribe(ctxb, AllEvents(), 0)
			require.NoError(t, err)
			entered, open := v.shut()
			defer open()

			// One group in the failing call, another staged behind it, and losers that wait for either.
			first := appendAsync(ctxb, e, nil, event("Lost", "l1"))
			await(t, entered)
			second := appendAsync(ctxb, e, nil, event("Lost", "l2"))
			waitAssigned(t, e, 4)
			loser := appendAsync(ctxb, e, failIfMatch(ByTags("l2"), 0), event("T"))
			synced := make(chan error, 1)
			go func() { synced <- e.WaitMaterialized(ctxb, 4) }()
			eio := fmt.Errorf("injected: %w", syscall.EIO)
			v.fail(eio)
			open()

			for _, c := range []<-chan result{first, second} {
				r := await(t, c)
				require.ErrorIs(t, r.err, ErrOutcomeUnknown)
				require.NotErrorIs(t, r.err, ErrPoisoned, "what is staged may be found again")
				require.ErrorIs(t, r.err, syscall.EIO, "the cause is named")
				require.Zero(t, r.p)
			}
			r := await(t, loser)
			require.ErrorIs(t, r.err, ErrPoisoned, "its answer would have rested on what is lost")
			require.NotErrorIs(t, r.err, ErrConditionFailed)
			require.NotErrorIs(t, r.err, ErrOutcomeUnknown)
			require.ErrorIs(t, await(t, synced), ErrPoisoned)

			for range 3 {
				_, err := e.Append(ctxb, []Event{event("T")}, nil)
				require.ErrorIs(t, err, ErrPoisoned)
				require.NotErrorIs(t, err, ErrOutcomeUnknown, "certainly not written")
				require.ErrorIs(t, err, syscall.EIO)
			}
			v.fail(nil) // a healed disk changes nothing: never retry a sync
			_, err = e.Append(ctxb, []Event{event("T")}, nil)
			require.ErrorIs(t, err, ErrPoisoned)

			require.EqualValues(t, 2, e.Head())
			require.Len(t, readAll(t, e, AllEvents(), ReadOptions{}), 2, "reads of what is visible go on")
			last, err := e.ReadLast(ctxb, ByTags("a"))
			require.NoError(t, err)
			require.EqualValues(t, 1, last.Position)
			m := e.Metrics()
			require.True(t, m.Poisoned)
			require.EqualValues(t, 2, m.Materialized)
			got, err := collect(sub.All())
			require.Len(t, got, 2)
			require.ErrorIs(t, err, ErrPoisoned, "a subscription does not wait for ever")
			require.ErrorIs(t, e.WaitMaterialized(ctxb, 3), ErrPoisoned)

			require.NoError(t, e.Close())
			state, err := ledger.Load(dir)
			require.NoError(t, err)
			if state.Clean != nil {
				require.EqualValues(t, 0, state.Clean.Head, "no witness of a clean close was written by this one")
			}

			e = openStore(t, dir, nil, hooks{})
			require.Equal(t, "recovered", e.Recovery().Outcome)
			all := checkDense(t, e)
			require.GreaterOrEqual(t, len(all), 2)
			require.LessOrEqual(t, len(all), 4)
			for i, want := range []Tag{"a", "b", "l1", "l2"}[:len(all)] {
				require.Equal(t, []Tag{want}, all[i].Event.Tags)
			}
			require.EqualValues(t, len(all)+1, appendOK(t, e, nil, event("T")))
			require.NoError(t, e.WaitMaterialized(ctxb, e.Head()))
		})
	}
}

func TestAnAppendOfUnknownOutcomeIsRepeatedSafelyAfterReopening(t *testing.T) {
	for _, where := range []string{"write", "sync"} {
		t.Run(where, func(t *testing.T) {
			dir, v := t.TempDir(), new(valve)
			h := hooks{}
			if where == "write" {
				h.wal.Write = v.write
			} else {
				h.wal.Fdatasync = v.fdatasync
			}
			e := openStore(t, dir, nil, h)
			events, cond := guarded()
			v.fail(syscall.EIO)
			_, err := e.Append(ctxb, events, cond)
			require.ErrorIs(t, err, ErrOutcomeUnknown)
			require.NoError(t, e.Close())
			e = openStore(t, dir, nil, hooks{})
			require.EqualValues(t, 3, appendOK(t, e, cond, events...))
			require.EqualValues(t, 3, e.Head())
		})
	}
}

func TestAFailedSyncOfARelaxedStorePoisonsIt(t *testing.T) {
	v := new(valve)
	h := hooks{}
	h.wal.Fdatasync = v.fdatasync
	dir := t.TempDir()
	e := openStore(t, dir, &Options{Flush: FlushDisabled}, h)
	appendOK(t, e, nil, event("T", "a"))
	v.fail(syscall.EIO)
	require.ErrorIs(t, e.Sync(ctxb), ErrPoisoned)
	_, err := e.Append(ctxb, []Event{event("T")}, nil)
	require.ErrorIs(t, err, ErrPoisoned)
	require.ErrorIs(t, e.Sync(ctxb), ErrPoisoned, "what is not durable does not become so")
	require.Len(t, readAll(t, e, AllEvents(), ReadOptions{}), 1)
	require.Zero(t, e.Metrics().Durable)
	require.NoError(t, e.Close())
	e = openStore(t, dir, &Options{Flush: FlushDisabled}, hooks{})
	require.True(t, e.Recovery().EpochRaised, "visible events may have been lost")
	checkDense(t, e)
}

func TestAContextThatEndsBeforeStagingMeansNotWritten(t *testing.T) {
	ctx, cancel := context.WithCancel(ctxb)
	var cancelAt atomic.Bool
	e := openStore(t, t.TempDir(), nil, hooks{snapshotted: func() {
		if cancelAt.Load() {
			cancel()
		}
	}})
	appendOK(t, e, nil, event("T"))
	cancelAt.Store(true)
	_, err := e.Append(ctx, []Event{event("T")}, nil) // ends between snapshot and staging
	require.ErrorIs(t, err, context.Canceled)
	require.NotErrorIs(t, err, ErrOutcomeUnknown)
	_, err = e.Append(ctx, []Event{event("T")}, nil) // ended before
	require.ErrorIs(t, err, context.Canceled)
	require.NotErrorIs(t, err, ErrOutcomeUnknown)
	require.EqualValues(t, 1, e.Head())
	require.EqualValues(t, 1, e.Metrics().Assigned)
}

func TestAContextThatEndsAfterStagingLeavesTheOutcomeUnknownAndTheAppendHappens(t *testing.T) {
	e, v := staging(t, FlushBatch)
	entered, open := v.shut()
	defer open()
	ctx, cancel := context.WithCancelCause(ctxb)
	events := []Event{{Type: "T", Tags: []Tag{"a", "b"}, Data: []byte("data"), Metadata: map[string]string{"k": "v"}, ID: uuid.UUID{1}}}
	done := appendAsync(ctx, e, failIfMatch(ByTags("a"), 0), events...)
	await(t, entered)
	cancel(errors.New("for a reason"))
	r := await(t, done)
	require.ErrorIs(t, r.err, context.Canceled)
	require.ErrorIs(t, r.err, ErrOutcomeUnknown)
	require.NotErrorIs(t, r.err, ErrPoisoned)
	// The caller has its arguments back and may do what it likes with them.
	events[0].Data[0], events[0].Tags[0], events[0].Metadata["k"], events[0].Type = 'X', "x", "x", "X"
	require.Zero(t, e.Head())
	open()
	ctx2, cancel2 := context.WithTimeout(ctxb, testPatience)
	defer cancel2()
	require.NoError(t, e.ledger.Wait(ctx2, ledger.Visible, 1))
	all := checkDense(t, e)
	require.Len(t, all, 1)
	got := all[0].Event
	require.Equal(t, "data", string(got.Data))
	require.Equal(t, []Tag{"a", "b"}, got.Tags)
	require.Equal(t, "v", got.Metadata["k"])
	require.Equal(t, "T", got.Type)
	_, err := e.Append(ctxb, []Event{event("T")}, failIfMatch(ByTags("a"), 0))
	require.ErrorIs(t, err, ErrConditionFailed)
}

func TestAContextThatEndsWhileARejectionWaitsMeansNotWritten(t *testing.T) {
	e, v := staging(t, FlushBatch)
	entered, open := v.shut()
	defer open()
	first := appendAsync(ctxb, e, nil, event("T", "a"))
	await(t, entered)
	ctx, cancel := context.WithCancel(ctxb)
	cancel2 := appendAsync(ctx, e, failIfMatch(ByTags("a"), 0), event("T"))
	cancel()
	r := await(t, cancel2)
	require.ErrorIs(t, r.err, context.Canceled)
	require.NotErrorIs(t, r.err, ErrOutcomeUnknown)
	open()
	require.NoError(t, await(t, first).err)
	require.EqualValues(t, 1, e.Head())
}

func TestAppendKeepsNoReferenceToItsArguments(t *testing.T) {
	e := newStore(t)
	data, tags, meta := []byte("data"), []Tag{"a", "b"}, map[string]string{"k": "v"}
	types, qtags := []string{"X"}, []Tag{"none"}
	events := []Event{{Type: "T", Tags: tags, Data: data, Metadata: meta}}
	cond := failIfMatch(Match(QueryItem{Types: types, Tags: qtags}), 0)
	appendOK(t, e, cond, events...)
	types[0], qtags[0] = "T", "a" // a query copies, too
	data[0], tags[0], meta["k"] = 'X', "x", "x"
	events[0] = event("X")
	*cond = Condition{}
	check := func() {
		got := readAll(t, e, ByTags("a", "b"), ReadOptions{})
		require.Len(t, got, 1)
		require.Equal(t, "T", got[0].Event.Type)
		require.Equal(t, "data", string(got[0].Event.Data))
		require.Equal(t, map[string]string{"k": "v"}, got[0].Event.Metadata)
		require.Empty(t, readAll(t, e, ByTags("x"), ReadOptions{}))
		// What reads return is the caller's own.
		got[0].Event.Data[0], got[0].Event.Tags[0], got[0].Event.Metadata["k"] = 'Y', "y", "y"
	}
	check()
	check()
	require.NoError(t, e.WaitMaterialized(ctxb, 1))
	check()
	// Nor does the index depend on the strings, which may be cut from a buffer of the caller's.
	require.Len(t, readAll(t, e, ByTypes("T"), ReadOptions{}), 1)
}

func TestBelowTheFloorAppendsGetErrDiskFullAndGoOnWhenThereIsRoom(t *testing.T) {
	var free atomic.Uint64
	free.Store(1 << 40)
	e := openStore(t, t.TempDir(), &Options{MinFreeBytes: 1 << 20}, hooks{free: func() (uint64, error) { return free.Load(), nil }})
	appendOK(t, e, nil, event("T"))
	free.Store(1 << 10)
	appendOK(t, e, nil, event("T")) // the group that finds out
	eventually(t, "it is found out", func() bool { return e.Metrics().DiskFull })
	for range 3 {
		p, err := e.Append(ctxb, []Event{event("T")}, nil)
		require.ErrorIs(t, err, ErrDiskFull)
		require.NotErrorIs(t, err, ErrOutcomeUnknown)
		require.Zero(t, p)
	}
	require.True(t, e.Metrics().DiskFull)
	require.EqualValues(t, 2, e.Metrics().Assigned, "before anything is written")
	require.Len(t, readAll(t, e, AllEvents(), ReadOptions{}), 2, "reads go on")
	free.Store(1 << 40)
	require.EqualValues(t, 3, appendOK(t, e, nil, event("T")))
	require.False(t, e.Metrics().DiskFull)
}

func TestAStoreOpenedBelowTheFloorRefusesItsFirstAppend(t *testing.T) {
	e := openStore(t, t.TempDir(), &Options{MinFreeBytes: 1 << 20}, hooks{free: func() (uint64, error) { return 1 << 10, nil }})
	_, err := e.Append(ctxb, []Event{event("T")}, nil)
	require.ErrorIs(t, err, ErrDiskFull)
	require.Zero(t, e.Metrics().Assigned)
}

func TestTheFloorCountsTheFilesOfTheBacklog(t *testing.T) {
	e := openStore(t, t.TempDir(), &Options{MinFreeBytes: 1 << 20, LooseEvents: KeepLoose}, hooks{free: func() (uint64, error) { return 1<<20 + 100*4096, nil }})
	resume, err := e.PauseFiling(ctxb)
	require.NoError(t, err)
	defer resume()
	appendOK(t, e, nil, numbered(200, "T")...)
	eventually(t, "it is found out", func() bool { return e.Metrics().DiskFull })
	_, err = e.Append(ctxb, []Event{event("T")}, nil)
	require.ErrorIs(t, err, ErrDiskFull, "200 files do not fit into 400 KiB")
	resume()
	require.NoError(t, e.WaitMaterialized(ctxb, 200))
	require.EqualValues(t, 201, appendOK(t, e, nil, event("T")))
}

// A merge that took the last of the disk would make the next write of the log fail, which poisons.
func TestMergingLeavesTheFloorAlone(t *testing.T) {
	var free atomic.Uint64
	const floor, each = 1 << 20, 1000
	free.Store(floor + 7*each)
	e := openStore(t, t.TempDir(), &Options{MinFreeBytes: floor}, hooks{free: func() (uint64, error) { return free.Load(), nil }})
	appendOne := func() {
		p := appendOK(t, e, nil, event("T", Tag(strings.Repeat("x", each))))
		require.NoError(t, e.WaitMaterialized(ctxb, p)) // which seals
	}
	for range 20 {
		appendOne()
	}
	require.Zero(t, e.Metrics().Merges)
	free.Store(1 << 40)
	eventually(t, "they are merged", func() bool { appendOne(); return e.Metrics().Merges > 0 })
}

func TestWithoutAFloorNothingIsRefused(t *testing.T) {
	e := openStore(t, t.TempDir(), &Options{MinFreeBytes: -1}, hooks{free: func() (uint64, error) { return 0, nil }})
	for range 3 {
		appendOK(t, e, nil, event("T"))
	}
}

// Appends may take the last of the disk then. What the log writes beforehand, and can do without, may not.
func TestWithoutAFloorTheLogWritesNothingBeforehandOnASmallDisk(t *testing.T) {
	for free, want := range map[uint64]bool{2*wal.DefaultRotateBytes - 4096: false, 1 << 40: true} {
		e := openStore(t, t.TempDir(), &Options{MinFreeBytes: -1}, hooks{free: func() (uint64, error) { return free, nil }})
		for e.log.Witness().Gen < 2 && (want || e.log.Witness().End < 6<<20) {
			appendOK(t, e, nil, Event{Type: "Filler", Data: make([]byte, 64<<10)})
		}
		at := e.log.Witness()
		info, err := os.Stat(e.log.Path(wal.Place{Gen: at.Gen}))
		require.NoError(t, err)
		require.Equal(t, want, info.Size() > at.End, "%d bytes free", free)
		require.NoError(t, e.Close())
	}
}

func TestAtMaxLagAppendsWaitInTheOrderOfTheirArrival(t *testing.T) {
	e := openStore(t, t.TempDir(), &Options{MaxLagEvents: 1}, hooks{})
	resume, err := e.PauseFiling(ctxb)
	require.NoError(t, err)
	defer resume()
	appendOK(t, e, nil, event("T"))
	const waiters = 20
	var done []<-chan result
	for i := range waiters {
		done = append(done, appendAsync(ctxb, e, nil, event("T")))
		eventually(t, "it is held", func() bool { return e.Metrics().Held == uint64(i+1) })
	}
	require.EqualValues(t, 1, e.Metrics().Assigned, "nobody passes")
	resume()
	for i, c := range done {
		r := await(t, c)
		require.NoError(t, r.err)
		require.EqualValues(t, i+2, r.p)
	}
}

func TestAContextThatEndsAtMaxLagMeansNotWrittenAndTheLineMovesOn(t *testing.T) {
	e := openStore(t, t.TempDir(), &Options{MaxLagEvents: 1}, hooks{})
	resume, err := e.PauseFiling(ctxb)
	require.NoError(t, err)
	defer resume()
	appendOK(t, e, nil, event("T"))
	ctx, cancel := context.WithCancel(ctxb)
	gone := appendAsync(ctx, e, nil, event("Gone"))
	eventually(t, "it is held", func() bool { return e.Metrics().Held == 1 })
	stays := appendAsync(ctxb, e, nil, event("Stays"))
	eventually(t, "it is held", func() bool { return e.Metrics().Held == 2 })
	cancel()
	r := await(t, gone)
	require.ErrorIs(t, r.err, context.Canceled)
	require.NotErrorIs(t, r.err, ErrOutcomeUnknown)
	require.ErrorContains(t, r.err, "not written")
	resume()
	r = await(t, stays)
	require.NoError(t, r.err)
	require.EqualValues(t, 2, r.p)
	require.Empty(t, readAll(t, e, ByTypes("Gone"), ReadOptions{}))
}

func TestWhoWaitsAtMaxLagIsToldOfCloseAndPoison(t *testing.T) {
	for _, how := range []string{"close", "poison"} {
		t.Run(how, func(t *testing.T) {
			v := new(valve)
			h := hooks{}
			h.wal.Fdatasync = v.fdatasync
			e := openStore(t, t.TempDir(), &Options{MaxLagEvents: 2}, h)
			resume, err := e.PauseFiling(ctxb)
			require.NoError(t, err)
			defer resume()
			appendOK(t, e, nil, event("T"))
			entered, open := v.shut()
			defer open()
			last := appendAsync(ctxb, e, nil, event("T"))
			await(t, entered)
			held := appendAsync(ctxb, e, nil, event("T"))
			eventually(t, "it is held", func() bool { return e.Metrics().Held == 1 })
			if how == "close" {
				open()
				require.NoError(t, await(t, last).err)
				within(t, "Close", func() { require.NoError(t, e.Close()) })
				require.ErrorIs(t, await(t, held).err, ErrClosed)
				return
			}
			v.fail(syscall.EIO)
			open()
			require.ErrorIs(t, await(t, last).err, ErrOutcomeUnknown)
			require.ErrorIs(t, await(t, held).err, ErrPoisoned)
		})
	}
}

// Of two appends that pass each other between the look at the lag and staging, the second waits for the first to be filed. With
// relaxed flushing somebody has to ask for the sync that filing needs.
func TestARelaxedStoreAtMaxLagDoesNotStandStill(t *testing.T) {
	v := new(valve)
	h := hooks{}
	h.wal.Write = v.write
	e := openStore(t, t.TempDir(), &Options{Flush: FlushDisabled, MaxLagEvents: 1}, h)
	entered, open := v.shut()
	defer open()
	first := appendAsync(ctxb, e, nil, event("T"))
	await(t, entered) // staged, not visible
	second := appendAsync(ctxb, e, nil, event("T"))
	eventually(t, "it is held", func() bool { return e.Metrics().Held == 1 })
	open()
	require.NoError(t, await(t, first).err)
	require.NoError(t, await(t, second).err)
}

func TestAnAppendHeldWhileEverythingIsFiledPromptsTheCheckpoint(t *testing.T) {
	e := openStore(t, t.TempDir(), &Options{MaxLagEvents: 4}, hooks{})
	for round := range 3 {
		appendOK(t, e, nil, numbered(4, "T")...)
		eventually(t, "all is filed", func() bool { return e.Metrics().Files == uint64(4*(round+1)+round) })
		start := time.Now()
		appendOK(t, e, nil, event("T"))
		// Left to itself the checkpoint comes after a second. One that is prompted takes milliseconds.
		require.Less(t, time.Since(start), 800*time.Millisecond, "round %d", round)
		require.NoError(t, e.WaitMaterialized(ctxb, e.Head()))
	}
}

func TestTwoWritersAtMaxLagOfARelaxedStoreFinish(t *testing.T) {
	e := openStore(t, t.TempDir(), &Options{Flush: FlushDisabled, MaxLagEvents: 2}, hooks{})
	within(t, "appending at MaxLag", func() {
		race(2, func(int) {
			for range 5 {
				if _, err := e.Append(ctxb, []Event{event("T")}, nil); err != nil {
					t.Error(err)
				}
			}
		})
	})
}

func TestHugeAppendsAreSplitIntoGroupsThatFitAFrame(t *testing.T) {
	e, v := staging(t, FlushBatch)
	entered, open := v.shut()
	defer open()
	first := appendAsync(ctxb, e, nil, event("First"))
	await(t, entered)
	var done []<-chan result
	for i := range 3 { // 3 times 7 MiB: two fit into a frame
		done = append(done, appendAsync(ctxb, e, nil, Event{Type: "Huge", Data: make([]byte, 7<<20), Tags: []Tag{Tag(fmt.Sprint(i))}}))
		waitAssigned(t, e, Position(i+2))
	}
	open()
	require.NoError(t, await(t, first).err)
	for i, c := range done {
		r := await(t, c)
		require.NoError(t, r.err)
		require.EqualValues(t, i+2, r.p)
	}
	require.EqualValues(t, 3, e.Metrics().Groups.Count)
	for i, got := range readAll(t, e, ByTypes("Huge"), ReadOptions{}) {
		require.Equal(t, []Tag{Tag(fmt.Sprint(i))}, got.Event.Tags)
		require.Len(t, got.Event.Data, 7<<20)
	}
}

func TestOneAppendMayFillAWholeFrameAndNotOneByteMore(t *testing.T) {
	e := newStore(t)
	room := (16 << 20) - len(codec.AppendRecord(nil, Event{Type: "T"}))
	_, err := e.Append(ctxb, []Event{{Type: "T", Data: make([]byte, room+1)}}, nil)
	require.ErrorIs(t, err, ErrTooLarge)
	_, err = e.Append(ctxb, []Event{{Type: "T", Data: make([]byte, room)}, event("T")}, nil)
	require.ErrorIs(t, err, ErrTooLarge)
	require.ErrorContains(t, err, "event 1")
	require.Zero(t, e.Metrics().Assigned)
	appendOK(t, e, nil, Event{Type: "T", Data: bytes.Repeat([]byte{0xfe}, room)})
	appendOK(t, e, nil, event("Next"))
	last, err := e.ReadLast(ctxb, ByTypes("T"))
	require.NoError(t, err)
	require.Equal(t, bytes.Repeat([]byte{0xfe}, room), last.Event.Data)
}

func TestASyncThatDoesNotReturnIsSeen(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes a second to be called stalled")
	}
	e, v := staging(t, FlushBatch)
	entered, open := v.shut()
	defer open()
	done := appendAsync(ctxb, e, nil, event("T"))
	await(t, entered)
	eventually(t, "the metric says so", func() bool { return e.Metrics().Stalled >= stallAfter })
	open()
	require.NoError(t, await(t, done).err)
	require.Zero(t, e.Metrics().Stalled)
}

func TestFilingAllTheTimeDoesNotDisturbStoreID(t *testing.T) {
	e := newStore(t)
	id := e.StoreID()
	stop := make(chan struct{})
	go func() {
		defer close(stop)
		for range 20 {
			p, err := e.Append(ctxb, []Event{event("T")}, nil)
			if err != nil {
				t.Error(err)
			}
			if err := e.WaitMaterialized(ctxb, p); err != nil {
				t.Error(err)
			}
		}
	}()
	for {
		select {
		case <-stop:
			return
		default:
			require.Equal(t, id, e.StoreID())
		}
	}
}

func TestAClockBeyondTheYearsOfAnEventHarmsNothing(t *testing.T) {
	for _, year := range []int{-5, 10000} {
		dir := t.TempDir()
		clock := func() time.Time { return time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC) }
		e := openStore(t, dir, &Options{Clock: clock}, hooks{})
		_, err := e.Append(ctxb, []Event{event("T")}, nil)
		if err != nil {
			require.ErrorIs(t, err, ErrInvalidEvent, "year %d", year)
			require.Zero(t, e.Head())
			continue
		}
		require.NoError(t, e.WaitMaterialized(ctxb, 1), "year %d", year)
		require.NoError(t, e.Close())
		e, err = Open(dir, nil)
		require.NoError(t, err, "year %d: accepted, filed, and then not read again", year)
		require.NoError(t, e.Close())
	}
}

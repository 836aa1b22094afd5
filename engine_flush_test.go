package opossum

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// counting returns a store with filing paused, so that only appends sync the log, and a function that counts the syncs since its last call.
func counting(t *testing.T, opts *Options) (*Engine, *valve, func() int) {
	v := new(valve)
	h := hooks{}
	h.wal.Fdatasync = v.fdatasync
	e := openStore(t, t.TempDir(), opts, h)
	resume, err := e.PauseFiling(ctxb)
	require.NoError(t, err)
	t.Cleanup(resume)
	last := v.count()
	return e, v, func() int {
		n := v.count() - last
		last += n
		return n
	}
}

func TestOneAppendMakesOneSync(t *testing.T) {
	e, _, syncs := counting(t, nil)
	appendOK(t, e, nil, numbered(10, "T")...)
	require.Equal(t, 1, syncs(), "ten events in one append")
	for range 10 {
		appendOK(t, e, nil, event("T"))
	}
	require.Equal(t, 10, syncs(), "ten appends in a row")
	race(64, func(int) {
		if _, err := e.Append(ctxb, []Event{event("T")}, nil); err != nil {
			t.Error(err)
		}
	})
	n := syncs()
	require.Less(t, n, 64, "64 at once")
	require.Positive(t, n)
	require.EqualValues(t, 11+n, e.Metrics().Flushes.Count)
}

func TestAppendsThatWaitForASyncShareTheNextOne(t *testing.T) {
	e, v, syncs := counting(t, nil)
	entered, open := v.shut()
	defer open()
	first := appendAsync(ctxb, e, nil, event("T"))
	await(t, entered)
	var rest []<-chan result
	for range 63 {
		rest = append(rest, appendAsync(ctxb, e, nil, event("T")))
	}
	waitAssigned(t, e, 64)
	open()
	require.NoError(t, await(t, first).err)
	for _, c := range rest {
		require.NoError(t, await(t, c).err)
	}
	require.Equal(t, 2, syncs())
}

func TestRejectionsOnlyMakeNoSync(t *testing.T) {
	e, _, syncs := counting(t, nil)
	appendOK(t, e, nil, event("T", "a"))
	syncs()
	race(32, func(i int) {
		if _, err := e.Append(ctxb, []Event{event("T")}, failIfMatch(ByTags("a"), 0)); err == nil {
			t.Error("it passed")
		}
	})
	require.Zero(t, syncs())
	_, err := e.Append(ctxb, nil, nil)
	require.Error(t, err)
	events := withIDs(event("Again", "k"))
	appendOK(t, e, failIfExists(ByTags("k")), events...)
	require.Equal(t, 1, syncs())
	appendOK(t, e, failIfExists(ByTags("k")), events...)
	require.Zero(t, syncs(), "nor does a repetition")
	require.NoError(t, e.Sync(ctxb))
	require.Zero(t, syncs(), "nor Sync, if all is durable")
}

func TestFlushDisabledKeepsTheMeaningOfTheNumbers(t *testing.T) {
	dir, v := t.TempDir(), new(valve)
	h := hooks{}
	h.wal.Fdatasync = v.fdatasync
	e := openStore(t, dir, &Options{Flush: FlushDisabled}, h)
	for range 5 {
		appendOK(t, e, nil, event("T", "a"), event("T"))
	}
	m := e.Metrics()
	require.Zero(t, v.count(), "no append syncs")
	require.EqualValues(t, 10, m.Visible)
	require.EqualValues(t, 10, m.Assigned)
	require.Zero(t, m.Durable)
	require.Zero(t, m.Materialized)
	require.Len(t, checkDense(t, e), 10, "what is acknowledged is readable")
	files, err := filepath.Glob(filepath.Join(dir, "events", "*", "*.json"))
	require.NoError(t, err)
	require.Empty(t, files, "what is not durable is not filed")

	require.NoError(t, e.Sync(ctxb))
	require.Equal(t, 1, v.count())
	require.EqualValues(t, 10, e.Metrics().Durable)
	require.NoError(t, e.Sync(ctxb))
	require.Equal(t, 1, v.count(), "nothing to do")

	appendOK(t, e, nil, event("T"))
	require.EqualValues(t, 10, e.Metrics().Durable)
	require.NoError(t, e.WaitMaterialized(ctxb, 11))
	require.EqualValues(t, 11, e.Materialized())
	require.EqualValues(t, 11, e.Metrics().Durable)
	files, err = filepath.Glob(filepath.Join(dir, "events", "*", "*.json"))
	require.NoError(t, err)
	require.Len(t, files, 11)

	appendOK(t, e, nil, event("Last"))
	require.NoError(t, e.Close())
	e = openStore(t, dir, &Options{Flush: FlushDisabled}, hooks{})
	require.Equal(t, "clean", e.Recovery().Outcome)
	require.False(t, e.Recovery().EpochRaised)
	require.EqualValues(t, 12, e.Head())
	require.EqualValues(t, 12, e.Metrics().Durable)
	last, err := e.ReadLast(ctxb, AllEvents())
	require.NoError(t, err)
	require.Equal(t, "Last", last.Event.Type)
}

func TestAbandonedRelaxedStoreRaisesItsEpoch(t *testing.T) {
	e := newStore(t)
	appendOK(t, e, nil, numbered(10, "T")...)
	copied := openStore(t, copyStore(t, e), nil, hooks{})
	require.Equal(t, "recovered", copied.Recovery().Outcome)
	require.True(t, copied.Recovery().EpochRaised)
	require.EqualValues(t, 2, copied.Recovery().Epoch)
	checkDense(t, copied)
	again := openStore(t, copyStore(t, copied), nil, hooks{})
	require.False(t, again.Recovery().EpochRaised, "the owner before was not relaxed")
	require.EqualValues(t, 2, again.Recovery().Epoch)
}

func TestByDefaultWhatIsAcknowledgedIsDurable(t *testing.T) {
	e, v, _ := counting(t, nil)
	entered, open := v.shut()
	defer open()
	done := appendAsync(ctxb, e, nil, event("T"))
	await(t, entered)
	require.Zero(t, e.Head(), "not visible before it is durable")
	require.Zero(t, e.Metrics().Durable)
	open()
	require.NoError(t, await(t, done).err)
	m := e.Metrics()
	require.EqualValues(t, 1, m.Visible)
	require.EqualValues(t, 1, m.Durable, "when the append is answered both have moved")
}

func TestWaitMaterializedReturnsWhenTheFilesAreThere(t *testing.T) {
	dir := t.TempDir()
	e := openStore(t, dir, keepLoose, hooks{})
	require.NoError(t, e.WaitMaterialized(ctxb, 0))
	p := appendOK(t, e, nil, numbered(300, "T")...)
	require.NoError(t, e.WaitMaterialized(ctxb, p))
	require.GreaterOrEqual(t, e.Materialized(), p)
	files, err := filepath.Glob(filepath.Join(dir, "events", "*", "*.json"))
	require.NoError(t, err)
	require.Len(t, files, 300)
	for _, f := range files {
		info, err := os.Stat(f)
		require.NoError(t, err)
		require.Positive(t, info.Size())
	}
	ctx, cancel := context.WithCancel(ctxb)
	done := make(chan error, 1)
	go func() { done <- e.WaitMaterialized(ctx, p+1) }()
	appendOK(t, e, nil, event("T"))
	require.NoError(t, await(t, done), "a position that comes later counts")
	go func() { done <- e.WaitMaterialized(ctx, p+2) }()
	cancel()
	require.ErrorIs(t, await(t, done), context.Canceled)
}

func TestFilingPausedAndResumedLosesNothing(t *testing.T) {
	e := openStore(t, t.TempDir(), keepLoose, hooks{})
	resume, err := e.PauseFiling(ctxb)
	require.NoError(t, err)
	p := appendOK(t, e, nil, numbered(200, "T")...)
	files := e.Metrics().Files
	ctx, cancel := context.WithCancel(ctxb)
	cancel()
	require.ErrorIs(t, e.WaitMaterialized(ctx, p), context.Canceled)
	_, err = e.PauseFiling(ctx)
	require.ErrorIs(t, err, context.Canceled, "one pause at a time")
	require.Equal(t, files, e.Metrics().Files)
	resume()
	resume()
	require.NoError(t, e.WaitMaterialized(ctxb, p))
	require.EqualValues(t, 200, e.Metrics().Files)
}

func TestCloseDoesNotDrainTheBacklogAndTheNextOpenGoesOnWithIt(t *testing.T) {
	dir := t.TempDir()
	e := openStore(t, dir, nil, hooks{})
	resume, err := e.PauseFiling(ctxb)
	require.NoError(t, err)
	defer resume()
	p := appendOK(t, e, nil, numbered(500, "T")...)
	within(t, "Close with filing paused", func() { require.NoError(t, e.Close()) })
	require.Less(t, e.Materialized(), p)
	require.NoError(t, e.Close(), "Close is idempotent")
	e = openStore(t, dir, nil, hooks{})
	require.Equal(t, "clean", e.Recovery().Outcome)
	require.NotZero(t, e.Recovery().Replayed)
	checkDense(t, e)
	require.NoError(t, e.WaitMaterialized(ctxb, p))
}

var strategies = []Flush{FlushBatch, FlushImmediate, FlushPeriodic, FlushCount, FlushDisabled, FlushAuto}

// Whatever the strategy: what is acknowledged is readable, WaitDurable and WhenDurable make it durable, Close does, and the next Open finds it.
func TestEveryStrategyKeepsWhatItAcknowledged(t *testing.T) {
	for _, f := range strategies {
		t.Run(f.String(), func(t *testing.T) {
			dir := t.TempDir()
			o := &Options{Flush: f, FlushInterval: MaxFlushInterval, FlushEvery: 1000}
			e := openStore(t, dir, o, hooks{})
			p := appendOK(t, e, nil, event("T", "a"), event("T"))
			require.Equal(t, p, e.Head())
			strict := f == FlushBatch || f == FlushImmediate || f == FlushAuto
			require.Equal(t, strict, e.Durable() == p)
			require.NoError(t, e.WaitDurable(ctxb, p))
			require.Equal(t, p, e.Durable())
			p, err := e.Append(ctxb, []Event{event("T")}, nil, WhenDurable())
			require.NoError(t, err)
			require.Equal(t, p, e.Durable())
			p = appendOK(t, e, nil, event("T"))
			m := e.Metrics()
			require.Equal(t, strict, m.Durable == p)
			want := f
			if f == FlushAuto {
				want = FlushBatch
			}
			require.Equal(t, want, m.Flush)
			require.NoError(t, e.Close())
			e = openStore(t, dir, o, hooks{})
			require.Equal(t, "clean", e.Recovery().Outcome)
			require.Equal(t, p, e.Durable())
			require.Len(t, checkDense(t, e), 4)
		})
	}
}

// What a relaxed strategy has not synced, filing does not touch, be the backlog ever so large; what has to go on for appends to go on syncs by itself.
func TestLagForcesASyncInEveryStrategy(t *testing.T) {
	for _, f := range strategies {
		t.Run(f.String(), func(t *testing.T) {
			e := openStore(t, t.TempDir(), &Options{Flush: f, FlushInterval: MaxFlushInterval, FlushEvery: MaxFlushEvery, MaxLagEvents: 10}, hooks{})
			for range 100 {
				appendOK(t, e, nil, event("T"))
			}
			require.Positive(t, e.Materialized())
			m := e.Metrics()
			require.LessOrEqual(t, m.Materialized, m.Durable)
			require.LessOrEqual(t, m.LagEvents, uint64(10))
		})
	}
}

func TestWaitDurableWaitsForWhatIsToCome(t *testing.T) {
	e := newStore(t)
	done := make(chan error, 1)
	go func() { done <- e.WaitDurable(ctxb, 2) }()
	appendOK(t, e, nil, event("T"))
	require.Zero(t, e.Durable())
	appendOK(t, e, nil, event("T"))
	require.NoError(t, await(t, done))
	require.EqualValues(t, 2, e.Durable())

	ctx, cancel := context.WithCancel(ctxb)
	go func() { done <- e.WaitDurable(ctx, 3) }()
	cancel()
	require.ErrorIs(t, await(t, done), context.Canceled)
	go func() { done <- e.WaitDurable(ctxb, 3) }()
	require.NoError(t, e.Close())
	require.ErrorIs(t, await(t, done), ErrClosed)
}

// What Close makes durable is durable, and who waited for that is told so.
func TestCloseMakesTrueWhatOneWaitsFor(t *testing.T) {
	for _, f := range strategies {
		t.Run(f.String(), func(t *testing.T) {
			v, dir := new(valve), t.TempDir()
			h := hooks{}
			h.wal.Fdatasync = v.fdatasync
			e := openStore(t, dir, &Options{Flush: f, FlushInterval: MaxFlushInterval, FlushEvery: MaxFlushEvery}, h)
			appendOK(t, e, nil, event("T"))
			entered, open := v.shut()
			defer open()
			syncing := make(chan error, 1)
			if e.flush.Relaxed() {
				go func() { syncing <- e.Sync(ctxb) }()
			} else { // its like: somebody else's append
				go func() {
					_, err := e.Append(ctxb, []Event{event("T")}, nil)
					syncing <- err
				}()
			}
			await(t, entered)
			head := e.Metrics().Assigned + 1
			second := make(chan result, 1)
			go func() {
				p, err := e.Append(ctxb, []Event{event("T")}, nil, WhenDurable())
				second <- result{p, err}
			}()
			waitAssigned(t, e, head)
			closed := make(chan error, 1)
			go func() { closed <- e.Close() }()
			for !e.closed.Load() {
				runtime.Gosched()
			}
			open()
			require.NoError(t, await(t, syncing))
			answer := await(t, second)
			require.NoError(t, await(t, closed))
			if answer.err != nil { // Close may be over before it has begun to wait for its sync
				require.ErrorIs(t, answer.err, ErrOutcomeUnknown)
				require.NotErrorIs(t, answer.err, ErrClosed, "which would mean that it is not written")
			} else {
				require.Equal(t, head, answer.p)
			}
			require.Equal(t, head, e.Durable())
			require.NoError(t, e.WaitDurable(ctxb, head))
			e = openStore(t, dir, nil, hooks{})
			require.Equal(t, "clean", e.Recovery().Outcome)
			require.Equal(t, head, e.Head())
		})
	}
}

func TestAnAppendThatIsWrittenAndCannotBeDurableHasAnUnknownOutcome(t *testing.T) {
	v := new(valve)
	h := hooks{}
	h.wal.Fdatasync = v.fdatasync
	e := openStore(t, t.TempDir(), &Options{Flush: FlushDisabled}, h)
	v.fail(syscall.EIO)
	_, err := e.Append(ctxb, []Event{event("T")}, nil, WhenDurable())
	require.ErrorIs(t, err, ErrOutcomeUnknown)
	require.NotErrorIs(t, err, ErrPoisoned, "which would mean that it is not written")
	require.ErrorContains(t, err, syscall.EIO.Error())
	require.EqualValues(t, 1, e.Head())
	_, err = e.Append(ctxb, []Event{event("T")}, nil, WhenDurable())
	require.ErrorIs(t, err, ErrPoisoned)
	require.NotErrorIs(t, err, ErrOutcomeUnknown)
	for _, wait := range []error{e.WaitDurable(ctxb, 1), e.WaitDurable(ctxb, 9), e.Sync(ctxb)} {
		require.ErrorIs(t, wait, ErrPoisoned)
	}
}

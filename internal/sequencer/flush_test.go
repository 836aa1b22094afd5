package sequencer

import (
	"context"
	"errors"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"opossum/dcb"
	"opossum/ledger"
	"opossum/wal"
)

func TestWhenASyncIsDue(t *testing.T) {
	const interval = rigInterval
	for _, c := range []struct {
		flush    FlushPolicy
		unsynced uint64
		age      time.Duration
		due      bool
	}{
		{FlushBatch, 1, 0, true},
		{FlushImmediate, 1, 0, true},
		{FlushPeriodic, 1, interval - 1, false},
		{FlushPeriodic, 1, interval, true},
		{FlushPeriodic, 1 << 60, 0, false},
		{FlushCount, 9, 0, false},
		{FlushCount, 10, 0, true},
		{FlushCount, 11, 0, true},
		{FlushCount, 1, interval, true},
		{FlushDisabled, 1 << 60, 1000 * time.Hour, false},
	} {
		require.Equal(t, c.due, c.flush.due(c.unsynced, c.age), "%+v", c)
	}
}

func TestFlushImmediateSharesNothing(t *testing.T) {
	keeper := new(gatekeeper)
	r := newRig(t, FlushImmediate, Limits{}, keeper.options(), nil)
	open := keeper.shut()
	var answers []<-chan answer
	for i := range 20 {
		answers = append(answers, r.async(ctxb, nil, event("T"), event("T")))
		eventually(t, "staged", func() bool { return int(r.ledger.Get(ledger.Assigned)) == 2*(i+1) })
	}
	open()
	for _, a := range answers {
		require.NoError(t, get(t, a).err)
	}
	s := r.Stats()
	require.EqualValues(t, 20, s.Groups.Count)
	require.EqualValues(t, 1, s.Groups.Max)
	require.EqualValues(t, 20, r.log.Stats().Flushes.Count)
}

// However many append at once, fewer than Every acknowledged events are without a sync at any moment.
func TestFlushCountNeverHasAsManyUnsynced(t *testing.T) {
	r := newRig(t, FlushCount, Limits{}, wal.Options{}, nil) // 10 events, or 100 ms
	const writers, each = 8, 200
	start := make(chan struct{})
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			<-start
			for n := range each {
				events := make([]dcb.Event, 1+(w+n)%3)
				for i := range events {
					events[i] = event("T")
				}
				p, err := r.Append(ctxb, events, nil)
				if err != nil {
					t.Error(err)
					return
				}
				if d := r.ledger.Get(ledger.Durable); p >= d+rigEvery {
					t.Errorf("%d was acknowledged, and only %d is durable", p, d)
				}
			}
		})
	}
	close(start)
	wg.Wait()
}

func TestFlushCountSyncsNoSoonerThanItMust(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, FlushCount, Limits{}, wal.Options{}, nil)
		for p := dcb.Position(1); p <= 35; p++ {
			got, err := r.Append(ctxb, []dcb.Event{event("T")}, nil)
			require.NoError(t, err)
			require.Equal(t, p, got)
			require.Equal(t, p/10*10, r.ledger.Get(ledger.Durable))
		}
		many := make([]dcb.Event, 25)
		for i := range many {
			many[i] = event("T")
		}
		_, err := r.Append(ctxb, many, nil)
		require.NoError(t, err)
		require.EqualValues(t, 60, r.ledger.Get(ledger.Durable), "an append of more than that is synced at once")
		require.EqualValues(t, 4, r.log.Stats().Flushes.Count)

		_, err = r.Append(ctxb, []dcb.Event{event("T")}, nil)
		require.NoError(t, err)
		time.Sleep(rigInterval - 1)
		synctest.Wait()
		require.EqualValues(t, 60, r.ledger.Get(ledger.Durable))
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		require.EqualValues(t, 61, r.ledger.Get(ledger.Durable), "and a few after the interval")
	})
}

// The clock of these tests stands still while anything is done, so that they are exact.
func TestFlushPeriodicSyncsAfterTheInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, FlushPeriodic, Limits{}, wal.Options{}, nil)
		appendOne := func() {
			_, err := r.Append(ctxb, []dcb.Event{event("T")}, nil)
			require.NoError(t, err)
		}
		durable := func() int { synctest.Wait(); return int(r.ledger.Get(ledger.Durable)) }
		for range 3 { // however long nobody came before
			time.Sleep(time.Hour)
			before, flushes := durable(), r.log.Stats().Flushes.Count
			appendOne()
			time.Sleep(60 * time.Millisecond)
			appendOne() // does not put it off
			time.Sleep(40*time.Millisecond - 1)
			require.Equal(t, before, durable())
			time.Sleep(time.Nanosecond)
			require.Equal(t, before+2, durable())
			appendOne()
			time.Sleep(rigInterval - 1)
			require.Equal(t, before+2, durable(), "the interval begins with what is not synced")
			time.Sleep(time.Nanosecond)
			require.Equal(t, before+3, durable())
			time.Sleep(time.Hour)
			require.Equal(t, flushes+2, r.log.Stats().Flushes.Count, "nothing to sync, no sync")
		}
	})
}

// Between two groups the committer looks at the clock itself, and syncs before it acknowledges: writes that take long stretch no window.
func TestFlushPeriodicSyncsBetweenGroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := time.Duration(0)
		r := newRig(t, FlushPeriodic, Limits{}, wal.Options{Write: func(real func() error) error {
			time.Sleep(slow)
			return real()
		}}, nil)
		_, err := r.Append(ctxb, []dcb.Event{event("T")}, nil)
		require.NoError(t, err)
		time.Sleep(rigInterval - 10*time.Millisecond)
		slow = 10 * time.Millisecond
		_, err = r.Append(ctxb, []dcb.Event{event("T")}, nil)
		require.NoError(t, err)
		require.EqualValues(t, 2, r.ledger.Get(ledger.Durable))
	})
}

func TestASyncOfThePeriodThatFailsPoisons(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("the disk is gone")
		r := newRig(t, FlushPeriodic, Limits{}, wal.Options{Fdatasync: func(*os.File) error { return broken }}, nil)
		p, err := r.Append(ctxb, []dcb.Event{event("T")}, nil)
		require.NoError(t, err)
		time.Sleep(rigInterval)
		synctest.Wait()
		require.NotNil(t, r.poisoned.Load())
		_, err = r.Append(ctxb, []dcb.Event{event("T")}, nil)
		require.ErrorIs(t, err, dcb.ErrPoisoned)
		require.ErrorIs(t, err, broken)
		require.Equal(t, p, r.ledger.Get(ledger.Visible))
		require.Zero(t, r.ledger.Get(ledger.Durable))
		s := r.log.Stats()
		require.EqualValues(t, 1, s.Failures)
		require.ErrorIs(t, s.LastError, broken)
		require.Zero(t, s.Flushes.Count)
	})
}

// What could not be written is not acknowledged, whether or not a sync would follow.
func TestAWriteThatFailsIsNotAcknowledged(t *testing.T) {
	for f, policy := range map[string]FlushPolicy{"batch": FlushBatch, "periodic": FlushPeriodic, "count": FlushCount, "disabled": FlushDisabled} {
		broken := errors.New("the disk is gone")
		fails := false
		r := newRig(t, policy, Limits{}, wal.Options{Write: func(real func() error) error {
			if fails {
				return broken
			}
			return real()
		}}, nil)
		_, err := r.Append(ctxb, []dcb.Event{event("T")}, nil)
		require.NoError(t, err)
		fails = true
		p, err := r.Append(ctxb, []dcb.Event{event("T")}, nil)
		require.ErrorIs(t, err, broken, f)
		require.ErrorIs(t, err, dcb.ErrOutcomeUnknown, f)
		require.Zero(t, p)
		require.EqualValues(t, 1, r.ledger.Get(ledger.Visible), f)
		_, err = r.Append(ctxb, []dcb.Event{event("T")}, nil)
		require.ErrorIs(t, err, dcb.ErrPoisoned, f)
	}
}

func TestAnAppendMayAskForMoreSafety(t *testing.T) {
	for name, f := range map[string]FlushPolicy{
		"batch": FlushBatch, "immediate": FlushImmediate, "periodic": FlushPeriodic, "count": FlushCount, "disabled": FlushDisabled,
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, f, Limits{}, wal.Options{}, nil)
			last := func(events []dcb.Event, cond *dcb.Condition) (dcb.Position, error) {
				p, err := r.Sequencer.Append(ctxb, events, cond, true)
				require.Equal(t, r.ledger.Get(ledger.Visible), r.ledger.Get(ledger.Durable))
				return p, err
			}
			p, err := last([]dcb.Event{event("T", "a")}, nil)
			require.NoError(t, err)
			require.EqualValues(t, 1, p)

			id := uuid.New()
			again := []dcb.Event{{ID: id, Type: "T", Tags: []dcb.Tag{"b"}}}
			cond := &dcb.Condition{FailIfExists: dcb.ByTags("b")}
			_, err = r.Append(ctxb, again, cond)
			require.NoError(t, err)
			p, err = last(again, cond)
			require.NoError(t, err, "what was written before is made durable")
			require.EqualValues(t, 2, p)

			_, err = r.Append(ctxb, []dcb.Event{event("T", "c")}, nil)
			require.NoError(t, err)
			_, err = last([]dcb.Event{event("T")}, &dcb.Condition{FailIfExists: dcb.ByTags("c")})
			require.ErrorIs(t, err, dcb.ErrAlreadyExists, "and what a refusal rests on")
			_, err = r.Sequencer.Append(ctxb, nil, nil, true)
			require.ErrorIs(t, err, dcb.ErrNoEvents)
		})
	}
}

// An append that waits for its sync in vain has an unknown outcome; one that was refused is not written, whatever becomes of the sync.
func TestAnAppendThatWaitsInVainToBeDurable(t *testing.T) {
	for name, cond := range map[string]*dcb.Condition{"written": nil, "refused": {FailIfExists: dcb.ByTags("a")}} {
		t.Run(name, func(t *testing.T) {
			keeper := new(gatekeeper)
			r := newRig(t, FlushDisabled, Limits{}, keeper.options(), nil)
			_, err := r.Append(ctxb, []dcb.Event{event("T", "a")}, nil)
			require.NoError(t, err)
			open := keeper.shut()
			defer open()
			ctx, cancel := context.WithCancel(ctxb)
			out := make(chan answer, 1)
			go func() {
				p, err := r.Sequencer.Append(ctx, []dcb.Event{event("T", "b")}, cond, true)
				out <- answer{p, err}
			}()
			get(t, keeper.entered)
			require.Equal(t, r.ledger.Get(ledger.Assigned), r.ledger.Get(ledger.Visible), "it is readable before it is durable, as anything in this strategy")
			cancel()
			answered := get(t, out)
			require.ErrorIs(t, answered.err, context.Canceled)
			require.Zero(t, answered.p)
			require.Equal(t, cond == nil, errors.Is(answered.err, dcb.ErrOutcomeUnknown), answered.err)
		})
	}
}

// slowDisk has syncs take so long.
func slowDisk(d time.Duration) wal.Options {
	return wal.Options{Fdatasync: func(*os.File) error {
		time.Sleep(d)
		return nil
	}}
}

// closedLoop has writers append one after the other, each after a while of thinking, to a disk of which a sync takes 10 ms, by a clock that nothing else
// moves. It returns what a writer waited for an append, on average, when all are at pace, and how many shared a group.
func closedLoop(t *testing.T, writers int, wait time.Duration) (took time.Duration, group float64) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, FlushPolicy{Every: 1, GroupWait: wait}, Limits{}, slowDisk(10*time.Millisecond), nil)
		const appends = 100
		start := time.Now()
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				for range appends {
					time.Sleep(time.Duration(w+1) * 100 * time.Microsecond)
					if _, err := r.Append(ctxb, []dcb.Event{event("T")}, nil); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		took = time.Since(start) / appends
		s := r.Stats()
		group = float64(s.Groups.Sum) / float64(s.Groups.Count)
	})
	return took, group
}

func TestAGroupWaitMakesGroupsOfAll(t *testing.T) {
	for _, writers := range []int{2, 4, 8} {
		without, small := closedLoop(t, writers, 0)
		with, large := closedLoop(t, writers, 2*time.Millisecond)
		t.Logf("%d writers: %v an append in groups of %.1f, with a group wait %v in groups of %.1f", writers, without, small, with, large)
		require.Greater(t, large, float64(writers)*0.9)
		require.Less(t, with, without*7/10)
	}
}

func TestNobodyWaitsForALonelyWriter(t *testing.T) {
	without, _ := closedLoop(t, 1, 0)
	with, _ := closedLoop(t, 1, time.Second)
	require.Equal(t, without, with)
}

// Who is waited for and does not come holds up the others once, and for no longer than the group wait.
func TestAGroupWaitEnds(t *testing.T) {
	const sync, wait = 10 * time.Millisecond, time.Second
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, FlushPolicy{Every: 1, GroupWait: wait}, Limits{}, slowDisk(sync), nil)
		first := r.async(ctxb, nil, event("T"))
		synctest.Wait()
		two := []<-chan answer{r.async(ctxb, nil, event("T")), r.async(ctxb, nil, event("T"))}
		for _, c := range append(two, first) {
			require.NoError(t, (<-c).err)
		}
		require.EqualValues(t, 2, r.Stats().Groups.Max)
		for i, want := range []time.Duration{wait + sync, sync, sync} {
			start := time.Now()
			_, err := r.Append(ctxb, []dcb.Event{event("T")}, nil)
			require.NoError(t, err)
			require.Equal(t, want, time.Since(start), i)
		}
	})
}

// The wait is over as soon as all have come: at once, if they were quicker than the committer.
func TestAGroupWaitEndsWhenAllAreBack(t *testing.T) {
	const sync, wait = 100 * time.Millisecond, time.Second // a sync takes so long that the committer looks at free space after each
	for _, c := range []struct{ think, look time.Duration }{
		{think: 2 * time.Millisecond},
		{look: time.Millisecond}, // before it waits, and they are back by then
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, FlushPolicy{Every: 1, GroupWait: wait}, Limits{}, slowDisk(sync), nil)
			r.gate.free = func() (uint64, error) {
				time.Sleep(c.look)
				return 1 << 40, nil
			}
			first := r.async(ctxb, nil, event("T"))
			synctest.Wait()
			two := []<-chan answer{r.async(ctxb, nil, event("T")), r.async(ctxb, nil, event("T"))}
			for _, a := range append(two, first) {
				require.NoError(t, (<-a).err)
			}
			start := time.Now()
			second := r.async(ctxb, nil, event("T"))
			time.Sleep(c.think)
			for _, a := range []<-chan answer{second, r.async(ctxb, nil, event("T"))} {
				require.NoError(t, (<-a).err)
			}
			require.Equal(t, c.think+c.look+sync, time.Since(start), "%+v", c)
		})
	}
}

func TestAGroupWaitDoesNotHoldUpClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, FlushPolicy{Every: 1, GroupWait: time.Second}, Limits{}, slowDisk(time.Millisecond), nil)
		first := r.async(ctxb, nil, event("T"))
		synctest.Wait()
		two := []<-chan answer{r.async(ctxb, nil, event("T")), r.async(ctxb, nil, event("T"))}
		for _, c := range append(two, first) {
			require.NoError(t, (<-c).err)
		}
		synctest.Wait() // it waits for two
		start := time.Now()
		r.Close()
		require.Zero(t, time.Since(start))
	})
}

// What ages says is compared with what one knows who keeps everything.
func TestAgesAreThoseOfARecord(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type moment struct {
			p    dcb.Position
			when time.Time
		}
		var a ages
		var all []moment
		start := time.Unix(1000, 0)
		now, p, done := start, dcb.Position(0), dcb.Position(0)
		for range rapid.IntRange(1, 2000).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(30*time.Millisecond)).Draw(t, "pause")))
			if rapid.IntRange(0, 4).Draw(t, "what") > 0 {
				p += dcb.Position(rapid.IntRange(1, 5).Draw(t, "events"))
				a.note(p, done, now)
				all = append(all, moment{p, now})
				continue
			}
			if rapid.IntRange(0, 20).Draw(t, "checkpoint") == 0 {
				done += dcb.Position(rapid.Uint64Range(0, uint64(p-done)).Draw(t, "to"))
			}
			want := time.Duration(0)
			for _, m := range all {
				if m.p > done {
					want = now.Sub(m.when)
					break
				}
			}
			got := a.of(done, now)
			require.GreaterOrEqual(t, got, want)
			require.LessOrEqual(t, got, want+agesApart+now.Sub(start)/100, "after %d of %d", done, p)
			require.LessOrEqual(t, len(a.marks), agesMost)
		}
	})
}

// A backlog that was found at the start is as old as that at least.
func TestABacklogOfBeforeHasAnAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, FlushBatch, Limits{}, wal.Options{}, nil)
		r.Close()
		for filed, want := range map[dcb.Position]time.Duration{0: time.Minute, 9: time.Minute, 10: 0} {
			cfg := r.cfg
			cfg.Ledger = ledger.New(filed, filed, 10)
			s := New(cfg)
			time.Sleep(time.Minute)
			require.Equal(t, want, s.Stats().LagTime, filed)
			s.Close()
		}
	})
}

// However long a lag goes on, its age stays exact.
func TestTheAgeOfALastingLag(t *testing.T) {
	for _, lag := range []time.Duration{time.Second, 20 * time.Second, time.Minute} {
		var a ages
		now := time.Unix(1000, 0)
		behind := dcb.Position(lag / agesApart)
		const last = 100_000
		for p := dcb.Position(1); p <= last; p++ {
			now = now.Add(agesApart)
			a.note(p, max(p, behind)-behind, now)
		}
		require.InDelta(t, lag, a.of(last-behind-1, now), float64(lag/100+agesApart))
	}
}

// A long time without a checkpoint is remembered in little memory, the longer the more roughly, and never as too short.
func TestAgesOfALongBacklog(t *testing.T) {
	const n = 20 * agesMost
	var a ages
	at := func(p dcb.Position) time.Time { return time.Unix(1000, 0).Add(time.Duration(p) * agesApart) }
	for p := dcb.Position(1); p <= n; p++ {
		a.note(p, 0, at(p))
		require.LessOrEqual(t, len(a.marks), agesMost)
	}
	for p := dcb.Position(1); p <= n; p++ {
		want := at(n).Sub(at(p))
		got := a.of(p-1, at(n))
		require.GreaterOrEqual(t, got, want, "of what comes after %d", p-1)
		require.LessOrEqual(t, got, want+agesApart+at(n).Sub(at(0))/100, "of what comes after %d", p-1)
	}
	require.Zero(t, a.of(n, at(2*n)), "nothing comes after the last")
}

func BenchmarkWhatCountingCosts(b *testing.B) {
	var c counters
	var a ages
	c.init()
	g := &group{count: 1, bytes: 100, bodies: make([][]byte, 1)}
	now := time.Now()
	for i := range b.N {
		c.committed(g)
		a.note(dcb.Position(i+1), dcb.Position(i), now.Add(time.Duration(i)*100))
	}
}

// TestBusyIsWhenThereIsSomethingToDo: filing takes what the committer leaves, so it must not be told of rest while one is waiting for his answer.
func TestBusyIsWhenThereIsSomethingToDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, FlushBatch, Limits{}, wal.Options{Fdatasync: func(*os.File) error { time.Sleep(time.Second); return nil }}, nil)
		synctest.Wait()
		time.Sleep(time.Minute)
		require.Zero(t, r.Busy(), "asleep all the time")
		_, err := r.Append(ctxb, []dcb.Event{event("T")}, nil)
		require.NoError(t, err)
		synctest.Wait()
		require.Equal(t, time.Second, r.Busy())
		time.Sleep(time.Minute)
		require.Equal(t, time.Second, r.Busy(), "asleep again")
		staged := r.async(ctxb, nil, event("T"))
		time.Sleep(time.Second / 2)
		require.Equal(t, time.Second*3/2, r.Busy(), "in the middle of it")
		require.NoError(t, (<-staged).err)
		synctest.Wait()
		require.Equal(t, 2*time.Second, r.Busy())
		require.Equal(t, 2*time.Second, r.Stats().CommitTime)
		r.Close()
	})
}

package opossum

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// rounds returns how often to repeat a race: a twentieth in -short, and half under the race detector, which is slow.
func rounds(n int) int {
	switch {
	case testing.Short():
		return max(n/20, 2)
	case raceEnabled:
		return max(n/2, 2)
	}
	return n
}

// contests are the ways in which racers can exclude each other. Each makes the event that one racer appends in a round, and
// the condition that all of them carry. head is where the round began.
var contests = []struct {
	name string
	make func(round, racer int, head Position) ([]Event, *Condition)
}{
	{"by a tag", func(r, i int, head Position) ([]Event, *Condition) {
		tag := Tag(fmt.Sprint("tag:", r))
		return []Event{event("T", tag)}, failIfMatch(ByTags(tag), 0)
	}},
	{"by a tag that must not exist", func(r, i int, head Position) ([]Event, *Condition) {
		tag := Tag(fmt.Sprint("unique:", r))
		return []Event{event("T", "noise", tag)}, failIfExists(ByTags(tag))
	}},
	{"by a type, the events being tagless", func(r, i int, head Position) ([]Event, *Condition) {
		typ := fmt.Sprint("Type", r)
		return []Event{event(typ)}, failIfMatch(ByTypes(typ), 0)
	}},
	{"by a type seen before, tagless", func(r, i int, head Position) ([]Event, *Condition) {
		return []Event{event("Same")}, failIfMatch(ByTypes("Same"), head)
	}},
	{"by everything, tagless", func(r, i int, head Position) ([]Event, *Condition) {
		return []Event{event("Any")}, failIfMatch(AllEvents(), head)
	}},
	{"by type and two tags", func(r, i int, head Position) ([]Event, *Condition) {
		a, b := Tag(fmt.Sprint("a:", r)), Tag(fmt.Sprint("b:", r))
		q := Match(QueryItem{Types: []string{"X", "Pair"}, Tags: []Tag{b, a}})
		return []Event{event("Other", a), event("Pair", a, b)}, failIfMatch(q, 0)
	}},
	{"by either of two items, each racer appending another one", func(r, i int, head Position) ([]Event, *Condition) {
		a, b := Tag(fmt.Sprint("l:", r)), Tag(fmt.Sprint("r:", r))
		q := Match(QueryItem{Tags: []Tag{a}}, QueryItem{Tags: []Tag{b}})
		return []Event{event("T", []Tag{a, b}[i%2])}, failIfMatch(q, 0)
	}},
	{"by the last event of a batch", func(r, i int, head Position) ([]Event, *Condition) {
		tag := Tag(fmt.Sprint("batch:", r))
		return []Event{event("A"), event("B", "x"), event("C", tag)}, failIfMatch(ByTags(tag), head)
	}},
}

func testExactlyOneWins(t *testing.T, e *Engine, racers, from, rounds int) {
	t.Helper()
	for r := from; r < from+rounds; r++ {
		c := contests[r%len(contests)]
		head := e.Head()
		var won, failed atomic.Int64
		var winner atomic.Uint64
		errs := make([]error, racers)
		size := 0
		race(racers, func(i int) {
			events, cond := c.make(r, i, head)
			p, err := e.Append(ctxb, events, cond)
			if err == nil {
				won.Add(1)
				winner.Store(uint64(p))
				return
			}
			errs[i] = err
			failed.Add(1)
		})
		events, cond := c.make(r, 0, head)
		size = len(events)
		require.EqualValues(t, 1, won.Load(), "round %d, %s: exactly one append succeeds", r, c.name)
		require.Equal(t, head+Position(size), e.Head(), "round %d, %s: nothing else was written", r, c.name)
		q := cond.FailIfMatch.Or(cond.FailIfExists)
		for _, err := range errs {
			if err == nil {
				continue
			}
			var failure *ConditionFailedError
			require.ErrorAs(t, err, &failure, "round %d, %s", r, c.name)
			require.True(t, failure.Position > head && failure.Position <= Position(winner.Load()), "round %d, %s: %d is the winner's", r, c.name, failure.Position)
			if !q.IsAll() {
				at := readAll(t, e, q, ReadOptions{After: failure.Position - 1, Before: failure.Position + 1})
				require.Len(t, at, 1, "the position in the error is that of a match")
			}
		}
	}
}

func TestOfManyRacersWithTheSameConditionExactlyOneSucceeds(t *testing.T) {
	for _, racers := range []int{16, 64, 256} {
		t.Run(fmt.Sprint(racers, " racers without syncs"), func(t *testing.T) {
			e := newStore(t)
			n := rounds(1000)
			if raceEnabled && racers == 256 {
				n /= 2
			}
			testExactlyOneWins(t, e, racers, 0, n)
			checkDense(t, e)
		})
		t.Run(fmt.Sprint(racers, " racers with a sync per group"), func(t *testing.T) {
			e := openStore(t, t.TempDir(), nil, hooks{})
			testExactlyOneWins(t, e, racers, 0, rounds(96))
			checkDense(t, e)
		})
	}
}

func TestTwoHundredRacersFillExactlyTenPlaces(t *testing.T) {
	for _, flush := range []Flush{FlushBatch, FlushDisabled} {
		t.Run(flush.String(), func(t *testing.T) {
			const places, racers = 10, 200
			e := openStore(t, t.TempDir(), &Options{Flush: flush}, hooks{})
			var in, full atomic.Int64
			q := ByTags("course:1")
			race(racers, func(i int) {
				for {
					v, err := e.Read(ctxb, q, ReadOptions{})
					if err != nil {
						t.Error(err)
						return
					}
					taken, err := collect(v.All())
					if err != nil {
						t.Error(err)
						return
					}
					if len(taken) >= places {
						full.Add(1)
						return
					}
					_, err = e.Append(ctxb, []Event{event("Enrolled", "course:1", Tag(fmt.Sprint("student:", i)))}, failIfMatch(q, v.Head()))
					if err == nil {
						in.Add(1)
						return
					}
					if !errors.Is(err, ErrConditionFailed) {
						t.Error(err)
						return
					}
				}
			})
			require.EqualValues(t, places, in.Load())
			require.EqualValues(t, racers-places, full.Load())
			require.Len(t, readAll(t, e, q, ReadOptions{}), places)
		})
	}
}

func TestDisjointConditionsNeverConflict(t *testing.T) {
	e := newStore(t)
	each := rounds(200)
	race(64, func(i int) {
		tag, typ := Tag(fmt.Sprint("own:", i)), fmt.Sprint("Own", i)
		last := Position(0)
		for n := range each {
			var events []Event
			var q Query
			switch n % 3 {
			case 0:
				events, q = []Event{event("Shared", "shared", tag)}, ByTags(tag, "shared").Or(ByTypes(typ))
			case 1:
				events, q = []Event{event(typ)}, ByTypes(typ).Or(ByTags(tag))
			case 2:
				events, q = []Event{event("Shared", tag), event(typ, "shared")}, ByTags(tag).Or(Match(QueryItem{Types: []string{typ}, Tags: []Tag{"shared"}}, QueryItem{Types: []string{typ}}))
			}
			p, err := e.Append(ctxb, events, failIfMatch(q, last))
			if err != nil {
				t.Errorf("racer %d, append %d: %v", i, n, err)
				return
			}
			last = p
		}
	})
	require.Zero(t, e.Metrics().Rejected)
	checkDense(t, e)
}

func TestAfterIsExclusive(t *testing.T) {
	cases := []struct {
		after Position
		want  Position // of the match; 0: the append succeeds
	}{{0, 1}, {1, 2}, {2, 3}, {3, 0}, {4, 0}, {1000, 0}, {math.MaxUint64, 0}}
	for _, q := range []Query{ByTags("a"), ByTypes("T"), AllEvents(), Match(QueryItem{Types: []string{"T"}, Tags: []Tag{"a"}}), ByTypes("U", "T"), ByTags("a", "b")} {
		e := newStore(t)
		appendOK(t, e, nil, event("T", "a", "b"), event("T", "a", "b"), event("T", "b", "a"))
		for _, c := range cases[:3] {
			_, err := e.Append(ctxb, []Event{event("Last")}, failIfMatch(q, c.after))
			require.ErrorIs(t, err, ErrConditionFailed)
			require.NotErrorIs(t, err, ErrAlreadyExists)
			require.Equal(t, fmt.Sprint("exists=false at ", c.want), conditionError(err), "after %d: the first match counts", c.after)
		}
		for _, c := range cases[3:] {
			e := newStore(t)
			appendOK(t, e, nil, event("T", "a", "b"), event("T", "a", "b"), event("T", "b", "a"))
			require.EqualValues(t, 4, appendOK(t, e, failIfMatch(q, c.after), event("Last")))
		}
	}
}

func TestAnAfterBeyondTheHeadIgnoresWhatComesUpToIt(t *testing.T) {
	e := newStore(t)
	appendOK(t, e, nil, event("T", "a"))
	appendOK(t, e, failIfMatch(ByTags("a"), 3), event("T", "a")) // position 2
	appendOK(t, e, failIfMatch(ByTags("a"), 3), event("T", "a")) // position 3, still not after 3
	appendOK(t, e, failIfMatch(ByTags("a"), 3), event("T", "a")) // position 4: judged before it is there
	_, err := e.Append(ctxb, []Event{event("T", "a")}, failIfMatch(ByTags("a"), 3))
	require.ErrorIs(t, err, ErrConditionFailed)
	require.Equal(t, "exists=false at 4", conditionError(err))
}

func TestExistenceIsJudgedFirstAndIgnoresAfter(t *testing.T) {
	e := newStore(t)
	appendOK(t, e, nil, event("T", "a"))
	appendOK(t, e, nil, event("T", "b"))
	both := func(match, exists Tag, after Position) error {
		_, err := e.Append(ctxb, []Event{event("T")}, &Condition{FailIfMatch: ByTags(match), After: after, FailIfExists: ByTags(exists)})
		return err
	}
	err := both("a", "b", 0)
	require.ErrorIs(t, err, ErrAlreadyExists)
	require.NotErrorIs(t, err, ErrConditionFailed, "the two can be told apart")
	require.Equal(t, "exists=true at 2", conditionError(err))

	require.Equal(t, "exists=true at 1", conditionError(both("b", "a", 0)))
	require.Equal(t, "exists=true at 1", conditionError(both("none", "a", math.MaxUint64)), "After has no say in existence")
	err = both("b", "none", 1)
	require.ErrorIs(t, err, ErrConditionFailed)
	require.NotErrorIs(t, err, ErrAlreadyExists)
	require.Equal(t, "exists=false at 2", conditionError(err))
	require.NoError(t, both("b", "none", 2))
	require.EqualValues(t, 3, e.Head())
}

func TestAConditionDoesNotSeeTheEventsOfItsOwnAppend(t *testing.T) {
	e := newStore(t)
	p := appendOK(t, e, &Condition{FailIfMatch: AllEvents(), FailIfExists: ByTags("a").Or(ByTypes("T"))}, event("T", "a"), event("T", "a"), event("T", "a"))
	require.EqualValues(t, 3, p)
}

func TestAConditionOnAnEmptyStoreIsChecked(t *testing.T) { // H8
	e := newStore(t)
	appendOK(t, e, failIfMatch(AllEvents(), 0), event("T"))
	_, err := e.Append(ctxb, []Event{event("T")}, failIfMatch(AllEvents(), 0))
	require.ErrorIs(t, err, ErrConditionFailed)
}

// slowly opens a store whose next conditional append stops between its snapshot and its staging, as often as meanwhile has
// functions: each runs there.
func slowly(t *testing.T, opts *Options) (e *Engine, during func(meanwhile ...func())) {
	var steps []func()
	var armed atomic.Bool
	e = openStore(t, t.TempDir(), opts, hooks{snapshotted: func() {
		if !armed.CompareAndSwap(true, false) {
			return // an append of one of the steps
		}
		step := steps[0]
		steps = steps[1:]
		step()
		armed.Store(len(steps) > 0)
	}})
	return e, func(meanwhile ...func()) {
		steps = meanwhile
		armed.Store(true)
	}
}

func TestACallerDelayedBetweenSnapshotAndStagingNeverSlipsThrough(t *testing.T) {
	for _, c := range contests {
		t.Run(c.name, func(t *testing.T) {
			e, during := slowly(t, &Options{Flush: FlushDisabled})
			appendOK(t, e, nil, event("Before", "x"))
			events, cond := c.make(1, 0, e.Head())
			during(func() { appendOK(t, e, nil, events...) })
			_, err := e.Append(ctxb, events, cond)
			var failure *ConditionFailedError
			require.ErrorAs(t, err, &failure)
			require.Equal(t, Position(1+len(events)), e.Head())
		})
		t.Run(c.name+", beside more than the window", func(t *testing.T) {
			e, during := slowly(t, &Options{Flush: FlushDisabled})
			appendOK(t, e, nil, event("Before", "x"))
			events, cond := c.make(1, 0, e.Head())
			during(func() {
				appendOK(t, e, nil, numbered(3000, "Noise")...)
				appendOK(t, e, nil, events...)
				appendOK(t, e, nil, numbered(3000, "Noise")...)
			})
			_, err := e.Append(ctxb, events, cond)
			var failure *ConditionFailedError
			require.ErrorAs(t, err, &failure)
			if !cond.FailIfMatch.IsAll() {
				require.True(t, failure.Position > 3001 && failure.Position <= 3001+Position(len(events)), "%d", failure.Position)
			}
			require.EqualValues(t, 1, e.Metrics().Returned, "it was sent back for a new snapshot")
			require.Equal(t, Position(6001+len(events)), e.Head())
		})
	}
}

func TestACallerWhosePatienceEndsIsStillJudgedExactly(t *testing.T) {
	noise := func(e *Engine) func() {
		return func() { _, _ = e.Append(ctxb, numbered(5000, "Noise"), nil) }
	}
	t.Run("it passes if nothing matches", func(t *testing.T) {
		e, during := slowly(t, &Options{Flush: FlushDisabled})
		n := noise(e)
		during(n, n, n, n)
		p := appendOK(t, e, failIfMatch(ByTags("a"), 0), event("T", "a"))
		require.EqualValues(t, 20_001, p)
		require.EqualValues(t, 3, e.Metrics().Returned, "three times sent back, then checked over the whole window")
	})
	for step := range 4 {
		t.Run(fmt.Sprint("it fails if a match came in round ", step), func(t *testing.T) {
			e, during := slowly(t, &Options{Flush: FlushDisabled})
			n := noise(e)
			steps := []func(){n, n, n, n}
			steps[step] = func() {
				appendOK(t, e, nil, numbered(2500, "Noise")...)
				appendOK(t, e, nil, event("T", "a"))
				appendOK(t, e, nil, numbered(2500, "Noise")...)
			}
			during(steps...)
			_, err := e.Append(ctxb, []Event{event("T", "a")}, failIfMatch(ByTags("a"), 0))
			require.Equal(t, fmt.Sprintf("exists=false at %d", step*5000+2501), conditionError(err))
		})
	}
	t.Run("it fails if the match lies deep in a window that is larger than most", func(t *testing.T) {
		e, during := slowly(t, &Options{Flush: FlushDisabled})
		n := noise(e)
		during(n, n, n, func() {
			appendOK(t, e, nil, event("T", "a"))
			appendOK(t, e, nil, numbered(5000, "Noise")...)
		})
		_, err := e.Append(ctxb, []Event{event("T", "a")}, failIfMatch(ByTags("a"), 0))
		require.Equal(t, "exists=false at 15001", conditionError(err))
	})
	t.Run("it fails if the match exists only", func(t *testing.T) {
		e, during := slowly(t, &Options{Flush: FlushDisabled})
		n := noise(e)
		during(n, n, n, func() {
			appendOK(t, e, nil, numbered(5000, "Noise")...)
			appendOK(t, e, nil, event("T", "a"))
		})
		_, err := e.Append(ctxb, []Event{event("T", "a")}, &Condition{FailIfMatch: ByTypes("never"), After: math.MaxUint64, FailIfExists: ByTags("a")})
		require.Equal(t, "exists=true at 20001", conditionError(err))
	})
}

func TestAnAppendWithoutAConditionIsNeverSentBack(t *testing.T) {
	e, during := slowly(t, &Options{Flush: FlushDisabled})
	during(func() { appendOK(t, e, nil, numbered(5000, "Noise")...) })
	require.EqualValues(t, 5001, appendOK(t, e, nil, event("T")))
	require.Zero(t, e.Metrics().Returned)
}

// staging returns a store in which events are staged and their group hangs in its sync (or, relaxed, in its write).
func staging(t *testing.T, flush Flush) (e *Engine, v *valve) {
	v = new(valve)
	h := hooks{}
	if flush == FlushDisabled {
		h.wal.Write = v.write
	} else {
		h.wal.Fdatasync = v.fdatasync
	}
	return openStore(t, t.TempDir(), &Options{Flush: flush}, h), v
}

func TestStagedEventsCountForConditionsAndAreInvisibleToReads(t *testing.T) {
	for _, flush := range []Flush{FlushBatch, FlushDisabled} {
		for _, c := range contests {
			t.Run(flush.String()+" "+c.name, func(t *testing.T) {
				e, v := staging(t, flush)
				appendOK(t, e, nil, event("Before", "x"))
				head := e.Head()
				entered, open := v.shut()
				defer open()
				events, cond := c.make(1, 0, head)
				q := cond.FailIfMatch.Or(cond.FailIfExists)
				first := appendAsync(ctxb, e, cond, events...)
				await(t, entered)
				waitAssigned(t, e, head+Position(len(events)))

				require.Equal(t, head, e.Head())
				require.Empty(t, readAll(t, e, q, ReadOptions{After: head}), "what is staged is not read")
				require.Empty(t, readAll(t, e, q, ReadOptions{After: head, Backwards: true}))
				if last, err := e.ReadLast(ctxb, q); err == nil {
					require.LessOrEqual(t, last.Position, head)
				} else {
					require.ErrorIs(t, err, ErrNotFound)
				}
				require.Len(t, readAll(t, e, AllEvents(), ReadOptions{}), int(head))

				// A rejection that rests on a staged event must not be answered yet.
				second := appendAsync(ctxb, e, cond, events...)
				third := appendAsync(ctxb, e, nil, event("Other"))
				waitAssigned(t, e, head+Position(len(events))+1)
				select {
				case r := <-second:
					require.FailNow(t, "answered before the event it rests on is visible", "%+v", r)
				case r := <-first:
					require.FailNow(t, "answered before its sync", "%+v", r)
				default:
				}
				open()
				r := await(t, first)
				require.NoError(t, r.err)
				require.Equal(t, head+Position(len(events)), r.p)
				require.NoError(t, await(t, third).err)
				lost := await(t, second)
				var failure *ConditionFailedError
				require.ErrorAs(t, lost.err, &failure)
				require.LessOrEqual(t, failure.Position, e.Head(), "it is readable by now")
				require.Equal(t, head+Position(len(events))+1, e.Head())
			})
		}
	}
}

func TestARejectionIsAnsweredOnlyWhenItsMatchIsVisible(t *testing.T) {
	v := new(valve)
	var judged atomic.Int64
	h := hooks{snapshotted: func() { judged.Add(1) }}
	h.wal.Fdatasync = v.fdatasync
	e := openStore(t, t.TempDir(), nil, h)
	entered, open := v.shut()
	defer open()
	first := appendAsync(ctxb, e, nil, event("T", "a"))
	await(t, entered)
	const losers = 50
	visible := make(chan bool, losers)
	go race(losers, func(i int) {
		_, err := e.Append(ctxb, []Event{event("T", "a")}, failIfMatch(ByTags("a"), 0))
		visible <- errors.Is(err, ErrConditionFailed) && e.Head() >= 1
	})
	eventually(t, "all losers passed the check at their snapshot", func() bool { return judged.Load() == 1+losers })
	for range 1000 {
		runtime.Gosched() // every chance to answer too early
	}
	require.Empty(t, visible)
	open()
	for range losers {
		require.True(t, await(t, visible))
	}
	require.NoError(t, await(t, first).err)
	require.EqualValues(t, losers, e.Metrics().Rejected)
	require.EqualValues(t, 1, e.Head())
}

func TestRejectedAppendsLeaveNothingBehind(t *testing.T) {
	e := newStore(t)
	appendOK(t, e, nil, event("T", "a"))
	race(16, func(i int) {
		for n := range 50 {
			tag := Tag("garbage:" + strconv.Itoa(i) + "/" + strconv.Itoa(n))
			if _, err := e.Append(ctxb, []Event{event("Garbage", tag), event("T", tag)}, failIfMatch(ByTags("a"), 0)); !errors.Is(err, ErrConditionFailed) {
				t.Error(err)
			}
		}
	})
	require.EqualValues(t, 1, e.Head())
	require.Empty(t, readAll(t, e, ByTypes("Garbage"), ReadOptions{}))
	// What they would have written can still be claimed by others.
	appendOK(t, e, failIfExists(ByTypes("Garbage").Or(ByTags("garbage:3/7"))), event("Garbage", "garbage:3/7"))
	require.Len(t, readAll(t, e, ByTypes("Garbage"), ReadOptions{}), 1)
}

// heapAfter returns how many bytes more are in use after f than before.
func heapAfter(f func()) int64 {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	f()
	runtime.GC()
	runtime.ReadMemStats(&after)
	return int64(after.HeapAlloc) - int64(before.HeapAlloc)
}

func TestAppendsRejectedByStagedEventsLeaveNoTermsInMemory(t *testing.T) {
	v := new(valve)
	var judged atomic.Int64
	h := hooks{snapshotted: func() { judged.Add(1) }}
	h.wal.Write = v.write
	e := openStore(t, t.TempDir(), &Options{Flush: FlushDisabled}, h)
	grown := heapAfter(func() {
		entered, open := v.shut()
		defer open()
		first := appendAsync(ctxb, e, nil, event("T", "a"))
		await(t, entered)
		const losers, each, size = 100, 8, 60_000 // 48 MB of tags
		var lost sync.WaitGroup
		for i := range losers {
			lost.Go(func() {
				var tags []Tag
				for n := range each {
					tags = append(tags, Tag(fmt.Sprint(i, "/", n, strings.Repeat("x", size))))
				}
				if _, err := e.Append(ctxb, []Event{event("Lost", tags...)}, failIfMatch(ByTags("a"), 0)); !errors.Is(err, ErrConditionFailed) {
					t.Error(err)
				}
			})
		}
		eventually(t, "all are past their snapshot, their terms interned", func() bool { return judged.Load() == 1+losers })
		open()
		require.NoError(t, await(t, first).err)
		lost.Wait()
	})
	require.Less(t, grown, int64(16<<20))
}

func TestTheIndexDoesNotHoldOnToLargerStringsOfTheCaller(t *testing.T) {
	e := newStore(t)
	grown := heapAfter(func() {
		for i := range 50 {
			large := fmt.Sprint("tag:", i, "|", strings.Repeat("x", 1<<20))
			tag := large[:strings.IndexByte(large, '|')]
			appendOK(t, e, failIfExists(ByTags(Tag(tag))), event("T:"+tag, Tag(tag)))
		}
	})
	require.Less(t, grown, int64(16<<20))
}

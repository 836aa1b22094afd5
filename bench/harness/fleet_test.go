package harness

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"opossum"
)

// stub is a target that only counts.
type stub struct {
	events atomic.Int64
	append func(n int64) error // n: events so far
}

func (s *stub) Append(_ context.Context, events []opossum.Event, _ *opossum.Condition) error {
	return s.append(s.events.Add(int64(len(events))))
}

func (s *stub) Close() error { return nil }

func TestARunAppendsExactlyAsManyEventsAsItIsTold(t *testing.T) {
	for _, events := range []int{1, 6, 7, 8, 1000} {
		s := &stub{append: func(int64) error { return nil }}
		result, err := NewFleet(Default, Append, 5, 7).Run(t.Context(), s, Limit{Events: events})
		require.NoError(t, err)
		require.Equal(t, events, result.Events)
		require.EqualValues(t, events, s.events.Load())
	}
}

func TestARunEndsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // a commit takes time, of which none passes in earnest
		s := &stub{append: func(int64) error { time.Sleep(time.Millisecond); return nil }}
		result, err := NewFleet(Default, Append, 3, 1).Run(t.Context(), s, Limit{Time: 30 * time.Millisecond})
		require.NoError(t, err)
		require.EqualValues(t, s.events.Load(), result.Events)
		require.GreaterOrEqual(t, result.Elapsed, 30*time.Millisecond)
		require.GreaterOrEqual(t, result.P50, time.Millisecond)
		require.GreaterOrEqual(t, result.Max, result.P99)
	})
}

func TestARunEndsWhenItIsToldTo(t *testing.T) {
	stop := make(chan struct{})
	s := &stub{append: func(n int64) error {
		if n == 100 {
			close(stop)
		}
		return nil
	}}
	result, err := NewFleet(Default, Append, 1, 1).Run(t.Context(), s, Limit{Time: 5 * time.Second, Stop: stop})
	require.NoError(t, err)
	require.Equal(t, 100, result.Events)
}

func TestTheFirstErrorEndsARun(t *testing.T) {
	broken := errors.New("broken")
	s := &stub{append: func(n int64) error {
		if n == 100 {
			return broken
		}
		return nil
	}}
	_, err := NewFleet(Default, Append, 8, 1).Run(t.Context(), s, Limit{Time: time.Hour})
	require.ErrorIs(t, err, broken)
}

func TestARunWithoutEventsIsAnError(t *testing.T) {
	s := &stub{append: func(int64) error { return nil }}
	_, err := NewFleet(Default, Append, 1, 1).Run(t.Context(), s, Limit{Time: 1})
	require.ErrorContains(t, err, "nothing was appended")
}

func TestAScheduleCountsFromWhenAStepWasDue(t *testing.T) {
	const stall = 200 * time.Millisecond
	var once atomic.Bool
	s := &stub{append: func(int64) error {
		if once.CompareAndSwap(false, true) {
			time.Sleep(stall) // the disk has a hiccup: all who are due meanwhile wait
		}
		return nil
	}}
	result, err := NewFleet(Default, Append, 1, 1).Run(t.Context(), s, Limit{Time: 2 * stall, Rate: 1000, Window: stall / 2})
	require.NoError(t, err)
	require.Equal(t, 400, result.Steps, "the schedule calls for so many")
	require.Greater(t, result.P50, time.Duration(0))
	require.GreaterOrEqual(t, result.Quantiles[3].Latency, stall/4, "75 %%: half of the steps were due during the stall")
	require.NotEmpty(t, result.Windows)
	for _, w := range result.Windows {
		require.LessOrEqual(t, w.P50, w.P99)
	}
}

func TestARunThatIsShorterThanAWindowIsOne(t *testing.T) {
	const ms = time.Millisecond
	for name, c := range map[string]struct {
		events int // one each 10 ms
		window time.Duration
		want   []Window // but for their latencies
	}{
		"shorter":                             {3, time.Hour, []Window{{At: 30 * ms, Events: 3}}},
		"longer, and the rest is left out":    {3, 28 * ms, []Window{{At: 28 * ms, Events: 2}}},
		"none in some, and the rest left out": {3, 8 * ms, []Window{{At: 8 * ms}, {At: 16 * ms, Events: 1}, {At: 24 * ms, Events: 1}}},
		"all in the rest":                     {1, 6 * ms, []Window{{At: 6 * ms}, {At: 10 * ms, Events: 1}}},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := &stub{append: func(int64) error { time.Sleep(10 * ms); return nil }}
			result, err := NewFleet(Default, Append, 1, 1).Run(t.Context(), s, Limit{Events: c.events, Window: c.window})
			require.NoError(t, err)
			for i, w := range result.Windows {
				require.Equal(t, w.Events > 0, w.P99 >= 10*ms, name)
				result.Windows[i].P50, result.Windows[i].P99 = 0, 0
			}
			require.Equal(t, c.want, result.Windows, name)
		})
	}
}

func TestConflictsAreCountedAndDecidedAnew(t *testing.T) {
	e, err := openEngine(t.TempDir(), nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, e.Close()) }()
	result, err := NewFleet(Default, DecideHot, 8, 1).Run(t.Context(), e, Limit{Events: 200})
	require.NoError(t, err)
	require.Equal(t, 200, result.Events)
	require.EqualValues(t, 200, e.Head())
	require.Positive(t, result.Conflicts)
}

func TestDecidersWorkBesideOthers(t *testing.T) {
	cell := Cell{Way: Opossum(), Load: SeatsOwn, Beside: SeatsHot, Workload: Default, Writers: 8, EventsPerAppend: 1, Time: 100 * time.Millisecond}
	result, err := cell.Measure(t.Context(), t.TempDir())
	require.NoError(t, err)
	require.Positive(t, result.Events)
	require.Equal(t, result.Steps, result.Events)
	require.Zero(t, result.Conflicts, "a course of one's own")
	require.NotNil(t, result.Beside)
	require.Positive(t, result.Beside.Events)
	require.Positive(t, result.Beside.Conflicts, "a course of all")
	require.GreaterOrEqual(t, result.LifeEvents, result.Events+result.Beside.Events)

	cell.Beside = Load{}
	result, err = cell.Measure(t.Context(), t.TempDir())
	require.NoError(t, err)
	require.Nil(t, result.Beside)

	_, err = LoadJob{Load: SeatsOwn.Name, Beside: "nothing", Bytes: 256, Writers: 1, EventsPerAppend: 1, Events: 10}.measure(t.Context(), t.TempDir(), Opossum())
	require.ErrorContains(t, err, `no load is called "nothing"`)
}

func TestNobodyTakesMoreSeatsThanThereAre(t *testing.T) {
	e, err := openEngine(t.TempDir(), nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, e.Close()) }()
	_, err = NewFleet(Default, SeatsHot, 8, 1).Run(t.Context(), e, Limit{Events: 5*seats + 1})
	require.NoError(t, err)
	for course, want := range map[opossum.Tag]int{"course:hot-0": seats, "course:hot-4": seats, "course:hot-5": 1, "course:hot-6": 0} {
		n := 0
		require.NoError(t, e.Read(t.Context(), opossum.ByTags(course), 0, func(opossum.SequencedEvent) { n++ }))
		require.Equal(t, want, n, course)
	}

	_, err = NewFleet(Default, SeatsOwn, 1, 1).Run(t.Context(), forgetful{e}, Limit{Events: 1})
	require.ErrorIs(t, err, errors.ErrUnsupported)
}

package decision_test

import (
	"context"
	"errors"
	"math"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"opossum/dcb"
	"opossum/decision"
)

// contested is a store whose first so many appends meet with an event that somebody else has just appended.
func contested(times int, events ...dcb.Event) *memory {
	m := storeOf(events...)
	m.before = func(append int) {
		if append <= times {
			m.add(event("A", "x:1"))
		}
	}
	return m
}

// atOnce retries without a pause and notes how long it would have been.
func atOnce(waited *[]time.Duration, attempts int) decision.Retry {
	return decision.Retry{Attempts: attempts, Rand: func() float64 { return 0.5 }, Wait: func(_ context.Context, d time.Duration) error {
		*waited = append(*waited, d)
		return nil
	}}
}

func TestTheConditionIsExactlyQueryAndHead(t *testing.T) {
	m := storeOf(event("A", "x:1"), event("B", "x:2"), event("C"))
	p := decision.Join2(count(dcb.ByTags("x:1")), count(dcb.ByTags("x:2")))
	d, err := decision.Decide(ctxb, m, p, func(s decision.Pair[int, int]) ([]dcb.Event, error) {
		require.Equal(t, decision.Pair[int, int]{First: 1, Second: 1}, s)
		return []dcb.Event{event("D", "x:1"), event("E")}, nil
	}, decision.Retry{})
	require.NoError(t, err)
	require.Equal(t, decision.Decision{Position: 5, Head: 3, Attempts: 1}, d)
	require.Equal(t, []dcb.Condition{{FailIfMatch: p.Query, After: 3}}, m.appends)
	require.Len(t, m.reads, 1, "one query, read once")
	require.Equal(t, event("D", "x:1"), m.events[3].Event)
}

// H8 of the original: a decision about everything, on nothing, was an append without a check.
func TestADecisionOnAnEmptyStoreIsChecked(t *testing.T) {
	m := contested(1)
	var waited []time.Duration
	d, err := decision.Decide(ctxb, m, count(dcb.AllEvents()), add("B"), atOnce(&waited, 0))
	require.NoError(t, err)
	require.Equal(t, decision.Decision{Position: 2, Head: 1, Attempts: 2}, d)
	require.Equal(t, []dcb.Condition{{FailIfMatch: dcb.AllEvents()}, {FailIfMatch: dcb.AllEvents(), After: 1}}, m.appends)
}

func TestWhatHasChangedIsReadAndDecidedAnew(t *testing.T) {
	m := contested(3, event("A", "x:1"))
	var waited []time.Duration
	var states []int
	d, err := decision.Decide(ctxb, m, count(dcb.ByTags("x:1")), func(n int) ([]dcb.Event, error) {
		states = append(states, n)
		return []dcb.Event{event("A", "x:1")}, nil
	}, atOnce(&waited, 0))
	require.NoError(t, err)
	require.Equal(t, decision.Decision{Position: 5, Head: 4, Attempts: 4}, d)
	require.Equal(t, []int{1, 2, 3, 4}, states)
	q := dcb.ByTags("x:1")
	require.Equal(t, []asked{{q, 0, 1}, {q, 1, 1}, {q, 2, 1}, {q, 3, 1}}, m.reads, "only what is newer")
	require.Equal(t, []dcb.Condition{{FailIfMatch: q, After: 1}, {FailIfMatch: q, After: 2}, {FailIfMatch: q, After: 3}, {FailIfMatch: q, After: 4}}, m.appends)
	ms := time.Millisecond
	require.Equal(t, []time.Duration{ms / 2, ms, 2 * ms}, waited)
}

func TestItGivesUpAfterTheLastAttempt(t *testing.T) {
	for attempts, want := range map[int]int{1: 1, 2: 2, 7: 7, 0: decision.DefaultAttempts} {
		m := contested(math.MaxInt)
		var waited []time.Duration
		d, err := decision.Decide(ctxb, m, count(dcb.ByTags("x:1")), add("A", "x:1"), atOnce(&waited, attempts))
		require.ErrorIs(t, err, dcb.ErrConditionFailed)
		require.ErrorContains(t, err, "(attempts: "+strconv.Itoa(want)+")")
		var failed *dcb.ConditionFailedError
		require.ErrorAs(t, err, &failed)
		require.EqualValues(t, want, failed.Position)
		require.Equal(t, decision.Decision{Head: dcb.Position(want - 1), Attempts: want}, d)
		require.Len(t, waited, want-1, "no pause before giving up")
		require.Len(t, m.reads, want)
		require.Len(t, m.events, want, "nothing of the decision")
	}
}

func TestErrorsOfADecision(t *testing.T) {
	full := errors.New("the course is full")
	p := count(dcb.ByTags("x:1"))
	panics := p
	panics.Apply = func(int, dcb.SequencedEvent) int { panic("boom") }
	ended, cancel := context.WithCancel(ctxb)
	cancel()
	for name, c := range map[string]struct {
		ctx      context.Context
		p        decision.Projection[int]
		decide   func(int) ([]dcb.Event, error)
		store    func(*memory)
		retry    decision.Retry
		want     error
		exactly  bool // the very error
		attempts int
		reads    int
		appends  int
	}{
		"refused":                       {decide: func(int) ([]dcb.Event, error) { return []dcb.Event{event("A")}, full }, want: full, exactly: true, attempts: 1, reads: 1},
		"refused, in the store's words": {decide: func(int) ([]dcb.Event, error) { return nil, dcb.ErrConditionFailed }, want: dcb.ErrConditionFailed, exactly: true, attempts: 1, reads: 1},
		"refused at last": {store: func(m *memory) { m.before = func(int) { m.add(event("A", "x:1")) } }, decide: func(n int) ([]dcb.Event, error) {
			if n == 4 {
				return nil, full
			}
			return []dcb.Event{event("A", "x:1")}, nil
		}, want: full, exactly: true, attempts: 4, reads: 4, appends: 3},
		"nothing":           {decide: func(int) ([]dcb.Event, error) { return nil, nil }, want: dcb.ErrNoEvents, attempts: 1, reads: 1},
		"no events":         {decide: func(int) ([]dcb.Event, error) { return []dcb.Event{}, nil }, want: dcb.ErrNoEvents, attempts: 1, reads: 1},
		"negative attempts": {retry: decision.Retry{Attempts: -1}, want: dcb.ErrInvalidOption},
		"no projection":     {p: decision.Projection[int]{Name: "none"}, want: decision.ErrInvalidProjection},
		"a zero query":      {p: count(dcb.Query{}), want: dcb.ErrInvalidQuery},
		"a panic":           {p: panics, want: decision.ErrProjectionPanicked, reads: 1},
		"a panic later":     {p: panics, store: func(m *memory) { m.events = nil; m.before = func(int) { m.add(event("A", "x:1")) } }, want: decision.ErrProjectionPanicked, attempts: 1, reads: 2, appends: 1},
		"no read":           {store: func(m *memory) { m.readErr = func(int) error { return errBroken } }, want: errBroken, exactly: true, reads: 1},
		"a broken read":     {store: func(m *memory) { m.breakAt = func(int) (int, error) { return 1, errBroken } }, want: errBroken, exactly: true, reads: 1},
		"no second read": {store: func(m *memory) {
			m.before = func(int) { m.add(event("A", "x:1")) }
			m.readErr = func(n int) error {
				if n == 2 {
					return errBroken
				}
				return nil
			}
		}, want: errBroken, exactly: true, attempts: 1, reads: 2, appends: 1},
		"unknown": {store: func(m *memory) { m.replyErr = func(int) error { return dcb.ErrOutcomeUnknown } }, want: dcb.ErrOutcomeUnknown, exactly: true, attempts: 1, reads: 1, appends: 1},
		"exists": {store: func(m *memory) {
			m.replyErr = func(int) error { return &dcb.ConditionFailedError{Position: 1, Exists: true} }
		}, want: dcb.ErrAlreadyExists, attempts: 1, reads: 1, appends: 1},
		"poisoned":  {store: func(m *memory) { m.replyErr = func(int) error { return dcb.ErrPoisoned } }, want: dcb.ErrPoisoned, exactly: true, attempts: 1, reads: 1, appends: 1},
		"ended ctx": {ctx: ended, want: context.Canceled},
		"wait fails": {store: func(m *memory) { m.before = func(int) { m.add(event("A", "x:1")) } },
			retry: decision.Retry{Wait: func(context.Context, time.Duration) error { return errBroken }}, want: errBroken, attempts: 1, reads: 1, appends: 1},
	} {
		t.Run(name, func(t *testing.T) {
			m := storeOf(event("A", "x:1"))
			if c.store != nil {
				c.store(m)
			}
			if c.ctx == nil {
				c.ctx = ctxb
			}
			if c.p.Apply == nil && c.p.Name == "" {
				c.p = p
			}
			if c.decide == nil {
				c.decide = add("A", "x:1")
			}
			if c.retry.Wait == nil {
				c.retry.Wait = func(context.Context, time.Duration) error { return nil }
			}
			d, err := decision.Decide(c.ctx, m, c.p, c.decide, c.retry)
			require.ErrorIs(t, err, c.want)
			if c.exactly {
				require.Equal(t, c.want, err)
			}
			require.Zero(t, d.Position)
			require.Equal(t, c.attempts, d.Attempts)
			require.Len(t, m.reads, c.reads)
			require.Len(t, m.appends, c.appends)
		})
	}
}

func TestTheEndOfItsContextEndsAPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := contested(math.MaxInt)
		ctx, cancel := context.WithTimeout(ctxb, time.Minute)
		defer cancel()
		start := time.Now()
		d, err := decision.Decide(ctx, m, count(dcb.ByTags("x:1")), add("A", "x:1"), decision.Retry{MinDelay: time.Hour, Rand: func() float64 { return 0.9 }})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorIs(t, err, dcb.ErrConditionFailed, "which was why it waited")
		require.Equal(t, time.Minute, time.Since(start))
		require.Equal(t, 1, d.Attempts)

		// A pause that is over when its context is does not go on.
		for range 20 { // a select would draw
			ctx, cancel := context.WithCancel(ctxb)
			d, err = decision.Decide(ctx, m, count(dcb.ByTags("x:1")), func(int) ([]dcb.Event, error) {
				m.before = func(int) { m.add(event("A", "x:1")); cancel() }
				return []dcb.Event{event("A", "x:1")}, nil
			}, decision.Retry{Rand: func() float64 { return 0 }})
			require.ErrorIs(t, err, context.Canceled)
			require.ErrorIs(t, err, dcb.ErrConditionFailed, "it ended in the pause")
		}
	})
}

func TestItWaitsByTheClockUnlessToldOtherwise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := contested(10)
		start := time.Now()
		_, err := decision.Decide(ctxb, m, count(dcb.ByTags("x:1")), add("A", "x:1"), decision.Retry{Rand: func() float64 { return 0.5 }})
		require.NoError(t, err)
		require.Equal(t, (1+2+4+8+16+32+64+100+100+100)*time.Millisecond/2, time.Since(start))
	})
}

func TestDelays(t *testing.T) {
	ms := time.Millisecond
	for name, c := range map[string]struct {
		retry  decision.Retry
		random float64
		want   []time.Duration
	}{
		"default, most":    {decision.Retry{}, 1, []time.Duration{ms, 2 * ms, 4 * ms, 8 * ms, 16 * ms, 32 * ms, 64 * ms, 100 * ms, 100 * ms}},
		"default, half":    {decision.Retry{}, 0.5, []time.Duration{ms / 2, ms, 2 * ms, 4 * ms, 8 * ms, 16 * ms, 32 * ms, 50 * ms, 50 * ms}},
		"default, least":   {decision.Retry{}, 0, []time.Duration{0, 0, 0}},
		"bounds":           {decision.Retry{MinDelay: 3 * ms, MaxDelay: 10 * ms}, 1, []time.Duration{3 * ms, 6 * ms, 10 * ms, 10 * ms}},
		"the same":         {decision.Retry{MinDelay: 3 * ms, MaxDelay: 3 * ms}, 1, []time.Duration{3 * ms, 3 * ms, 3 * ms}},
		"a long least one": {decision.Retry{MinDelay: time.Second}, 1, []time.Duration{time.Second, time.Second}},
		"a short most one": {decision.Retry{MaxDelay: 10 * time.Microsecond}, 1, []time.Duration{10 * time.Microsecond, 10 * time.Microsecond}},
		"huge":             {decision.Retry{MinDelay: math.MaxInt64/2 + 1, MaxDelay: math.MaxInt64}, 0.5, []time.Duration{1 << 61, 1 << 62, 1 << 62}},
	} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, c.retry.Validate())
			var waited []time.Duration
			c.retry.Rand = func() float64 { return c.random }
			c.retry.Wait = func(_ context.Context, d time.Duration) error {
				waited = append(waited, d)
				return nil
			}
			_, err := decision.Decide(ctxb, contested(len(c.want)), count(dcb.ByTags("x:1")), add("A", "x:1"), c.retry)
			require.NoError(t, err)
			require.Equal(t, c.want, waited)
		})
	}
	t.Run("never too long", func(t *testing.T) {
		r := decision.Retry{Attempts: 200, MinDelay: 1, MaxDelay: math.MaxInt64, Rand: func() float64 { return 0.999 }, Wait: func(_ context.Context, d time.Duration) error {
			require.GreaterOrEqual(t, d, time.Duration(0), "the doubling does not overflow")
			return nil
		}}
		_, err := decision.Decide(ctxb, contested(150), count(dcb.ByTags("x:1")), add("A", "x:1"), r)
		require.NoError(t, err)
	})
}

func TestRetryIsValidated(t *testing.T) {
	for want, r := range map[string]decision.Retry{
		"Attempts is -1":                         {Attempts: -1},
		"MinDelay is -1ns":                       {MinDelay: -1},
		"MaxDelay -1ns":                          {MaxDelay: -1},
		"MinDelay is 2s and MaxDelay 1s":         {MinDelay: 2 * time.Second, MaxDelay: time.Second},
		"MinDelay is -1ns and MaxDelay 0s, want": {MinDelay: -1, MaxDelay: 0},
	} {
		require.ErrorIs(t, r.Validate(), dcb.ErrInvalidOption)
		require.ErrorContains(t, r.Validate(), want)
		_, err := decision.Decide(ctxb, nil, count(dcb.AllEvents()), nil, r)
		require.ErrorIs(t, err, dcb.ErrInvalidOption, "nothing is asked")
	}
	require.NoError(t, decision.Retry{}.Validate())
	require.NoError(t, decision.Retry{Attempts: 1, MinDelay: 1, MaxDelay: 1}.Validate())
}

// What is the caller's own goes wrong in the caller's own goroutine.
func TestAPanicOfTheDecisionGoesOn(t *testing.T) {
	m := storeOf()
	require.PanicsWithValue(t, "mine", func() {
		_, _ = decision.Decide(ctxb, m, count(dcb.AllEvents()), func(int) ([]dcb.Event, error) { panic("mine") }, decision.Retry{})
	})
	require.Empty(t, m.appends)
}

// FailNow of a test ends its goroutine, also from within a projection or a decision.
func TestGoexitEndsADecisionWithNothingDone(t *testing.T) {
	exits := count(dcb.AllEvents())
	exits.Apply = func(int, dcb.SequencedEvent) int { runtime.Goexit(); return 0 }
	for _, p := range []decision.Projection[int]{exits, count(dcb.AllEvents())} {
		m := storeOf(event("A"))
		var wg sync.WaitGroup
		returned := false
		wg.Go(func() {
			_, _ = decision.Decide(ctxb, m, p, func(int) ([]dcb.Event, error) { runtime.Goexit(); return nil, nil }, decision.Retry{})
			returned = true
		})
		wg.Wait()
		require.False(t, returned)
		require.Empty(t, m.appends)
	}
}

// One projection serves many decisions at once; the states are nobody else's. The race detector looks on.
func TestDecisionsShareNothing(t *testing.T) {
	m := storeOf()
	p := decision.JoinAll(histogram(dcb.ByTypes("A")), histogram(dcb.AllEvents()))
	const deciders = 32
	var wg sync.WaitGroup
	for range deciders {
		wg.Go(func() {
			_, err := decision.Decide(ctxb, m, p, func(s []map[string]int) ([]dcb.Event, error) {
				if s[0]["A"] != s[1]["A"] {
					return nil, errBroken
				}
				return []dcb.Event{event("A")}, nil
			}, decision.Retry{Attempts: 10 * deciders, MinDelay: 1, MaxDelay: 1})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	require.Len(t, m.events, deciders)
	for i, c := range m.appends {
		require.LessOrEqual(t, int(c.After), i)
	}
}

package opossum

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// guarded is an append that can be repeated: its condition matches its own events.
func guarded() ([]Event, *Condition) {
	return withIDs(event("A", "k"), event("B", "k"), event("C")), failIfMatch(ByTags("k"), 0)
}

func TestAnAppendRepeatedByIDHappensOnce(t *testing.T) {
	conditions := map[string]*Condition{
		"FailIfMatch on its first events":    failIfMatch(ByTags("k"), 0),
		"FailIfMatch after what it knew":     failIfMatch(ByTags("k"), 2),
		"FailIfMatch on its last event":      failIfMatch(ByTypes("C"), 0),
		"FailIfMatch on its second event":    failIfMatch(ByTypes("B"), 0),
		"FailIfExists":                       failIfExists(ByTags("k")),
		"FailIfExists on its last event":     failIfExists(ByTypes("C", "D")),
		"both":                               {FailIfMatch: ByTypes("B"), FailIfExists: ByTypes("C")},
		"everything after what it knew":      failIfMatch(AllEvents(), 2),
		"a union that its events are in":     failIfMatch(ByTypes("C").Or(ByTags("k", "nothing")).Or(ByTypes("X")), 0),
		"a dedupe tag beside a strict match": {FailIfMatch: ByTypes("X"), After: 2, FailIfExists: ByTags("k")},
	}
	for name, cond := range conditions {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			e := openStore(t, dir, &Options{Flush: FlushDisabled}, hooks{})
			appendOK(t, e, nil, withIDs(event("Before"), event("Before"))...)
			events := withIDs(event("A", "k"), event("B", "k"), event("C"))
			require.EqualValues(t, 5, appendOK(t, e, cond, events...))
			for n := range 3 {
				require.EqualValues(t, 5, appendOK(t, e, cond, events...), "repeated at once")
				appendOK(t, e, nil, withIDs(event("After", "x"), event("After"))...)
				require.EqualValues(t, n+1, e.Metrics().Repeated)
			}
			head := e.Head()
			require.NoError(t, e.WaitMaterialized(ctxb, 3))
			require.EqualValues(t, 5, appendOK(t, e, cond, events...), "repeated when filed")
			require.NoError(t, e.Close())
			e = openStore(t, dir, nil, hooks{})
			require.EqualValues(t, 5, appendOK(t, e, cond, events...), "repeated after reopening")
			require.Equal(t, head, e.Head())
		})
	}
}

func TestAnAppendRepeatedConcurrentlyHappensOnce(t *testing.T) {
	for _, flush := range []Flush{FlushBatch, FlushDisabled} {
		t.Run(flush.String(), func(t *testing.T) {
			e := openStore(t, t.TempDir(), &Options{Flush: flush}, hooks{})
			for round := range rounds(100) {
				events, _ := guarded()
				tag := Tag(fmt.Sprint("round:", round))
				for i := range events {
					events[i].Tags = append(events[i].Tags, tag)
				}
				cond := failIfExists(ByTags(tag))
				head := e.Head()
				race(16, func(i int) {
					p, err := e.Append(ctxb, events, cond)
					if err != nil || p != head+3 {
						t.Errorf("round %d: %d, %v", round, p, err)
					}
				})
				require.Equal(t, head+3, e.Head(), "round %d", round)
			}
		})
	}
}

func TestWhatIsNotTheSameAppendIsNoRepetition(t *testing.T) {
	e := newStore(t)
	appendOK(t, e, nil, withIDs(event("Before"))...)
	events, cond := guarded()
	appendOK(t, e, cond, events...) // 2 to 4
	more := withIDs(event("A", "k"), event("B", "k"))
	pick := func(i ...int) (out []Event) {
		all := slices.Concat(events, more)
		for _, i := range i {
			out = append(out, all[i])
		}
		return out
	}
	changed := func(i int, id uuid.UUID) []Event {
		out := slices.Clone(events)
		out[i].ID = id
		return out
	}
	cases := map[string][]Event{
		"another order":                            pick(1, 0, 2),
		"the reverse":                              pick(2, 1, 0),
		"one of its events is new":                 pick(0, 3, 2),
		"its first event is new":                   pick(3, 1, 2),
		"its last event is new":                    pick(0, 1, 3),
		"one event more":                           pick(0, 1, 2, 3),
		"one event more in front":                  pick(3, 0, 1, 2),
		"so many that they begin before the store": pick(3, 4, 3, 4, 0, 1, 2),
		"all new":                                  pick(3, 4),
		"the match alone twice":                    pick(0, 0),
		"a zero ID first":                          changed(0, uuid.Nil),
		"a zero ID in the middle":                  changed(1, uuid.Nil),
		"a zero ID last":                           changed(2, uuid.Nil),
		"no IDs":                                   {event("A", "k"), event("B", "k"), event("C")},
	}
	for name, again := range cases {
		_, err := e.Append(ctxb, again, cond)
		require.Equal(t, "exists=false at 2", conditionError(err), name)
		require.EqualValues(t, 4, e.Head(), name)
	}
	require.Zero(t, e.Metrics().Repeated)
}

func TestAPartOfAnAppendIsFoundInPlace(t *testing.T) {
	// By the contract what counts is that the submitted IDs stand at adjacent positions in their order.
	e := newStore(t)
	events, cond := guarded()
	appendOK(t, e, cond, events...)
	require.EqualValues(t, 2, appendOK(t, e, cond, events[:2]...))
	require.EqualValues(t, 1, appendOK(t, e, cond, events[:1]...))
	_, err := e.Append(ctxb, events[1:], cond)
	require.ErrorIs(t, err, ErrConditionFailed, "the match is none of the submitted")
}

func TestEventsWithoutIDsAreNeverTakenForARepetition(t *testing.T) {
	e := newStore(t)
	cond := failIfExists(ByTags("k"))
	appendOK(t, e, cond, event("A", "k"))
	_, err := e.Append(ctxb, []Event{event("A", "k")}, cond)
	require.ErrorIs(t, err, ErrAlreadyExists, "zero IDs are equal and mean nothing")
}

func TestTheSameIDInOneBatchTwiceIsFoundAgain(t *testing.T) {
	e := newStore(t)
	id := uuid.New()
	events := []Event{{ID: id, Type: "A"}, {ID: id, Type: "A", Tags: []Tag{"k"}}, {ID: id, Type: "A"}}
	cond := failIfMatch(ByTags("k"), 0)
	require.EqualValues(t, 3, appendOK(t, e, cond, events...))
	require.EqualValues(t, 3, appendOK(t, e, cond, events...), "the match is the second of three equal IDs")
}

func TestARetryAfterAnUnknownOutcomeHappensOnce(t *testing.T) {
	e, v := staging(t, FlushBatch)
	events, cond := guarded()
	entered, open := v.shut()
	defer open()
	ctx, cancel := context.WithCancel(ctxb)
	first := appendAsync(ctx, e, cond, events...)
	await(t, entered)
	cancel()
	r := await(t, first)
	require.ErrorIs(t, r.err, ErrOutcomeUnknown)
	require.ErrorIs(t, r.err, context.Canceled)
	again := appendAsync(ctxb, e, cond, events...)
	open()
	r = await(t, again)
	require.NoError(t, r.err)
	require.EqualValues(t, 3, r.p)
	require.EqualValues(t, 3, e.Head())
}

func TestRacersWithIDsOfTheirOwnStillExcludeEachOther(t *testing.T) {
	e := newStore(t)
	for round := range rounds(100) {
		tag := Tag(fmt.Sprint("round:", round))
		var mu sync.Mutex
		won := map[Position]int{}
		race(32, func(i int) {
			events := withIDs(event("A", tag), event("B", tag))
			for range 2 { // a retry of the winner is answered with its position, that of a loser is not
				if p, err := e.Append(ctxb, events, failIfExists(ByTags(tag))); err == nil {
					mu.Lock()
					won[p]++
					mu.Unlock()
				}
			}
		})
		require.Equal(t, map[Position]int{e.Head(): 2}, won)
	}
}

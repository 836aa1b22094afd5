package sequencer

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"opossum/dcb"
	"opossum/internal/codec"
	"opossum/ledger"
	"opossum/wal"
)

// TestCheckIsWhatAScanWouldSay, for every condition over two kinds of events, every bound of its own, and every range that it is judged over.
func TestCheckIsWhatAScanWouldSay(t *testing.T) {
	history := []string{"a", "b", "a", "none", "b"} // from position 1 on
	const head = 5
	r := newRig(t, FlushBatch, Limits{}, wal.Options{}, nil)
	for _, kind := range history {
		_, err := r.Append(ctxb, []dcb.Event{event(kind)}, nil)
		require.NoError(t, err)
	}
	v, err := r.index.Acquire()
	require.NoError(t, err)
	defer v.Release()
	first := func(kind string, after, upto dcb.Position) dcb.Position {
		for p := after + 1; p <= upto; p++ {
			if kind != "" && history[p-1] == kind {
				return p
			}
		}
		return 0
	}
	query := func(kind string) (q dcb.Query) {
		if kind != "" {
			q = dcb.ByTypes(kind)
		}
		return q
	}
	kinds := []string{"", "a", "b", "c"}
	for _, exists := range kinds {
		for _, match := range kinds {
			for bound := range dcb.Position(head + 2) {
				for after := range dcb.Position(head + 1) {
					for upto := after; upto <= head; upto++ {
						b := &batch{cond: &dcb.Condition{FailIfExists: query(exists), FailIfMatch: query(match), After: bound}}
						var want dcb.ConditionFailedError
						if p := first(exists, after, upto); p != 0 {
							want = dcb.ConditionFailedError{Position: p, Exists: true}
						} else if p := first(match, max(after, bound), upto); p != 0 {
							want = dcb.ConditionFailedError{Position: p}
						}
						got, failed, err := b.check(v, after, upto)
						require.NoError(t, err)
						require.Equal(t, want.Position != 0, failed)
						require.Equal(t, want, got, "exists %q, match %q after %d, over (%d, %d]", exists, match, bound, after, upto)
					}
				}
			}
		}
	}
	_, failed, err := (&batch{}).check(nil, 0, head)
	require.NoError(t, err)
	require.False(t, failed)
}

func TestRepeatsOnlyTheWholeAppendInOrder(t *testing.T) {
	ids := make([]uuid.UUID, 6)
	for i := range ids {
		ids[i] = uuid.NewSHA1(uuid.Nil, fmt.Append(nil, i))
	}
	unreadable := errors.New("unreadable")
	// stored has what stands at each position from 1 on, as places in ids.
	at := func(stored []int) func(dcb.Position) ([16]byte, error) {
		return func(p dcb.Position) ([16]byte, error) {
			if p < 1 || int(p) > len(stored) {
				return [16]byte{}, fmt.Errorf("asked for %d", p)
			}
			if stored[p-1] < 0 {
				return [16]byte{}, unreadable
			}
			return ids[stored[p-1]], nil
		}
	}
	for _, c := range []struct {
		name   string
		append []int // -1: without an ID
		stored []int
		match  dcb.Position
		head   dcb.Position
		last   dcb.Position // 0: it is not repeated
		err    error
	}{
		{name: "the first matches", append: []int{1, 2}, stored: []int{0, 1, 2}, match: 2, head: 3, last: 3},
		{name: "the last matches", append: []int{1, 2}, stored: []int{0, 1, 2, 3}, match: 3, head: 4, last: 3},
		{name: "from position 1", append: []int{1, 2}, stored: []int{1, 2}, match: 2, head: 2, last: 2},
		{name: "alone", append: []int{1}, stored: []int{1}, match: 1, head: 1, last: 1},
		{name: "another event", append: []int{1, 2}, stored: []int{0, 3, 2}, match: 2, head: 3},
		{name: "only the first is there", append: []int{1, 2}, stored: []int{0, 1, 3}, match: 2, head: 3},
		{name: "only the last is there", append: []int{1, 2}, stored: []int{0, 3, 2}, match: 3, head: 3},
		{name: "the other way round", append: []int{1, 2}, stored: []int{2, 1, 0}, match: 2, head: 3},
		{name: "more than there is before", append: []int{1, 2}, stored: []int{2, 0}, match: 1, head: 2},
		{name: "more than is visible", append: []int{1, 2}, stored: []int{0, 1, 2}, match: 2, head: 2},
		{name: "no ID", append: []int{1, -1}, stored: []int{0, 1, 2}, match: 2, head: 3},
		{name: "an ID twice, the first time wrong", append: []int{1, 1, 2}, stored: []int{0, 1, 1, 2}, match: 3, head: 4, last: 4},
		{name: "the match cannot be read", append: []int{1}, stored: []int{-1}, match: 1, head: 1, err: unreadable},
		{name: "its neighbour cannot be read", append: []int{1, 2}, stored: []int{1, -1}, match: 1, head: 2, err: unreadable},
	} {
		b := &batch{count: len(c.append)}
		for _, i := range c.append {
			var e dcb.Event
			if i >= 0 {
				e.ID = ids[i]
			}
			b.events = append(b.events, e)
		}
		last, ok, err := b.repeats(c.match, c.head, at(c.stored))
		require.ErrorIs(t, err, c.err, c.name)
		require.Equal(t, c.last != 0, ok, c.name)
		if ok {
			require.Equal(t, c.last, last, c.name)
		}
	}
}

// Each event of a group gets the place of its own record.
func TestEachEventIsWhereItsRecordIs(t *testing.T) {
	keeper := new(gatekeeper)
	r := newRig(t, FlushBatch, Limits{}, keeper.options(), nil)
	open := keeper.shut()
	var answers []<-chan answer
	for i := range 3 { // the first is on its way, the others share a group
		answers = append(answers, r.async(ctxb, nil, event(fmt.Sprintf("first of %d", i)), event("second", "tag"), event("third")))
		eventually(t, "staged", func() bool { return int(r.ledger.Get(ledger.Assigned)) == 3*(i+1) })
	}
	open()
	for _, a := range answers {
		require.NoError(t, get(t, a).err)
	}
	for p := range dcb.Position(9) {
		e, err := r.read(p + 1)
		require.NoError(t, err)
		require.Equal(t, []string{fmt.Sprintf("first of %d", p/3), "second", "third"}[p%3], e.Type)
	}
}

// Events without a time get one, the same for all of an append; others keep theirs. The caller's events stay as they are.
func TestEventsWithoutATimeGetOne(t *testing.T) {
	calls := 0
	clock := func() time.Time { calls++; return now.Add(time.Duration(calls) * time.Second) }
	events := []dcb.Event{{Type: "T"}, {Type: "T", Time: now}, {Type: "T"}}
	b, err := newBatch(events, nil, clock)
	require.NoError(t, err)
	require.Equal(t, 1, calls)
	require.Zero(t, events[0].Time)
	var times []time.Time
	for rest, p := b.body, dcb.Position(1); len(rest) > 0; p++ {
		n := codec.Stamp(rest, 7, p)
		e, err := codec.DecodeRecord(rest[:n], 7, p)
		require.NoError(t, err)
		times, rest = append(times, e.Time), rest[n:]
	}
	first := now.Add(time.Second).UTC()
	require.Equal(t, []time.Time{first, now.UTC(), first}, times)
	b, err = newBatch(events[1:2], nil, clock)
	require.NoError(t, err)
	require.Equal(t, 1, calls, "nobody needs one")
	require.Equal(t, 1, b.count)
}

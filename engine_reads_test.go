package opossum

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"opossum/ledger"
)

func TestAViewIsPinnedAtOneHeadWhateverIsAppendedMeanwhile(t *testing.T) { // H5
	e := newStore(t)
	stop := make(chan struct{})
	var writers sync.WaitGroup
	for w := range 3 {
		writers.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				// Each append spans both items: whoever sees one without the other has no snapshot.
				if _, err := e.Append(ctxb, []Event{event("A", Tag(fmt.Sprint("w:", w))), event("B", "b"), event("C", "c")}, nil); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	q := Match(QueryItem{Types: []string{"A"}}, QueryItem{Types: []string{"B"}, Tags: []Tag{"b"}}, QueryItem{Tags: []Tag{"c"}})
	for range rounds(200) {
		v, err := e.Read(ctxb, q, ReadOptions{After: max(e.Head(), 30) - 30})
		require.NoError(t, err)
		after := v.Head()
		got, err := collect(v.All())
		require.NoError(t, err)
		count := map[string]int{}
		for i, ev := range got {
			count[ev.Event.Type]++
			require.LessOrEqual(t, ev.Position, after)
			if i > 0 {
				require.Equal(t, got[i-1].Position+1, ev.Position, "nothing is missed between the items")
			}
		}
		if len(got) > 0 {
			require.Equal(t, after, got[len(got)-1].Position, "everything up to the head is there")
			require.Zero(t, after%3, "no half of a batch is seen") // H6
		}
	}
	close(stop)
	writers.Wait()
}

func TestAReadPlusItsHeadIsASafeBasisForACondition(t *testing.T) {
	// Two counters, read by two items of one query. Whoever misses an increment lets the sum go wrong.
	e := newStore(t)
	q := ByTypes("Left").Or(ByTypes("Right"))
	const writers = 8
	each := rounds(100)
	race(writers, func(i int) {
		for range each {
			for {
				v, err := e.Read(ctxb, q, ReadOptions{})
				if err != nil {
					t.Error(err)
					return
				}
				n := 0
				for _, err := range v.All() {
					if err != nil {
						t.Error(err)
						return
					}
					n++
				}
				_, err = e.Append(ctxb, []Event{{Type: []string{"Left", "Right"}[i%2], Data: fmt.Append(nil, n)}}, failIfMatch(q, v.Head()))
				if err == nil {
					break
				}
				if !errors.Is(err, ErrConditionFailed) {
					t.Error(err)
					return
				}
			}
		}
	})
	for i, ev := range checkDense(t, e) {
		require.Equal(t, fmt.Sprint(i), string(ev.Event.Data), "each counted all before it")
	}
}

func TestReadOptions(t *testing.T) {
	e := newStore(t)
	for i := range 20 {
		appendOK(t, e, nil, event([]string{"Even", "Odd"}[i%2], Tag(fmt.Sprint("mod3:", (i+1)%3))))
	}
	type o = ReadOptions
	cases := []struct {
		name string
		q    Query
		o    ReadOptions
		want []Position
	}{
		{"everything", AllEvents(), o{}, span(1, 20)},
		{"after is exclusive", AllEvents(), o{After: 18}, span(19, 20)},
		{"before is exclusive", AllEvents(), o{Before: 3}, span(1, 2)},
		{"between", AllEvents(), o{After: 4, Before: 7}, span(5, 6)},
		{"nothing between", AllEvents(), o{After: 4, Before: 5}, span(1, 0)},
		{"crossed bounds", AllEvents(), o{After: 7, Before: 3}, span(1, 0)},
		{"before the first", AllEvents(), o{Before: 1}, span(1, 0)},
		{"after the head", AllEvents(), o{After: 20}, span(1, 0)},
		{"after everything", AllEvents(), o{After: math.MaxUint64}, span(1, 0)},
		{"before everything", AllEvents(), o{Before: math.MaxUint64, Limit: 2}, span(1, 2)},
		{"limit", AllEvents(), o{Limit: 3}, span(1, 3)},
		{"a limit larger than there is", AllEvents(), o{Limit: 1000}, span(1, 20)},
		{"backwards", ByTypes("Even"), o{Backwards: true, Limit: 3}, []Position{19, 17, 15}},
		{"backwards between", ByTypes("Even"), o{Backwards: true, After: 3, Before: 9}, []Position{7, 5}},
		{"backwards to the first", AllEvents(), o{Backwards: true, Before: 3}, []Position{2, 1}},
		{"union without duplicates", ByTypes("Even").Or(ByTags("mod3:0")), o{After: 10, Before: 17}, []Position{11, 12, 13, 15}},
		{"union backwards", ByTypes("Even").Or(ByTags("mod3:0")), o{After: 10, Before: 17, Backwards: true, Limit: 3}, []Position{15, 13, 12}},
		{"type and tag", Match(QueryItem{Types: []string{"Even"}, Tags: []Tag{"mod3:0"}}), o{}, []Position{3, 9, 15}},
		{"tags that never meet", ByTags("mod3:0", "mod3:1"), o{}, span(1, 0)},
		{"the same tag twice", ByTags("mod3:0", "mod3:0"), o{Limit: 1}, []Position{3}},
		{"unknown", ByTags("unknown").Or(ByTypes("Unknown")), o{}, span(1, 0)},
	}
	for _, filed := range []bool{false, true} {
		for _, c := range cases {
			require.Equal(t, c.want, positionsOf(readAll(t, e, c.q, c.o)), "%s, filed %v", c.name, filed)
		}
		require.NoError(t, e.WaitMaterialized(ctxb, 20))
	}
}

func TestReadLastFindsTheNewestMatchOrErrNotFound(t *testing.T) {
	e := newStore(t)
	_, err := e.ReadLast(ctxb, AllEvents())
	require.ErrorIs(t, err, ErrNotFound, "an empty store")
	appendOK(t, e, nil, event("A", "x"), event("B", "x"), event("A"), event("C"))
	for q, want := range map[*Query]Position{ptr(AllEvents()): 4, ptr(ByTypes("A")): 3, ptr(ByTags("x")): 2, ptr(ByTypes("A").Or(ByTags("x"))): 3, ptr(ByTypes("A", "B")): 3} {
		got, err := e.ReadLast(ctxb, *q)
		require.NoError(t, err)
		require.Equal(t, want, got.Position)
	}
	got, err := e.ReadLast(ctxb, ByTags("y"))
	require.ErrorIs(t, err, ErrNotFound)
	require.Zero(t, got)
}

func ptr[T any](v T) *T { return &v }

func TestAllMayBeUsedOnce(t *testing.T) {
	e := newStore(t)
	appendOK(t, e, nil, numbered(3, "T")...)
	v, err := e.Read(ctxb, AllEvents(), ReadOptions{})
	require.NoError(t, err)
	n := 0
	for _, err := range v.All() { // an early break is a use
		require.NoError(t, err)
		n++
		break
	}
	require.Equal(t, 1, n)
	yields := 0
	for ev, err := range v.All() {
		yields++
		require.Error(t, err)
		require.Zero(t, ev)
	}
	require.Equal(t, 1, yields)

	s, err := e.Subscribe(ctxb, AllEvents(), 0)
	require.NoError(t, err)
	for _, err := range s.All() {
		require.NoError(t, err)
		break
	}
	require.EqualValues(t, 1, s.Position())
	_, err = collect(s.All())
	require.Error(t, err)
}

func TestAContextThatEndsInMidIterationIsTheLastThingYielded(t *testing.T) {
	e := newStore(t)
	appendOK(t, e, nil, numbered(10, "T")...)
	check := func(t *testing.T, all func(ctx context.Context) iter.Seq2[SequencedEvent, error]) {
		ctx, cancel := context.WithCancel(ctxb)
		defer cancel()
		var got []Position
		var errs []error
		for ev, err := range all(ctx) {
			if err != nil {
				require.Zero(t, ev)
				errs = append(errs, err)
				continue
			}
			got = append(got, ev.Position)
			if ev.Position == 4 {
				cancel()
			}
		}
		require.Equal(t, span(1, 4), got)
		require.Len(t, errs, 1)
		require.ErrorIs(t, errs[0], context.Canceled)
	}
	t.Run("view", func(t *testing.T) {
		check(t, func(ctx context.Context) iter.Seq2[SequencedEvent, error] {
			v, err := e.Read(ctx, AllEvents(), ReadOptions{})
			require.NoError(t, err)
			return v.All()
		})
	})
	t.Run("subscription", func(t *testing.T) {
		check(t, func(ctx context.Context) iter.Seq2[SequencedEvent, error] {
			s, err := e.Subscribe(ctx, AllEvents(), 0)
			require.NoError(t, err)
			return s.All()
		})
	})
}

func TestIteratorsYieldErrClosedOnceAfterClose(t *testing.T) {
	for _, filed := range []bool{false, true} {
		e := openStore(t, t.TempDir(), nil, hooks{})
		appendOK(t, e, nil, numbered(10, "T")...)
		if filed {
			require.NoError(t, e.WaitMaterialized(ctxb, 10))
		}
		fresh, err := e.Read(ctxb, AllEvents(), ReadOptions{})
		require.NoError(t, err)
		v, err := e.Read(ctxb, AllEvents(), ReadOptions{})
		require.NoError(t, err)
		var got []Position
		var errs []error
		for ev, err := range v.All() {
			if err != nil {
				errs = append(errs, err)
				continue
			}
			got = append(got, ev.Position)
			if ev.Position == 3 {
				require.NoError(t, e.Close()) // from within the loop: it waits for accesses, not for loops
			}
		}
		require.Equal(t, span(1, 3), got)
		require.Len(t, errs, 1)
		require.ErrorIs(t, errs[0], ErrClosed)
		got2, err := collect(fresh.All())
		require.Empty(t, got2)
		require.ErrorIs(t, err, ErrClosed)
	}
}

func TestCloseAmidReadersAndWritersLeavesNoneHanging(t *testing.T) {
	for range rounds(8) {
		dir := t.TempDir()
		e := openStore(t, dir, nil, hooks{})
		appendOK(t, e, nil, numbered(100, "T")...)
		var acked atomic.Uint64
		within(t, "closing", func() {
			race(13, func(i int) {
				switch {
				case i == 0:
					for e.Head() < 120 {
						if _, err := e.Append(ctxb, numbered(1, "T"), nil); err != nil {
							t.Error(err)
						}
					}
					if err := e.Close(); err != nil {
						t.Error(err)
					}
				case i < 4:
					for {
						p, err := e.Append(ctxb, numbered(1, "T"), nil)
						if err != nil {
							if !errors.Is(err, ErrClosed) {
								t.Error(err)
							}
							return
						}
						for old := acked.Load(); old < uint64(p) && !acked.CompareAndSwap(old, uint64(p)); old = acked.Load() {
						}
					}
				case i < 8:
					for {
						v, err := e.Read(ctxb, AllEvents(), ReadOptions{})
						if err == nil {
							_, err = collect(v.All())
						}
						if err != nil {
							if !errors.Is(err, ErrClosed) {
								t.Error(err)
							}
							return
						}
					}
				case i < 11:
					s, err := e.Subscribe(ctxb, AllEvents(), 0)
					if err == nil {
						_, err = collect(s.All())
					}
					if !errors.Is(err, ErrClosed) {
						t.Error(err)
					}
				case i == 11:
					if err := e.WaitMaterialized(ctxb, math.MaxUint64); !errors.Is(err, ErrClosed) {
						t.Error(err)
					}
				case i == 12:
					for e.Sync(ctxb) == nil {
						_ = e.Metrics()
					}
				}
			})
		})
		e = openStore(t, dir, nil, hooks{})
		require.Equal(t, "clean", e.Recovery().Outcome)
		require.GreaterOrEqual(t, uint64(e.Head()), acked.Load(), "nothing acknowledged is missing")
		checkDense(t, e)
		require.NoError(t, e.Close())
	}
}

func TestSubscribersSeeEachEventOnceInOrderUnderConcurrentAppends(t *testing.T) {
	for _, flush := range []Flush{FlushBatch, FlushDisabled} {
		t.Run(flush.String(), func(t *testing.T) {
			e := openStore(t, t.TempDir(), &Options{Flush: flush}, hooks{})
			appendOK(t, e, nil, event("Old", "mod:0"), event("Old"))
			const writers, subscribers = 4, 24
			each := rounds(200)
			total := Position(2 + writers*each + 1)
			queries := []Query{AllEvents(), ByTags("mod:0"), ByTypes("New").Or(ByTags("mod:1")), ByTypes("Last")}
			got := make([][]SequencedEvent, subscribers)
			race(writers+subscribers, func(i int) {
				if i < writers {
					for n := range each {
						if _, err := e.Append(ctxb, []Event{event("New", Tag(fmt.Sprint("mod:", n%5)))}, nil); err != nil {
							t.Error(err)
						}
					}
					if i == 0 { // the last event tells everyone that this is all
						if err := e.ledger.Wait(ctxb, ledger.Visible, total-1); err != nil {
							t.Error(err)
						}
						if _, err := e.Append(ctxb, []Event{event("Last")}, nil); err != nil {
							t.Error(err)
						}
					}
					return
				}
				i -= writers
				s, err := e.Subscribe(ctxb, queries[i%len(queries)].Or(ByTypes("Last")), Position(i/len(queries)%3))
				if err != nil {
					t.Error(err)
					return
				}
				for ev, err := range s.All() {
					if err != nil {
						t.Error(err)
						return
					}
					if s.Position() != ev.Position {
						t.Errorf("at %d the position is %d", ev.Position, s.Position())
					}
					got[i] = append(got[i], ev)
					if ev.Event.Type == "Last" {
						return
					}
				}
			})
			for i, events := range got {
				want := readAll(t, e, queries[i%len(queries)].Or(ByTypes("Last")), ReadOptions{After: Position(i / len(queries) % 3)})
				require.Equal(t, want, events, "subscriber %d", i)
			}
		})
	}
}

func TestASubscriptionsPositionMovesOverWhatDoesNotMatch(t *testing.T) {
	e := newStore(t)
	appendOK(t, e, nil, event("Match"), event("Other"), event("Other"))
	ctx, cancel := context.WithCancel(ctxb)
	defer cancel()
	s, err := e.Subscribe(ctx, ByTypes("Match"), 0)
	require.NoError(t, err)
	require.EqualValues(t, 0, s.Position())
	done := make(chan error, 1)
	seen := make(chan Position, 10)
	go func() {
		for ev, err := range s.All() {
			if err != nil {
				done <- err
				return
			}
			seen <- ev.Position
		}
	}()
	require.EqualValues(t, 1, await(t, seen))
	eventually(t, "it moves over the past", func() bool { return s.Position() == 3 })
	appendOK(t, e, nil, event("Other"))
	eventually(t, "it moves over what comes", func() bool { return s.Position() == 4 })
	appendOK(t, e, nil, event("Other"), event("Match"))
	require.EqualValues(t, 6, await(t, seen))
	cancel()
	require.ErrorIs(t, await(t, done), context.Canceled)
	require.EqualValues(t, 6, s.Position())
}

func TestASubscriptionAfterTheHeadBeginsThere(t *testing.T) {
	e := newStore(t)
	appendOK(t, e, nil, event("T"))
	s, err := e.Subscribe(ctxb, AllEvents(), 3)
	require.NoError(t, err)
	require.EqualValues(t, 3, s.Position())
	seen := make(chan Position, 10)
	go func() {
		for ev, err := range s.All() {
			if err != nil {
				close(seen)
				return
			}
			seen <- ev.Position
		}
	}()
	for range 4 {
		appendOK(t, e, nil, event("T"))
		require.GreaterOrEqual(t, s.Position(), Position(3), "it never falls back")
	}
	require.EqualValues(t, 4, await(t, seen))
	require.EqualValues(t, 5, await(t, seen))
	require.NoError(t, e.Close())
	_, more := <-seen
	require.False(t, more, "Close ends it")
}

func TestASubscriptionAfterTheLastPositionThereIsWaitsForItsContext(t *testing.T) {
	e := newStore(t)
	ctx, cancel := context.WithCancel(ctxb)
	s, err := e.Subscribe(ctx, AllEvents(), math.MaxUint64)
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() {
		got, err := collect(s.All())
		if len(got) > 0 {
			err = errors.New("something came")
		}
		done <- err
	}()
	appendOK(t, e, nil, event("T"))
	cancel()
	require.ErrorIs(t, await(t, done), context.Canceled)
	require.EqualValues(t, uint64(math.MaxUint64), s.Position())
}

func TestWhatReadersSeeOnlyGrows(t *testing.T) {
	e := newStore(t)
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			var last Position
			for {
				select {
				case <-stop:
					return
				default:
				}
				head := e.Head()
				ev, err := e.ReadLast(ctxb, AllEvents())
				switch {
				case head < last:
					t.Errorf("the head fell from %d to %d", last, head)
				case err == nil && ev.Position < head:
					t.Errorf("read %d after seeing the head at %d", ev.Position, head)
				case err != nil && (head > 0 || !errors.Is(err, ErrNotFound)):
					t.Error(err)
				}
				m := e.Metrics()
				if m.Durable > e.Head() || m.Materialized > e.ledger.Get(ledger.Durable) {
					t.Errorf("the numbers are out of order: %+v", m)
				}
				last = max(head, ev.Position)
			}
		})
	}
	race(4, func(int) {
		for range rounds(200) {
			p, err := e.Append(ctxb, []Event{event("T", "a")}, nil)
			if err != nil || e.Head() < p {
				t.Errorf("appended at %d, head %d: %v", p, e.Head(), err)
			}
		}
	})
	close(stop)
	readers.Wait()
}

func TestReadsGoOnWhileGenerationsAreTrimmed(t *testing.T) {
	h := hooks{}
	h.wal.RotateBytes = 64 << 10
	e := openStore(t, t.TempDir(), &Options{Flush: FlushDisabled}, h)
	data := make([]byte, 1024)
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				v, err := e.Read(ctxb, AllEvents(), ReadOptions{})
				if err != nil {
					t.Error(err)
					return
				}
				got, err := collect(v.All())
				if err != nil || !slices.Equal(positionsOf(got), span(1, v.Head())) {
					t.Errorf("head %d: %d events, %v", v.Head(), len(got), err)
					return
				}
			}
		})
	}
	for i := range rounds(600) {
		appendOK(t, e, nil, Event{Type: "T", Data: data})
		if i%100 == 99 {
			require.NoError(t, e.WaitMaterialized(ctxb, e.Head()))
		}
	}
	for e.Metrics().Trimmed == 0 { // in -short there were too few
		for range 50 {
			appendOK(t, e, nil, Event{Type: "T", Data: data})
		}
		require.NoError(t, e.WaitMaterialized(ctxb, e.Head()))
	}
	close(stop)
	readers.Wait()
	checkDense(t, e)
}

package peers

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"opossum"
	"opossum/bench/harness"
)

// eachWay runs f in parallel for the ways that ok.
func eachWay(t *testing.T, ok func(harness.Way) bool, f func(t *testing.T, w harness.Way)) {
	for _, w := range Ways() {
		if ok(w) {
			t.Run(w.Name, func(t *testing.T) {
				t.Parallel()
				f(t, w)
			})
		}
	}
}

func every(harness.Way) bool         { return true }
func conditional(w harness.Way) bool { return w.Store }
func plain(w harness.Way) bool       { return !w.Store }

func openedTarget(t *testing.T, w harness.Way, dir string, flush bool) harness.Target {
	s, err := w.Open(dir, harness.OpenOptions{Flush: flush})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	_, isStore := s.(harness.Store)
	require.Equal(t, w.Store, isStore)
	return s
}

func opened(t *testing.T, w harness.Way, dir string, flush bool) harness.Store {
	return openedTarget(t, w, dir, flush).(harness.Store)
}

// headOf is the head also of a target that is no store.
func headOf(s harness.Target) opossum.Position {
	if s, ok := s.(harness.Store); ok {
		return s.Head()
	}
	return s.(*target).rival.head()
}

func event(typ string, tags ...opossum.Tag) opossum.Event {
	return opossum.Event{Type: typ, Tags: tags, Data: []byte("data of " + typ), Time: time.Unix(1, 2).UTC()}
}

func add(t *testing.T, s harness.Target, events ...opossum.Event) {
	t.Helper()
	require.NoError(t, s.Append(t.Context(), events, nil))
}

// all reads what matches, and checks that the order is right.
func all(t *testing.T, s harness.Store, q opossum.Query, newest int) []opossum.SequencedEvent {
	t.Helper()
	got, err := tryAll(t, s, q, newest)
	require.NoError(t, err)
	return got
}

func tryAll(t *testing.T, s harness.Store, q opossum.Query, newest int) ([]opossum.SequencedEvent, error) {
	var got []opossum.SequencedEvent
	err := s.Read(t.Context(), q, newest, func(e opossum.SequencedEvent) { got = append(got, e) })
	return got, err
}

func TestAppendedAndReadBack(t *testing.T) {
	for _, flush := range []bool{true, false} {
		t.Run(fmt.Sprint("flush ", flush), func(t *testing.T) {
			eachWay(t, conditional, func(t *testing.T, w harness.Way) {
				s := opened(t, w, t.TempDir(), flush)
				require.Zero(t, s.Head())
				require.Empty(t, all(t, s, opossum.AllEvents(), 0))
				_, err := s.Last(t.Context(), opossum.AllEvents())
				require.ErrorIs(t, err, opossum.ErrNotFound)

				whole := opossum.Event{
					Type: "T \x00.*>%\u00e9", Tags: []opossum.Tag{"a:1.*>\x00 ", "b", "c:\U0001F9AB"},
					Data: []byte{0, 1, 0xff}, Time: time.Unix(1e9, 999_999_999).UTC(),
				}
				add(t, s, whole)
				add(t, s, event("A", "a:1"), event("A"), event("B", "a:1.*", "b"))
				require.Equal(t, opossum.Position(4), s.Head())
				got := all(t, s, opossum.AllEvents(), 0)
				require.Len(t, got, 4)
				for i, e := range got {
					require.Equal(t, opossum.Position(i+1), e.Position)
				}
				require.Equal(t, whole, got[0].Event)
				for _, q := range []opossum.Query{opossum.ByTags(whole.Tags[0]), opossum.ByTags(whole.Tags...), opossum.ByTypes(whole.Type)} {
					require.Equal(t, got[:1], all(t, s, q, 0))
				}
				require.Equal(t, got[1:2], all(t, s, opossum.ByTags("a:1"), 0), "a tag that begins others")
				last, err := s.Last(t.Context(), opossum.ByTypes("A"))
				require.NoError(t, err)
				require.Equal(t, got[2], last)
			})
		})
	}
}

func TestPositionsAreDenseAndAppendsWhole(t *testing.T) {
	eachWay(t, conditional, func(t *testing.T, w harness.Way) {
		s := opened(t, w, t.TempDir(), true)
		const writers, rounds = 8, 6
		var group sync.WaitGroup
		for i := range writers {
			group.Go(func() {
				for j := range rounds {
					var events []opossum.Event
					for k := range 1 + (i+j)%4 {
						events = append(events, event(strconv.Itoa(k), opossum.Tag(fmt.Sprintf("append:%d-%d", i, j))))
					}
					require.NoError(t, s.Append(context.Background(), events, nil))
				}
			})
		}
		group.Wait()
		got := all(t, s, opossum.AllEvents(), 0)
		require.Len(t, got, int(s.Head()))
		for i := range got {
			require.Equal(t, opossum.Position(i+1), got[i].Position)
		}
		for i := range writers {
			for j := range rounds {
				mine := all(t, s, opossum.ByTags(opossum.Tag(fmt.Sprintf("append:%d-%d", i, j))), 0)
				require.Len(t, mine, 1+(i+j)%4)
				for k, e := range mine {
					require.Equal(t, mine[0].Position+opossum.Position(k), e.Position)
					require.Equal(t, strconv.Itoa(k), e.Event.Type)
				}
			}
		}
	})
}

func TestConditions(t *testing.T) {
	tag := func(tags ...opossum.Tag) opossum.Query { return opossum.ByTags(tags...) }
	item := func(typ string, tags ...opossum.Tag) opossum.Query {
		return opossum.Match(opossum.QueryItem{Types: []string{typ}, Tags: tags})
	}
	cases := []struct {
		name string
		cond opossum.Condition
		want error
	}{
		{"tag that nothing has", opossum.Condition{FailIfMatch: tag("a:9")}, nil},
		{"kind of tag that nothing has", opossum.Condition{FailIfMatch: tag("new:9")}, nil},
		{"tag, all history", opossum.Condition{FailIfMatch: tag("a:1")}, opossum.ErrConditionFailed},
		{"tag, just before", opossum.Condition{FailIfMatch: tag("a:1"), After: 2}, opossum.ErrConditionFailed},
		{"tag, since", opossum.Condition{FailIfMatch: tag("a:1"), After: 3}, nil},
		{"tag, after the head", opossum.Condition{FailIfMatch: tag("a:1"), After: 4}, nil},
		{"tag, beyond the head", opossum.Condition{FailIfMatch: tag("a:1"), After: 400}, nil},
		{"tag, at the end of time", opossum.Condition{FailIfMatch: tag("a:1"), After: math.MaxUint64}, nil},
		{"both tags", opossum.Condition{FailIfMatch: tag("b:1", "a:1")}, opossum.ErrConditionFailed},
		{"tags that no event has together", opossum.Condition{FailIfMatch: tag("b:2", "a:1")}, nil},
		{"type", opossum.Condition{FailIfMatch: opossum.ByTypes("A")}, opossum.ErrConditionFailed},
		{"type, since", opossum.Condition{FailIfMatch: opossum.ByTypes("A"), After: 1}, nil},
		{"type and tag", opossum.Condition{FailIfMatch: item("B", "a:1")}, opossum.ErrConditionFailed},
		{"type and tag of different events", opossum.Condition{FailIfMatch: item("A", "a:2")}, nil},
		{"one of the types", opossum.Condition{FailIfMatch: opossum.ByTypes("X", "A")}, opossum.ErrConditionFailed},
		{"one of two items", opossum.Condition{FailIfMatch: tag("a:9").Or(tag("b:2"))}, opossum.ErrConditionFailed},
		{"neither of two items", opossum.Condition{FailIfMatch: tag("a:9").Or(item("A", "b:2"))}, nil},
		{"anything", opossum.Condition{FailIfMatch: opossum.AllEvents(), After: 3}, opossum.ErrConditionFailed},
		{"anything new", opossum.Condition{FailIfMatch: opossum.AllEvents(), After: 4}, nil},
		{"exists", opossum.Condition{FailIfExists: tag("a:1")}, opossum.ErrAlreadyExists},
		{"does not exist", opossum.Condition{FailIfExists: tag("a:9")}, nil},
		{"exists is judged first", opossum.Condition{FailIfExists: tag("a:1"), FailIfMatch: tag("a:1")}, opossum.ErrAlreadyExists},
		{"exists whatever After says", opossum.Condition{FailIfExists: tag("a:1"), FailIfMatch: tag("a:9"), After: 4}, opossum.ErrAlreadyExists},
		{"only the second clause", opossum.Condition{FailIfExists: tag("a:9"), FailIfMatch: tag("a:1")}, opossum.ErrConditionFailed},
		{"no clause", opossum.Condition{}, opossum.ErrInvalidQuery},
	}
	eachWay(t, conditional, func(t *testing.T, w harness.Way) {
		for _, c := range cases {
			for n := range 2 {
				s := opened(t, w, t.TempDir(), false)
				add(t, s, event("A", "a:1", "b:1"))
				add(t, s, event("B", "a:2", "b:2"), event("B", "a:1"), event("B", "b:1"))
				err := s.Append(t.Context(), []opossum.Event{event("C"), event("C", "a:7")}[:1+n], &c.cond)
				if errors.Is(err, errors.ErrUnsupported) && canRefuse(w, c.cond) {
					continue
				}
				require.ErrorIs(t, err, c.want, c.name)
				want := 4
				if c.want == nil {
					want += 1 + n
				}
				require.Equal(t, opossum.Position(want), s.Head(), c.name)
				require.Len(t, all(t, s, opossum.AllEvents(), 0), want, c.name)
				require.NoError(t, s.Close())
			}
		}
	})
}

// canRefuse tells what JetStream says it cannot do.
func canRefuse(w harness.Way, c opossum.Condition) bool {
	return w.Name == "jetstream" && (!c.FailIfExists.IsZero() && !c.FailIfMatch.IsZero() || several(c.FailIfMatch) || several(c.FailIfExists))
}

func several(q opossum.Query) bool {
	items := q.Items()
	return len(items) > 1 || len(items) == 1 && len(items[0].Types) > 1
}

// Those who wait for the same commit must see each other, as must those who come after.
func TestOfRacingConditionsOneHolds(t *testing.T) {
	eachWay(t, conditional, func(t *testing.T, w harness.Way) {
		for _, seats := range []int{1, 2} {
			s := opened(t, w, t.TempDir(), true)
			add(t, s, event("Opened", "course:0"))
			for round := range 4 {
				tag := opossum.Tag(fmt.Sprint("course:", round/2))
				after := s.Head()
				barrier := make(chan struct{})
				errs := make(chan error, 16)
				for range cap(errs) {
					go func() {
						<-barrier
						var events []opossum.Event
						for range seats {
							events = append(events, event("Enrolled", tag))
						}
						errs <- s.Append(context.Background(), events, &opossum.Condition{FailIfMatch: opossum.ByTags(tag), After: after})
					}()
				}
				close(barrier)
				won := 0
				for range cap(errs) {
					if err := <-errs; err == nil {
						won++
					} else {
						require.ErrorIs(t, err, opossum.ErrConditionFailed)
					}
				}
				require.Equal(t, 1, won)
				require.Equal(t, after+opossum.Position(seats), s.Head())
			}
			require.NoError(t, s.Close())
		}
	})
}

// Writers who decide on what they read, on a few tags: each event says what its writer had read, and nothing may have happened between.
func TestNoDecisionRestsOnOldNews(t *testing.T) {
	eachWay(t, conditional, func(t *testing.T, w harness.Way) {
		s := opened(t, w, t.TempDir(), false)
		const writers, each = 8, 40
		var group sync.WaitGroup
		for i := range writers {
			group.Go(func() {
				for j := 0; j < each; {
					tag := opossum.Tag(fmt.Sprint("account:", (i+j)%3))
					known, err := s.Last(context.Background(), opossum.ByTags(tag))
					if !errors.Is(err, opossum.ErrNotFound) {
						require.NoError(t, err)
					}
					e := event("Paid", tag)
					e.Data = []byte(strconv.Itoa(int(known.Position)))
					err = s.Append(context.Background(), []opossum.Event{e}, &opossum.Condition{FailIfMatch: opossum.ByTags(tag), After: known.Position})
					if errors.Is(err, opossum.ErrConditionFailed) {
						continue
					}
					require.NoError(t, err)
					j++
				}
			})
		}
		group.Wait()
		require.Equal(t, opossum.Position(writers*each), s.Head())
		last := map[opossum.Tag]opossum.Position{}
		for _, e := range all(t, s, opossum.AllEvents(), 0) {
			tag := e.Event.Tags[0]
			require.Equal(t, strconv.Itoa(int(last[tag])), string(e.Event.Data), "event %d", e.Position)
			last[tag] = e.Position
		}
	})
}

func TestAnswersAreThoseOfOpossum(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	events := make([]opossum.Event, 2_000)
	kinds := []string{"student:", "course:", ""}
	pick := func(kind int) opossum.Tag { return opossum.Tag(fmt.Sprint(kinds[kind], random.IntN(1+20*kind*kind))) }
	types := []string{"A", "B", "C", "D"}
	for i := range events {
		e := event(types[random.IntN(1+random.IntN(len(types)))])
		for _, kind := range random.Perm(len(kinds))[:random.IntN(len(kinds)+1)] {
			e.Tags = append(e.Tags, pick(kind))
		}
		e.Data = fmt.Appendf(nil, "event %d", i)
		events[i] = e
	}
	item := func() opossum.QueryItem {
		var it opossum.QueryItem
		for _, kind := range random.Perm(len(kinds))[:random.IntN(len(kinds))] {
			it.Tags = append(it.Tags, pick(kind))
		}
		for _, n := range random.Perm(5)[:random.IntN(3)] {
			it.Types = append(it.Types, append(types, "none")[n])
		}
		if len(it.Tags)+len(it.Types) == 0 {
			it.Types = types[:1]
		}
		return it
	}
	queries := []opossum.Query{opossum.AllEvents(), opossum.ByTags("student:0"), opossum.ByTags("new:1"), opossum.ByTags("student:none")}
	for range 60 {
		q := opossum.Match(item())
		for range random.IntN(3) {
			q = q.Or(opossum.Match(item()))
		}
		queries = append(queries, q)
	}
	sizes := []int{}
	for left := len(events); left > 0; left -= sizes[len(sizes)-1] {
		sizes = append(sizes, min(left, 1+random.IntN(100)))
	}

	engine, err := opossum.Open(t.TempDir(), &opossum.Options{Flush: opossum.FlushDisabled})
	require.NoError(t, err)
	fill := func(appending func([]opossum.Event) error) {
		from := 0
		for _, n := range sizes {
			require.NoError(t, appending(events[from:from+n]))
			from += n
		}
	}
	fill(func(events []opossum.Event) error {
		_, err := engine.Append(t.Context(), events, nil)
		return err
	})
	type question struct {
		q      opossum.Query
		newest int
	}
	answers := make(map[int][]opossum.SequencedEvent)
	var questions []question
	for _, q := range queries {
		for _, newest := range []int{0, 1, 3, 50} {
			view, err := engine.Read(t.Context(), q, opossum.ReadOptions{Backwards: newest > 0, Limit: newest})
			require.NoError(t, err)
			var want []opossum.SequencedEvent
			for e, err := range view.All() {
				require.NoError(t, err)
				want = append(want, e)
			}
			answers[len(questions)] = want
			questions = append(questions, question{q, newest})
		}
	}
	require.NoError(t, engine.Close())

	eachWay(t, func(w harness.Way) bool { return w.Store }, func(t *testing.T, w harness.Way) {
		dir := t.TempDir()
		s := opened(t, w, dir, false)
		fill(func(events []opossum.Event) error { return s.Append(t.Context(), events, nil) })
		require.NoError(t, s.Close())
		s = opened(t, w, dir, false)
		require.Equal(t, opossum.Position(len(events)), s.Head())
		for i, question := range questions {
			got, err := tryAll(t, s, question.q, question.newest)
			if errors.Is(err, errors.ErrUnsupported) && canRefuse(w, opossum.Condition{FailIfMatch: question.q}) {
				continue
			}
			require.NoError(t, err)
			require.Equal(t, answers[i], got, "newest %d of %+v", question.newest, question.q.Items())
		}
	})
}

func TestAcknowledgedIsThereAfterReopening(t *testing.T) {
	eachWay(t, every, func(t *testing.T, w harness.Way) {
		dir := t.TempDir()
		for round := range 3 {
			s := openedTarget(t, w, dir, true)
			require.Equal(t, opossum.Position(round*6), headOf(s))
			add(t, s, event("A", "a:1"), event("B", opossum.Tag(fmt.Sprint("round:", round))))
			for range 4 {
				add(t, s, event("C", "c:1"))
			}
			require.Equal(t, opossum.Position(round*6+6), headOf(s))
			if w.Store {
				for back := range round + 1 {
					tag := opossum.Tag(fmt.Sprint("round:", back))
					require.Len(t, all(t, s.(harness.Store), opossum.ByTags(tag), 0), 1)
					cond := &opossum.Condition{FailIfMatch: opossum.ByTags(tag)}
					require.ErrorIs(t, s.Append(t.Context(), []opossum.Event{event("D")}, cond), opossum.ErrConditionFailed)
				}
			}
			require.NoError(t, s.Close())
		}
	})
}

func TestWaysWithoutIndexRefuseConditions(t *testing.T) {
	eachWay(t, plain, func(t *testing.T, w harness.Way) {
		s := openedTarget(t, w, t.TempDir(), false)
		add(t, s, event("A"), event("B"))
		require.ErrorIs(t, s.Append(t.Context(), []opossum.Event{event("A")}, &opossum.Condition{FailIfMatch: opossum.AllEvents()}), errors.ErrUnsupported)
		require.Equal(t, opossum.Position(2), headOf(s))
	})
}

func TestMisuse(t *testing.T) {
	eachWay(t, every, func(t *testing.T, w harness.Way) {
		_, err := w.Open(filepath.Join(t.TempDir(), "missing"), harness.OpenOptions{})
		require.ErrorIs(t, err, fs.ErrNotExist)

		s := openedTarget(t, w, t.TempDir(), false)
		require.ErrorIs(t, s.Append(t.Context(), nil, nil), opossum.ErrNoEvents)
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, s.Append(ended, []opossum.Event{event("A")}, nil), context.Canceled)
		require.ErrorIs(t, s.Append(t.Context(), []opossum.Event{{Type: "A", ID: [16]byte{1}}}, nil), errors.ErrUnsupported)
		require.ErrorIs(t, s.Append(t.Context(), []opossum.Event{{Type: "A", Metadata: map[string]string{"k": "v"}}}, nil), errors.ErrUnsupported)
		require.Zero(t, headOf(s))
		if w.Store {
			require.ErrorIs(t, s.(harness.Store).Read(t.Context(), opossum.Query{}, 0, nil), opossum.ErrInvalidQuery)
		}
		require.NoError(t, s.Close())
		require.NoError(t, s.Close(), "twice")
		require.ErrorIs(t, s.Append(t.Context(), []opossum.Event{event("A")}, nil), opossum.ErrClosed)
		if w.Store {
			require.ErrorIs(t, s.(harness.Store).Read(t.Context(), opossum.AllEvents(), 0, nil), opossum.ErrClosed)
		}
	})
}

// hold makes the first commit wait until the others are queued, or refused before, so that they are one group. Stores without a committer are not held.
func hold(t *testing.T, s harness.Target, appends []func() error) []error {
	var c *committer
	switch r := s.(*store).reader.(type) {
	case *bolt:
		c = &r.committer
	case *badgerStore:
		c = &r.committer
	case *sqlite:
		c = &r.committer
	case *natsStore:
		c = &r.committer
	}
	errs := make([]error, len(appends))
	var group sync.WaitGroup
	var refused atomic.Int32
	start := func() {
		for i, f := range appends {
			group.Go(func() {
				errs[i] = f()
				refused.Add(1)
			})
		}
	}
	if c == nil {
		start()
		group.Wait()
		return errs
	}
	commit, let := c.commit, make(chan struct{})
	c.commit = func(group []*attempt) {
		<-let
		commit(group)
	}
	group.Go(func() { require.NoError(t, s.Append(context.Background(), []opossum.Event{event("First")}, nil)) })
	waiting := func() int {
		c.mu.Lock()
		defer c.mu.Unlock()
		if !c.busy {
			return -1
		}
		return len(c.queue)
	}
	require.Eventually(t, func() bool { return waiting() == 0 }, time.Minute, time.Millisecond)
	start()
	require.Eventually(t, func() bool { return waiting()+int(refused.Load()) == len(appends) }, time.Minute, time.Millisecond)
	close(let)
	group.Wait()
	return errs
}

// appending is an append for hold.
func appending(s harness.Target, cond *opossum.Condition, e opossum.Event) func() error {
	return func() error { return s.Append(context.Background(), []opossum.Event{e}, cond) }
}

// What one append asks too much of a rival must not fail those that share its commit.
func TestTooLargeFailsAlone(t *testing.T) {
	tooLong := event("A", opossum.Tag("a:"+strings.Repeat("x", 65_000)))
	tooLarge := event("A")
	tooLarge.Data = make([]byte, 9<<20)
	eachWay(t, conditional, func(t *testing.T, w harness.Way) {
		s := opened(t, w, t.TempDir(), true)
		appends := []func() error{appending(s, nil, tooLong), appending(s, nil, tooLarge)}
		for range 10 {
			appends = append(appends, appending(s, nil, event("B", "b:1")))
		}
		errs := hold(t, s, appends)
		for _, err := range errs[:2] {
			if err != nil {
				require.ErrorIs(t, err, opossum.ErrTooLarge)
			}
		}
		for _, err := range errs[2:] {
			require.NoError(t, err)
		}
		require.Len(t, all(t, s, opossum.ByTags("b:1"), 0), 10)
	})
}

// Of those in a group whose conditions look at each other's events, one holds, and nobody fails for another.
func TestConditionsSeeTheirOwnGroup(t *testing.T) {
	taken := &opossum.Condition{FailIfMatch: opossum.ByTags("name:x")}
	stale := &opossum.Condition{FailIfMatch: opossum.ByTags("old:1")}
	beyond := &opossum.Condition{FailIfMatch: opossum.ByTags("name:y"), After: 1_000}
	eachWay(t, conditional, func(t *testing.T, w harness.Way) {
		for _, mix := range []struct{ taken, stale, beyond int }{{taken: 2}, {stale: 1}, {beyond: 2}, {10, 10, 10}} {
			s := opened(t, w, t.TempDir(), true)
			add(t, s, event("Old", "old:1"))
			var appends []func() error
			several := func(n int, cond *opossum.Condition, e opossum.Event) {
				for range n {
					appends = append(appends, appending(s, cond, e))
				}
			}
			several(mix.taken, taken, event("A", "name:x"))
			several(mix.stale, stale, event("B"))
			several(mix.beyond, beyond, event("C", "name:y"))
			several(20, nil, event("D", "name:d"))
			won := 0
			for i, err := range hold(t, s, appends) {
				switch {
				case i < mix.taken && err == nil:
					won++
				case i < mix.taken+mix.stale:
					require.ErrorIs(t, err, opossum.ErrConditionFailed)
				default:
					require.NoError(t, err)
				}
			}
			require.Equal(t, min(mix.taken, 1), won)
			require.Len(t, all(t, s, opossum.ByTags("name:x"), 0), won)
			require.Empty(t, all(t, s, opossum.ByTypes("B"), 0))
			require.Len(t, all(t, s, opossum.ByTags("name:y"), 0), mix.beyond)
			require.Len(t, all(t, s, opossum.ByTags("name:d"), 0), 20)
			require.NoError(t, s.Close())
		}
	})
}

// The server of JetStream writes by itself, and Badger's files are mapped memory: their times say nothing.
func TestRejectionsWriteNothing(t *testing.T) {
	byItsFiles := func(w harness.Way) bool { return w.Name == "bbolt" || w.Name == "pebble" || w.Name == "sqlite" }
	eachWay(t, byItsFiles, func(t *testing.T, w harness.Way) {
		dir := t.TempDir()
		s := opened(t, w, dir, true)
		add(t, s, event("A", "a:1"))
		files := func() map[string]time.Time {
			times := map[string]time.Time{}
			entries, err := os.ReadDir(dir)
			require.NoError(t, err)
			for _, e := range entries {
				info, err := e.Info()
				require.NoError(t, err)
				if !strings.HasSuffix(e.Name(), "-shm") { // locks
					times[e.Name()] = info.ModTime()
				}
			}
			return times
		}
		before := files()
		for range 20 {
			require.ErrorIs(t, s.Append(t.Context(), []opossum.Event{event("A")}, &opossum.Condition{FailIfMatch: opossum.ByTags("a:1")}), opossum.ErrConditionFailed)
		}
		require.Equal(t, before, files())
	})
}

func TestWays(t *testing.T) {
	names := map[string]bool{}
	for _, w := range Ways() {
		require.False(t, names[w.Name])
		names[w.Name] = true
		require.NotContains(t, w.Name, " ")
		require.NotEmpty(t, w.What)
		require.NotEmpty(t, w.Settings)
		require.Equal(t, strings.HasSuffix(w.Name, "-plain"), !w.Store)
	}
}

// TestRejectedSeesWhy: who was rejected finds, when it looks again, the event for which it was, and need not try until a sync is over.
func TestRejectedSeesWhy(t *testing.T) {
	eachWay(t, conditional, func(t *testing.T, w harness.Way) {
		s := openedTarget(t, w, t.TempDir(), true).(harness.Store)
		var writers sync.WaitGroup
		for range 8 {
			writers.Go(func() {
				for range 25 {
					head := s.Head()
					err := s.Append(t.Context(), []opossum.Event{{Type: "T", Tags: []opossum.Tag{"k:1"}, Data: []byte("{}")}},
						&opossum.Condition{FailIfMatch: opossum.ByTags("k:1"), After: head})
					if err == nil {
						continue
					}
					if !assert.ErrorIs(t, err, opossum.ErrConditionFailed) {
						return
					}
					last, err := s.Last(t.Context(), opossum.ByTags("k:1"))
					if !assert.NoError(t, err) || !assert.Greater(t, last.Position, head) {
						return
					}
				}
			})
		}
		writers.Wait()
	})
}

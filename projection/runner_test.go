package projection

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"opossum/dcb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// account is a read model of deposits: "add" adds a number, "close" deletes.
type account struct {
	Sum  int   `json:"sum"`
	Seen []int `json:"seen"` // the positions, so that an event that is applied twice, or never, shows
	Peer int   `json:"peer"` // related events seen
}

// accounts is of the events with the tag that begins with "acc:".
func accounts(name string) Definition[account] {
	return Definition[account]{
		Name: name, Version: 1, Query: dcb.ByTypes("add", "close"),
		Key: func(e dcb.SequencedEvent) string {
			for _, t := range e.Event.Tags {
				if key, ok := strings.CutPrefix(string(t), "acc:"); ok {
					return key
				}
			}
			return ""
		},
		Apply: func(s *account, e Event) (*account, error) {
			if e.Event.Type == "close" {
				return nil, nil
			}
			if s == nil {
				s = &account{}
			}
			n := 0
			if err := json.Unmarshal(e.Event.Data, &n); err != nil {
				return nil, err
			}
			s.Sum += n
			s.Seen = append(s.Seen, int(e.Position))
			s.Peer += len(e.Related)
			return s, nil
		},
		Tags: func(s account) []dcb.Tag {
			return []dcb.Tag{dcb.Tag(fmt.Sprintf("even:%t", s.Sum%2 == 0)), dcb.Tag(fmt.Sprintf("big:%t", s.Sum > 100))}
		},
	}
}

// withPeers has Apply told how many notes there were before.
func withPeers(d Definition[account]) Definition[account] {
	d.Related = func(e dcb.SequencedEvent) dcb.Query {
		return dcb.Match(dcb.QueryItem{Types: []string{"note"}, Tags: e.Event.Tags})
	}
	return d
}

func run(t testing.TB, src Source, o Options) *Runner {
	t.Helper()
	r, err := New(src, o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, r.Close()) })
	return r
}

func add[S any](t testing.TB, r *Runner, d Definition[S]) *Model[S] {
	t.Helper()
	m, err := Add(r, d)
	require.NoError(t, err)
	return m
}

// content is everything that a model shows.
func content[S any](t testing.TB, m *Model[S]) (all []Instance[S]) {
	t.Helper()
	for i, err := range m.All() {
		require.NoError(t, err)
		all = append(all, i)
	}
	return all
}

func wait[S any](t testing.TB, m *Model[S], p dcb.Position) {
	t.Helper()
	require.NoError(t, m.Wait(t.Context(), p))
}

func TestAReadModelFollows(t *testing.T) {
	src := newSource()
	src.add("add", "1", "acc:a")
	src.add("add", "2", "acc:b")
	m := add(t, run(t, src, Options{Stores: Memory()}), accounts("accounts"))
	wait(t, m, 2)
	p := src.add("add", "5", "acc:a")
	wait(t, m, p)
	a, err := m.Get("a")
	require.NoError(t, err)
	require.Equal(t, Instance[account]{
		Info: Info{
			Key: "a", Position: 3, Created: at(1), Updated: at(3), Version: 2, Size: len(`{"sum":6,"seen":[1,3],"peer":0}`),
			Tags: []dcb.Tag{"big:false", "even:true"},
		},
		State: account{Sum: 6, Seen: []int{1, 3}},
	}, a)
	p = src.add("close", "", "acc:a")
	wait(t, m, p)
	_, err = m.Get("a")
	require.ErrorIs(t, err, dcb.ErrNotFound)
	require.Len(t, content(t, m), 1)
	p = src.add("add", "7", "acc:a")
	wait(t, m, p)
	a, err = m.Get("a")
	require.NoError(t, err)
	require.Equal(t, account{Sum: 7, Seen: []int{5}}, a.State, "it begins anew")
	require.Equal(t, uint64(1), a.Version)
	require.Equal(t, at(5), a.Created)
}

func TestOnlyWhatIsDurableEnters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		r, err := New(src, Options{Stores: Memory()})
		require.NoError(t, err)
		m := add(t, r, accounts("accounts"))
		src.add("add", "1", "acc:a")
		src.addVisible("add", "1", "acc:a")
		synctest.Wait()
		require.Equal(t, dcb.Position(1), m.Position())
		a, err := m.Get("a")
		require.NoError(t, err)
		require.Equal(t, 1, a.State.Sum)
		src.sync()
		synctest.Wait()
		require.Equal(t, dcb.Position(2), m.Position())
		require.NoError(t, r.Close())
	})
}

func TestOneFailingReadModelDoesNotStopAnother(t *testing.T) {
	for name, fail := range map[string]func() error{
		"error": func() error { return errTest },
		"panic": func() error { panic(errTest) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				src, healed := newSource(), atomic.Bool{}
				r, err := New(src, Options{Stores: Memory(), Attempts: 3})
				require.NoError(t, err)
				good := add(t, r, accounts("good"))
				d := accounts("bad")
				apply := d.Apply
				d.Apply = func(s *account, e Event) (*account, error) {
					if e.Position == 3 && !healed.Load() {
						s.Sum = -1000 // half a change
						return s, fail()
					}
					return apply(s, e)
				}
				bad := add(t, r, d)
				synctest.Wait() // both are built, of nothing
				for range 5 {
					src.add("add", "1", "acc:a")
				}
				synctest.Wait()
				wait(t, good, 5)
				require.ErrorIs(t, bad.Wait(t.Context(), 5), ErrParked)
				status := r.Status()
				require.Equal(t, "bad", status[0].Name)
				require.Equal(t, Parked, status[0].State)
				require.Equal(t, dcb.Position(3), status[0].FailedAt)
				require.Equal(t, 3, status[0].Attempts)
				require.Equal(t, dcb.Position(2), status[0].Position)
				require.Equal(t, uint64(3), status[0].Lag)
				require.Contains(t, status[0].Error, "position 3")
				require.Contains(t, status[0].Error, "test")
				a, err := bad.Get("a")
				require.NoError(t, err)
				require.Equal(t, account{Sum: 2, Seen: []int{1, 2}}, a.State, "what came before is kept, and nothing of the failed one")
				require.Equal(t, Following, status[1].State)

				require.NoError(t, r.Resume("bad"))
				synctest.Wait()
				require.ErrorIs(t, bad.Wait(t.Context(), 5), ErrParked, "it is as bad as before")
				healed.Store(true)
				require.NoError(t, r.Resume("bad"))
				wait(t, bad, 5)
				require.Equal(t, content(t, good), content(t, bad))
				require.NoError(t, r.Close())
			})
		})
	}
}

// A read model that cannot be built has nothing to show, says why, and goes on where it was.
func TestABuildThatFailsIsParked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, healed, applied := newSource(), atomic.Bool{}, atomic.Int64{}
		for range 5 {
			src.add("add", "1", "acc:a")
		}
		d := accounts("bad")
		apply := d.Apply
		d.Apply = func(s *account, e Event) (*account, error) {
			applied.Add(1)
			if e.Position == 3 && !healed.Load() {
				return nil, errTest
			}
			return apply(s, e)
		}
		r, err := New(src, Options{Stores: Memory(), Attempts: 2})
		require.NoError(t, err)
		m := add(t, r, d)
		require.ErrorIs(t, m.Wait(t.Context(), 1), ErrParked)
		_, err = m.Get("a")
		require.ErrorIs(t, err, ErrNotBuilt)
		s := r.Status()[0]
		require.Equal(t, Parked, s.State)
		require.Equal(t, dcb.Position(3), s.FailedAt)
		require.Equal(t, 2, s.Attempts)
		require.Contains(t, s.Rebuild.Error, "position 3")
		healed.Store(true)
		applied.Store(0)
		require.NoError(t, r.Resume("bad"))
		wait(t, m, 5)
		require.Equal(t, int64(3), applied.Load(), "what was built is gone on with")
		require.Nil(t, r.Status()[0].Rebuild)
		require.NoError(t, r.Close())
	})
}

func TestPauseIsQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		r, err := New(src, Options{Stores: Memory()})
		require.NoError(t, err)
		m := add(t, r, accounts("accounts"))
		src.add("add", "1", "acc:a")
		wait(t, m, 1)
		require.NoError(t, r.Pause("accounts"))
		src.add("add", "1", "acc:a")
		synctest.Wait()
		require.Equal(t, dcb.Position(1), m.Position())
		require.Equal(t, Paused, r.Status()[0].State)
		require.NoError(t, r.Rebuild(t.Context(), Rebuilding{}))
		require.Equal(t, dcb.Position(2), m.Position(), "a rebuild goes to the head")
		require.Equal(t, Paused, r.Status()[0].State)
		src.add("add", "1", "acc:a")
		synctest.Wait()
		require.Equal(t, dcb.Position(2), m.Position())
		require.NoError(t, r.Resume("accounts"))
		wait(t, m, 3)
		require.NoError(t, r.Close())
	})
}

func TestUnknownAndTakenNames(t *testing.T) {
	r := run(t, newSource(), Options{Stores: Memory()})
	add(t, r, accounts("accounts"))
	_, err := Add(r, accounts("accounts"))
	require.ErrorIs(t, err, ErrInvalidDefinition)
	require.ErrorIs(t, r.Pause("other"), ErrUnknown)
	require.ErrorIs(t, r.Resume("other"), ErrUnknown)
	require.ErrorIs(t, r.Rebuild(t.Context(), Rebuilding{Names: []string{"other"}}), ErrUnknown)
}

func TestAfterCloseEverythingSaysSo(t *testing.T) {
	r, err := New(newSource(), Options{Stores: Memory()})
	require.NoError(t, err)
	m := add(t, r, accounts("accounts"))
	require.NoError(t, r.Close())
	require.NoError(t, r.Close())
	_, err = m.Get("a")
	require.ErrorIs(t, err, dcb.ErrClosed)
	require.ErrorIs(t, m.Wait(t.Context(), 1), dcb.ErrClosed)
	require.ErrorIs(t, r.Pause("accounts"), dcb.ErrClosed)
	_, err = Add(r, accounts("more"))
	require.ErrorIs(t, err, dcb.ErrClosed)
	require.ErrorIs(t, r.Rebuild(t.Context(), Rebuilding{Names: []string{"accounts"}}), dcb.ErrClosed)
}

func TestInvalidDefinitions(t *testing.T) {
	for name, spoil := range map[string]func(*Definition[account]){
		"Name":    func(d *Definition[account]) { d.Name = "" },
		"Version": func(d *Definition[account]) { d.Version = 0 },
		"Query":   func(d *Definition[account]) { d.Query = dcb.Query{} },
		"Key":     func(d *Definition[account]) { d.Key = nil },
		"Apply":   func(d *Definition[account]) { d.Apply = nil },
	} {
		d := accounts("accounts")
		spoil(&d)
		err := d.Validate()
		require.ErrorIs(t, err, ErrInvalidDefinition)
		require.ErrorContains(t, err, name)
	}
}

func TestDelays(t *testing.T) {
	for _, c := range []struct{ o, want Options }{
		{Options{}, Options{MinDelay: DefaultMinDelay, MaxDelay: DefaultMaxDelay}},
		{Options{MinDelay: time.Hour}, Options{MinDelay: time.Hour, MaxDelay: time.Hour}},
		{Options{MaxDelay: time.Millisecond}, Options{MinDelay: time.Millisecond, MaxDelay: time.Millisecond}},
		{Options{MaxDelay: time.Second}, Options{MinDelay: DefaultMinDelay, MaxDelay: time.Second}},
	} {
		require.NoError(t, c.o.Validate())
		got := c.o.filled()
		require.Equal(t, [...]time.Duration{c.want.MinDelay, c.want.MaxDelay}, [...]time.Duration{got.MinDelay, got.MaxDelay})
	}
	o := Options{MinDelay: 100, MaxDelay: 1000, Rand: func() float64 { return 0 }}.filled()
	for failures, want := range []time.Duration{1: 50, 2: 100, 3: 200, 4: 400, 5: 500, 6: 500, 1000: 500} {
		if failures > 0 && want > 0 {
			require.Equal(t, want, o.delay(failures))
		}
	}
	o.Rand = func() float64 { return 0.5 }
	require.Equal(t, time.Duration(75), o.delay(1))
}

func TestInvalidOptions(t *testing.T) {
	for name, o := range map[string]Options{
		"Stores": {}, "AtStart": {Stores: Memory(), AtStart: 9}, "Parallel": {Stores: Memory(), Parallel: -1}, "BudgetBytes": {Stores: Memory(), BudgetBytes: -1},
		"Attempts": {Stores: Memory(), Attempts: -1}, "MinDelay": {Stores: Memory(), MinDelay: time.Hour, MaxDelay: time.Second},
	} {
		_, err := New(newSource(), o)
		require.ErrorIs(t, err, dcb.ErrInvalidOption, name)
		require.ErrorContains(t, err, name)
	}
}

// history draws events and adds them.
func history(t *rapid.T, src *memorySource, most int) {
	for range rapid.IntRange(0, most).Draw(t, "events") {
		kind := rapid.SampledFrom([]string{"add", "add", "add", "close", "note", "other"}).Draw(t, "type")
		key := rapid.SampledFrom([]string{"a", "b", "c", "Ä/..", ""}).Draw(t, "key")
		src.add(kind, fmt.Sprint(rapid.IntRange(0, 60).Draw(t, "n")), dcb.Tag("acc:"+key))
	}
}

// scratch folds all events anew, by the definition alone.
func scratch(t require.TestingT, src *memorySource, d Definition[account]) ([]Instance[account], uint64) {
	stores := Memory()
	r, err := New(src, Options{Stores: stores})
	require.NoError(t, err)
	m, err := Add(r, d)
	require.NoError(t, err)
	require.NoError(t, m.Wait(context.Background(), src.Durable()))
	var all []Instance[account]
	for i, err := range m.All() {
		require.NoError(t, err)
		all = append(all, i)
	}
	events := r.Status()[0].Events
	require.NoError(t, r.Close())
	return all, events
}

// flaky makes the operations of stores fail at random, between any two of their steps.
type flaky struct {
	Stores
	fail func() bool
}

type flakyStore struct {
	Store
	fail func() bool
}

func (f flaky) wrap(s Store, err error) (Store, error) {
	if err != nil {
		return nil, err
	}
	return &flakyStore{s, f.fail}, nil
}
func (f flaky) Live(id Identity) (Store, error)          { return f.wrap(f.Stores.Live(id)) }
func (f flaky) Build(id Identity, x bool) (Store, error) { return f.wrap(f.Stores.Build(id, x)) }
func (f flaky) Replace(id Identity) error {
	if f.fail() {
		return errTest
	}
	return f.Stores.Replace(id)
}

// Save keeps a part of the records, without a checkpoint, when it fails: what a kill leaves.
func (s *flakyStore) Save(records []Record, at Checkpoint) error {
	keys := map[string]bool{}
	for _, r := range records {
		if keys[r.Key] {
			panic("one Save has two records of " + r.Key)
		}
		keys[r.Key] = true
	}
	if s.fail() {
		return errors.Join(errTest, s.Store.Save(records[:len(records)/2], s.Checkpoint()))
	}
	return s.Store.Save(records, at)
}

func (s *flakyStore) Get(key string) (Record, error) {
	if s.fail() {
		return Record{}, errTest
	}
	return s.Store.Get(key)
}

// Whatever fails, and however often the runner is begun anew, every event is applied once: a state lists the positions of its events.
func TestExactlyOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		src, stores, d := newSource(), Memory(), accounts("accounts")
		if rapid.Bool().Draw(t, "peers") {
			d = withPeers(d)
		}
		var mu sync.Mutex
		quiet := false
		rng := rapid.SliceOfN(rapid.IntRange(0, 5), 100, 100).Draw(t, "failures")
		fail := func() bool {
			mu.Lock()
			defer mu.Unlock()
			if quiet || len(rng) == 0 {
				return false
			}
			f := rng[0] == 0
			rng = rng[1:]
			return f
		}
		for range rapid.IntRange(1, 4).Draw(t, "lives") {
			history(t, src, 40)
			r, err := New(src, Options{
				Stores: flaky{unclosed{stores}, fail}, BudgetBytes: rapid.SampledFrom([]int64{1, 2000, 0}).Draw(t, "budget"), MinDelay: time.Microsecond, MaxDelay: time.Microsecond,
				AtStart: rapid.SampledFrom([]AtStart{RebuildUnfit, RebuildAll}).Draw(t, "start"),
			})
			require.NoError(t, err)
			m, err := Add(r, d)
			require.NoError(t, err)
			if rapid.Bool().Draw(t, "until") {
				require.NoError(t, m.Wait(context.Background(), dcb.Position(rapid.IntRange(0, int(src.Durable())).Draw(t, "position"))))
			}
			require.NoError(t, r.Close())
		}
		mu.Lock()
		quiet = true
		mu.Unlock()
		r, err := New(src, Options{Stores: unclosed{stores}, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
		require.NoError(t, err)
		m, err := Add(r, d)
		require.NoError(t, err)
		require.NoError(t, m.Wait(context.Background(), src.Durable()))
		var got []Instance[account]
		for i, err := range m.All() {
			require.NoError(t, err)
			got = append(got, i)
		}
		events := r.Status()[0].Events
		require.NoError(t, r.Close())
		want, wantEvents := scratch(t, src, d)
		require.Equal(t, want, got)
		require.Equal(t, wantEvents, events)
	})
}

// Readers see the old states until the new ones are in their place, and never go back.
func TestReadersBesideRebuilds(t *testing.T) {
	src := newSource()
	r := run(t, src, Options{Stores: Memory(), BudgetBytes: 1000})
	m := add(t, r, accounts("accounts"))
	wait(t, m, src.add("add", "1", "acc:a"))
	ctx, stop := context.WithCancel(t.Context())
	var g sync.WaitGroup
	for range 2 {
		g.Go(func() {
			for last := 0; ctx.Err() == nil; {
				a, err := m.Get("a")
				if !errors.Is(err, nil) || a.State.Sum < last {
					t.Errorf("after %d: %+v, %v", last, a.State, err)
					return
				}
				last = a.State.Sum
			}
		})
	}
	g.Go(func() {
		for range 300 {
			src.add("add", "1", "acc:a")
			src.add("add", "1", "acc:b")
		}
	})
	for range 20 {
		reported := atomic.Int64{}
		require.NoError(t, r.Rebuild(t.Context(), Rebuilding{Report: func(p Progress) { reported.Add(1) }}))
		require.NotZero(t, reported.Load())
	}
	wait(t, m, src.Durable())
	stop()
	g.Wait()
	wait(t, m, src.Durable())
	a, err := m.Get("a")
	require.NoError(t, err)
	require.Equal(t, 301, a.State.Sum)
	require.Len(t, a.State.Seen, 301)
}

func TestARebuildEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, block := newSource(), make(chan struct{})
		for range 5 {
			src.add("add", "1", "acc:a")
		}
		d, slow := accounts("accounts"), atomic.Bool{}
		apply := d.Apply
		d.Apply = func(s *account, e Event) (*account, error) {
			if slow.Load() && e.Position == 3 {
				<-block
			}
			return apply(s, e)
		}
		r, err := New(src, Options{Stores: Memory()})
		require.NoError(t, err)
		m := add(t, r, d)
		wait(t, m, 5)
		slow.Store(true)
		ctx, cancel := context.WithCancel(t.Context())
		first, second := make(chan error), make(chan error)
		go func() { first <- r.Rebuild(ctx, Rebuilding{}) }()
		synctest.Wait()
		go func() { second <- r.Rebuild(t.Context(), Rebuilding{Names: []string{"accounts"}}) }()
		synctest.Wait()
		require.NotNil(t, r.Status()[0].Rebuild)
		require.Len(t, content(t, m), 1)
		cancel()
		close(block)
		require.ErrorIs(t, <-first, context.Canceled)
		require.NoError(t, <-second, "whose own context has not ended")
		require.Equal(t, Following, r.Status()[0].State)
		require.Nil(t, r.Status()[0].Rebuild)
		require.ErrorIs(t, r.Rebuild(ctx, Rebuilding{}), context.Canceled)
		require.Contains(t, r.Status()[0].Rebuild.Error, "canceled")
		require.Equal(t, Following, r.Status()[0].State, "with what it was to replace")
		require.NoError(t, r.Rebuild(t.Context(), Rebuilding{}))
		require.Nil(t, r.Status()[0].Rebuild)
		require.NoError(t, r.Close())
	})
}

// unclosed are stores that outlive their runner.
type unclosed struct{ Stores }

func (unclosed) Close() error { return nil }

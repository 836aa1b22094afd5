package projection

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"opossum/dcb"
)

// What has never been there is no damage, and no reason for a warning; a log that is gone is.
func TestNothingIsNotFound(t *testing.T) {
	dir, said := t.TempDir(), bytes.Buffer{}
	stores, err := Files(dir, slog.New(slog.NewTextHandler(&said, nil)))
	require.NoError(t, err)
	_, err = stores.Live(accounts("accounts").identity("store"))
	require.ErrorIs(t, err, ErrUnfit)
	require.ErrorIs(t, err, dcb.ErrNotFound)
	src := newSource()
	wait(t, add(t, run(t, src, Options{Stores: unclosed{stores}, Logger: slog.New(slog.NewTextHandler(&said, &slog.HandlerOptions{Level: slog.LevelWarn}))}), accounts("accounts")), 0)
	require.Empty(t, said.String())
	require.NoError(t, stores.Close())

	path := filepath.Join(dir, "accounts", logName)
	for what, spoil := range map[string]func() error{
		"removed":     func() error { return nil },
		"a directory": func() error { return os.MkdirAll(filepath.Join(path, "x"), 0o755) },
	} {
		require.NoError(t, os.RemoveAll(path))
		require.NoError(t, spoil())
		_, _, err = loadLog(filepath.Dir(path))
		require.ErrorIs(t, err, ErrUnfit, what)
		require.NotErrorIs(t, err, dcb.ErrNotFound, what)
	}
}

// What a definition returns is a failure of the event, whatever else it may be called: an Apply that asks another read model, or another store, meets such errors.
func TestAnErrorOfApplyIsNothingElse(t *testing.T) {
	for _, fail := range []error{dcb.ErrClosed, ErrUnfit, context.Canceled, dcb.ErrCorrupt} {
		for _, built := range []bool{false, true} {
			t.Run(fmt.Sprint(fail, built), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					src, applied := newSource(), atomic.Int64{}
					r, err := New(src, Options{Stores: Memory(), Attempts: 2})
					require.NoError(t, err)
					d := accounts("accounts")
					d.Apply = func(*account, Event) (*account, error) {
						applied.Add(1)
						return nil, fail
					}
					if !built {
						src.add("add", "1", "acc:a")
					}
					m := add(t, r, d)
					if synctest.Wait(); built {
						src.add("add", "1", "acc:a")
					}
					require.ErrorIs(t, m.Wait(t.Context(), 1), ErrParked)
					s := r.Status()[0]
					require.Equal(t, Parked, s.State)
					require.Equal(t, dcb.Position(1), s.FailedAt)
					require.EqualValues(t, 2, applied.Load())
					require.NoError(t, r.Close())
				})
			})
		}
	}
}

// Such is a test's FailNow in an Apply: nothing may wait for it for ever.
func TestAGoroutineThatIsEnded(t *testing.T) {
	for _, built := range []bool{false, true} {
		t.Run(fmt.Sprint(built), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				src, left := newSource(), atomic.Bool{}
				r, err := New(src, Options{Stores: Memory()})
				require.NoError(t, err)
				d := accounts("accounts")
				apply := d.Apply
				d.Apply = func(s *account, e Event) (*account, error) {
					if left.Load() {
						runtime.Goexit()
					}
					return apply(s, e)
				}
				left.Store(true)
				if !built {
					src.add("add", "1", "acc:a")
				}
				m := add(t, r, d)
				if synctest.Wait(); built {
					src.add("add", "1", "acc:a")
				}
				err = m.Wait(t.Context(), 1)
				require.ErrorIs(t, err, ErrParked)
				require.ErrorIs(t, err, errLeft)
				require.Equal(t, Parked, r.Status()[0].State)
				require.ErrorIs(t, r.Rebuild(t.Context(), Rebuilding{}), errLeft)
				left.Store(false)
				require.NoError(t, r.Resume("accounts"))
				wait(t, m, 1)
				require.NoError(t, r.Close())
			})
		})
	}
}

func TestAfterCloseAllIsNotNothing(t *testing.T) {
	r, err := New(newSource(), Options{Stores: Memory()})
	require.NoError(t, err)
	add(t, r, accounts("accounts"))
	require.NoError(t, r.Close())
	require.ErrorIs(t, r.Rebuild(t.Context(), Rebuilding{}), dcb.ErrClosed)
}

func TestCloseEndsARebuild(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow, block := atomic.Bool{}, make(chan struct{})
		_, r, _, _ := heldFiles(t, Options{}, func() error {
			if slow.Load() {
				<-block
			}
			return nil
		})
		slow.Store(true)
		rebuilt, closed := make(chan error), make(chan error)
		for range 2 {
			go func() { rebuilt <- r.Rebuild(t.Context(), Rebuilding{}) }()
		}
		synctest.Wait()
		go func() { closed <- r.Close() }()
		synctest.Wait()
		select {
		case <-closed:
			require.Fail(t, "a rebuild is still at work")
		default:
		}
		go func() { closed <- r.Close() }()
		close(block)
		for range 2 {
			require.ErrorIs(t, <-rebuilt, dcb.ErrClosed)
			require.NoError(t, <-closed)
		}
	})
}

// The bar of a program: it does not go back, ends at the whole, and the last part, for which the following stands still, is in it.
func TestProgressIsMonotone(t *testing.T) {
	src, applied := newSource(), atomic.Int64{}
	for range 3 {
		src.add("add", "1", "acc:a")
	}
	d := accounts("accounts")
	r := run(t, src, Options{Stores: Memory(), BudgetBytes: 1})
	apply, more := d.Apply, atomic.Bool{}
	d.Apply = func(s *account, e Event) (*account, error) {
		if more.Load() && applied.Add(1) < 2000 {
			src.add("add", "1", "acc:a")
		}
		return apply(s, e)
	}
	m := add(t, r, d)
	wait(t, m, 3)
	require.NoError(t, r.Pause("accounts"))
	more.Store(true)
	last := Progress{}
	require.NoError(t, r.Rebuild(t.Context(), Rebuilding{Report: func(p Progress) {
		require.LessOrEqual(t, p.Done(), 1.0)
		require.GreaterOrEqual(t, p.Position, last.Position)
		require.GreaterOrEqual(t, p.Until, last.Until)
		last = p
		require.NoError(t, r.Pause("accounts"), "it is called without a lock")
	}}))
	require.Equal(t, m.Position(), last.Position)
	require.Equal(t, 1.0, last.Done())
	require.NoError(t, r.Resume("accounts"))
}

// A rebuild that fails again and again, for the events cannot be read, say, must not hold up those that could be built meanwhile.
func TestARebuildThatRestsHasNoTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		src.add("add", "1", "acc:a")
		src.add("odd", "1", "acc:a")
		src.fail = func(p dcb.Position) error {
			if p == 2 {
				return dcb.ErrCorrupt
			}
			return nil
		}
		r, err := New(src, Options{Stores: Memory(), Parallel: 1})
		require.NoError(t, err)
		bad := accounts("bad")
		bad.Query = dcb.ByTypes("odd")
		add(t, r, bad)
		synctest.Wait()
		wait(t, add(t, r, accounts("good")), 1)
		require.Contains(t, r.Status()[0].Rebuild.Error, "corrupt")
		require.NoError(t, r.Close())
	})
}

// heldFiles are a read model in files with one state, and Apply as slow, or as bad, as a test wants it.
func heldFiles(t *testing.T, o Options, before func() error) (src *memorySource, r *Runner, m *Model[account], file string) {
	dir := t.TempDir()
	stores, err := Files(dir, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	src = newSource()
	src.add("add", "1", "acc:a")
	o.Stores = stores
	r, err = New(src, o)
	require.NoError(t, err)
	d := accounts("accounts")
	apply := d.Apply
	d.Apply = func(s *account, e Event) (*account, error) {
		if err := before(); err != nil {
			return nil, err
		}
		return apply(s, e)
	}
	m = add(t, r, d)
	wait(t, m, 1)
	return src, r, m, filepath.Join(dir, "accounts", "a.json")
}

// Somebody rebuilds, damage is found, and he gives up: what is damaged is rebuilt nevertheless.
func TestDamageIsRebuiltWhoeverGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow, block := atomic.Bool{}, make(chan struct{})
		_, r, m, file := heldFiles(t, Options{}, func() error {
			if slow.Load() {
				<-block
			}
			return nil
		})
		slow.Store(true)
		ctx, cancel := context.WithCancel(t.Context())
		first := make(chan error)
		go func() { first <- r.Rebuild(ctx, Rebuilding{}) }()
		synctest.Wait()
		require.NoError(t, os.WriteFile(file, []byte("x"), 0o644))
		_, err := m.Get("a")
		require.ErrorIs(t, err, dcb.ErrCorrupt)
		cancel()
		close(block)
		require.ErrorIs(t, <-first, context.Canceled)
		wait(t, m, 1)
		_, err = m.Get("a")
		require.NoError(t, err)
		require.NoError(t, r.Close())
	})
}

// What can be read, but neither followed nor rebuilt, is parked like what cannot be built at all: who waits for it is told.
func TestDamageThatCannotBeRebuiltIsParked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bad := atomic.Bool{}
		src, r, m, file := heldFiles(t, Options{}, func() error {
			if bad.Load() {
				return errTest
			}
			return nil
		})
		bad.Store(true)
		require.NoError(t, os.WriteFile(file, []byte("x"), 0o644))
		_, err := m.Get("a")
		require.ErrorIs(t, err, dcb.ErrCorrupt)
		src.add("other", "")
		require.ErrorIs(t, m.Wait(t.Context(), 2), ErrParked)
		s := r.Status()[0]
		require.Equal(t, Parked, s.State)
		require.Equal(t, dcb.Position(1), s.FailedAt)
		require.Contains(t, s.Unfit, "a.json")
		_, err = m.Get("a")
		require.ErrorIs(t, err, dcb.ErrCorrupt)
		require.Equal(t, Parked, r.Status()[0].State)
		bad.Store(false)
		require.NoError(t, r.Resume("accounts"))
		wait(t, m, 2)
		require.NoError(t, r.Close())
	})
}

// Who still reads the old states finds damage there: nothing is wrong with the new ones.
func TestDamageOfWhatWasReplaced(t *testing.T) {
	src, r, m, file := heldFiles(t, Options{}, func() error { return nil })
	wait(t, m, src.add("add", "1", "acc:b"))
	n := 0
	for _, err := range m.All() {
		if n++; n > 1 {
			require.ErrorIs(t, err, dcb.ErrCorrupt)
			break
		}
		require.NoError(t, r.Rebuild(t.Context(), Rebuilding{}))
		old, err := filepath.Glob(filepath.Join(filepath.Dir(file), "..", nextDir, "*", "b.json"))
		require.NoError(t, err)
		require.Len(t, old, 1)
		require.NoError(t, os.WriteFile(old[0], []byte("x"), 0o644))
	}
	require.Equal(t, 2, n)
	require.Empty(t, r.Status()[0].Unfit)
	require.Len(t, content(t, m), 2)
	require.NoError(t, r.Close())
}

// What was replaced stays until its last reader has gone, and goes with him.
func TestWhatWasReplacedGoesWithItsLastReader(t *testing.T) {
	src, r, m, file := heldFiles(t, Options{}, func() error { return nil })
	wait(t, m, src.add("add", "1", "acc:b"))
	old := func() []string {
		found, err := filepath.Glob(filepath.Join(filepath.Dir(file), "..", nextDir, "*"))
		require.NoError(t, err)
		return found
	}
	outer := 0
	for _, err := range m.All() {
		require.NoError(t, err)
		if outer++; outer > 1 {
			break
		}
		for _, err := range m.All() {
			require.NoError(t, err)
			require.NoError(t, r.Rebuild(t.Context(), Rebuilding{}))
			break
		}
		require.Len(t, old(), 1)
	}
	require.Equal(t, 2, outer, "he reads on in what was replaced")
	require.Empty(t, old())
	require.NoError(t, r.Close())
}

// What is found damaged later waits, too, if nothing is to be rebuilt by itself.
func TestDamageWaitsIfNothingIsRebuilt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		stores, err := Files(dir, slog.New(slog.DiscardHandler))
		require.NoError(t, err)
		src := newSource()
		src.add("add", "1", "acc:a")
		r, err := New(src, Options{Stores: stores, AtStart: RebuildNone})
		require.NoError(t, err)
		m := add(t, r, accounts("accounts"))
		require.NoError(t, r.Rebuild(t.Context(), Rebuilding{}))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "accounts", "a.json"), []byte("x"), 0o644))
		_, err = m.Get("a")
		require.ErrorIs(t, err, dcb.ErrCorrupt)
		synctest.Wait()
		require.Equal(t, Unbuilt, r.Status()[0].State)
		require.Nil(t, r.Status()[0].Rebuild)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, m.Wait(ctx, 1), context.Canceled)
		require.NoError(t, r.Rebuild(t.Context(), Rebuilding{Unfit: true}))
		wait(t, m, 1)
		require.NoError(t, r.Close())
	})
}

// What an event is related to cannot be read for a while: it waits, and is not applied without.
func TestAnEventIsNotAppliedWithoutItsRelated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, failures := newSource(), atomic.Int64{}
		src.add("note", "1", "acc:a")
		src.add("add", "1", "acc:a") // is related to nothing, which the ones after it do not share
		src.add("add", "1", "acc:a")
		src.add("add", "1", "acc:a")
		src.fail = func(p dcb.Position) error {
			if p == 1 && failures.Add(1) <= 3 { // which the read model itself does not ask for
				return errTest
			}
			return nil
		}
		r, err := New(src, Options{Stores: Memory()})
		require.NoError(t, err)
		d := withPeers(accounts("accounts"))
		related := d.Related
		d.Related = func(e dcb.SequencedEvent) (q dcb.Query) {
			if e.Position != 2 {
				q = related(e)
			}
			return q
		}
		m := add(t, r, d)
		wait(t, m, 4)
		a, err := m.Get("a")
		require.NoError(t, err)
		require.Equal(t, account{Sum: 3, Seen: []int{2, 3, 4}, Peer: 2}, a.State)
		require.EqualValues(t, 4, failures.Load())
		require.NoError(t, r.Close())
	})
}

// illegible is a store whose states cannot be read for a while, though nothing is wrong with them.
type illegible struct {
	Store
	left *atomic.Int64
}

func (s illegible) Get(key string) (Record, error) {
	if s.left.Add(-1) >= 0 {
		return Record{}, errTest
	}
	return s.Store.Get(key)
}

// A state that cannot be read is not one that is not there: none begins anew.
func TestAStateThatCannotBeReadIsWaitedFor(t *testing.T) {
	src, stores, d, left := newSource(), Memory(), accounts("accounts"), atomic.Int64{}
	src.add("add", "1", "acc:a")
	store, err := stores.Build(d.identity(src.StoreID()), true)
	require.NoError(t, err)
	left.Store(3)
	c := catcher{src: src, query: d.Query, fold: newFolding(d, illegible{store, &left}), store: store, clock: time.Now}
	require.NoError(t, store.Save([]Record{{Key: "a", Position: 1, Version: 1, State: []byte(`{"sum":1}`)}}, Checkpoint{1, 1}))
	c.at = store.Checkpoint()
	p := src.add("add", "1", "acc:a")
	for range 3 {
		require.ErrorIs(t, c.upTo(t.Context(), p), errTest)
		require.Equal(t, Checkpoint{1, 1}, store.Checkpoint())
	}
	require.NoError(t, c.upTo(t.Context(), p))
	r, err := store.Get("a")
	require.NoError(t, err)
	require.EqualValues(t, 2, r.Version)
	require.JSONEq(t, `{"sum":2,"seen":[2],"peer":0}`, string(r.State))
}

// A question that cannot be asked is a fault of its event.
func TestRelatedThatIsNoQueryIsParked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, d := newSource(), accounts("accounts")
		src.add("add", "1", "acc:a")
		d.Related = func(dcb.SequencedEvent) dcb.Query { return dcb.ByTags("") }
		r, err := New(src, Options{Stores: Memory()})
		require.NoError(t, err)
		require.ErrorIs(t, add(t, r, d).Wait(t.Context(), 1), ErrParked)
		require.Equal(t, dcb.Position(1), r.Status()[0].FailedAt)
		require.NoError(t, r.Close())
	})
}

// What has changed is taken in parts, and nothing of it is left when there is said to be no more: the checkpoint follows.
func TestWhatChangedIsTakenInParts(t *testing.T) {
	store, err := Memory().Build(testID, true)
	require.NoError(t, err)
	for n := 1; n <= 7; n++ {
		f := newFolding(accounts("accounts"), store)
		for i := range n {
			key := dcb.Tag(fmt.Sprintf("acc:%d", i))
			e := dcb.SequencedEvent{Position: dcb.Position(i + 1), Event: dcb.Event{Type: "add", Tags: []dcb.Tag{key}, Data: []byte("1")}}
			require.NoError(t, f.apply(Event{SequencedEvent: e}))
		}
		taken := map[string]bool{}
		for more := true; more; {
			require.EqualValues(t, n, f.events(), "until all was taken")
			var records []Record
			records, more, err = f.take(3)
			require.NoError(t, err)
			require.LessOrEqual(t, len(records), 3)
			for _, r := range records {
				require.False(t, taken[r.Key])
				taken[r.Key] = true
			}
		}
		require.Len(t, taken, n)
		require.Zero(t, f.events())
	}
}

// An older copy of the events was put back: neither what is live may be gone on with, nor what a rebuild has left.
func TestABuildThatIsAheadOfTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, stores, d := newSource(), Memory(), accounts("accounts")
		s, err := stores.Build(d.identity(src.StoreID()), true)
		require.NoError(t, err)
		require.NoError(t, s.Save([]Record{{Key: "a", Position: 5, Version: 5, State: []byte(`{"sum":5}`)}}, Checkpoint{5, 5}))
		require.NoError(t, s.Close())
		src.add("add", "1", "acc:a")
		r, err := New(src, Options{Stores: stores})
		require.NoError(t, err)
		m := add(t, r, d)
		wait(t, m, 1)
		a, err := m.Get("a")
		require.NoError(t, err)
		require.Equal(t, 1, a.State.Sum)
		require.NoError(t, r.Close())
	})
}

// stubborn are stores whose next Build fails.
type stubborn struct {
	Stores
	fail *atomic.Bool
}

func (s stubborn) Build(id Identity, fresh bool) (Store, error) {
	if s.fail.Swap(false) {
		return nil, errTest
	}
	return s.Stores.Build(id, fresh)
}

// Anew is anew: also if the first attempt did not come to remove what an earlier rebuild has left.
func TestAFreshRebuildStaysFresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, stores, d := newSource(), stubborn{Memory(), new(atomic.Bool)}, accounts("accounts")
		src.add("add", "1", "acc:a")
		s, err := stores.Build(d.identity(src.StoreID()), true)
		require.NoError(t, err)
		require.NoError(t, s.Save([]Record{{Key: "a", Position: 1, Version: 1, State: []byte(`{"sum":100}`)}}, Checkpoint{1, 1}))
		require.NoError(t, s.Close())
		stores.fail.Store(true)
		r, err := New(src, Options{Stores: stores, AtStart: RebuildAll})
		require.NoError(t, err)
		m := add(t, r, d)
		wait(t, m, 1)
		a, err := m.Get("a")
		require.NoError(t, err)
		require.Equal(t, 1, a.State.Sum)
		require.NoError(t, r.Close())
	})
}

type oneWay struct{}

func (oneWay) MarshalJSON() ([]byte, error) { return []byte(`{"a":1}`), nil }
func (*oneWay) UnmarshalJSON([]byte) error  { return errTest }

type panics struct{}

func (panics) MarshalJSON() ([]byte, error) { return []byte(`{"a":1}`), nil }
func (*panics) UnmarshalJSON([]byte) error  { panic(errTest) }

type node struct{ Next *node }

func cycle() *node {
	n := &node{}
	n.Next = n
	return n
}

func chain() (n *node) { // deeper than what encoding/json reads
	for range 20_000 {
		n = &node{n}
	}
	return n
}

// A state that cannot be kept, or not be read again, is the fault of its event: the read model is parked there, with what came before.
func TestStatesThatAreNoJSON(t *testing.T) {
	t.Run("marshal", func(t *testing.T) { parkedAt(t, struct{ C chan int }{}) })
	t.Run("not a number", func(t *testing.T) { parkedAt(t, math.NaN()) })
	t.Run("cycle", func(t *testing.T) { parkedAt(t, *cycle()) })
	t.Run("deep", func(t *testing.T) { parkedAt(t, *chain()) })
	t.Run("not UTF-8", func(t *testing.T) { parkedAt(t, json.RawMessage("\"\xff\"")) })
	t.Run("no JSON", func(t *testing.T) { parkedAt(t, json.RawMessage("{")) })
	t.Run("unmarshal", func(t *testing.T) { parkedAt(t, oneWay{}) })
	t.Run("unmarshal panics", func(t *testing.T) { parkedAt(t, panics{}) })
	t.Run("interface", func(t *testing.T) { parkedAt(t, struct{ E error }{errTest}) })
}

// parkedAt fails unless a read model is parked at the second event if its state is that of one key; and all of it again if one is built already.
func parkedAt[S any](t *testing.T, state S) {
	for _, built := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			src := newSource()
			d := Definition[S]{Name: "odd", Version: 1, Query: dcb.AllEvents(), Key: accounts("").Key, Apply: func(*S, Event) (*S, error) { return &state, nil }}
			r, err := New(src, Options{Stores: Memory()})
			require.NoError(t, err)
			if built {
				add(t, r, d)
				synctest.Wait()
			}
			src.add("add", "1")
			src.add("add", "1", "acc:a")
			src.add("add", "1")
			if !built {
				add(t, r, d)
			}
			time.Sleep(time.Minute) // of the bubble
			s := r.Status()[0]
			require.Equal(t, Parked, s.State)
			require.Equal(t, dcb.Position(2), s.FailedAt)
			require.Equal(t, DefaultAttempts, s.Attempts)
			require.NoError(t, r.Close())
		})
	}
}

// A state was kept, its checkpoint was not, and its tags are a fault now: the event at which that is found is below the one that the state includes.
func TestAFaultInWhatWasKeptIsParked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, stores, d := newSource(), Memory(), accounts("accounts")
		s, err := stores.Build(d.identity(src.StoreID()), true)
		require.NoError(t, err)
		require.NoError(t, stores.Replace(d.identity(src.StoreID())))
		for range 5 {
			src.add("add", "1", "acc:a")
		}
		require.NoError(t, s.Save([]Record{{Key: "a", Position: 5, Version: 5, State: []byte(`{"sum":5}`)}}, Checkpoint{1, 1}))
		require.NoError(t, s.Close())
		d.Tags = func(account) []dcb.Tag { panic(errTest) }
		r, err := New(src, Options{Stores: stores, Attempts: 2})
		require.NoError(t, err)
		require.ErrorIs(t, add(t, r, d).Wait(t.Context(), 5), ErrParked)
		require.Equal(t, dcb.Position(2), r.Status()[0].FailedAt)
		require.NoError(t, r.Close())
	})
}

func TestFingerprintsTellQueriesApart(t *testing.T) {
	seen := map[string]int{}
	for i, q := range []dcb.Query{
		dcb.AllEvents(), dcb.ByTypes("a"), dcb.ByTags("a"), dcb.ByTypes("a", "b"), dcb.ByTypes("a").Or(dcb.ByTypes("b")), dcb.ByTypes("ab"),
		dcb.ByTypes("1a", strings.Repeat("b", 17)), dcb.ByTypes("at17" + strings.Repeat("b", 17)), // the length of a name, and one that begins with a digit
		dcb.ByTypes("1a", strings.Repeat("b", 16)), dcb.ByTypes("at16:" + strings.Repeat("b", 16)),
	} {
		other, ok := seen[fingerprint(q)]
		require.False(t, ok, "%d and %d", i, other)
		seen[fingerprint(q)] = i
	}
}

// What a caller does while he chooses holds up nobody, and may be anything.
func TestInfosHoldNoLock(t *testing.T) {
	src := newSource()
	m := add(t, run(t, src, Options{Stores: Memory()}), accounts("accounts"))
	wait(t, m, src.add("add", "1", "acc:a"))
	infos, err := m.Infos(func(Info) bool {
		wait(t, m, src.add("add", "1", "acc:a"))
		_, err := m.Get("a")
		return err == nil
	})
	require.NoError(t, err)
	require.Len(t, infos, 1)
	none, err := m.Infos(func(Info) bool { return false })
	require.NoError(t, err)
	require.Empty(t, none)
}

// An event whose Related fails is not left out, and those before it in the same read are applied; nor is anything if all of them ask for more than one query may.
func TestRelatedOfAPortion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, bad := newSource(), atomic.Bool{}
		for range 300 {
			src.addVisible("note", "1", dcb.Tag(fmt.Sprintf("n:%d", len(src.events)%50)))
			src.addVisible("add", "1", "acc:a")
		}
		src.sync()
		d := accounts("accounts")
		d.Related = func(e dcb.SequencedEvent) (q dcb.Query) {
			if e.Position == 100 && bad.Load() {
				panic(errTest)
			}
			var items []dcb.QueryItem
			for i := range 50 { // 256 events ask for 12,800 items
				items = append(items, dcb.QueryItem{Types: []string{"note"}, Tags: []dcb.Tag{dcb.Tag(fmt.Sprintf("n:%d", i))}}, dcb.QueryItem{Types: []string{fmt.Sprint(e.Position)}})
			}
			return dcb.Match(items...)
		}
		apply, unfit := d.Apply, atomic.Bool{}
		d.Apply = func(s *account, e Event) (*account, error) {
			if e.Position == 20 && unfit.Load() { // in the first of the parts that are asked for by themselves
				return nil, errTest
			}
			return apply(s, e)
		}
		bad.Store(true)
		unfit.Store(true)
		r, err := New(src, Options{Stores: Memory()})
		require.NoError(t, err)
		m := add(t, r, d)
		for _, c := range []struct {
			fails *atomic.Bool
			at    dcb.Position
		}{{&unfit, 20}, {&bad, 100}} {
			require.ErrorIs(t, m.Wait(t.Context(), 600), ErrParked)
			s := r.Status()[0]
			require.Equal(t, c.at, s.FailedAt)
			require.Equal(t, c.at-1, s.Rebuild.Position)
			c.fails.Store(false)
			require.NoError(t, r.Resume("accounts"))
			synctest.Wait() // for it to go on
		}
		wait(t, m, 600)
		a, err := m.Get("a")
		require.NoError(t, err)
		require.Equal(t, 300, a.State.Sum)
		require.Equal(t, 300*301/2, a.State.Peer, "each sees the notes before it, and no others")
		require.NoError(t, r.Close())
	})
}

// A state that is deleted while others are read hides none of them.
func TestAStateThatGoesWhileOthersAreRead(t *testing.T) {
	src := newSource()
	m := add(t, run(t, src, Options{Stores: Memory()}), accounts("accounts"))
	for _, key := range []dcb.Tag{"acc:a", "acc:b", "acc:c"} {
		src.add("add", "1", key)
	}
	wait(t, m, 3)
	var keys []string
	for i, err := range m.All() {
		require.NoError(t, err)
		if keys = append(keys, i.Key); len(keys) == 1 {
			wait(t, m, src.add("close", "", "acc:b"))
		}
	}
	require.Equal(t, []string{"a", "c"}, keys)
}

// A reader that stops in the middle lets go of what it has read.
func TestReadersLetGo(t *testing.T) {
	src, r, m, file := heldFiles(t, Options{}, func() error { return nil })
	wait(t, m, src.add("add", "1", "acc:b"))
	for range m.All() {
		break
	}
	require.Len(t, content(t, m), 2)
	_, err := m.Get("none")
	require.ErrorIs(t, err, dcb.ErrNotFound)
	require.NoError(t, r.Rebuild(t.Context(), Rebuilding{}))
	old, err := filepath.Glob(filepath.Join(filepath.Dir(file), "..", nextDir, "*"))
	require.NoError(t, err)
	require.Empty(t, old, "the old states are removed")
	require.NoError(t, r.Close())
}

// saves counts the saves of a store.
type saves struct {
	Store
	n int
}

func (s *saves) Save(records []Record, at Checkpoint) error {
	s.n++
	return s.Store.Save(records, at)
}

// The data of events count until the states are weighed: small states of large events are written once, large ones as often as it takes.
func TestStatesAreWeighed(t *testing.T) {
	type hoard struct{ Texts []string }
	src := newSource()
	const events, budget = 20 * portion, 1 << 20
	for i := range events {
		src.add("add", strings.Repeat("x", 1000), dcb.Tag(fmt.Sprint("acc:", i%100)))
	}
	for name, want := range map[string]struct{ keep, least, most int }{"small": {0, 1, 1}, "large": {1, 4, 20}} {
		t.Run(name, func(t *testing.T) {
			d := Definition[hoard]{
				Name: name, Version: 1, Query: dcb.AllEvents(),
				Key: func(e dcb.SequencedEvent) string { return string(e.Event.Tags[0]) },
				Apply: func(s *hoard, e Event) (*hoard, error) {
					if s == nil {
						s = &hoard{}
					}
					s.Texts = append(s.Texts, string(e.Event.Data[:want.keep*len(e.Event.Data)]))
					s.Texts = s.Texts[max(0, len(s.Texts)-10):]
					return s, nil
				},
			}
			store := &saves{Store: build(t, Memory(), d.identity("store"), true)}
			largest := int64(0)
			c := catcher{src: src, query: d.Query, fold: newFolding(d, store), store: store, budget: budget, every: time.Hour, clock: time.Now, saved: time.Now()}
			c.moved = func(Checkpoint) { largest = max(largest, c.fold.size()) }
			require.NoError(t, c.upTo(t.Context(), events))
			require.GreaterOrEqual(t, store.n, want.least)
			require.LessOrEqual(t, store.n, want.most)
			require.LessOrEqual(t, largest, int64(budget))
			require.Equal(t, 100, store.Index().Len())
		})
	}
}

// A bar moves with each portion, long before anything is kept; and who has waited for the first states is told that they are followed.
func TestProgressIsFine(t *testing.T) {
	src := newSource()
	for range 10 * portion {
		src.add("add", "1", "acc:a")
	}
	for range 20 {
		r := run(t, src, Options{Stores: Memory()})
		m := add(t, r, accounts("accounts"))
		wait(t, m, 10*portion)
		require.Equal(t, Following, r.Status()[0].State)
		seen := map[dcb.Position]bool{}
		require.NoError(t, r.Rebuild(t.Context(), Rebuilding{Report: func(p Progress) {
			seen[p.Position] = true
			require.EqualValues(t, p.Position, p.Events)
		}}))
		require.Len(t, seen, 11)
		require.NoError(t, r.Close())
	}
}

// Damage that was met and not yet mended is found by the next one who opens the store, before anybody reads it: a program may end before a rebuild does.
func TestDamageIsRemembered(t *testing.T) {
	for name, damage := range map[string]func(file string) error{
		"missing":   os.Remove,
		"too short": func(file string) error { return os.Truncate(file, 9) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			stores := openedFiles(t, dir)
			stores.(*files).session = func(string) string { return "this run of the system" }
			s := started(t, stores)
			save(t, s, 2, testRecord("a", 1), testRecord("b", 2))
			require.NoError(t, damage(filepath.Join(s.(*fileStore).path, fileName("a"))))
			_, err := s.Get("b")
			require.NoError(t, err)
			_, err = s.Get("a")
			require.ErrorIs(t, err, dcb.ErrCorrupt)
			require.NoError(t, s.Close())
			for range 2 { // until it is rebuilt
				_, err = stores.Live(testID)
				require.ErrorIs(t, err, ErrUnfit)
				require.ErrorContains(t, err, fileName("a"))
			}
		})
	}
}

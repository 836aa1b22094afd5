package projection

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"opossum/dcb"
)

// One test for each fault of the system that this one was made after, for who looks for them by their numbers.

// openedFiles are stores in a directory, for a runner that closes them.
func openedFiles(t testing.TB, dir string) Stores {
	stores, err := Files(dir, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	return stores
}

// uncheckpointed are stores that keep records, and die before the checkpoint.
type uncheckpointed struct {
	Stores
	die *atomic.Bool
}

type uncheckpointedStore struct {
	Store
	die *atomic.Bool
}

func (u uncheckpointed) wrap(s Store, err error) (Store, error) {
	if err != nil {
		return nil, err
	}
	return &uncheckpointedStore{s, u.die}, nil
}

func (u uncheckpointed) Live(id Identity) (Store, error) { return u.wrap(u.Stores.Live(id)) }
func (u uncheckpointed) Build(id Identity, fresh bool) (Store, error) {
	return u.wrap(u.Stores.Build(id, fresh))
}

func (s *uncheckpointedStore) Save(records []Record, at Checkpoint) error {
	if !s.die.Load() {
		return s.Store.Save(records, at)
	}
	if len(records) == 0 {
		return errTest
	}
	if err := s.Store.Save(records, s.Checkpoint()); err != nil {
		return err
	}
	return errTest
}

// H12. The original saved each state, and the checkpoint once for a batch: after a crash in between, the events of the batch were counted twice.
func TestH12AReplayedBatchChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, dir, die := newSource(), t.TempDir(), new(atomic.Bool)
		for range 2 {
			die.Store(false)
			r, err := New(src, Options{Stores: uncheckpointed{openedFiles(t, dir), die}})
			require.NoError(t, err)
			m := add(t, r, accounts("accounts"))
			wait(t, m, src.Durable())
			die.Store(true)
			src.add("add", "1", "acc:a")
			src.add("close", "", "acc:b")
			src.add("add", "1", "acc:b")
			synctest.Wait()
			require.Equal(t, Retrying, r.Status()[0].State)
			require.NoError(t, r.Close())
		}
		r, err := New(src, Options{Stores: openedFiles(t, dir)})
		require.NoError(t, err)
		m := add(t, r, accounts("accounts"))
		wait(t, m, 6)
		got := content(t, m)
		require.Len(t, got, 2)
		require.Equal(t, account{Sum: 2, Seen: []int{1, 4}}, got[0].State)
		require.Equal(t, account{Sum: 1, Seen: []int{6}}, got[1].State)
		require.EqualValues(t, 6, r.Status()[0].Events)
		require.NoError(t, r.Close())
	})
}

// H13. The original logged a batch that failed, and the next one moved the checkpoint past it: its events were never applied.
func TestH13AFailedEventIsNeverSkipped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, bad := newSource(), atomic.Bool{}
		bad.Store(true)
		d := accounts("accounts")
		apply := d.Apply
		d.Apply = func(s *account, e Event) (*account, error) {
			if e.Position == 2 && bad.Load() {
				return nil, errTest
			}
			return apply(s, e)
		}
		dir := t.TempDir()
		r, err := New(src, Options{Stores: openedFiles(t, dir)})
		require.NoError(t, err)
		m := add(t, r, d)
		synctest.Wait()
		for range 5 { // each a batch of its own
			src.add("add", "1", "acc:a")
			synctest.Wait()
		}
		require.ErrorIs(t, m.Wait(t.Context(), 5), ErrParked)
		s := r.Status()[0]
		require.Equal(t, []dcb.Position{1, 2}, []dcb.Position{s.Position, s.FailedAt})
		src.add("add", "1", "acc:b")
		synctest.Wait()
		require.Equal(t, dcb.Position(1), r.Status()[0].Position)
		require.NoError(t, r.Close())
		bad.Store(false)
		r, err = New(src, Options{Stores: openedFiles(t, dir)})
		require.NoError(t, err)
		m = add(t, r, d)
		wait(t, m, 6)
		a, err := m.Get("a")
		require.NoError(t, err)
		require.Equal(t, []int{1, 2, 3, 4, 5}, a.State.Seen)
		require.NoError(t, r.Close())
	})
}

// H14. A rebuild that the original resumed applied events again to states that had them already; one that failed left live updates going into its half-built states.
func TestH14ARebuildIsResumedWithoutDoubleApplication(t *testing.T) {
	src, dir := newSource(), t.TempDir()
	for range 1000 {
		src.add("add", "1", "acc:a")
	}
	r, err := New(src, Options{Stores: openedFiles(t, dir), BudgetBytes: 1}) // each portion is kept
	require.NoError(t, err)
	m := add(t, r, accounts("accounts"))
	wait(t, m, 1000)
	ctx, cancel := context.WithCancel(t.Context())
	require.ErrorIs(t, r.Rebuild(ctx, Rebuilding{Report: func(p Progress) {
		if p.Position > 500 {
			cancel()
		}
	}}), context.Canceled)
	wait(t, m, src.add("add", "1", "acc:a"))
	a, err := m.Get("a")
	require.NoError(t, err)
	require.Len(t, a.State.Seen, 1001, "the live states go on after a rebuild that failed")
	resumed := dcb.Position(0)
	require.NoError(t, r.Close())
	r, err = New(src, Options{Stores: openedFiles(t, dir), AtStart: RebuildNone, Tracer: tracer(func(from dcb.Position) { resumed = from })})
	require.NoError(t, err)
	m = add(t, r, accounts("accounts"))
	require.NoError(t, r.Rebuild(t.Context(), Rebuilding{Unfit: true})) // of nothing
	require.NoError(t, m.f.rebuild(t.Context(), false, nil))            // or waits for the one that was gone on with
	require.GreaterOrEqual(t, resumed, dcb.Position(500), "the journal was used")
	a, err = m.Get("a")
	require.NoError(t, err)
	require.Len(t, a.State.Seen, 1001)
	require.Equal(t, 1001, a.State.Sum)
	require.NoError(t, r.Close())
}

// tracer is told where rebuilds that were interrupted begin.
type tracer func(from dcb.Position)

func (f tracer) StartRebuild(_ context.Context, _ Identity, from dcb.Position) func(Progress, error) {
	if from > 0 {
		f(from)
	}
	return func(Progress, error) {}
}

// H15. A rebuild of the original saw related events from after the event, and found states by tags that they had lost: rebuilt was not what had followed.
func TestH15RebuiltEqualsFollowed(t *testing.T) {
	src, dir := newSource(), t.TempDir()
	r, err := New(src, Options{Stores: openedFiles(t, dir)})
	require.NoError(t, err)
	m := add(t, r, withPeers(accounts("accounts")))
	for _, e := range []struct{ kind, n, key string }{
		{"note", "0", "acc:a"}, {"add", "101", "acc:a"}, {"note", "0", "acc:a"}, {"add", "-1", "acc:a"}, {"add", "7", "acc:b"}, {"close", "", "acc:b"}, {"add", "8", "acc:b"},
		{"close", "", "acc:none"}, {"add", "1", "acc:gone"}, {"close", "", "acc:gone"}, {"note", "0", "acc:a"},
	} {
		wait(t, m, src.add(e.kind, e.n, dcb.Tag(e.key))) // one at a time, as it is live
	}
	texts := func() map[string]string {
		files := map[string]string{}
		names, err := filepath.Glob(filepath.Join(dir, "accounts", "*.json"))
		require.NoError(t, err)
		for _, name := range names {
			text, err := os.ReadFile(name)
			require.NoError(t, err)
			files[filepath.Base(name)] = string(text)
		}
		index, err := Compacted(filepath.Join(dir, "accounts"))
		require.NoError(t, err)
		files[logName] = string(index)
		return files
	}
	a, err := m.Get("a")
	require.NoError(t, err)
	require.Equal(t, 1+2, a.State.Peer, "one note before the first deposit, two before the second")
	require.NoError(t, r.Close())
	followed := texts()
	require.Len(t, followed, 3)
	r, err = New(src, Options{Stores: openedFiles(t, dir)})
	require.NoError(t, err)
	m = add(t, r, withPeers(accounts("accounts")))
	require.NoError(t, r.Rebuild(t.Context(), Rebuilding{}))
	for i, err := range m.Tagged("big:true") {
		t.Errorf("found by a tag that it has lost: %v, %v", i, err)
	}
	require.NoError(t, r.Close())
	require.Equal(t, followed, texts())
}

// H16. While the original rebuilt, readers saw half-built states, and for a moment none at all.
func TestH16ReadersSeeTheOldStatesUntilTheNewOnesAreThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow, block := atomic.Bool{}, make(chan struct{})
		src, r, m, _ := heldFiles(t, Options{BudgetBytes: 1}, func() error {
			if slow.Load() {
				<-block
			}
			return nil
		})
		wait(t, m, src.add("add", "1", "acc:b"))
		before := content(t, m)
		slow.Store(true)
		done := make(chan error)
		go func() { done <- r.Rebuild(t.Context(), Rebuilding{}) }()
		for range 2 {
			synctest.Wait()
			require.Equal(t, before, content(t, m))
			found := 0
			for _, err := range m.Tagged("even:false") {
				require.NoError(t, err)
				found++
			}
			require.Equal(t, 2, found)
			block <- struct{}{} // one more event is in the new states
		}
		require.NoError(t, <-done)
		require.Equal(t, before, content(t, m))
		require.NoError(t, r.Close())
	})
}

// H17. The original wrote states in place and passed over torn ones, wrote its whole index at each save, and read the whole store at each poll for one read model that had
// never been built.
func TestH17TornFilesAreNoticedAndSavesAreSmall(t *testing.T) {
	for what, tear := range map[string]func([]byte) []byte{
		"cut short":  func(b []byte) []byte { return b[:len(b)/2] },
		"empty":      func(b []byte) []byte { return nil },
		"NUL-filled": func(b []byte) []byte { return make([]byte, len(b)) },
		"one bit":    func(b []byte) []byte { return bytes.Replace(b, []byte(`"sum":1`), []byte(`"sum":3`), 1) },
	} {
		_, r, m, file := heldFiles(t, Options{}, func() error { return nil })
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(file, tear(text), 0o644))
		for _, err := range m.All() {
			require.ErrorIs(t, err, dcb.ErrCorrupt, what)
		}
		wait(t, m, 1) // it is rebuilt by itself
		require.Len(t, content(t, m), 1, what)
		require.NoError(t, r.Close())
	}

	src, dir := newSource(), t.TempDir()
	r, err := New(src, Options{Stores: openedFiles(t, dir), AtStart: RebuildNone})
	require.NoError(t, err)
	add(t, r, accounts("never"))
	m := add(t, r, accounts("accounts"))
	require.NoError(t, r.Rebuild(t.Context(), Rebuilding{Names: []string{"accounts"}}))
	for i := range 500 {
		text, err := json.Marshal(i)
		require.NoError(t, err)
		src.addVisible("add", "1", dcb.Tag("acc:"+string(text)))
	}
	src.sync()
	wait(t, m, 500)
	size := func() int64 {
		info, err := os.Stat(filepath.Join(dir, "accounts", logName))
		require.NoError(t, err)
		return info.Size()
	}
	reads, before := src.reads, size()
	wait(t, m, src.add("add", "1", "acc:7"))
	require.Less(t, size()-before, int64(500), "of one state out of 500")
	require.LessOrEqual(t, src.reads-reads, 1, "of what is new; nothing for the one that was never built")
	require.NoError(t, r.Close())
}

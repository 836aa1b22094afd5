package opossum

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"opossum/internal/segment"
	"opossum/recovery"
	"opossum/wal"
)

var readOnly = &Options{ReadOnly: true}

// openReader opens the store in dir read-only and closes it with the test.
func openReader(t testing.TB, dir string) *Engine {
	t.Helper()
	return openStore(t, dir, readOnly, hooks{})
}

// refreshed returns the head that r shows when asked to refresh.
func refreshed(t testing.TB, r *Engine) Position {
	t.Helper()
	require.NoError(t, r.Refresh(ctxb))
	return r.Head()
}

func TestAReadOnlyEngineShowsWhatItsOwnerHas(t *testing.T) {
	dir := t.TempDir()
	e := openStore(t, dir, nil, hooks{})
	r := openReader(t, dir)
	require.Zero(t, r.Head())
	require.Empty(t, checkDense(t, r))
	_, err := r.ReadLast(ctxb, AllEvents())
	require.ErrorIs(t, err, ErrNotFound)

	for i := range 50 {
		p := appendOK(t, e, nil, withIDs(tagged(2*i), tagged(2*i+1))...)
		require.Equal(t, p, refreshed(t, r))
		last, err := r.ReadLast(ctxb, ByTags(tagged(2 * i).Tags[0]))
		require.NoError(t, err)
		require.Equal(t, p-1, last.Position)
		if i%10 == 5 {
			require.NoError(t, e.WaitMaterialized(ctxb, p))
			require.NoError(t, r.WaitMaterialized(ctxb, p), "it waits for the owner")
			require.GreaterOrEqual(t, r.Materialized(), p)
		}
	}
	require.Equal(t, checkDense(t, e), checkDense(t, r))
	require.Equal(t, readAll(t, e, ByTags("mod:3"), ReadOptions{Backwards: true}), readAll(t, r, ByTags("mod:3"), ReadOptions{Backwards: true}))
	require.Equal(t, e.StoreID(), r.StoreID())
	require.Equal(t, e.Dir(), r.Dir())
	require.NoError(t, e.Refresh(ctxb), "an owner always shows everything")

	late := openReader(t, dir)
	require.Equal(t, checkDense(t, e), checkDense(t, late))
	report := late.Recovery()
	require.Equal(t, RecoveryReport{Outcome: "read-only", Head: 100, Materialized: report.Materialized, Replayed: uint64(100 - report.Materialized), Epoch: 1, Took: report.Took}, report)
	m := late.Metrics()
	require.EqualValues(t, 100, m.Visible)
	require.EqualValues(t, 100, m.Durable)
	require.EqualValues(t, 1, m.Generations)
	require.LessOrEqual(t, m.LagEvents, uint64(100))

	require.NoError(t, e.Close())
	for _, engine := range []*Engine{r, late, openReader(t, dir)} {
		require.EqualValues(t, 100, refreshed(t, engine), "without an owner")
		require.Len(t, checkDense(t, engine), 100)
	}
}

func TestAReadOnlyEngineWritesNothing(t *testing.T) {
	dir := t.TempDir()
	e := openStore(t, dir, nil, hooks{})
	appendOK(t, e, nil, event("T"))
	require.NoError(t, e.WaitMaterialized(ctxb, 1), "closing does not wait for filing")
	require.NoError(t, e.Close())
	before := tree(t, dir)

	r := openReader(t, dir)
	_, err := r.Append(ctxb, []Event{event("T")}, nil)
	require.ErrorIs(t, err, ErrReadOnly)
	require.ErrorContains(t, err, "opened read-only")
	_, err = r.PauseFiling(ctxb)
	require.ErrorIs(t, err, ErrReadOnly)
	require.NoError(t, r.Sync(ctxb))
	require.EqualValues(t, 1, r.Materialized())
	require.NoError(t, r.WaitMaterialized(ctxb, 1))
	ctx, cancel := context.WithCancel(ctxb)
	cancel()
	require.ErrorIs(t, r.WaitMaterialized(ctx, 2), context.Canceled)
	require.ErrorIs(t, r.Refresh(ctx), context.Canceled)
	require.NoError(t, r.Refresh(ctxb))
	require.NoError(t, r.Close())
	require.Equal(t, before, tree(t, dir))
}

func TestAClosedReadOnlyEngineSaysSo(t *testing.T) {
	dir := t.TempDir()
	e := openStore(t, dir, nil, hooks{})
	appendOK(t, e, nil, event("T"), event("T"))
	r := openReader(t, dir)
	sub, err := r.Subscribe(ctxb, AllEvents(), 0)
	require.NoError(t, err)
	view, err := r.Read(ctxb, AllEvents(), ReadOptions{})
	require.NoError(t, err)
	got := make(chan error, 1)
	started := make(chan struct{})
	go func() {
		n := 0
		for _, err := range sub.All() {
			if err != nil {
				got <- err
				return
			}
			if n++; n == 2 {
				close(started)
			}
		}
	}()
	await(t, started)
	require.NoError(t, r.Close())
	require.NoError(t, r.Close())
	require.ErrorIs(t, await(t, got), ErrClosed)
	_, err = collect(view.All())
	require.ErrorIs(t, err, ErrClosed)
	_, err = r.Read(ctxb, AllEvents(), ReadOptions{})
	require.ErrorIs(t, err, ErrClosed)
	_, err = r.Subscribe(ctxb, AllEvents(), 0)
	require.ErrorIs(t, err, ErrClosed)
	require.ErrorIs(t, r.Refresh(ctxb), ErrClosed)
	require.ErrorIs(t, r.Sync(ctxb), ErrClosed)
	require.ErrorIs(t, r.WaitMaterialized(ctxb, 9), ErrClosed)
	require.EqualValues(t, 2, r.Metrics().Visible)
	require.ErrorIs(t, func() error { require.NoError(t, e.Close()); return e.Refresh(ctxb) }(), ErrClosed)
}

// Without being asked, a read-only engine follows: its subscriptions need no help.
func TestASubscriptionOfAReadOnlyEngineFollows(t *testing.T) {
	dir := t.TempDir()
	e := openStore(t, dir, nil, hooks{})
	r := openReader(t, dir)
	ctx, cancel := context.WithTimeout(ctxb, testPatience)
	defer cancel()
	sub, err := r.Subscribe(ctx, ByTags("mod:1"), 0)
	require.NoError(t, err)
	appendOK(t, e, nil, tagged(1))
	n := 0
	for ev, err := range sub.All() {
		require.NoError(t, err)
		require.Equal(t, tagged(10*n+1).Tags, ev.Event.Tags)
		if n++; n == 5 {
			break
		}
		appendOK(t, e, nil, tagged(7), tagged(10*n+1))
	}
	require.Equal(t, 5, n)
}

func TestOpeningWhatIsNoStoreReadOnlyMakesNothing(t *testing.T) {
	top := t.TempDir()
	in := func(name string) string { return filepath.Join(top, name) }
	make := func(path ...string) {
		require.NoError(t, os.MkdirAll(filepath.Dir(in(filepath.Join(path...))), 0o755))
		require.NoError(t, os.WriteFile(in(filepath.Join(path...)), []byte("x"), 0o644))
	}
	require.NoError(t, os.Mkdir(in("empty"), 0o755))
	make("foreign", "notes.txt")
	make("file")
	for _, name := range []string{"lost", "newer", "fileless", "unfinished", "logless"} {
		e := openStore(t, in(name), nil, hooks{})
		appendOK(t, e, nil, event("T"))
		require.NoError(t, e.WaitMaterialized(ctxb, 1))
		require.NoError(t, e.Close())
	}
	require.NoError(t, os.Remove(in("lost/ledger.json")))
	text, err := os.ReadFile(in("newer/ledger.json"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(in("newer/ledger.json"), bytes.Replace(text, []byte(`"version": 1`), []byte(`"version": 2`), 1), 0o644))
	require.NoError(t, os.RemoveAll(in("fileless/events")))
	require.NoError(t, os.RemoveAll(in("logless/wal")))
	for _, name := range []string{"ledger.json", "events", "wal", "index"} { // but for what creation makes first
		require.NoError(t, os.RemoveAll(filepath.Join(in("unfinished"), name)))
	}

	before := tree(t, top)
	for name, want := range map[string][]error{
		"absent":     {fs.ErrNotExist},
		"empty":      {ErrNotStore, fs.ErrNotExist},
		"unfinished": {ErrNotStore, fs.ErrNotExist},
		"foreign":    {ErrNotStore},
		"file":       nil,
		"lost":       {ErrCorrupt},
		"newer":      {ErrVersion},
		"fileless":   {ErrCorrupt},
		"logless":    {ErrCorrupt},
	} {
		_, err := Open(in(name), readOnly)
		require.ErrorContains(t, err, "read-only", name)
		require.ErrorContains(t, err, in(name), name)
		require.NotErrorIs(t, err, ErrReadOnly, name)
		for _, target := range want {
			require.ErrorIs(t, err, target, name)
		}
		if !slices.Contains(want, ErrCorrupt) {
			require.NotErrorIs(t, err, ErrCorrupt, name)
		}
	}
	require.Equal(t, before, tree(t, top))
}

// What was read must be there for ever, so what its owner has written and not yet synced is not shown.
func TestAReadOnlyEngineDoesNotShowWhatIsNotDurable(t *testing.T) {
	dir := t.TempDir()
	var v valve
	e := openStore(t, dir, nil, hooks{wal: wal.Options{Fdatasync: v.fdatasync}})
	appendOK(t, e, nil, event("T"))
	r := openReader(t, dir)
	entered, open := v.shut()
	got := appendAsync(ctxb, e, nil, event("T"))
	await(t, entered) // it is written
	require.EqualValues(t, 1, refreshed(t, r))
	require.Len(t, checkDense(t, r), 1)
	open()
	require.NoError(t, await(t, got).err)
	require.EqualValues(t, 2, refreshed(t, r))
}

func TestAReadOnlyEngineBesideARelaxedOwner(t *testing.T) {
	dir := t.TempDir()
	e := openStore(t, dir, &Options{Flush: FlushDisabled}, hooks{})
	r := openReader(t, dir)
	for i := range 20 {
		p := appendOK(t, e, nil, tagged(i))
		require.Equal(t, p, refreshed(t, r), "what is acknowledged is shown")
	}
	m := r.Metrics()
	require.Less(t, m.Durable, m.Visible)
	require.NoError(t, e.Sync(ctxb))
	require.EqualValues(t, 20, refreshed(t, r))
	require.EqualValues(t, 20, r.Metrics().Durable)

	// Closed and opened again nothing is lost, whoever owns it then.
	require.NoError(t, e.Close())
	e = openStore(t, dir, nil, hooks{})
	p := appendOK(t, e, nil, tagged(20))
	require.Equal(t, p, refreshed(t, r))
	require.NoError(t, e.Close())
	e = openStore(t, dir, &Options{Flush: FlushDisabled}, hooks{})
	p = appendOK(t, e, nil, tagged(21))
	require.Equal(t, p, refreshed(t, r))
	require.Equal(t, checkDense(t, e), checkDense(t, r))
}

// A relaxed owner that dies may have lost what a reader has seen: the reader must not go on as if nothing had happened.
func TestAReadOnlyEngineEndsWhenItsPastMayBeLost(t *testing.T) {
	e := openStore(t, t.TempDir(), &Options{Flush: FlushDisabled}, hooks{})
	appendOK(t, e, nil, numbered(6, "A")...)
	dir := copyStore(t, e) // as a killed process leaves it
	r := openReader(t, dir)
	require.EqualValues(t, 6, r.Head())
	sub, err := r.Subscribe(ctxb, AllEvents(), 6)
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() {
		_, err := collect(sub.All())
		ended <- err
	}()
	next := openStore(t, dir, nil, hooks{})
	require.True(t, next.Recovery().EpochRaised)
	require.ErrorIs(t, r.Refresh(ctxb), ErrReopen)
	require.ErrorIs(t, await(t, ended), ErrReopen)
	_, err = r.Read(ctxb, AllEvents(), ReadOptions{})
	require.ErrorIs(t, err, ErrReopen)
	_, err = r.ReadLast(ctxb, AllEvents())
	require.ErrorIs(t, err, ErrReopen)
	require.ErrorIs(t, r.WaitMaterialized(ctxb, 9), ErrReopen)
	require.ErrorIs(t, r.Refresh(ctxb), ErrReopen, "it is final")
	require.NoError(t, r.Close())
	require.Equal(t, checkDense(t, next), checkDense(t, openReader(t, dir)))
}

// The last owner died while it wrote: what it acknowledged is there, what it did not get done is not, and nothing is mended.
func TestAReadOnlyEngineOfAStoreWhoseOwnerDied(t *testing.T) {
	e := openStore(t, t.TempDir(), nil, hooks{})
	for i := range 10 {
		appendOK(t, e, nil, tagged(i))
	}
	w := e.log.Witness()
	dir := copyStore(t, e)
	for name, tail := range map[string][]byte{"half a frame": {72, 'O', 'S', 'U', 'M', 1, 3}, "zeroes": make([]byte, 5000), "nothing": nil} {
		f, err := os.OpenFile(generationFile(dir, w.Gen), os.O_WRONLY, 0)
		require.NoError(t, err)
		require.NoError(t, f.Truncate(w.End))
		_, err = f.WriteAt(tail, w.End)
		require.NoError(t, errors.Join(err, f.Close()))
		for _, acked := range []bool{true, false} { // after a power cut it may be gone
			if !acked {
				require.NoError(t, os.Rename(filepath.Join(dir, "wal/ACKED"), filepath.Join(dir, "../ACKED")))
			}
			before := tree(t, dir)
			r := openReader(t, dir)
			require.EqualValues(t, 10, r.Head(), name)
			require.Equal(t, checkDense(t, e), checkDense(t, r), name)
			require.NoError(t, r.Close())
			require.Equal(t, before, tree(t, dir), name)
			if !acked {
				require.NoError(t, os.Rename(filepath.Join(dir, "../ACKED"), filepath.Join(dir, "wal/ACKED")))
			}
		}
	}
}

// A read-only engine must not write the segments that are missing: it has their part of the index in memory, until an owner
// has built them.
func TestAReadOnlyEngineDoesWithoutSegments(t *testing.T) {
	dir := t.TempDir()
	opts := &Options{RecentBytes: MinRecentBytes}
	e := openStore(t, dir, opts, hooks{})
	for i := range 300 {
		appendOK(t, e, nil, tagged(i))
	}
	require.NoError(t, e.WaitMaterialized(ctxb, 300))
	require.NoError(t, e.Close())
	ranges, err := segment.ListDir(filepath.Join(dir, recovery.IndexDir))
	require.NoError(t, err)
	require.NotEmpty(t, ranges.Ranges)
	check := func(r *Engine) {
		t.Helper()
		require.Len(t, checkDense(t, r), 300)
		for i := 0; i < 300; i += 7 {
			last, err := r.ReadLast(ctxb, ByTags(tagged(i).Tags[0]))
			require.NoError(t, err)
			require.EqualValues(t, i+1, last.Position)
		}
		require.Len(t, readAll(t, r, ByTags("mod:3"), ReadOptions{}), 30)
	}
	whole := openReader(t, dir)
	check(whole)
	require.Zero(t, whole.Metrics().RecentBytes)
	for _, damage := range []func(path string) error{
		os.RemoveAll, // twice the same, if there is only one
		func(path string) error { // in another file of the name: who has the old one open keeps it
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			return errors.Join(os.Remove(path), os.WriteFile(path, b[:100], 0o644))
		},
	} {
		for _, at := range []segment.Range{ranges.Ranges[0], ranges.Ranges[len(ranges.Ranges)-1]} {
			require.NoError(t, damage(filepath.Join(dir, recovery.IndexDir, segment.Name(at))))
		}
		before := tree(t, dir)
		r := openReader(t, dir)
		check(r)
		require.Positive(t, r.Metrics().RecentBytes)
		require.Equal(t, before, tree(t, dir))
		check(whole) // it holds what it has opened

		e = openStore(t, dir, opts, hooks{}) // builds them
		require.NoError(t, r.Refresh(ctxb))
		check(r)
		require.Zero(t, r.Metrics().RecentBytes, "memory is given back")
		require.NoError(t, r.Close())
		require.NoError(t, e.Close())
		ranges, err = segment.ListDir(filepath.Join(dir, recovery.IndexDir))
		require.NoError(t, err)
	}
}

// Damage inside a segment is found by who reads it. When the owner has built it anew, a reader that met it goes on.
func TestAReadOnlyEngineTakesARebuiltSegment(t *testing.T) {
	dir := t.TempDir()
	e := openStore(t, dir, nil, hooks{})
	for i := 0; i < 2000; i += 50 {
		var events []Event
		for j := range 50 {
			events = append(events, tagged(i+j))
		}
		appendOK(t, e, nil, events...)
	}
	require.NoError(t, e.WaitMaterialized(ctxb, 2000))
	require.NoError(t, e.Close())
	list, err := segment.ListDir(filepath.Join(dir, recovery.IndexDir))
	require.NoError(t, err)
	path := filepath.Join(dir, recovery.IndexDir, segment.Name(list.Ranges[0]))
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	for i := 200; i < len(b)-400; i++ {
		b[i] ^= 0x55
	}
	require.NoError(t, os.WriteFile(path, b, 0o644))

	r := openReader(t, dir)
	_, err = r.ReadLast(ctxb, ByTags("only:7"))
	var damage *CorruptError
	require.ErrorAs(t, err, &damage)
	require.Equal(t, path, damage.File)
	require.NoError(t, r.Refresh(ctxb))
	_, err = r.ReadLast(ctxb, ByTags("only:7"))
	require.ErrorIs(t, err, ErrCorrupt, "nobody has mended it")

	e = openStore(t, dir, nil, hooks{})
	_, err = e.ReadLast(ctxb, ByTags("only:7"))
	require.ErrorIs(t, err, ErrCorrupt)
	eventually(t, "the owner builds it anew", func() bool { return e.Metrics().Rebuilt > 0 })
	require.NoError(t, r.Refresh(ctxb))
	last, err := r.ReadLast(ctxb, ByTags("only:7"))
	require.NoError(t, err)
	require.EqualValues(t, 8, last.Position)
}

// Damage between what is known and what comes later ends a reader that comes upon it.
func TestAReadOnlyEngineEndsAtDamage(t *testing.T) {
	e := openStore(t, t.TempDir(), nil, hooks{})
	appendOK(t, e, nil, event("T"))
	dir := copyStore(t, e)
	r := openReader(t, dir)
	w := e.log.Witness()
	for range 3 {
		appendOK(t, e, nil, event("T"))
	}
	b, err := os.ReadFile(generationFile(e.Dir(), w.Gen))
	require.NoError(t, err)
	b[w.End+100] ^= 1 // of position 2; 4 knows that it was durable
	path := generationFile(dir, w.Gen)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	require.NoError(t, err)
	_, err = f.Write(b[w.End:])
	require.NoError(t, errors.Join(err, f.Close()))

	var damage *CorruptError
	require.ErrorAs(t, r.Refresh(ctxb), &damage)
	require.Equal(t, CorruptError{File: path, Offset: w.End, Reason: damage.Reason}, *damage)
	require.EqualValues(t, 1, r.Head())
	_, err = r.Read(ctxb, AllEvents(), ReadOptions{})
	require.ErrorIs(t, err, ErrCorrupt, "no answer that may be old")
	_, err = Open(dir, readOnly)
	require.ErrorIs(t, err, ErrCorrupt)
}

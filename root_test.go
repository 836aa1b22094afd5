package opossum

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	namerules "opossum/internal/name"
	"opossum/recovery"
)

// relaxedRoot are options of a root that creates contexts which do not sync.
var relaxedRoot = &RootOptions{Create: true, Defaults: Options{Flush: FlushDisabled, RecentBytes: testRecentBytes}}

// rootIn opens the root in dir and closes it with the test.
func rootIn(t testing.TB, dir string, opts *RootOptions, open opener) *Root {
	t.Helper()
	r, err := openRoot(dir, opts, open)
	require.NoError(t, err)
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// reaching is an opener that reaches into the contexts of the names.
func reaching(by map[string]hooks) opener {
	return func(dir string, opts *Options, h hooks) (*Engine, error) {
		own := by[filepath.Base(dir)]
		own.locked = h.locked
		return open(dir, opts, own)
	}
}

func contextOK(t testing.TB, r *Root, name string) *Engine {
	t.Helper()
	e, err := r.Context(name)
	require.NoError(t, err)
	return e
}

func listOK(t testing.TB, r *Root) []string {
	t.Helper()
	names, err := r.List()
	require.NoError(t, err)
	return names
}

// fill creates contexts, each with one event whose type is its name, and closes the root.
func fill(t testing.TB, dir string, names ...string) {
	t.Helper()
	r, err := OpenRoot(dir, relaxedRoot)
	require.NoError(t, err)
	for _, name := range names {
		appendOK(t, contextOK(t, r, name), nil, event(name))
	}
	require.NoError(t, r.Close())
}

// holds fails unless the context is what fill made.
func holds(t testing.TB, e *Engine, name string) {
	t.Helper()
	all := checkDense(t, e)
	require.Len(t, all, 1)
	require.Equal(t, name, all[0].Event.Type)
}

func TestContextsAreStoresOfTheirOwn(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "some", "root")
	var lines bytes.Buffer
	opts := &RootOptions{
		Create:   true,
		Defaults: Options{Logger: slog.New(slog.NewJSONHandler(&lines, nil)), RecentBytes: testRecentBytes},
		Contexts: map[string]Options{"relaxed": {Flush: FlushDisabled}},
	}
	r := rootIn(t, dir, opts, open)
	opts.Contexts["strict"] = Options{ReadOnly: true} // too late
	require.DirExists(t, dir)
	require.Empty(t, listOK(t, r), "the one with options of its own does not exist for that")

	strict, relaxed := contextOK(t, r, "strict"), contextOK(t, r, "relaxed")
	require.Equal(t, filepath.Join(dir, "strict"), strict.Dir())
	require.Equal(t, FlushBatch, strict.opts.Flush)
	require.EqualValues(t, testRecentBytes, strict.opts.RecentBytes)
	require.Equal(t, FlushDisabled, relaxed.opts.Flush)
	require.EqualValues(t, DefaultRecentBytes, relaxed.opts.RecentBytes, "options are not mixed")
	require.NotEqual(t, strict.StoreID(), relaxed.StoreID())
	require.EqualValues(t, 2, appendOK(t, strict, nil, event("T"), event("T")))
	require.EqualValues(t, 1, appendOK(t, relaxed, nil, event("T")), "positions are a context's own")
	require.Equal(t, []string{"relaxed", "strict"}, listOK(t, r))
	require.Same(t, strict, contextOK(t, r, "strict"))
	require.NoError(t, r.Close())

	for line := range strings.Lines(lines.String()) {
		var said struct{ Context string }
		require.NoError(t, json.Unmarshal([]byte(line), &said))
		require.Equal(t, "strict", said.Context, line)
	}
	require.Positive(t, lines.Len())

	r = rootIn(t, dir, nil, open)
	require.Equal(t, []string{"relaxed", "strict"}, listOK(t, r), "nothing is open")
	require.EqualValues(t, 2, contextOK(t, r, "strict").Head())
	require.Equal(t, []string{"relaxed", "strict"}, listOK(t, r), "one is open")
}

func TestOpenedYieldsWhatIsOpenAndOpensNothing(t *testing.T) {
	r := rootIn(t, t.TempDir(), &RootOptions{Create: true}, open)
	opened := r.Opened()
	require.Empty(t, maps.Collect(opened))
	b, a := contextOK(t, r, "b"), contextOK(t, r, "a")
	contextOK(t, r, "c")
	require.Equal(t, map[string]*Engine{"a": a, "b": b, "c": contextOK(t, r, "c")}, maps.Collect(opened), "the same sequence, now")
	require.NoError(t, r.Delete("c", ConfirmDelete))
	require.NoError(t, b.Close())
	for name, e := range opened {
		require.Equal(t, "a", name)
		require.Same(t, a, e)
		break
	}
	require.Len(t, maps.Collect(opened), 1)
	require.NoError(t, r.Close())
	require.Empty(t, maps.Collect(opened))
}

func TestRootOptionsNameEveryBadField(t *testing.T) {
	require.NoError(t, (*RootOptions)(nil).Validate())
	require.NoError(t, new(RootOptions).Validate())
	bad := &RootOptions{
		Defaults: Options{MaxLagEvents: -1},
		Contexts: map[string]Options{"b": {RecentBytes: 5, MinFreeBytes: -2}, "A": {}, "fine": {}, "con": {MaxLagBytes: -1}},
	}
	err := bad.Validate()
	require.ErrorIs(t, err, ErrInvalidOption)
	lines := strings.Split(err.Error(), "\n")
	require.Len(t, lines, 6)
	for i, want := range []string{
		"Defaults: invalid option: MaxLagEvents", `in Contexts: invalid option: the context name "A"`, `Contexts["b"]: invalid option: MinFreeBytes`,
		`Contexts["b"]: invalid option: RecentBytes`, `in Contexts: invalid option: the context name "con"`, `Contexts["con"]: invalid option: MaxLagBytes`,
	} {
		require.Contains(t, lines[i], want)
	}
	dir := filepath.Join(t.TempDir(), "root")
	_, err = OpenRoot(dir, bad)
	require.ErrorIs(t, err, ErrInvalidOption)
	require.NoDirExists(t, dir)
}

func TestAContextThatDoesNotExistIsCreatedOnlyOnDemand(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "empty"), 0o755))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "begun"), 0o755)) // a creation that died
	require.NoError(t, os.WriteFile(filepath.Join(dir, "begun", "LOCK"), nil, 0o644))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "begun", "events"), 0o755))
	before := tree(t, dir)
	missing := []string{"begun", "empty", "none"}
	r := rootIn(t, dir, nil, open)
	beside := rootIn(t, dir, &RootOptions{Create: true, Defaults: Options{ReadOnly: true}}, open)
	for _, name := range missing {
		for _, r := range []*Root{r, beside} {
			_, err := r.Context(name)
			require.ErrorIs(t, err, ErrNoContext)
			require.ErrorContains(t, err, `"`+name+`"`)
			require.ErrorContains(t, err, dir)
		}
		require.ErrorIs(t, r.Delete(name, ConfirmDelete), ErrNoContext)
	}
	for _, name := range []string{"", "Orders", "../x", "con", "wal"} {
		_, err := r.Context(name)
		require.ErrorIs(t, err, ErrInvalidOption, name)
		require.ErrorIs(t, r.Delete(name, ConfirmDelete), ErrInvalidOption, name)
	}
	require.Empty(t, listOK(t, r))
	require.Equal(t, before, tree(t, dir))

	creating := rootIn(t, dir, relaxedRoot, open)
	for _, name := range missing {
		appendOK(t, contextOK(t, creating, name), nil, event("T"))
	}
	require.Equal(t, missing, listOK(t, r), "what one creates the other sees")
}

func TestListIsWhatWasCreated(t *testing.T) {
	dir := t.TempDir()
	want := []string{"0", strings.Repeat("z", namerules.Max), "a", "a-", "a..b", "a.b", "a_b", "ab", "store", "x.deleted-a-0123456789abcdef"}
	for i := range 30 {
		want = append(want, goodName.Example(i))
	}
	slices.Sort(want)
	want = slices.Compact(want)
	r := rootIn(t, dir, relaxedRoot, open)
	for _, name := range want {
		appendOK(t, contextOK(t, r, name), nil, event(name))
	}
	require.Equal(t, want, listOK(t, r))
	require.NoError(t, r.Close())
	r = rootIn(t, dir, nil, open)
	require.Equal(t, want, listOK(t, r))
	for _, name := range want {
		holds(t, contextOK(t, r, name), name)
	}
}

func TestWhatIsNoContextIsNotListedButNoStoreIsOverlooked(t *testing.T) {
	dir := t.TempDir()
	fill(t, dir, "fine", "damaged", "headless")
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "damaged", "wal")))
	require.NoError(t, os.Remove(filepath.Join(dir, "headless", "ledger.json")))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "file"), nil, 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "README.md"), nil, 0o644))
	for _, other := range []string{"photos", ".git", "lost+found"} {
		require.NoError(t, os.Mkdir(filepath.Join(dir, other), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, other, "thing"), nil, 0o644))
	}
	require.NoError(t, os.Symlink("nowhere", filepath.Join(dir, "dangling")))
	r := rootIn(t, dir, nil, open)
	require.Equal(t, []string{"damaged", "fine", "headless"}, listOK(t, r))
	before := tree(t, filepath.Join(dir, "photos"))
	for _, create := range []bool{false, true} {
		r := rootIn(t, dir, &RootOptions{Create: create}, open)
		for _, name := range []string{"damaged", "headless"} {
			_, err := r.Context(name)
			require.ErrorIs(t, err, ErrCorrupt, "it is no empty store")
		}
		_, err := r.Context("photos")
		require.ErrorIs(t, err, ErrNotStore)
		require.ErrorContains(t, err, `"thing"`)
		_, err = r.Context("file")
		require.Error(t, err)
		require.ErrorIs(t, r.Delete("photos", ConfirmDelete), ErrNotStore)
		require.ErrorIs(t, r.Delete("file", ConfirmDelete), ErrNotStore)
	}
	require.Equal(t, before, tree(t, filepath.Join(dir, "photos")))

	// What is a store, and cannot be a context, is an error beside the names that can.
	require.NoError(t, os.Rename(filepath.Join(dir, "headless"), filepath.Join(dir, "Headless")))
	loop := filepath.Join(dir, "loop")
	require.NoError(t, os.Symlink(loop, loop))
	names, err := r.List()
	require.Equal(t, []string{"damaged", "fine"}, names)
	require.ErrorIs(t, err, ErrInvalidOption)
	require.ErrorContains(t, err, filepath.Join(dir, "Headless")+" is a store")
	require.ErrorContains(t, err, loop, "it may be a context")
	require.NoError(t, r.Delete("damaged", ConfirmDelete), "damage does not keep it")
	require.NoDirExists(t, filepath.Join(dir, "damaged"))
}

func TestARootIsNoStoreAndAStoreIsNoRoot(t *testing.T) {
	dir := t.TempDir()
	fill(t, dir, "orders")
	_, err := Open(dir, nil)
	require.ErrorIs(t, err, ErrNotStore)
	require.ErrorContains(t, err, `"orders"`)
	require.Equal(t, []string{"orders"}, listOK(t, rootIn(t, dir, nil, open)), "the attempt left nothing")

	store := filepath.Join(dir, "orders")
	for _, part := range []string{"", "ledger.json", "wal", "index"} {
		if part != "" {
			require.NoError(t, os.RemoveAll(filepath.Join(store, part)))
		}
		before := tree(t, store)
		for _, opts := range []*RootOptions{nil, relaxedRoot, {Defaults: *readOnly}} {
			_, err = OpenRoot(store, opts)
			require.ErrorIs(t, err, ErrNotRoot, "even without %s", part)
			require.ErrorContains(t, err, "which Open opens")
		}
		require.Equal(t, before, tree(t, store))
	}
	file := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(file, nil, 0o644))
	for _, opts := range []*RootOptions{nil, {Defaults: *readOnly}} {
		_, err = OpenRoot(file, opts)
		require.ErrorIs(t, err, syscall.ENOTDIR)
	}
}

func TestAReadOnlyRootChangesNothing(t *testing.T) {
	dir := t.TempDir()
	opts := &RootOptions{Create: true, Defaults: *readOnly, Contexts: map[string]Options{"b": *readOnly}}
	_, err := OpenRoot(filepath.Join(dir, "missing"), opts)
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.NoDirExists(t, filepath.Join(dir, "missing"))

	owner := rootIn(t, dir, relaxedRoot, open)
	appendOK(t, contextOK(t, owner, "a"), nil, event("a"))
	fill(t, dir, "b")
	require.NoError(t, os.Mkdir(filepath.Join(dir, deletedName("c", 1)), 0o755))
	before := tree(t, dir)
	r := rootIn(t, dir, opts, open)
	require.Equal(t, []string{"a", "b"}, listOK(t, r))
	a := contextOK(t, r, "a")
	holds(t, a, "a")
	holds(t, contextOK(t, r, "b"), "b")
	for _, name := range []string{"a", "b", "c"} {
		require.ErrorIs(t, r.Delete(name, ConfirmDelete), ErrReadOnly)
	}
	require.Equal(t, before, tree(t, dir), "beside the owner of one, without an owner of the other")
	appendOK(t, contextOK(t, owner, "a"), nil, event("a"))
	require.EqualValues(t, 2, refreshed(t, a))

	// One that may be written to is enough to make the root.
	mixed := filepath.Join(dir, "mixed")
	r = rootIn(t, mixed, &RootOptions{Create: true, Defaults: *readOnly, Contexts: map[string]Options{"w": {}}}, open)
	_, err = r.Context("other")
	require.ErrorIs(t, err, ErrNoContext)
	appendOK(t, contextOK(t, r, "w"), nil, event("T"))
}

func TestDeletingWantsItsConfirmation(t *testing.T) {
	dir := t.TempDir()
	fill(t, dir, "a")
	r := rootIn(t, dir, nil, open)
	e := contextOK(t, r, "a")
	for _, c := range []Confirmation{"", "yes", "a", ConfirmDelete + " ", "Delete the context and all of its events"} {
		err := r.Delete("a", c)
		require.ErrorIs(t, err, ErrInvalidOption)
		require.ErrorContains(t, err, "want ConfirmDelete")
	}
	holds(t, e, "a")
	appendOK(t, e, nil, event("T"))
}

func TestADeletedContextIsGoneAndCanBeCreatedAnew(t *testing.T) {
	dir := t.TempDir()
	fill(t, dir, "open", "closed", "other")
	r := rootIn(t, dir, relaxedRoot, open)
	e := contextOK(t, r, "open")
	id := e.StoreID()
	other := contextOK(t, r, "other")
	for _, name := range []string{"open", "closed"} {
		require.NoError(t, r.Delete(name, ConfirmDelete))
		require.NoDirExists(t, filepath.Join(dir, name))
		require.ErrorIs(t, r.Delete(name, ConfirmDelete), ErrNoContext)
	}
	_, err := e.Append(ctxb, []Event{event("T")}, nil)
	require.ErrorIs(t, err, ErrClosed)
	require.Equal(t, []string{"other"}, listOK(t, r))
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 1, "nothing is left of them")
	_, err = rootIn(t, dir, nil, open).Context("open")
	require.ErrorIs(t, err, ErrNoContext)

	anew := contextOK(t, r, "open")
	require.NotSame(t, e, anew)
	require.NotEqual(t, id, anew.StoreID())
	require.EqualValues(t, 1, appendOK(t, anew, nil, event("T")))
	holds(t, other, "other")
}

func TestAContextThatIsALinkIsUsedAndNotDeleted(t *testing.T) {
	elsewhere, dir := t.TempDir(), t.TempDir()
	fill(t, elsewhere, "data")
	require.NoError(t, os.Symlink(filepath.Join(elsewhere, "data"), filepath.Join(dir, "linked")))
	r := rootIn(t, dir, nil, open)
	require.Equal(t, []string{"linked"}, listOK(t, r))
	e := contextOK(t, r, "linked")
	holds(t, e, "data")
	require.ErrorContains(t, r.Delete("linked", ConfirmDelete), "it is a link")
	appendOK(t, e, nil, event("T"))
}

// What is open here exists: a disk that hangs has to say nothing about it.
func TestListDoesNotLookIntoContextsThatAreOpen(t *testing.T) {
	elsewhere, dir := t.TempDir(), t.TempDir()
	fill(t, elsewhere, "data")
	link := filepath.Join(dir, "linked")
	require.NoError(t, os.Symlink(filepath.Join(elsewhere, "data"), link))
	r := rootIn(t, dir, nil, open)
	e := contextOK(t, r, "linked")
	require.NoError(t, os.Remove(link))
	require.NoError(t, os.Symlink(link, link))
	require.Equal(t, []string{"linked"}, listOK(t, r))
	_ = e.Close() // it does not find its directory
	_, err := r.List()
	require.ErrorContains(t, err, link)
}

// leftover puts what a crash in the middle of a deletion leaves into the root, and returns its path.
func leftover(t *testing.T, dir, name string, unique uint64) string {
	t.Helper()
	elsewhere := t.TempDir()
	fill(t, elsewhere, "doomed")
	at := filepath.Join(dir, deletedName(name, unique))
	require.NoError(t, os.Rename(filepath.Join(elsewhere, "doomed"), at))
	require.NoError(t, os.RemoveAll(filepath.Join(at, "wal")))
	return at
}

func TestWhatADeletionLeftIsNoContextAndIsRemoved(t *testing.T) {
	dir := t.TempDir()
	fill(t, dir, "a", "b")
	reserved := []string{".deleted-photos", ".deleted-A-0123456789abcdef", ".deleted-b-1"} // near misses are somebody else's
	for _, name := range reserved {
		require.NoError(t, os.Mkdir(filepath.Join(dir, name), 0o755))
	}
	file := filepath.Join(dir, deletedName("file", 1))
	require.NoError(t, os.WriteFile(file, nil, 0o644))
	left := []string{leftover(t, dir, "a", 1), leftover(t, dir, "gone", 1)}

	beside := rootIn(t, dir, &RootOptions{Defaults: *readOnly}, open)
	require.Equal(t, []string{"a", "b"}, listOK(t, beside))
	_, err := beside.Context("gone")
	require.ErrorIs(t, err, ErrNoContext)
	for _, at := range left {
		require.DirExists(t, at, "a read-only root removes nothing")
	}

	r := rootIn(t, dir, nil, open)
	for _, at := range left {
		require.NoDirExists(t, at)
	}
	left = []string{leftover(t, dir, "a", 1), leftover(t, dir, "a", 3), leftover(t, dir, "gone", 1)}
	require.Equal(t, []string{"a", "b"}, listOK(t, r))
	require.NoError(t, r.Delete("a", ConfirmDelete))
	for _, at := range left {
		require.NoDirExists(t, at)
	}
	require.Equal(t, []string{"b"}, listOK(t, r))
	for _, name := range reserved {
		require.DirExists(t, filepath.Join(dir, name))
	}
	require.FileExists(t, file)
	holds(t, contextOK(t, r, "b"), "b")
}

func TestAnEngineThatWasClosedOrPoisonedIsOpenedAnew(t *testing.T) {
	dir, v := t.TempDir(), new(valve)
	h := hooks{}
	h.wal.Fdatasync = v.fdatasync
	r := rootIn(t, dir, &RootOptions{Create: true}, reaching(map[string]hooks{"a": h}))
	e := contextOK(t, r, "a")
	appendOK(t, e, nil, event("a"))
	require.NoError(t, e.Close())
	require.Equal(t, []string{"a"}, listOK(t, r))
	again := contextOK(t, r, "a")
	require.NotSame(t, e, again)
	holds(t, again, "a")

	v.fail(syscall.EIO)
	_, err := again.Append(ctxb, []Event{event("T")}, nil)
	require.ErrorIs(t, err, ErrOutcomeUnknown)
	require.Same(t, again, contextOK(t, r, "a"), "who reads goes on")
	_, err = again.Append(ctxb, []Event{event("T")}, nil)
	require.ErrorIs(t, err, ErrPoisoned)
	v.fail(nil)
	require.NoError(t, again.Close())
	healed := contextOK(t, r, "a")
	require.Equal(t, "recovered", healed.Recovery().Outcome)
	appendOK(t, healed, nil, event("T"))
}

// Context waits for a Close that is in progress: the lock is free only then.
func TestContextWaitsForAnEngineThatIsBeingClosed(t *testing.T) {
	v := new(valve)
	h := hooks{}
	h.wal.Fdatasync = v.fdatasync
	r := rootIn(t, t.TempDir(), &RootOptions{Create: true}, reaching(map[string]hooks{"a": h}))
	e := contextOK(t, r, "a")
	entered, release := v.shut()
	defer release()
	appended := appendAsync(ctxb, e, nil, event("a"))
	await(t, entered)
	closed, again := make(chan error, 1), make(chan *Engine, 1)
	go func() { closed <- e.Close() }()
	eventually(t, "it is being closed", e.closed.Load)
	go func() {
		e, err := r.Context("a")
		if err != nil {
			t.Error(err)
		}
		again <- e
	}()
	eventually(t, "it is being opened", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.tasks["a"] != nil
	})
	contextOK(t, r, "b")
	require.Empty(t, again)
	release()
	require.NoError(t, await(t, appended).err)
	require.NoError(t, await(t, closed))
	holds(t, await(t, again), "a")
}

func TestConcurrentFirstCallsOpenOnce(t *testing.T) {
	var opened atomic.Int32
	r := rootIn(t, t.TempDir(), relaxedRoot, func(dir string, o *Options, h hooks) (*Engine, error) {
		opened.Add(1)
		return open(dir, o, h)
	})
	for round := range 3 {
		got := make([]*Engine, 50)
		race(len(got), func(i int) {
			e, err := r.Context("a")
			if err != nil {
				t.Error(err)
			}
			got[i] = e
		})
		for _, e := range got {
			require.Same(t, got[0], e)
		}
		require.EqualValues(t, round+1, opened.Load())
		require.NoError(t, got[0].Close())
	}
}

func TestAnOpeningThatFailsIsToldToAllWhoWaitForItAndTriedAgain(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		release, opened := make(chan struct{}), 0
		r, err := openRoot(dir, relaxedRoot, func(dir string, o *Options, h hooks) (*Engine, error) {
			if opened++; opened == 1 {
				<-release
				return nil, syscall.EIO
			}
			return open(dir, o, h)
		})
		require.NoError(t, err)
		errs := make(chan error, 50)
		for range cap(errs) {
			go func() {
				_, err := r.Context("a")
				errs <- err
			}()
		}
		synctest.Wait()
		close(release)
		for range cap(errs) {
			require.ErrorIs(t, <-errs, syscall.EIO)
		}
		require.Equal(t, 1, opened)
		contextOK(t, r, "a")
		require.NoError(t, r.Close())
	})
}

// A commit that hangs, and an opening that does, are felt by their own context only.
func TestAContextWhoseDiskHangsHoldsUpNoOther(t *testing.T) {
	dir, v, slow := t.TempDir(), new(valve), make(chan struct{})
	fill(t, dir, "doomed", "other")
	h := hooks{}
	h.wal.Fdatasync = v.fdatasync
	opening := make(chan struct{})
	r := rootIn(t, dir, &RootOptions{Create: true}, func(dir string, o *Options, own hooks) (*Engine, error) {
		if filepath.Base(dir) == "slow" {
			close(opening)
			<-slow
		}
		return reaching(map[string]hooks{"hanging": h})(dir, o, own)
	})
	hanging := contextOK(t, r, "hanging")
	entered, release := v.shut()
	defer release()
	stuck := appendAsync(ctxb, hanging, nil, event("T"))
	await(t, entered)
	late := make(chan *Engine, 1)
	go func() {
		e, err := r.Context("slow")
		if err != nil {
			t.Error(err)
		}
		late <- e
	}()
	await(t, opening)
	deleted := make(chan error, 1)
	go func() { deleted <- r.Delete("hanging", ConfirmDelete) }()

	within(t, "something in another context", func() {
		other := contextOK(t, r, "other")
		for range 100 {
			appendOK(t, other, nil, event("T"))
		}
		require.Len(t, readAll(t, other, AllEvents(), ReadOptions{}), 101)
		appendOK(t, contextOK(t, r, "anew"), nil, event("T"))
		require.NoError(t, r.Delete("doomed", ConfirmDelete))
		require.Equal(t, []string{"anew", "hanging", "other"}, listOK(t, r))
		require.NoError(t, other.Close())
		holdsMany(t, contextOK(t, r, "other"), 101)
	})
	require.Empty(t, stuck)
	require.Empty(t, late)
	require.Empty(t, deleted)
	close(slow)
	await(t, late)
	release()
	require.NoError(t, await(t, stuck).err)
	require.NoError(t, await(t, deleted))
	require.Equal(t, []string{"anew", "other", "slow"}, listOK(t, r))
}

func holdsMany(t testing.TB, e *Engine, n int) {
	t.Helper()
	require.Len(t, checkDense(t, e), n)
}

// The strict context is not in the way of the relaxed one, proved by counting: of the two, both under load, one does a thousand
// appends while the other is within one sync.
func TestARelaxedContextIsNotSlowedToTheStrictOnesPace(t *testing.T) {
	v := new(valve)
	h := hooks{}
	h.wal.Fdatasync = v.fdatasync
	r := rootIn(t, t.TempDir(), &RootOptions{Create: true, Contexts: map[string]Options{
		"strict": {Flush: FlushBatch}, "relaxed": {Flush: FlushDisabled},
	}}, reaching(map[string]hooks{"strict": h}))
	strict, relaxed := contextOK(t, r, "strict"), contextOK(t, r, "relaxed")
	entered, release := v.shut()
	defer release()
	var waiting []<-chan result
	for i := range 8 {
		waiting = append(waiting, appendAsync(ctxb, strict, nil, event("T")))
		waitAssigned(t, strict, Position(i+1))
	}
	await(t, entered)
	within(t, "the relaxed context", func() {
		race(4, func(int) {
			for range 250 {
				if _, err := relaxed.Append(ctxb, []Event{event("T")}, nil); err != nil {
					t.Error(err)
				}
			}
		})
		holdsMany(t, relaxed, 1000)
	})
	require.Zero(t, strict.Head())
	for _, c := range waiting {
		require.Empty(t, c, "no append of the strict one was answered meanwhile")
	}
	release()
	for _, c := range waiting {
		require.NoError(t, await(t, c).err)
	}
	holdsMany(t, strict, 8)
}

func TestClosingARootClosesAllOfItAndIsToldOnce(t *testing.T) {
	dir := t.TempDir()
	failing := map[string]hooks{}
	vs := map[string]*valve{"a": new(valve), "c": new(valve)}
	for name, v := range vs {
		h := hooks{}
		h.wal.Fdatasync = v.fdatasync
		failing[name] = h
	}
	r := rootIn(t, dir, relaxedRoot, reaching(failing))
	engines := map[string]*Engine{}
	for _, name := range []string{"a", "b", "c", "mine"} {
		engines[name] = contextOK(t, r, name)
		appendOK(t, engines[name], nil, event(name))
	}
	require.NoError(t, engines["mine"].Close())
	for _, v := range vs {
		v.fail(syscall.EIO)
	}
	err := r.Close()
	require.ErrorIs(t, err, syscall.EIO)
	require.ErrorContains(t, err, `context "a"`)
	require.ErrorContains(t, err, `context "c"`)
	require.NotContains(t, err.Error(), `context "b"`)
	require.Equal(t, err, r.Close())
	for name, e := range engines {
		_, err := e.Append(ctxb, []Event{event("T")}, nil)
		require.ErrorIs(t, err, ErrClosed, name)
	}
	_, err = r.Context("b")
	require.ErrorIs(t, err, ErrClosed)
	_, err = r.List()
	require.ErrorIs(t, err, ErrClosed)
	require.ErrorIs(t, r.Delete("b", ConfirmDelete), ErrClosed)
	again := rootIn(t, dir, nil, open)
	for name := range engines {
		holds(t, contextOK(t, again, name), name)
	}
}

// A root is closed while contexts are opened and deleted: it waits for both, and leaves nothing open.
func TestCloseWaitsForWhatIsInProgress(t *testing.T) {
	dir, v := t.TempDir(), new(valve)
	synctest.Test(t, func(t *testing.T) {
		slow := make(chan struct{})
		h := hooks{}
		h.wal.Fdatasync = v.fdatasync
		r, err := openRoot(dir, &RootOptions{Create: true}, func(dir string, o *Options, own hooks) (*Engine, error) {
			if filepath.Base(dir) == "slow" {
				<-slow
			}
			return reaching(map[string]hooks{"deleted": h})(dir, o, own)
		})
		require.NoError(t, err)
		doomed, fine := contextOK(t, r, "deleted"), contextOK(t, r, "fine")
		_, release := v.shut()
		defer release()
		appended := appendAsync(context.Background(), doomed, nil, event("T"))
		synctest.Wait()

		late, deleted, closed := make(chan error, 2), make(chan error, 1), make(chan error, 1)
		for range 2 {
			go func() {
				_, err := r.Context("slow")
				late <- err
			}()
		}
		go func() { deleted <- r.Delete("deleted", ConfirmDelete) }()
		synctest.Wait()
		go func() { closed <- r.Close() }()
		synctest.Wait()
		require.Empty(t, closed)
		require.True(t, fine.closed.Load(), "it closes what it can")
		for _, name := range []string{"slow", "deleted", "fine", "new"} {
			_, err := r.Context(name)
			require.ErrorIs(t, err, ErrClosed, name)
			require.ErrorIs(t, r.Delete(name, ConfirmDelete), ErrClosed, name)
		}
		release()
		require.NoError(t, (<-appended).err)
		require.NoError(t, <-deleted)
		synctest.Wait()
		require.Empty(t, closed)
		close(slow)
		require.NoError(t, <-closed)
		require.ErrorIs(t, <-late, ErrClosed)
		require.ErrorIs(t, <-late, ErrClosed)
	})
	r := rootIn(t, dir, nil, open)
	require.Equal(t, []string{"fine", "slow"}, listOK(t, r))
	contextOK(t, r, "slow") // its lock is free
}

func TestContextAndDeleteOfOneNameTakeTurns(t *testing.T) {
	dir := t.TempDir()
	fill(t, dir, "a")
	synctest.Test(t, func(t *testing.T) {
		slow := make(chan struct{})
		r, err := openRoot(dir, relaxedRoot, func(dir string, o *Options, h hooks) (*Engine, error) {
			<-slow
			return open(dir, o, h)
		})
		require.NoError(t, err)
		first, deleted := make(chan *Engine, 1), make(chan error, 2)
		go func() { first <- contextOK(t, r, "a") }()
		synctest.Wait()
		for range 2 {
			go func() { deleted <- r.Delete("a", ConfirmDelete) }()
		}
		synctest.Wait()
		require.Empty(t, deleted)
		close(slow)
		e := <-first
		errs := []error{<-deleted, <-deleted}
		require.True(t, e.closed.Load())
		require.Contains(t, errs, error(nil), "one of them deletes it")
		require.ErrorIs(t, errors.Join(errs...), ErrNoContext, "the other is told so")
		require.Empty(t, checkDense(t, contextOK(t, r, "a")), "a new one")
		require.NoError(t, r.Close())
	})
}

func TestTwoRootsShareADirectoryAndNoContext(t *testing.T) {
	dir := t.TempDir()
	fill(t, dir, "a", "b")
	one, two := rootIn(t, dir, nil, open), rootIn(t, dir, relaxedRoot, open)
	a := contextOK(t, one, "a")
	_, err := two.Context("a")
	require.ErrorIs(t, err, ErrLocked)
	require.ErrorContains(t, err, fmt.Sprint("pid ", os.Getpid()))
	require.ErrorIs(t, two.Delete("a", ConfirmDelete), ErrLocked)
	holds(t, a, "a")
	require.NoError(t, a.WaitMaterialized(ctxb, 1))
	holds(t, contextOK(t, two, "b"), "b")
	contextOK(t, two, "c")
	for _, r := range []*Root{one, two} {
		require.Equal(t, []string{"a", "b", "c"}, listOK(t, r))
	}
	require.ErrorIs(t, one.Delete("b", ConfirmDelete), ErrLocked)
	require.NoError(t, a.Close())
	verifying, err := lockShared(filepath.Join(dir, "a", recovery.LockFile))
	require.NoError(t, err)
	require.ErrorIs(t, two.Delete("a", ConfirmDelete), ErrLocked, "while somebody verifies it")
	require.NoError(t, verifying.Unlock())
	holds(t, contextOK(t, two, "a"), "a")
	require.NoError(t, two.Delete("a", ConfirmDelete))
	_, err = one.Context("a")
	require.ErrorIs(t, err, ErrNoContext)
}

// Roots that open, create and delete the same context: whoever opens it finds it whole. The one who creates it holds its lock until it has
// an event, so that an empty one would be one that was deleted, or half of it.
func TestAContextIsNeverOpenedHalfDeleted(t *testing.T) {
	dir := t.TempDir()
	roots := make([]*Root, 4)
	for i := range roots {
		roots[i] = rootIn(t, dir, &RootOptions{Create: i < 2, Defaults: Options{Flush: FlushDisabled}}, open)
	}
	expected := func(err error) error {
		for _, s := range []error{ErrNoContext, ErrLocked, fs.ErrNotExist} {
			if errors.Is(err, s) {
				return nil
			}
		}
		return err
	}
	visit := func(i int) error {
		e, err := roots[i].Context("a")
		if err != nil {
			return expected(err)
		}
		if e.Recovery().Outcome == "created" && i < 2 {
			if _, err := e.Append(ctxb, []Event{event("T")}, nil); err != nil {
				return err
			}
		}
		if e.Head() != 1 {
			return fmt.Errorf("%v: head %d", e.Recovery(), e.Head())
		}
		return e.Close()
	}
	for range 40 {
		race(len(roots), func(i int) {
			err := visit(i)
			if i >= 2 {
				err = errors.Join(err, expected(roots[i].Delete("a", ConfirmDelete)))
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
}

// A context that another process deletes between the look at it and its opening does not come back as an empty one.
func TestAContextThatIsDeletedMeanwhileIsNotCreated(t *testing.T) {
	dir := t.TempDir()
	fill(t, dir, "a")
	r := rootIn(t, dir, nil, func(at string, o *Options, h hooks) (*Engine, error) {
		require.NoError(t, rootIn(t, dir, nil, open).Delete("a", ConfirmDelete))
		return open(at, o, h)
	})
	_, err := r.Context("a")
	require.ErrorIs(t, err, ErrNoContext)
	require.Empty(t, listOK(t, r))
	again := rootIn(t, dir, relaxedRoot, open)
	require.Empty(t, checkDense(t, contextOK(t, again, "a")), "and is not in the way of a new one")
}

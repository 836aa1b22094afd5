package opossum

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"opossum/internal/eventfile"
	"opossum/internal/pack"
	"opossum/ledger"
	"opossum/wal"
)

// The tests of this file work in shards of whatever size: in those of the tag smallshards as a rule, TestRealShards in those that users have.

const shardOf = eventfile.ShardPositions

// alwaysPack are the options of an engine that packs each shard when the next one begins.
var alwaysPack = &Options{LooseEvents: 1}

// fillShards appends events up to a head. The event at p has the tag p:p.
func fillShards(t testing.TB, e *Engine, head Position) {
	t.Helper()
	for e.Head() < head {
		events := make([]Event, min(1000, shardOf/4, int(head-e.Head())))
		for i := range events {
			p := int(e.Head()) + 1 + i
			events[i] = Event{Type: "T", Tags: []Tag{Tag(fmt.Sprint("p:", p))}, Data: fmt.Appendf(nil, `{"n":%d}`, p)}
		}
		appendOK(t, e, nil, events...)
	}
}

// looseStore is a closed store of so many events, all in files of their own.
func looseStore(t testing.TB, head Position) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "store")
	e := openStore(t, dir, keepLoose, hooks{})
	fillShards(t, e, head)
	require.NoError(t, e.WaitMaterialized(ctxb, head))
	require.NoError(t, e.Close())
	return dir
}

// packStore packs all whole shards of a closed store.
func packStore(t testing.TB, dir string) {
	t.Helper()
	e := openStore(t, dir, nil, hooks{})
	if e.opts.LooseEvents == KeepLoose {
		require.NoError(t, e.Close())
		e = openStore(t, dir, alwaysPack, hooks{})
	}
	require.NoError(t, e.Pack(ctxb, nil))
	require.NoError(t, e.Close())
}

// shapeOf returns how many event files and packs there are in a store.
func shapeOf(t testing.TB, dir string) (files, packs int) {
	t.Helper()
	s, err := eventfile.OpenExisting(filepath.Join(dir, "events"))
	require.NoError(t, err)
	defer s.Close()
	require.NoError(t, s.Bind(seedOf(t, dir)))
	files, _, err = s.Usage()
	require.NoError(t, err)
	packs, _, err = s.PackUsage()
	require.NoError(t, err)
	return files, packs
}

func seedOf(t testing.TB, dir string) uint64 {
	t.Helper()
	led, err := ledger.Load(dir)
	require.NoError(t, err)
	return wal.StoreID(led.Store).Seed()
}

// packOf is the path of the pack of the shard that begins at first.
func packOf(dir string, first Position) string {
	return filepath.Join(dir, "packs", pack.Name(pack.Range{First: first, Last: first + shardOf - 1}))
}

// holdsShards: e has exactly the events of fillShards up to head.
func holdsShards(t testing.TB, e *Engine, head Position) {
	t.Helper()
	all := checkDense(t, e)
	require.Len(t, all, int(head))
	for _, ev := range all {
		require.Equal(t, fmt.Sprintf(`{"n":%d}`, ev.Position), string(ev.Event.Data))
	}
	for _, p := range []Position{1, head / 2, head} {
		last, err := e.ReadLast(ctxb, ByTags(Tag(fmt.Sprint("p:", p))))
		require.NoError(t, err)
		require.Equal(t, p, last.Position)
	}
}

// packsAndUnpacks brings a store into packs and back.
func packsAndUnpacks(t *testing.T) {
	const head = 2*shardOf + 7
	dir := looseStore(t, head)
	e := openStore(t, dir, alwaysPack, hooks{})
	require.NoError(t, e.Pack(ctxb, nil))
	holdsShards(t, e, head)
	files, packs := shapeOf(t, dir)
	require.Equal(t, []int{7, 2}, []int{files, packs})
	require.ErrorIs(t, e.Unpack(ctxb, nil), ErrInvalidOption)
	require.NoError(t, e.Close())
	require.ErrorIs(t, e.Pack(ctxb, nil), ErrClosed)

	r := openReader(t, dir)
	holdsShards(t, r, head)
	require.ErrorIs(t, r.Pack(ctxb, nil), ErrReadOnly)
	require.ErrorIs(t, r.Unpack(ctxb, nil), ErrReadOnly)

	e = openStore(t, dir, keepLoose, hooks{})
	require.ErrorIs(t, e.Pack(ctxb, nil), ErrInvalidOption)
	require.NoError(t, e.Unpack(ctxb, nil))
	holdsShards(t, e, head)
	holdsShards(t, r, head)
	files, packs = shapeOf(t, dir)
	require.Equal(t, []int{head, 0}, []int{files, packs})
	require.NoError(t, e.Close())
	require.ErrorIs(t, e.Unpack(ctxb, nil), ErrClosed)
}

func TestPackAndUnpack(t *testing.T) { packsAndUnpacks(t) }

// TestRealShards is what is run without the tag smallshards as well.
func TestRealShards(t *testing.T) {
	packsAndUnpacks(t)
	drainsIntoPacks(t, 3*shardOf)
}

func TestKeepLooseNeverPacks(t *testing.T) {
	e := openStore(t, t.TempDir(), keepLoose, hooks{})
	resume, err := e.PauseFiling(ctxb)
	require.NoError(t, err)
	fillShards(t, e, 5*shardOf+3)
	resume()
	require.NoError(t, e.WaitMaterialized(ctxb, 5*shardOf+3))
	require.NoError(t, e.Close())
	files, packs := shapeOf(t, e.Dir())
	require.Equal(t, []int{5*shardOf + 3, 0}, []int{files, packs})
}

func TestABacklogLargerThanTheLagDrainsIntoPacks(t *testing.T) { drainsIntoPacks(t, 6*shardOf) }

// drainsIntoPacks: appends are held back at a lag of two shards, and go on when filing does.
func drainsIntoPacks(t *testing.T, head Position) {
	e := openStore(t, t.TempDir(), &Options{LooseEvents: 1, MaxLagEvents: 2 * shardOf}, hooks{})
	resume, err := e.PauseFiling(ctxb)
	require.NoError(t, err)
	filled := make(chan struct{})
	go func() {
		defer close(filled)
		fillShards(t, e, head)
	}()
	eventually(t, "appends are held back", e.seq.Held)
	require.Less(t, e.Head(), head)
	resume()
	await(t, filled)
	require.NoError(t, e.WaitMaterialized(ctxb, head))
	holdsShards(t, e, head)
	require.NoError(t, e.Close())
	_, packs := shapeOf(t, e.Dir())
	require.GreaterOrEqual(t, packs, 2)
}

// What is damaged is an error of the read that meets it; others go on. A loose file, if there is one, answers for it.
func TestDamageInAPackIsFoundNamedAndHealedByALooseFile(t *testing.T) {
	const head = 3*shardOf + 1
	origin := looseStore(t, head)
	for name, at := range map[string]func(size int64) int64{
		"header": func(int64) int64 { return 3 },
		"block":  func(int64) int64 { return 100 },
		"table":  func(size int64) int64 { return size - 100 },
		"footer": func(size int64) int64 { return size - 1 },
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "copy")
			require.NoError(t, os.CopyFS(dir, os.DirFS(origin)))
			packStore(t, dir)
			path := packOf(dir, shardOf+1)
			b, err := os.ReadFile(path)
			require.NoError(t, err)
			b[at(int64(len(b)))] ^= 4
			require.NoError(t, os.WriteFile(path, b, 0o644))

			e := openStore(t, dir, &Options{LooseEvents: DefaultLooseEvents}, hooks{})
			hurt := Tag(fmt.Sprint("p:", shardOf+1))
			requireDamage := func(err error) {
				require.ErrorIs(t, err, ErrCorrupt)
				var ce *CorruptError
				require.ErrorAs(t, err, &ce)
				require.Equal(t, path, ce.File)
				require.GreaterOrEqual(t, ce.Offset, int64(0))
				require.Contains(t, ce.Reason, fmt.Sprintf("positions %d to ", shardOf+1))
			}
			for range 2 { // it is not forgotten, nor taken for an absent event
				_, err = e.ReadLast(ctxb, ByTags(hurt))
				requireDamage(err)
				v, err := e.Read(ctxb, AllEvents(), ReadOptions{})
				require.NoError(t, err)
				seen, err := collect(v.All())
				requireDamage(err)
				require.Equal(t, span(1, shardOf), positionsOf(seen))
				require.Equal(t, span(2*shardOf+1, head), positionsOf(readAll(t, e, AllEvents(), ReadOptions{After: 2 * shardOf})))
			}
			_, err = e.Append(ctxb, []Event{event("T", hurt)}, failIfExists(ByTags(hurt)))
			require.ErrorIs(t, err, ErrAlreadyExists, "the index knows it")

			for p := Position(shardOf + 1); p <= 2*shardOf; p++ {
				require.NoError(t, copyFile(eventfile.Path(filepath.Join(origin, "events"), p), e.files.Path(p)))
			}
			holdsShards(t, e, head)
			require.NoError(t, e.Close())
			packStore(t, dir)
			holdsShards(t, openStore(t, dir, nil, hooks{}), head)
			_, packs := shapeOf(t, dir)
			require.Equal(t, 3, packs)
			require.NoError(t, os.RemoveAll(filepath.Dir(eventfile.Path(filepath.Join(dir, "events"), shardOf+1))), "it is packed again")
			holdsShards(t, openReader(t, dir), head)
		})
	}
}

// Whatever packing, unpacking and filing left when they were killed: Open takes it for what it is.
func TestOpenAfterEveryKindOfLeftover(t *testing.T) {
	const head = 3*shardOf + 5
	loose := looseStore(t, head)
	packed := filepath.Join(t.TempDir(), "packed")
	require.NoError(t, os.CopyFS(packed, os.DirFS(loose)))
	packStore(t, packed)
	// unfiled has everything in the log alone, from a checkpoint in the middle of the first shard on.
	unfiled := func() string {
		dir := filepath.Join(t.TempDir(), "unfiled")
		e := openStore(t, dir, keepLoose, hooks{})
		fillShards(t, e, shardOf/2)
		require.NoError(t, e.WaitMaterialized(ctxb, shardOf/2))
		resume, err := e.PauseFiling(ctxb)
		require.NoError(t, err)
		fillShards(t, e, head)
		copied := filepath.Join(t.TempDir(), "copy")
		copyLive(t, copied, dir)
		resume()
		require.NoError(t, e.Close())
		return copied
	}()
	fromUnfiled := filepath.Join(t.TempDir(), "filed")
	require.NoError(t, os.CopyFS(fromUnfiled, os.DirFS(unfiled)))
	packStoreAll(t, fromUnfiled, head)

	must := func(t *testing.T, err error) { require.NoError(t, err) }
	events := func(dir string) string { return filepath.Join(dir, "events") }
	garbage := func(t *testing.T, path string) {
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, os.WriteFile(path, []byte("garbage"), 0o644))
	}
	for name, c := range map[string]struct {
		base  string
		leave func(t *testing.T, dir string)
	}{
		"a half-written pack":                 {unfiled, func(t *testing.T, dir string) { garbage(t, filepath.Join(dir, "packs", ".tmp-0123456789abcdef")) }},
		"garbage beside the files of a shard": {loose, func(t *testing.T, dir string) { garbage(t, packOf(dir, shardOf+1)) }},
		"both, whole": {loose, func(t *testing.T, dir string) {
			must(t, os.CopyFS(filepath.Join(dir, "packs"), os.DirFS(filepath.Join(packed, "packs"))))
		}},
		"a pack, and half its files": {packed, func(t *testing.T, dir string) {
			for p := Position(shardOf/2 + 1); p <= shardOf; p++ {
				must(t, copyFile(eventfile.Path(events(loose), p), eventfile.Path(events(dir), p)))
			}
		}},
		"a pack, and some of its files, as unpacking begins": {packed, func(t *testing.T, dir string) {
			for p := Position(shardOf + 1); p <= shardOf+shardOf/3; p++ {
				must(t, copyFile(eventfile.Path(events(loose), p), eventfile.Path(events(dir), p)))
			}
		}},
		"garbage above the checkpoint":             {unfiled, func(t *testing.T, dir string) { garbage(t, packOf(dir, 2*shardOf+1)) }},
		"garbage with the checkpoint in its midst": {unfiled, func(t *testing.T, dir string) { garbage(t, packOf(dir, 1)) }},
		"a pack above the checkpoint": {unfiled, func(t *testing.T, dir string) {
			must(t, copyFile(packOf(fromUnfiled, shardOf+1), packOf(dir, shardOf+1)))
		}},
		"a pack with the checkpoint in its midst": {unfiled, func(t *testing.T, dir string) { must(t, copyFile(packOf(fromUnfiled, 1), packOf(dir, 1))) }},
		"all packs, with the checkpoint before they are": {unfiled, func(t *testing.T, dir string) {
			must(t, os.CopyFS(filepath.Join(dir, "packs"), os.DirFS(filepath.Join(fromUnfiled, "packs"))))
		}},
		"an empty directory of packs": {loose, func(t *testing.T, dir string) { must(t, os.Mkdir(filepath.Join(dir, "packs"), 0o755)) }},
	} {
		for _, n := range []int{KeepLoose, 40} {
			t.Run(fmt.Sprintf("%s, opened with %d", name, n), func(t *testing.T) {
				dir := filepath.Join(t.TempDir(), "store")
				must(t, os.CopyFS(dir, os.DirFS(c.base)))
				c.leave(t, dir)
				r := openReader(t, dir)
				holdsShards(t, r, head)
				o := &Options{LooseEvents: n}
				for range 2 {
					e := openStore(t, dir, o, hooks{})
					holdsShards(t, e, head)
					must(t, e.WaitMaterialized(ctxb, head))
					holdsShards(t, e, head)
					must(t, repack(ctxb, e))
					must(t, r.Refresh(ctxb))
					holdsShards(t, r, head)
					must(t, e.Close())
				}
				files, packs := shapeOf(t, dir)
				if n == KeepLoose {
					require.Equal(t, []int{head, 0}, []int{files, packs})
				} else {
					require.Equal(t, []int{5, 3}, []int{files, packs})
				}
				temps, err := filepath.Glob(filepath.Join(dir, "packs", ".*"))
				must(t, err)
				require.Empty(t, temps)
			})
		}
	}
}

// packStoreAll files everything up to head and packs it.
func packStoreAll(t *testing.T, dir string, head Position) {
	t.Helper()
	e := openStore(t, dir, alwaysPack, hooks{})
	require.NoError(t, e.WaitMaterialized(ctxb, head))
	require.NoError(t, e.Pack(ctxb, nil))
	require.NoError(t, e.Close())
}

// A view that is being read sees every event, whatever becomes of the files: the owner's own, while its shards are packed, and that of a follower while
// they are packed and unpacked.
func TestAViewSeesEveryEventWhileItsShardsArePackedAndUnpacked(t *testing.T) {
	const head = 4*shardOf + 3
	dir := looseStore(t, head)
	for _, backwards := range []bool{false, true} {
		reader := openReader(t, dir)
		v, err := reader.Read(ctxb, AllEvents(), ReadOptions{Backwards: backwards})
		require.NoError(t, err)
		seen := 0
		for ev, err := range v.All() {
			require.NoError(t, err)
			want := Position(seen + 1)
			if backwards {
				want = head - Position(seen)
			}
			require.Equal(t, want, ev.Position)
			require.Equal(t, fmt.Sprintf(`{"n":%d}`, ev.Position), string(ev.Event.Data))
			if seen++; seen%(shardOf/2) != 0 {
				continue
			}
			o := keepLoose
			if seen/(shardOf/2)%2 == 1 {
				o = alwaysPack
			}
			e := openStore(t, dir, o, hooks{})
			own, err := e.Read(ctxb, AllEvents(), ReadOptions{})
			require.NoError(t, err)
			n := 0
			for _, err := range own.All() {
				require.NoError(t, err)
				if n++; n == shardOf/3 {
					require.NoError(t, repack(ctxb, e))
				}
			}
			require.Equal(t, head, n)
			require.NoError(t, e.Close())
		}
		require.Equal(t, head, seen)
	}
}

func TestCloseEndsPackAndUnpack(t *testing.T) {
	const head = 4*shardOf + 1
	dir := looseStore(t, head)
	for i := range 12 {
		o := keepLoose
		if i%2 == 0 {
			o = alwaysPack
		}
		e := openStore(t, dir, o, hooks{})
		closed := make(chan error, 1)
		do := e.Unpack
		if i%2 == 0 {
			do = e.Pack
		}
		var once atomic.Bool
		within(t, "packing and Close", func() {
			err := do(ctxb, func(done, total uint64) {
				if done >= uint64(i/4)*shardOf && !once.Swap(true) {
					go func() { closed <- e.Close() }()
				}
			})
			require.True(t, err == nil || errors.Is(err, ErrClosed), "%v", err)
			if !once.Load() { // it had nothing to do
				require.NoError(t, e.Close())
				return
			}
			require.NoError(t, <-closed)
		})
		temps, err := filepath.Glob(filepath.Join(dir, "packs", ".*"))
		require.NoError(t, err)
		require.Empty(t, temps)
		r := openReader(t, dir)
		holdsShards(t, r, head)
		require.NoError(t, r.Close())
	}
}

func TestPackAndAppendsAtTheSameTime(t *testing.T) {
	e := openStore(t, t.TempDir(), &Options{LooseEvents: 200}, hooks{})
	race(6, func(i int) {
		for n := range 60 {
			if i < 2 { // two pack
				if err := e.Pack(ctxb, func(done, total uint64) {
					if done > total {
						t.Errorf("%d of %d", done, total)
					}
				}); err != nil {
					t.Error(err)
				}
				continue
			}
			p, err := e.Append(ctxb, []Event{event("T", Tag(fmt.Sprint(i, "-", n))), event("T")}, failIfExists(ByTags(Tag(fmt.Sprint(i, "-", n)))))
			if err != nil {
				t.Error(err)
			}
			if n%10 == 9 {
				if err := e.WaitMaterialized(ctxb, p); err != nil {
					t.Error(err)
				}
			}
		}
	})
	require.NoError(t, e.WaitMaterialized(ctxb, e.Head()))
	require.NoError(t, e.Pack(ctxb, nil))
	require.Len(t, checkDense(t, e), 480)
	require.NoError(t, e.Close())
	files, packs := shapeOf(t, e.Dir())
	require.Equal(t, []int{480 % shardOf, 480 / shardOf}, []int{files, packs})
}

func TestPackEndsWithItsContext(t *testing.T) {
	const head = 3*shardOf + 1
	dir := looseStore(t, head)
	for _, o := range []*Options{alwaysPack, keepLoose} {
		packStore(t, dir)
		e := openStore(t, dir, &Options{LooseEvents: DefaultLooseEvents}, hooks{})
		if o == keepLoose {
			require.NoError(t, e.Close())
			e = openStore(t, dir, o, hooks{})
		}
		ctx, cancel := context.WithCancel(ctxb)
		cancel()
		if o == keepLoose {
			require.ErrorIs(t, e.Unpack(ctx, nil), context.Canceled)
		} else {
			require.NoError(t, e.Pack(ctx, nil), "there is nothing to do")
		}
		holdsShards(t, e, head)
		require.NoError(t, e.Close())
	}
}

// A pack that cannot be written, because there is a file where the packs should be, keeps filing waiting if it is that of the backlog, and nothing else.
func TestPackWhereNoPackCanBeWritten(t *testing.T) {
	const head = 2*shardOf + 1
	dir := looseStore(t, head)
	e := openStore(t, dir, &Options{LooseEvents: DefaultLooseEvents}, hooks{})
	packs := filepath.Join(dir, "packs")
	require.NoError(t, os.WriteFile(packs, nil, 0o644))
	err := e.Pack(ctxb, nil)
	require.Error(t, err)
	require.NotErrorIs(t, err, ErrCorrupt)
	holdsShards(t, e, head)
	resume, err := e.PauseFiling(ctxb)
	require.NoError(t, err)
	fillShards(t, e, 4*shardOf)
	resume()
	eventually(t, "filing is stalled", func() bool { return e.Metrics().FilingStalled })
	fillShards(t, e, 4*shardOf+1)
	holdsShards(t, e, 4*shardOf+1)
	require.NoError(t, os.Remove(packs))
	require.NoError(t, e.WaitMaterialized(ctxb, 4*shardOf+1))
	require.False(t, e.Metrics().FilingStalled)
	holdsShards(t, e, 4*shardOf+1)
	_, err = os.Stat(packOf(dir, 2*shardOf+1))
	require.False(t, errors.Is(err, fs.ErrNotExist))
}

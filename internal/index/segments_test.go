package index

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"weak"

	"github.com/stretchr/testify/require"

	"opossum/dcb"
	"opossum/internal/segment"
)

var ctxb = context.Background()

// numbered is the event that tests put at p.
func numbered(p dcb.Position) dcb.Event {
	return dcb.Event{Type: "T", Tags: []dcb.Tag{dcb.Tag(fmt.Sprint("p:", p)), dcb.Tag(fmt.Sprint("mod:", p%7))}}
}

// fill stages the events of positions first to last.
func (ix *Index) fill(first, last dcb.Position) {
	for p := first; p <= last; p++ {
		stage(ix.Active(), p, numbered(p))
	}
}

func span1(n dcb.Position) []dcb.Position {
	out := make([]dcb.Position, n)
	for i := range out {
		out[i] = dcb.Position(i + 1)
	}
	return out
}

func (ix *Index) requireAll(t *testing.T, head dcb.Position) {
	t.Helper()
	for _, backwards := range []bool{false, true} {
		got, err := ix.positions(dcb.ByTypes("T"), 0, head, backwards)
		require.NoError(t, err)
		require.Equal(t, directed(order{backwards}, span1(head)), got)
	}
	for p := dcb.Position(1); p <= head; p++ {
		at, err := ix.firstMatch(dcb.ByTags(numbered(p).Tags[0]), 0, head)
		require.NoError(t, err)
		require.Equal(t, p, at)
	}
}

// A condition's view is taken before its head and asked after anything may have been sealed: nothing may slip between.
func TestAViewAnswersForWhatIsStagedAndSealedAfterIt(t *testing.T) {
	ix := openIndex(t, 1<<20)
	ix.fill(1, 10)
	require.NoError(t, ix.Seal(4))
	v, err := ix.Acquire()
	require.NoError(t, err)
	defer v.Release()
	for p := dcb.Position(11); p <= 40; p++ {
		if p%5 == 0 {
			ix.Rotate(p - 1)
			require.NoError(t, ix.Seal(p-1))
		}
		stage(ix.Active(), p, numbered(p))
	}
	require.EqualValues(t, 4, v.Base())
	require.EqualValues(t, 39, ix.Base())
	for after := dcb.Position(0); after < 40; after++ {
		at, err := v.FirstMatch(dcb.ByTypes("T"), after, 40)
		require.NoError(t, err)
		require.Equal(t, after+1, at)
		at, err = v.FirstMatch(dcb.ByTags(numbered(after + 1).Tags[0]), after, 40)
		require.NoError(t, err)
		require.Equal(t, after+1, at)
		at, err = v.FirstMatch(dcb.ByTags(numbered(after + 1).Tags[0]), after+1, 40)
		require.NoError(t, err)
		require.Zero(t, at)
	}
}

func TestMemoryIsGivenBackWhenItIsSealed(t *testing.T) {
	ix := openIndex(t, 64<<10)
	parts, p := 0, dcb.Position(0)
	for ; parts < 6; p++ {
		stage(ix.Active(), p+1, numbered(p+1))
		if ix.Staged(p + 1) {
			parts++
		}
	}
	require.True(t, ix.Excess())
	require.Equal(t, p, ix.Full())
	require.NoError(t, ix.Seal(p-1)) // all but one position: the last part cannot go yet
	require.Equal(t, p, ix.Full())
	require.Less(t, ix.Bytes(), int64(20<<10))
	require.NoError(t, ix.Seal(p))
	require.Zero(t, ix.Full())
	require.False(t, ix.Excess())
	require.Zero(t, ix.Bytes())
	require.EqualValues(t, 7, ix.Stats().Seals)
	ix.requireAll(t, p)
}

func TestAnIteratorHoldsItsSegmentsUntilItIsClosed(t *testing.T) {
	ix := openIndex(t, 1<<20)
	for p := dcb.Position(1); p <= 20; p++ {
		ix.fill(p, p)
		require.NoError(t, ix.Seal(p))
	}
	v, err := ix.Acquire()
	require.NoError(t, err)
	old := v.files.all
	v.Release()
	it, err := ix.Iterate(dcb.ByTypes("T"), 0, 20, false)
	require.NoError(t, err)
	for merged := true; merged; {
		merged, err = ix.Merge(ctxb)
		require.NoError(t, err)
	}
	require.Less(t, ix.Stats().Segments, fanIn)
	for _, h := range old {
		require.NoFileExists(t, h.Path())
		require.Positive(t, h.refs.Load())
	}
	ix.Close()
	for p := dcb.Position(1); p <= 20; p++ {
		at, ok := it.Next()
		require.True(t, ok)
		require.Equal(t, p, at)
	}
	_, ok := it.Next()
	require.False(t, ok)
	require.NoError(t, it.Err())
	it.Close()
	for _, h := range old {
		require.Zero(t, h.refs.Load(), "the last one lets go")
	}
	_, err = ix.Iterate(dcb.ByTypes("T"), 0, 20, false)
	require.ErrorIs(t, err, dcb.ErrClosed)
	_, err = ix.Acquire()
	require.ErrorIs(t, err, dcb.ErrClosed)
	_, err = ix.Merge(ctxb)
	require.ErrorIs(t, err, dcb.ErrClosed)
	require.Zero(t, ix.Base())
	require.Zero(t, ix.Stats().Segments)
}

// One goroutine stages, one seals and merges, one rebuilds what is said to be damaged, and readers see at any time exactly what was
// staged up to their head, in both directions.
func TestReadersSeeOneHistoryWhileSegmentsComeAndGo(t *testing.T) {
	ix := openIndex(t, 64<<10)
	const n = 2000
	var head atomic.Uint64
	var wg sync.WaitGroup
	ended := func() bool { return head.Load() == n || t.Failed() }
	fetch := func(p dcb.Position) (dcb.Event, error) { return numbered(p), nil }
	wg.Go(func() {
		for p := dcb.Position(1); p <= n; p++ {
			stage(ix.Active(), p, numbered(p))
			ix.Staged(p)
			head.Store(uint64(p))
			for ix.Excess() { // as admission does
				runtime.Gosched()
			}
		}
	})
	wg.Go(func() {
		for !ended() {
			if err := ix.Seal(max(dcb.Position(head.Load())/4*4, ix.Full())); err != nil {
				t.Error(err)
			}
			if _, err := ix.Merge(ctxb); err != nil {
				t.Error(err)
			}
			v, err := ix.Acquire()
			if err != nil {
				t.Error(err)
				return
			}
			if all := v.files.all; len(all) > 2 {
				all[len(all)/2].damaged.Store(true) // it is not, but who would know
			}
			v.Release()
			if _, err := ix.Rebuild(ctxb, fetch); err != nil {
				t.Error(err)
			}
		}
	})
	for r := range 3 {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(7, uint64(r)))
			for !ended() {
				upto := dcb.Position(head.Load())
				after := dcb.Position(rnd.Uint64N(uint64(upto) + 1))
				backwards := rnd.IntN(2) == 0
				got, err := ix.positions(dcb.ByTypes("T"), after, upto, backwards)
				if err != nil || !slices.Equal(directed(order{backwards}, span1(upto)[after:]), got) {
					t.Errorf("%d positions in (%d, %d], %v", len(got), after, upto, err)
				}
				if after < upto {
					at, err := ix.firstMatch(dcb.ByTags(numbered(after + 1).Tags[0]), 0, upto)
					if at != after+1 || err != nil {
						t.Errorf("found %d where %d is, %v", at, after+1, err)
					}
				}
			}
		})
	}
	wg.Wait()
	require.NoError(t, ix.Seal(n))
	ix.requireAll(t, n)
	s := ix.Stats()
	require.Positive(t, s.Merges)
	require.Positive(t, s.Rebuilt)
	require.Less(t, s.Segments, 8*fanIn)
}

// damage changes a byte in the middle of a file, in place, so that who has it open sees it.
func damage(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	require.NoError(t, err)
	defer func() { require.NoError(t, f.Close()) }()
	info, err := f.Stat()
	require.NoError(t, err)
	var b [1]byte
	_, err = f.ReadAt(b[:], info.Size()/4)
	require.NoError(t, err)
	b[0] ^= 0x10
	_, err = f.WriteAt(b[:], info.Size()/4)
	require.NoError(t, err)
}

func TestADamagedSegmentIsAnErrorUntilItIsRebuilt(t *testing.T) {
	ix := openIndex(t, 1<<20)
	told := 0
	ix.cfg.Damaged = func() { told++ }
	ix.fill(1, 300)
	for _, p := range []dcb.Position{100, 200, 300} {
		require.NoError(t, ix.Seal(p))
	}
	v, err := ix.Acquire()
	require.NoError(t, err)
	path := v.files.all[1].Path()
	v.Release()
	damage(t, path)

	got, err := ix.positions(dcb.ByTypes("T"), 0, 300, false)
	require.ErrorIs(t, err, dcb.ErrCorrupt)
	require.ErrorContains(t, err, path)
	require.LessOrEqual(t, len(got), 100, "nothing comes after what could not be read")
	got, err = ix.positions(dcb.ByTypes("T"), 0, 300, true)
	require.ErrorIs(t, err, dcb.ErrCorrupt)
	require.LessOrEqual(t, len(got), 100)
	for _, q := range []dcb.Query{dcb.ByTags("p:150"), dcb.ByTags("nobody"), dcb.ByTags("mod:1", "p:150"), dcb.Match(dcb.QueryItem{Types: []string{"T"}, Tags: []dcb.Tag{"nobody"}})} {
		_, err = ix.firstMatch(q, 0, 300)
		require.ErrorIs(t, err, dcb.ErrCorrupt, "%v: not found would be a guess", q)
	}
	at, err := ix.firstMatch(dcb.ByTags("p:50"), 0, 300)
	require.NoError(t, err, "what is found before the damage stands")
	require.EqualValues(t, 50, at)
	at, err = ix.firstMatch(dcb.ByTypes("T"), 200, 300)
	require.NoError(t, err)
	require.EqualValues(t, 201, at)
	require.Equal(t, 1, told)

	failing := errors.New("the event cannot be read")
	_, err = ix.Rebuild(ctxb, func(p dcb.Position) (dcb.Event, error) { return numbered(p), failing })
	require.ErrorIs(t, err, failing)
	_, err = ix.firstMatch(dcb.ByTags("nobody"), 0, 300)
	require.ErrorIs(t, err, dcb.ErrCorrupt)
	rebuilt, err := ix.Rebuild(ctxb, func(p dcb.Position) (dcb.Event, error) { return numbered(p), nil })
	require.NoError(t, err)
	require.Equal(t, []segment.Range{{First: 101, Last: 200}}, rebuilt)
	ix.requireAll(t, 300)
	rebuilt, err = ix.Rebuild(ctxb, nil)
	require.NoError(t, err)
	require.Empty(t, rebuilt)
	require.EqualValues(t, 1, ix.Stats().Rebuilt)
}

func TestALargeDamagedSegmentIsReplacedBySmallerOnes(t *testing.T) {
	ix := openIndex(t, 1<<30)
	const n = buildPositions + 10
	e := dcb.Event{Type: "T"}
	for p := dcb.Position(1); p <= n; p++ {
		stage(ix.Active(), p, e)
	}
	require.NoError(t, ix.Seal(n))
	damage(t, filepath.Join(ix.cfg.Dir, segment.Name(segment.Range{First: 1, Last: n})))
	_, err := ix.positions(dcb.ByTypes("T"), 0, n, false)
	require.ErrorIs(t, err, dcb.ErrCorrupt)
	_, err = ix.Rebuild(ctxb, func(dcb.Position) (dcb.Event, error) { return e, nil })
	require.NoError(t, err)
	got, err := ix.positions(dcb.ByTypes("T"), 0, n, true)
	require.NoError(t, err)
	require.Equal(t, directed(order{true}, span1(n)), got)
	found, err := Find(ix.cfg.Dir, 7)
	require.NoError(t, err)
	require.Len(t, found.Ranges, 2, "the damaged one would be chosen, being wider")
}

func TestMergingADamagedSegmentFailsAndTells(t *testing.T) {
	ix := openIndex(t, 1<<20)
	told := 0
	ix.cfg.Damaged = func() { told++ }
	for p := dcb.Position(1); p <= fanIn; p++ {
		ix.fill(p, p)
		require.NoError(t, ix.Seal(p))
	}
	damage(t, filepath.Join(ix.cfg.Dir, segment.Name(segment.Range{First: 3, Last: 3})))
	merged, err := ix.Merge(ctxb)
	require.ErrorIs(t, err, dcb.ErrCorrupt)
	require.False(t, merged)
	require.Equal(t, 1, told)
	_, err = ix.Rebuild(ctxb, func(p dcb.Position) (dcb.Event, error) { return numbered(p), nil })
	require.NoError(t, err)
	merged, err = ix.Merge(ctxb)
	require.NoError(t, err)
	require.True(t, merged)
	ix.requireAll(t, fanIn)

	ctx, cancel := context.WithCancel(ctxb)
	cancel()
	for p := dcb.Position(fanIn + 1); p <= 2*fanIn; p++ {
		ix.fill(p, p)
		require.NoError(t, ix.Seal(p))
	}
	_, err = ix.Merge(ctx)
	require.ErrorIs(t, err, context.Canceled)
	ix.requireAll(t, 2*fanIn)
}

func TestASealThatFailedIsDoneAgain(t *testing.T) {
	ix := openIndex(t, 1<<20)
	ix.fill(1, 50)
	require.NoError(t, os.WriteFile(ix.cfg.Dir, nil, 0o644)) // where the directory belongs
	require.Error(t, ix.Seal(50))
	require.Zero(t, ix.Base())
	ix.requireAll(t, 50)
	require.NoError(t, os.Remove(ix.cfg.Dir))
	require.NoError(t, ix.Seal(50))
	require.EqualValues(t, 50, ix.Base())
	ix.requireAll(t, 50)
}

func TestBuildEqualsSealing(t *testing.T) {
	sealed, built := openIndex(t, 1<<30), t.TempDir()
	const n = buildPositions + 1000
	sealed.fill(1, n)
	require.NoError(t, sealed.Seal(n))
	ranges, err := Build(ctxb, built, 7, segment.Range{First: 1, Last: n}, func(p dcb.Position) (dcb.Event, error) { return numbered(p), nil })
	require.NoError(t, err)
	require.Equal(t, []segment.Range{{First: 1, Last: buildPositions}, {First: buildPositions + 1, Last: n}}, ranges)
	ix, err := Open(Config{Dir: built, Seed: 7}, ranges)
	require.NoError(t, err)
	defer ix.Close()
	for _, q := range []dcb.Query{dcb.ByTypes("T"), dcb.ByTags("mod:3"), dcb.ByTags("p:16384"), dcb.ByTags("p:16385")} {
		want, err := sealed.positions(q, 0, n, false)
		require.NoError(t, err)
		got, err := ix.positions(q, 0, n, false)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}

	for _, bad := range []dcb.Position{1, 256, 257, 700} {
		failing := errors.New("no such event")
		_, err = Build(ctxb, t.TempDir(), 7, segment.Range{First: 1, Last: 700}, func(p dcb.Position) (dcb.Event, error) {
			if p == bad {
				return dcb.Event{}, failing
			}
			return numbered(p), nil
		})
		require.ErrorIs(t, err, failing)
	}
	ctx, cancel := context.WithCancel(ctxb)
	cancel()
	_, err = Build(ctx, t.TempDir(), 7, segment.Range{First: 1, Last: 700}, func(p dcb.Position) (dcb.Event, error) { return numbered(p), nil })
	require.ErrorIs(t, err, context.Canceled)
}

// What a killed merge or builder leaves is superseded or temporary, and what is no segment is damage, never nothing.
func TestFindTellsWhatIsThere(t *testing.T) {
	dir := t.TempDir()
	fetch := func(p dcb.Position) (dcb.Event, error) { return numbered(p), nil }
	at := func(first, last dcb.Position) segment.Range { return segment.Range{First: first, Last: last} }
	for _, r := range []segment.Range{at(1, 10), at(11, 20), at(1, 20), at(21, 30), at(41, 50), at(51, 60)} {
		_, err := Build(ctxb, dir, 7, r, fetch)
		require.NoError(t, err)
	}
	require.NoError(t, os.Truncate(filepath.Join(dir, segment.Name(at(51, 60))), 100))
	require.NoError(t, os.WriteFile(filepath.Join(dir, ".tmp-killed"), []byte("half"), 0o644))
	f, err := Find(dir, 7)
	require.NoError(t, err)
	require.Equal(t, []segment.Range{at(1, 20), at(21, 30), at(41, 50)}, f.Ranges)
	require.ElementsMatch(t, []segment.Range{at(1, 10), at(11, 20), at(51, 60)}, f.Remove)
	require.Equal(t, []string{".tmp-killed"}, f.Temps)
	require.Len(t, f.Damaged, 1)
	require.ErrorIs(t, f.Damaged[0], dcb.ErrCorrupt)
	require.ErrorContains(t, f.Damaged[0], segment.Name(at(51, 60)))

	f, err = Find(dir, 8)
	require.NoError(t, err)
	require.Empty(t, f.Ranges, "segments of another store are not believed")
	require.Len(t, f.Damaged, 6)
	f, err = Find(filepath.Join(dir, "missing"), 7)
	require.NoError(t, err)
	require.Equal(t, Found{}, f)

	_, err = Open(Config{Dir: dir, Seed: 7}, []segment.Range{at(1, 20), at(41, 50)})
	require.ErrorContains(t, err, "gap between positions 20 and 41")
	_, err = Open(Config{Dir: dir, Seed: 7}, []segment.Range{at(1, 20), at(21, 40)})
	require.ErrorIs(t, err, os.ErrNotExist)
}

// Of a union one part may fail in the middle of a long list while another goes on: nothing behind the damage may be yielded.
func TestAUnionEndsWhereOneOfItsPartsCannotBeRead(t *testing.T) {
	ix := openIndex(t, 1<<30)
	const n = 60_000
	rnd := rand.New(rand.NewPCG(1, 2))
	for p := dcb.Position(1); p <= n; p++ {
		e := dcb.Event{Type: "Rest"}
		if rnd.IntN(2) == 0 {
			e.Type = "T"
		}
		if p%100 == 0 {
			e.Tags = []dcb.Tag{"rare"}
		}
		stage(ix.Active(), p, e)
	}
	q := dcb.ByTypes("T").Or(dcb.ByTags("rare"))
	want, err := ix.positions(q, 0, n, false)
	require.NoError(t, err)
	require.NoError(t, ix.Seal(n))
	got, err := ix.positions(q, 0, n, false)
	require.NoError(t, err)
	require.Equal(t, want, got)

	require.NoError(t, ix.Seal(n))
	ix.Close()
	r := segment.Range{First: 1, Last: n}
	for _, part := range []int64{5, 3} { // in the list of either type
		path := filepath.Join(ix.cfg.Dir, segment.Name(r))
		whole, err := os.ReadFile(path)
		require.NoError(t, err)
		b := slices.Clone(whole)
		b[int64(len(b))*part/8] ^= 1
		require.NoError(t, os.WriteFile(path, b, 0o644))
		again, err := Open(ix.cfg, []segment.Range{r})
		require.NoError(t, err)
		for _, backwards := range []bool{false, true} {
			all := directed(order{backwards}, want)
			got, err := again.positions(q, 0, n, backwards)
			if err == nil {
				require.Equal(t, all, got)
				continue
			}
			require.ErrorIs(t, err, dcb.ErrCorrupt)
			require.NotEmpty(t, got, "it fails in the middle")
			require.Equal(t, all[:len(got)], got)
		}
		again.Close()
		require.NoError(t, os.WriteFile(path, whole, 0o644))
	}
}

// Damage that cannot be mended, because the event is lost too, concerns its segment alone: the others are rebuilt and merged.
func TestASegmentThatCannotBeRebuiltDoesNotHoldUpTheOthers(t *testing.T) {
	ix := openIndex(t, 1<<20)
	seal := func(first, last dcb.Position) {
		for p := first; p <= last; p++ {
			ix.fill(p, p)
			require.NoError(t, ix.Seal(p))
		}
	}
	seal(1, 6)
	lost := segment.Range{First: 2, Last: 2}
	for _, r := range []segment.Range{lost, {First: 4, Last: 4}} {
		damage(t, filepath.Join(ix.cfg.Dir, segment.Name(r)))
		_, err := ix.positions(dcb.ByTypes("T"), r.First-1, r.Last, false)
		require.ErrorIs(t, err, dcb.ErrCorrupt)
	}
	gone := errors.New("the event is lost")
	rebuilt, err := ix.Rebuild(ctxb, func(p dcb.Position) (dcb.Event, error) {
		if p == lost.First {
			return dcb.Event{}, gone
		}
		return numbered(p), nil
	})
	require.ErrorIs(t, err, gone)
	require.Equal(t, []segment.Range{{First: 4, Last: 4}}, rebuilt)

	seal(7, 100)
	for merged := true; merged; {
		merged, err = ix.Merge(ctxb)
		require.NoError(t, err)
	}
	require.Less(t, ix.Stats().Segments, 2*fanIn)
	got, err := ix.positions(dcb.ByTypes("T"), lost.Last, 100, false)
	require.NoError(t, err)
	require.Equal(t, span1(100)[lost.Last:], got)
	_, err = ix.positions(dcb.ByTypes("T"), 0, 100, false)
	require.ErrorIs(t, err, dcb.ErrCorrupt)
}

// A rebuild, like a merge, may take minutes. What is sealed meanwhile must not stay in memory until it ends.
func TestMemoryIsGivenBackDuringARebuild(t *testing.T) {
	ix := openIndex(t, 1<<20)
	ix.fill(1, 100)
	require.NoError(t, ix.Seal(100))
	damage(t, filepath.Join(ix.cfg.Dir, segment.Name(segment.Range{First: 1, Last: 100})))
	_, err := ix.positions(dcb.ByTypes("T"), 0, 100, false)
	require.ErrorIs(t, err, dcb.ErrCorrupt)
	parts, kept := []weak.Pointer[Recent](nil), 0
	var once sync.Once
	_, err = ix.Rebuild(ctxb, func(p dcb.Position) (dcb.Event, error) {
		once.Do(func() {
			for last := dcb.Position(110); last <= 200; last += 10 {
				ix.fill(last-9, last)
				parts = append(parts, weak.Make(ix.Active()))
				ix.Rotate(last)
				require.NoError(t, ix.Seal(last))
			}
			runtime.GC()
			for _, part := range parts {
				if part.Value() != nil {
					kept++
				}
			}
		})
		return numbered(p), nil
	})
	require.NoError(t, err)
	require.Len(t, parts, 10)
	require.LessOrEqual(t, kept, 1)
	ix.requireAll(t, 200)
}

// What appends lay claim to is theirs: a log that cannot be written poisons, while merging and rebuilding can wait.
func TestMergeAndRebuildUseOnlyWhatIsToSpare(t *testing.T) {
	ix := openIndex(t, 1<<20)
	for p := dcb.Position(1); p <= fanIn; p++ {
		ix.fill(p, p)
		require.NoError(t, ix.Seal(p))
	}
	need := uint64(ix.Stats().SegmentBytes)
	spare, broken := need-1, error(nil)
	ix.cfg.Spare = func() (uint64, error) { return spare, broken }
	merge := func() (bool, error) { return ix.Merge(ctxb) }
	rebuild := func() (bool, error) {
		ranges, err := ix.Rebuild(ctxb, func(p dcb.Position) (dcb.Event, error) { return numbered(p), nil })
		return len(ranges) > 0, err
	}
	for _, work := range []func() (bool, error){merge, rebuild} {
		spare, broken = need-1, nil
		done, err := work()
		require.ErrorIs(t, err, dcb.ErrDiskFull)
		require.False(t, done)
		spare, broken = need, errors.New("statfs")
		done, err = work()
		require.ErrorIs(t, err, broken)
		require.False(t, done)
		broken = nil
		done, err = work()
		require.NoError(t, err)
		require.True(t, done)
		ix.requireAll(t, fanIn)

		ix.view.Load().files.all[0].damaged.Store(true) // for the next one
		need = uint64(ix.Stats().SegmentBytes)
	}
}

// A reader that pauses holds what it has yet to read, not what it has read.
func TestAnIteratorHoldsNoMemoryThatItHasRead(t *testing.T) {
	for _, backwards := range []bool{false, true} {
		ix := openIndex(t, 1<<20)
		var parts []weak.Pointer[Recent]
		for last := dcb.Position(10); last <= 100; last += 10 {
			ix.fill(last-9, last)
			parts = append(parts, weak.Make(ix.Active()))
			ix.Rotate(last)
		}
		it, err := ix.Iterate(dcb.ByTypes("T"), 0, 100, backwards)
		require.NoError(t, err)
		for range 95 {
			_, ok := it.Next()
			require.True(t, ok)
		}
		require.NoError(t, ix.Seal(100))
		runtime.GC()
		kept := 0
		for _, part := range parts {
			if part.Value() != nil {
				kept++
			}
		}
		require.LessOrEqual(t, kept, 1)
		for range 5 {
			_, ok := it.Next()
			require.True(t, ok)
		}
		it.Close()
	}
}

// A large merge takes as long as it takes; what is sealed meanwhile is merged beside it.
func TestSmallMergesDoNotWaitForALargeOne(t *testing.T) {
	const wide = largeMerge / fanIn
	for _, full := range []bool{false, true} {
		dir := t.TempDir()
		var ranges []segment.Range
		for i := range dcb.Position(fanIn) {
			r := segment.Range{First: i*wide + 1, Last: (i + 1) * wide}
			b, err := segment.Create(dir, 7, r)
			require.NoError(t, err)
			require.NoError(t, b.Term(segment.Type, "T"))
			require.NoError(t, b.Positions([]dcb.Position{r.Last}))
			require.NoError(t, b.Commit())
			ranges = append(ranges, r)
		}
		begun, goOn := make(chan struct{}), make(chan struct{})
		var ix *Index
		var asked atomic.Int64
		spare := func() (uint64, error) {
			if asked.Add(1) == 1 { // the large one, because there are no others yet
				close(begun)
				<-goOn
				return 1 << 40, nil
			}
			if full { // it changes when no merge runs
				return uint64(ix.Stats().SegmentBytes) - 1, nil // enough for the small ones, but the large one has not taken its share yet
			}
			return 1 << 40, nil
		}
		var err error
		ix, err = Open(Config{Dir: dir, Seed: 7, RecentBytes: 1 << 20, Spare: spare}, ranges)
		require.NoError(t, err)
		before, err := ix.acquireFiles()
		require.NoError(t, err)
		gone := before.all[0]
		before.release()
		done := make(chan struct{})
		var merged bool
		var failed error
		go func() {
			defer close(done)
			merged, failed = ix.Merge(ctxb)
		}()
		<-begun
		const n = largeMerge + fanIn*(wide/3) // in the tier of the large run
		for p := dcb.Position(largeMerge + wide/3); p <= n; p += wide / 3 {
			ix.fill(p, p)
			require.NoError(t, ix.Seal(p))
		}
		if !full {
			require.Eventually(t, func() bool { return ix.Stats().Merges == 1 }, time.Minute, time.Millisecond)
			require.Equal(t, fanIn+1, ix.Stats().Segments)
		} else {
			require.Eventually(t, func() bool { return asked.Load() == 2 }, time.Minute, time.Millisecond)
			require.Equal(t, 2*fanIn, ix.Stats().Segments)
		}
		select {
		case <-done:
			require.Fail(t, "the large one is not done")
		default:
		}
		close(goOn)
		<-done
		require.True(t, merged)
		if full {
			require.ErrorIs(t, failed, dcb.ErrDiskFull)
		} else {
			require.NoError(t, failed)
		}
		full = false
		for more := true; more; {
			more, err = ix.Merge(ctxb)
			require.NoError(t, err)
		}
		require.Equal(t, 2, ix.Stats().Segments)
		require.EqualValues(t, 2, ix.Stats().Merges)
		require.Zero(t, gone.refs.Load())
		found, err := Find(dir, 7)
		require.NoError(t, err)
		require.Equal(t, []segment.Range{{First: 1, Last: largeMerge}, {First: largeMerge + 1, Last: n}}, found.Ranges)
		require.Empty(t, found.Remove)
		want := []dcb.Position(nil)
		for _, r := range ranges {
			want = append(want, r.Last)
		}
		for p := dcb.Position(largeMerge + wide/3); p <= n; p += wide / 3 {
			want = append(want, p)
		}
		got, err := ix.positions(dcb.ByTypes("T"), 0, n, false)
		require.NoError(t, err)
		require.Equal(t, want, got)
		ix.Close()
	}
}

func TestStatsTellOfTiers(t *testing.T) {
	ix := openIndex(t, 1<<20)
	require.Empty(t, ix.Stats().Tiers)
	last := dcb.Position(0)
	for _, n := range []dcb.Position{tierZero*fanIn + 1, tierZero, 1, tierZero + 1} {
		ix.fill(last+1, last+n)
		last += n
		require.NoError(t, ix.Seal(last))
	}
	s := ix.Stats()
	bytes := int64(0)
	for i := range s.Tiers {
		require.Positive(t, s.Tiers[i].Bytes)
		bytes += s.Tiers[i].Bytes
		s.Tiers[i].Bytes = 0
	}
	require.Equal(t, s.SegmentBytes, bytes)
	require.Equal(t, 4, s.Segments)
	require.Equal(t, []TierStats{
		{Tier: 0, Most: tierZero, Segments: 2, Positions: tierZero + 1},
		{Tier: 1, Most: tierZero * fanIn, Segments: 1, Positions: tierZero + 1},
		{Tier: 2, Most: tierZero * fanIn * fanIn, Segments: 1, Positions: tierZero*fanIn + 1},
	}, s.Tiers)
}

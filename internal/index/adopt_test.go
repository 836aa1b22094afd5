package index

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"opossum/dcb"
	"opossum/internal/codec"
	"opossum/internal/segment"
)

const testSeed = 7

// frameOf is the body of a frame with the events of positions first to last.
func frameOf(first, last dcb.Position) []byte {
	var out []byte
	for p := first; p <= last; p++ {
		rec := codec.AppendRecord(nil, numbered(p))
		codec.Stamp(rec, testSeed, p)
		out = append(out, rec...)
	}
	return out
}

func fetchNumbered(p dcb.Position) (dcb.Event, error) { return numbered(p), nil }

// reading is an index in the directory of another one, and the end of the log that it takes.
type reading struct {
	*Index
	*Tail
	places *Places
}

func openReading(t testing.TB, owner *Index, filed dcb.Position) *reading {
	t.Helper()
	ix, err := Open(Config{Dir: owner.cfg.Dir, Seed: testSeed, RecentBytes: 1 << 16, Damaged: func() {}}, nil)
	require.NoError(t, err)
	places := NewPlaces(filed)
	return &reading{Index: ix, Tail: NewTail(ix, places, testSeed, filed), places: places}
}

// leading are the segments of a directory that lead.
func leading(t require.TestingT, dir string) []segment.Range {
	f, err := Find(dir, testSeed)
	require.NoError(t, err)
	ranges, _ := Leading(f.Ranges)
	return ranges
}

func (r *reading) take(t require.TestingT, first, last dcb.Position) {
	_, err := r.Take(1, 1000, frameOf(first, last), first, last)
	require.NoError(t, err)
	r.Staged(last)
}

func TestLeading(t *testing.T) {
	r := func(first, last dcb.Position) segment.Range { return segment.Range{First: first, Last: last} }
	all := []segment.Range{r(1, 4), r(5, 5), r(7, 9)}
	got, base := Leading(all)
	require.Equal(t, all[:2], got)
	require.EqualValues(t, 5, base)
	got, base = Leading(all[1:])
	require.Empty(t, got)
	require.Zero(t, base)
	got, base = Leading(all[:2])
	require.Equal(t, all[:2], got)
	require.EqualValues(t, 5, base)
}

// An owner stages, seals and merges; a reader takes the log and the segments as they come, in any order, and both answer the
// same, also through views and iterators that the reader began before.
func TestAReaderAdoptsWhatAnOwnerSeals(t *testing.T) {
	parent := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(parent, "")
		require.NoError(rt, err)
		owner, err := Open(Config{Dir: filepath.Join(dir, "index"), Seed: testSeed, RecentBytes: 1 << 16, Damaged: func() {}}, nil)
		require.NoError(rt, err)
		defer owner.Close()
		r := openReading(t, owner, 0)
		defer r.Close()
		var head, shown, began dcb.Position // of the owner, of the reader, and of old
		var old *View
		var it *Iterator
		defer func() {
			if old != nil {
				old.Release()
				it.Close()
			}
		}()
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			switch rapid.IntRange(0, 6).Draw(rt, "step") {
			case 0, 1:
				n := dcb.Position(rapid.IntRange(1, 40).Draw(rt, "events"))
				owner.fill(head+1, head+n)
				head += n
				if rapid.Bool().Draw(rt, "rotate") {
					owner.Rotate(head)
				}
			case 2:
				require.NoError(rt, owner.Seal(dcb.Position(rapid.Uint64Range(0, uint64(head)).Draw(rt, "upto"))))
			case 3:
				for merged := true; merged; {
					merged, err = owner.Merge(ctxb)
					require.NoError(rt, err)
				}
			case 4:
				if shown < head {
					last := dcb.Position(rapid.Uint64Range(uint64(shown)+1, uint64(head)).Draw(rt, "last"))
					r.take(rt, shown+1, last)
					shown = last
				}
			case 5:
				require.NoError(rt, r.Adopt(leading(rt, owner.cfg.Dir)))
				require.Equal(rt, owner.Base(), r.Base())
			case 6:
				if old != nil {
					old.Release()
					it.Close()
				}
				old, err = r.Acquire()
				require.NoError(rt, err)
				began = shown
				it, err = r.Iterate(dcb.ByTypes("T"), 0, began, false)
				require.NoError(rt, err)
			}
		}
		got, err := r.positions(dcb.ByTypes("T"), 0, shown, true)
		require.NoError(rt, err)
		require.True(rt, slices.Equal(directed(order{true}, span1(shown)), got))
		for p := dcb.Position(1); p <= shown; p++ {
			at, err := r.firstMatch(dcb.ByTags(numbered(p).Tags[0]), 0, shown)
			require.NoError(rt, err)
			require.Equal(rt, p, at)
		}
		for p := dcb.Position(1); p <= began; p++ {
			at, err := old.FirstMatch(dcb.ByTags(numbered(p).Tags[0]), 0, began)
			require.NoError(rt, err)
			require.Equal(rt, p, at)
			at, _ = it.Next()
			require.Equal(rt, p, at)
		}
	})
}

// What the segments cover is not kept in memory, not even what was staged before they came.
func TestAdoptingGivesMemoryBack(t *testing.T) {
	owner := openIndex(t, 1<<20)
	owner.fill(1, 500)
	r := openReading(t, owner, 0)
	defer r.Close()
	r.take(t, 1, 300)
	whole := r.Index.Bytes()
	require.Positive(t, whole)
	require.NoError(t, owner.Seal(250))
	require.NoError(t, r.Adopt(leading(t, owner.cfg.Dir)))
	require.Positive(t, r.Index.Bytes(), "50 positions are in no segment")
	r.take(t, 301, 320)
	require.NoError(t, owner.Seal(400))
	require.NoError(t, r.Adopt(leading(t, owner.cfg.Dir)))
	require.Zero(t, r.Index.Bytes())
	r.take(t, 321, 450) // of which 50 are not sealed
	require.Positive(t, r.Index.Bytes())
	require.Less(t, r.Index.Bytes(), whole/4)
	r.requireAll(t, 450)
	require.NoError(t, owner.Seal(450))
	require.NoError(t, r.Adopt(leading(t, owner.cfg.Dir)))
	require.Zero(t, r.Index.Bytes())
	r.requireAll(t, 450)
}

func TestAdoptChangesNothingIfItCannot(t *testing.T) {
	owner := openIndex(t, 1<<20)
	owner.fill(1, 40)
	for _, p := range []dcb.Position{10, 20, 30} {
		require.NoError(t, owner.Seal(p))
	}
	ranges := leading(t, owner.cfg.Dir)
	r := openReading(t, owner, 0)
	defer r.Close()
	r.take(t, 1, 35)
	require.NoError(t, r.Adopt(ranges))
	check := func() {
		t.Helper()
		require.EqualValues(t, 30, r.Base())
		r.requireAll(t, 35)
	}
	check()
	require.NoError(t, r.Adopt(ranges[:2]), "less than before")
	check()
	require.Error(t, r.Adopt(ranges[1:]), "a gap")
	check()
	missing := append(slices.Clone(ranges), segment.Range{First: 31, Last: 99})
	require.ErrorIs(t, r.Adopt(missing), fs.ErrNotExist)
	check()
	require.NoError(t, os.WriteFile(filepath.Join(owner.cfg.Dir, segment.Name(missing[3])), []byte("no segment"), 0o644))
	require.ErrorIs(t, r.Adopt(missing), dcb.ErrCorrupt)
	check()
}

// A segment that turned out to be damaged is opened again: the owner may have built it anew under the same name.
func TestAdoptOpensDamagedSegmentsAgain(t *testing.T) {
	owner := openIndex(t, 1<<20)
	owner.fill(1, 3000)
	require.NoError(t, owner.Seal(3000))
	ranges := leading(t, owner.cfg.Dir)
	path := filepath.Join(owner.cfg.Dir, segment.Name(ranges[0]))
	sound, err := os.ReadFile(path)
	require.NoError(t, err)
	bad := slices.Clone(sound)
	for i := 200; i < len(bad)-300; i++ {
		bad[i] ^= 0x55
	}
	require.NoError(t, os.WriteFile(path+".new", bad, 0o644))
	require.NoError(t, os.Rename(path+".new", path))

	damaged := 0
	ix, err := Open(Config{Dir: owner.cfg.Dir, Seed: testSeed, RecentBytes: 1 << 20, Damaged: func() { damaged++ }}, ranges)
	require.NoError(t, err)
	defer ix.Close()
	_, err = ix.firstMatch(dcb.ByTags("p:77"), 0, 3000)
	require.ErrorIs(t, err, dcb.ErrCorrupt)
	require.Equal(t, 1, damaged)
	require.NoError(t, ix.adopt(ranges, 3000))
	_, err = ix.firstMatch(dcb.ByTags("p:77"), 0, 3000)
	require.ErrorIs(t, err, dcb.ErrCorrupt, "still")
	require.Equal(t, 2, damaged)
	require.NoError(t, os.WriteFile(path+".new", sound, 0o644))
	require.NoError(t, os.Rename(path+".new", path))
	require.NoError(t, ix.adopt(ranges, 3000))
	at, err := ix.firstMatch(dcb.ByTags("p:77"), 0, 3000)
	require.NoError(t, err)
	require.EqualValues(t, 77, at)
	require.Equal(t, 2, damaged)
}

func TestTheTailTakesEachRecordOnce(t *testing.T) {
	r := openReading(t, openIndex(t, 1<<20), 3) // positions up to 3 are filed
	defer r.Close()
	r.take(t, 1, 5)
	r.take(t, 6, 8)
	once := r.Index.Bytes()
	for _, first := range []dcb.Position{1, 4, 6} { // as a log does that was written anew
		r.take(t, first, 8)
	}
	require.Equal(t, once, r.Index.Bytes())
	r.requireAll(t, 8)
	_, ok := r.places.Get(3)
	require.False(t, ok)
	off, size := uint32(1000), uint64(0)
	for p := dcb.Position(4); p <= 5; p++ { // as they were taken first
		at, ok := r.places.Get(p)
		require.True(t, ok)
		require.Equal(t, off+uint32(len(frameOf(1, p-1))), at.Off)
		require.EqualValues(t, len(frameOf(p, p)), at.Len)
	}
	for p := dcb.Position(4); p <= 8; p++ {
		size += uint64(len(frameOf(p, p)))
	}
	require.Equal(t, size, r.Tail.Bytes())
}

func TestTheTailNamesWhatIsDamaged(t *testing.T) {
	owner := openIndex(t, 1<<20)
	three := len(frameOf(1, 3))
	for _, c := range []struct {
		name string
		body []byte
		at   int
	}{
		{"cut", frameOf(1, 4)[:three+5], three},
		{"empty", nil, 0},
		{"longer", append(frameOf(1, 4), 0), len(frameOf(1, 4))},
		{"of another position", append(frameOf(1, 3), frameOf(7, 7)...), three},
		{"altered", func() []byte { b := frameOf(1, 4); b[len(b)-1] ^= 1; return b }(), three},
	} {
		r := openReading(t, owner, 0)
		at, err := r.Take(1, 500, c.body, 1, 4)
		require.Error(t, err, c.name)
		require.EqualValues(t, 500+c.at, at, c.name)
		r.Close()
	}
}

// What the log has lost and no segment has is indexed from the events.
func TestTheTailSkipsWhatIsFiled(t *testing.T) {
	for _, sealed := range []dcb.Position{0, 20, 50, 90} {
		owner := openIndex(t, 1<<20)
		owner.fill(1, 200)
		require.NoError(t, owner.Seal(sealed))
		r := openReading(t, owner, 10)
		require.NoError(t, r.Adopt(leading(t, owner.cfg.Dir)))
		if sealed == 0 {
			require.NoError(t, r.Skip(10, fetchNumbered))
		}
		r.take(t, 11, 40)
		require.NoError(t, r.Skip(30, fetchNumbered), "it has them")
		_, ok := r.places.Get(31)
		require.True(t, ok)
		broken := errors.New("a file")
		err := r.Skip(80, func(p dcb.Position) (dcb.Event, error) { return numbered(p), broken })
		if sealed < 80 {
			require.ErrorIs(t, err, broken)
			r.Close()
			r = openReading(t, owner, 10)
			require.NoError(t, r.Adopt(leading(t, owner.cfg.Dir)))
		} else {
			require.NoError(t, err, "nothing is fetched that segments cover")
		}
		require.NoError(t, r.Skip(80, fetchNumbered))
		_, ok = r.places.Get(31)
		require.False(t, ok, "all that is filed")
		r.take(t, 81, 120)
		r.requireAll(t, 120)
		at, ok := r.places.Get(81)
		require.True(t, ok)
		require.EqualValues(t, 1000, at.Off)
		r.Close()
	}
}

// A reader that lacks a descriptor in the middle of a skip tries again later: each position is indexed once, at its place.
func TestASkipThatFailedGoesOnWhereItEnded(t *testing.T) {
	const n = 8 * fetchPositions
	for _, bad := range []dcb.Position{1, fetchPositions, fetchPositions + 1, 3*fetchPositions + 7, n} {
		r := openReading(t, openIndex(t, 1<<20), 0)
		broken := errors.New("too many open files")
		require.ErrorIs(t, r.Skip(n, func(p dcb.Position) (dcb.Event, error) {
			if p == bad {
				return dcb.Event{}, broken
			}
			return numbered(p), nil
		}), broken)
		require.NoError(t, r.Skip(n, fetchNumbered))
		r.take(t, n+1, n+10)
		r.requireAll(t, n+10)
		r.Close()
	}
}

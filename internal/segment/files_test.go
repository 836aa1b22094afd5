package segment

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"opossum/dcb"
)

func TestNames(t *testing.T) {
	require.Equal(t, "00000000000000000001-00000000000000008192.idx", Name(Range{1, 8192}))
	require.Equal(t, "18446744073709551615-18446744073709551615.idx", Name(Range{math.MaxUint64, math.MaxUint64}))
	for _, r := range append(ranges, smallRange) {
		got, ok := parseName(Name(r))
		require.True(t, ok)
		require.Equal(t, r, got)
	}
	for _, name := range []string{
		"", "-", ".idx", "1-8192.idx", "00000000000000000001-00000000000000008192", "00000000000000000001-00000000000000008192.idx.gz",
		"00000000000000000001.idx", "00000000000000000001-00000000000000008192.pack", "000000000000000000001-00000000000000008192.idx",
		"00000000000000000000-00000000000000008192.idx", "00000000000000000002-00000000000000000001.idx",
		"00000000000000000001-00000000004294967297.idx", "+0000000000000000001-00000000000000008192.idx",
		"00000000000000000001-99999999999999999999.idx", ".tmp-00000000000000000001-00000000000000008192.idx",
	} {
		_, ok := parseName(name)
		require.False(t, ok, name)
	}
}

func TestListDir(t *testing.T) {
	dir := t.TempDir()
	l, err := ListDir(filepath.Join(dir, "missing"))
	require.NoError(t, err)
	require.Zero(t, l)

	for _, name := range []string{Name(Range{11, 20}), Name(Range{1, 10}), Name(Range{1, 20}), ".tmp-1", ".tmp-0", "notes.txt"} {
		writeFile(t, nil, dir, name)
	}
	require.NoError(t, os.Mkdir(filepath.Join(dir, Name(Range{21, 30})), 0o755))
	require.NoError(t, os.Symlink("notes.txt", filepath.Join(dir, Name(Range{31, 40}))))
	l, err = ListDir(dir)
	require.NoError(t, err)
	require.Equal(t, Listing{
		Ranges: []Range{{1, 20}, {1, 10}, {11, 20}},
		Temps:  []string{".tmp-0", ".tmp-1"},
		Others: []string{Name(Range{21, 30}), Name(Range{31, 40}), "notes.txt"},
	}, l)

	_, err = ListDir(filepath.Join(dir, "notes.txt"))
	require.Error(t, err, "what cannot be read is not empty")
}

func TestRemove(t *testing.T) {
	dir := t.TempDir()
	build(t, dir, smallRange, small())
	writeFile(t, nil, dir, ".tmp-1")
	for _, name := range []string{"", "notes.txt", Name(smallRange), "../.tmp-1", ".tmp-/../" + Name(smallRange)} {
		require.Error(t, RemoveTemp(dir, name), name)
	}
	require.Len(t, names(t, dir), 2)
	for range 2 {
		require.NoError(t, RemoveTemp(dir, ".tmp-1"))
		require.Equal(t, []string{Name(smallRange)}, names(t, dir)[:1])
	}
	for range 2 {
		require.NoError(t, Remove(dir, smallRange))
		require.Empty(t, names(t, dir))
	}
	require.NoError(t, os.MkdirAll(filepath.Join(dir, Name(smallRange), "x"), 0o755))
	require.Error(t, Remove(dir, smallRange))
}

func TestCover(t *testing.T) {
	for name, c := range map[string]struct{ in, chosen, superseded []Range }{
		"nothing":             {},
		"neighbours":          {[]Range{{11, 20}, {1, 10}}, []Range{{1, 10}, {11, 20}}, nil},
		"a gap":               {[]Range{{1, 10}, {21, 30}}, []Range{{1, 10}, {21, 30}}, nil},
		"merged":              {[]Range{{1, 10}, {11, 20}, {1, 20}}, []Range{{1, 20}}, []Range{{1, 10}, {11, 20}}},
		"a wider one at last": {[]Range{{1, 10}, {11, 20}, {5, 30}}, []Range{{5, 30}}, []Range{{1, 10}, {11, 20}}},
		"overlap":             {[]Range{{1, 10}, {8, 30}}, []Range{{8, 30}}, []Range{{1, 10}}},
		"overlap of equals":   {[]Range{{6, 15}, {1, 10}}, []Range{{1, 10}}, []Range{{6, 15}}},
		"doubles":             {[]Range{{1, 10}, {1, 10}}, []Range{{1, 10}}, []Range{{1, 10}}},
		"one position":        {[]Range{{5, 5}, {1, 10}, {11, 11}}, []Range{{1, 10}, {11, 11}}, []Range{{5, 5}}},
	} {
		given := slices.Clone(c.in)
		chosen, superseded := Cover(c.in)
		require.Equal(t, c.chosen, chosen, name)
		require.Equal(t, c.superseded, superseded, name)
		require.Equal(t, given, c.in, name)
	}
}

func TestCoverProperties(t *testing.T) {
	overlap := func(a, b Range) bool { return a.First <= b.Last && b.First <= a.Last }
	rapid.Check(t, func(t *rapid.T) {
		in := rapid.SliceOf(rapid.Custom(func(t *rapid.T) Range {
			first := rapid.Uint64Range(1, 60).Draw(t, "first")
			return Range{dcb.Position(first), dcb.Position(first + rapid.Uint64Range(0, 30).Draw(t, "more"))}
		})).Draw(t, "ranges")
		chosen, superseded := Cover(in)
		require.ElementsMatch(t, in, slices.Concat(chosen, superseded), "each is either")
		for i := range chosen[min(1, len(chosen)):] {
			require.Less(t, chosen[i].Last, chosen[i+1].First)
		}
		require.True(t, slices.IsSortedFunc(superseded, compareRanges))
		for _, s := range superseded {
			require.True(t, slices.ContainsFunc(chosen, func(c Range) bool { return overlap(c, s) && c.span() >= s.span() }))
		}
	})
}

package pack

import (
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNames(t *testing.T) {
	require.Equal(t, "00000000000000000001-00000000000000010000.pack", Name(Range{1, 10_000}))
	require.Equal(t, "18446744073709551615-18446744073709551615.pack", Name(Range{math.MaxUint64, math.MaxUint64}))
	for _, r := range []Range{{1, 1}, {1, 10_000}, {1, 1 << 20}, {math.MaxUint64, math.MaxUint64}, smallRange} {
		got, ok := parseName(Name(r))
		require.True(t, ok)
		require.Equal(t, r, got)
	}
	for _, name := range []string{
		"", "-", ".pack", "1-10000.pack", "00000000000000000001-00000000000000010000", "00000000000000000001-00000000000000010000.pack.gz",
		"00000000000000000001.pack", "00000000000000000001-00000000000000010000.idx", "000000000000000000001-00000000000000010000.pack",
		"00000000000000000000-00000000000000010000.pack", "00000000000000000002-00000000000000000001.pack",
		"00000000000000000001-00000000000001048577.pack", "+0000000000000000001-00000000000000010000.pack",
		"00000000000000000001-99999999999999999999.pack", ".tmp-00000000000000000001-00000000000000010000.pack",
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

	for _, name := range []string{Name(Range{11, 20}), Name(Range{1, 20}), Name(Range{1, 10}), ".tmp-1", ".tmp-0", "notes.txt"} {
		writeFile(t, nil, dir, name)
	}
	require.NoError(t, os.Mkdir(filepath.Join(dir, Name(Range{21, 30})), 0o755))
	require.NoError(t, os.Mkdir(filepath.Join(dir, ".tmp-2"), 0o755))
	require.NoError(t, os.Symlink("notes.txt", filepath.Join(dir, Name(Range{31, 40}))))
	l, err = ListDir(dir)
	require.NoError(t, err)
	require.Equal(t, Listing{
		Ranges: []Range{{1, 10}, {1, 20}, {11, 20}},
		Temps:  []string{".tmp-0", ".tmp-1"},
		Others: []string{".tmp-2", Name(Range{21, 30}), Name(Range{31, 40}), "notes.txt"},
	}, l)

	_, err = ListDir(filepath.Join(dir, "notes.txt"))
	require.Error(t, err, "what cannot be read is not empty")
}

func TestRemove(t *testing.T) {
	dir := t.TempDir()
	build(t, dir, smallRange, records(smallRange))
	writeFile(t, nil, dir, ".tmp-1")
	for _, name := range []string{"", "notes.txt", Name(smallRange), "../.tmp-1", ".tmp-/../" + Name(smallRange)} {
		require.Error(t, RemoveTemp(dir, name), name)
	}
	require.Len(t, names(t, dir), 2)
	for range 2 {
		require.NoError(t, RemoveTemp(dir, ".tmp-1"))
		require.Equal(t, []string{Name(smallRange)}, names(t, dir))
	}
	for range 2 {
		require.NoError(t, Remove(dir, smallRange))
		require.Empty(t, names(t, dir))
	}
	require.NoError(t, os.MkdirAll(filepath.Join(dir, Name(smallRange), "x"), 0o755))
	require.Error(t, Remove(dir, smallRange))
}

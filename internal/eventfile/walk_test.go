package eventfile

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"opossum/dcb"
)

func walked(t *testing.T, dir string) (out []Entry) {
	t.Helper()
	for e, err := range Walk(dir) {
		require.NoError(t, err)
		rel, err := filepath.Rel(dir, e.Path)
		require.NoError(t, err)
		e.Path = filepath.ToSlash(rel)
		out = append(out, e)
	}
	return out
}

func TestWalkFindsEverything(t *testing.T) {
	s := openStore(t)
	for _, p := range []dcb.Position{1, 2, 10_000, 10_001, top} {
		require.NoError(t, s.Write(p, text(p)))
		require.Equal(t, s.Path(p), Path(s.dir, p))
	}
	shard := filepath.Dir(s.Path(1))
	for _, name := range []string{
		"00000000000000010001.json", "2.json", ".tmp-1-2", "x",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(shard, name), nil, 0o644))
	}
	require.NoError(t, os.Mkdir(filepath.Join(shard, ".tmp-dir"), 0o755))
	require.NoError(t, os.MkdirAll(filepath.Join(s.dir, "foreign", "deeper"), 0o755))
	require.NoError(t, os.Mkdir(filepath.Join(s.dir, "00000000000000000002"), 0o755), "not the first position of a shard")
	require.Equal(t, []Entry{
		{Path: "00000000000000000001/.tmp-1-2", Temp: true},
		{Path: "00000000000000000001/.tmp-dir"},
		{Path: "00000000000000000001/00000000000000000001.json", Position: 1},
		{Path: "00000000000000000001/00000000000000000002.json", Position: 2},
		{Path: "00000000000000000001/00000000000000010000.json", Position: 10_000},
		{Path: "00000000000000000001/00000000000000010001.json"}, // another shard's
		{Path: "00000000000000000001/2.json"},
		{Path: "00000000000000000001/x"},
		{Path: "00000000000000000002"},
		{Path: "00000000000000010001/00000000000000010001.json", Position: 10_001},
		{Path: "18446744073709550001/18446744073709551615.json", Position: top},
		{Path: "foreign"},
	}, walked(t, s.dir))
	for e := range Walk(s.dir) { // a caller may stop
		require.True(t, e.Temp)
		break
	}

	require.Empty(t, walked(t, filepath.Join(s.dir, "absent")))
	var last error
	for _, err := range Walk(filepath.Join(shard, "x")) {
		last = err
	}
	require.Error(t, last, "a file is not an empty directory")
}

func TestReadFileReadsByContentAndNotByName(t *testing.T) {
	path := filepath.Join(t.TempDir(), "saved")
	require.NoError(t, os.WriteFile(path, text(42), 0o644))
	ev, err := ReadFile(path)
	require.NoError(t, err)
	require.EqualValues(t, 42, ev.Position)
	require.NoError(t, os.WriteFile(path, text(42)[1:], 0o644))
	_, err = ReadFile(path)
	var ce *dcb.CorruptError
	require.ErrorAs(t, err, &ce)
	require.Equal(t, path, ce.File)
	_, err = ReadFile(filepath.Dir(path))
	require.ErrorIs(t, err, dcb.ErrCorrupt)
	_, err = ReadFile(path + "x")
	require.ErrorIs(t, err, fs.ErrNotExist)
}

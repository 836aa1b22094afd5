package recovery

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"opossum/dcb"
	"opossum/ledger"
)

// That an unfinished creation does not exist, at any of its stages, is in TestACreationThatWasInterruptedIsBegunAnew.
func TestExists(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	there, err := Exists(dir)
	require.NoError(t, err)
	require.False(t, there, "missing")
	require.NoError(t, os.Mkdir(dir, 0o755))
	there, err = Exists(dir)
	require.NoError(t, err)
	require.False(t, there, "empty")

	file := filepath.Join(dir, "thesis.txt")
	require.NoError(t, os.WriteFile(file, nil, 0o644))
	for _, foreign := range []string{dir, file} {
		_, err = Exists(foreign)
		require.ErrorIs(t, err, dcb.ErrNotStore)
		require.ErrorContains(t, err, "thesis.txt")
	}

	begun := threeGenerations(t)
	begun.file(1, 4)
	for what, damage := range map[string]func(f *fixture){
		"sound":          func(*fixture) {},
		"foreign beside": func(f *fixture) { require.NoError(t, os.WriteFile(filepath.Join(f.dir, "thesis.txt"), nil, 0o644)) },
		"no log":         func(f *fixture) { require.NoError(t, os.RemoveAll(f.walDir)) },
		"rotten ledger": func(f *fixture) {
			require.NoError(t, os.WriteFile(filepath.Join(f.dir, ledger.FileName), []byte("?"), 0o644))
		},
		"no ledger": func(f *fixture) { require.NoError(t, os.Remove(filepath.Join(f.dir, ledger.FileName))) },
		"no ledger, no files": func(f *fixture) {
			require.NoError(t, os.Remove(filepath.Join(f.dir, ledger.FileName)))
			require.NoError(t, os.RemoveAll(filepath.Join(f.dir, EventsDir)))
		},
		"no ledger, no log": func(f *fixture) {
			require.NoError(t, os.Remove(filepath.Join(f.dir, ledger.FileName)))
			require.NoError(t, os.RemoveAll(f.walDir))
		},
	} {
		f := begun.clone()
		damage(f)
		before := tree(t, f.dir)
		there, err := Exists(f.dir)
		require.NoError(t, err, what)
		require.True(t, there, what)
		require.Equal(t, before, tree(t, f.dir), what)
	}
}

func TestWhatCannotBeLookedAtIsNotMissing(t *testing.T) {
	loop := filepath.Join(t.TempDir(), "loop")
	require.NoError(t, os.Symlink(loop, loop))
	_, err := Exists(loop)
	require.Error(t, err)
	require.NotErrorIs(t, err, fs.ErrNotExist)
	require.NotErrorIs(t, err, dcb.ErrNotStore)
}

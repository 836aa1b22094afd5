//go:build crashlab && linux

package step

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAnOrderedErrorReplacesTheStep(t *testing.T) {
	for sticky, fails := range map[string][]bool{"false": {false, true, false, false}, "true": {false, true, true, true}} {
		o, err := parse(`{"at": 1, "do": "error", "errno": "ENOSPC", "kinds": ["sync", "write"], "path": "^f", "sticky": ` + sticky + `}`)
		require.NoError(t, err)
		made, told := 0, 0
		o.tell = func(k uint64, kind Kind, when, path string) {
			told++
			require.Equal(t, []any{uint64(1), KindWrite, "instead", "file"}, []any{k, kind, when, path})
		}
		change := func() error { made++; return errors.New("of its own") }
		for i, fail := range fails {
			require.EqualError(t, o.do(KindRename, "a", change), "of its own", "not of its kinds, and not counted")
			require.EqualError(t, o.do(KindWrite, "of", change), "of its own", "not of its paths")
			made = 0
			err := o.do(KindWrite, "file", change)
			if !fail {
				require.EqualError(t, err, "of its own", "step %d", i)
				continue
			}
			require.ErrorIs(t, err, syscall.ENOSPC)
			var at *fs.PathError
			require.ErrorAs(t, err, &at)
			require.Equal(t, "file", at.Path)
			require.Zero(t, made)
		}
		require.Equal(t, 1, told, "the first one is told, be it sticky or not")
	}
}

func TestRemoveAll(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "a", "b"), 0o755))
	require.NoError(t, os.Symlink(dir, filepath.Join(dir, "a", "b", "link")))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "kept"), nil, 0o644))
	require.NoError(t, RemoveAll(filepath.Join(dir, "a")))
	require.NoError(t, RemoveAll(filepath.Join(dir, "a")))
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, left, 1)
}

func TestNonsenseIsNoOrder(t *testing.T) {
	_, err := parse("")
	require.NoError(t, err)
	for _, text := range []string{`{`, `{"do": "die"}`, `{"do": "kill", "when": "later"}`, `{"do": "error", "errno": "ENOTHING"}`, `{"do": "trace", "path": "("}`} {
		_, err := parse(text)
		require.Error(t, err, text)
	}
}

func TestTakenTellsAndRefuses(t *testing.T) {
	made := 0
	change := func() error { made++; return nil }
	taken, err := Taken("/store", 1, func() error {
		require.NoError(t, Do(KindSync, "/store/a", change))
		return Do(KindWrite, "/store/b/c", change)
	})
	require.ErrorIs(t, err, ErrRefused)
	require.Equal(t, 1, made)
	require.Equal(t, []string{"sync a", "write b/c"}, taken)
	require.NoError(t, Do(KindWrite, "/store/b", change))
	require.Len(t, taken, 2, "it is over")
}

//go:build crashlab && linux

package step

import (
	"errors"
	"io/fs"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAnOrderedErrorReplacesTheStep(t *testing.T) {
	for sticky, fails := range map[string][]bool{"false": {false, true, false, false}, "true": {false, true, true, true}} {
		o, err := parse(`{"at": 1, "do": "error", "errno": "ENOSPC", "kinds": ["sync", "write"], "sticky": ` + sticky + `}`)
		require.NoError(t, err)
		made, told := 0, 0
		o.tell = func(k uint64, kind Kind, when, path string) {
			told++
			require.Equal(t, []any{uint64(1), KindWrite, "instead", "file"}, []any{k, kind, when, path})
		}
		change := func() error { made++; return errors.New("of its own") }
		for i, fail := range fails {
			require.EqualError(t, o.do(KindRename, "a", change), "of its own", "not of its kinds, and not counted")
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

func TestNonsenseIsNoOrder(t *testing.T) {
	_, err := parse("")
	require.NoError(t, err)
	for _, text := range []string{`{`, `{"do": "die"}`, `{"do": "kill", "when": "later"}`, `{"do": "error", "errno": "ENOTHING"}`} {
		_, err := parse(text)
		require.Error(t, err, text)
	}
}

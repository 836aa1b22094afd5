package opossum

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"opossum/projection"
)

// counted is a read model of how many events there are, by type.
var counted = projection.Definition[int]{
	Name: "counted", Version: 1, Query: AllEvents(),
	Key: func(e SequencedEvent) string { return e.Event.Type },
	Apply: func(n *int, _ projection.Event) (*int, error) {
		if n == nil {
			n = new(int)
		}
		*n++
		return n, nil
	},
}

func TestProjectionsOfAClosedEngine(t *testing.T) {
	dir := t.TempDir()
	e, err := Open(dir, nil)
	require.NoError(t, err)
	require.NoError(t, e.Close())
	_, err = e.Projections(nil)
	require.ErrorIs(t, err, ErrClosed)
	_, err = os.Stat(filepath.Join(dir, projectionsDir))
	require.ErrorIs(t, err, os.ErrNotExist, "nothing is written in a directory that is no longer the engine's")
}

// Runners have the directory one after another, and outlive the engine without harm.
func TestProjectionsOutliveTheEngine(t *testing.T) {
	e, err := Open(t.TempDir(), nil)
	require.NoError(t, err)
	r, err := e.Projections(nil)
	require.NoError(t, err)
	_, err = e.Projections(nil)
	require.ErrorIs(t, err, ErrLocked)
	m, err := projection.Add(r, counted)
	require.NoError(t, err)
	p, err := e.Append(t.Context(), []Event{{Type: "a"}, {Type: "a"}, {Type: "b"}}, nil)
	require.NoError(t, err)
	require.NoError(t, m.Wait(t.Context(), p))
	require.NoError(t, e.Close())
	require.ErrorIs(t, m.Wait(t.Context(), p+1), ErrClosed)
	a, err := m.Get("a")
	require.NoError(t, err)
	require.Equal(t, 2, a.State)
	require.ErrorIs(t, r.Rebuild(t.Context(), projection.Rebuilding{}), ErrClosed)
	require.Equal(t, projection.Stopped, r.Status()[0].State)
	require.NoError(t, r.Close())
}

//go:build crashlab && linux

package opossum

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"opossum/internal/step"
)

// TestRootStepsDeletionIsDurableBeforeItsFilesGo: what a power cut would show, shown by the order of the steps. Wherever it fails, the context is there and
// complete, or is not there, and what is left is removed by who comes next.
func TestRootStepsDeletionIsDurableBeforeItsFilesGo(t *testing.T) {
	names := map[string]bool{}
	for fail, end := -1, false; !end; fail++ {
		dir := t.TempDir()
		fill(t, dir, "a", "b")
		r := rootIn(t, dir, nil, open)
		taken, err := step.Taken(dir, fail, func() error { return r.Delete("a", ConfirmDelete) })
		end = fail >= len(taken)
		if fail < 0 || end {
			require.NoError(t, err)
			require.Regexp(t, "^rename .deleted-a-[0-9a-f]{16}$", taken[0])
			require.Equal(t, "sync .", taken[1])
			require.NotContains(t, names, taken[0], "a name is not used again")
			names[taken[0]] = true
			require.Greater(t, len(taken), 8)
			for _, later := range taken[2:] {
				require.True(t, strings.HasPrefix(later, "remove .deleted-a-"), later)
			}
		} else {
			require.ErrorIs(t, err, step.ErrRefused, taken[fail])
			if fail < 2 {
				require.Len(t, taken, fail+1, "nothing is removed before that is durable")
			}
		}
		after := rootIn(t, dir, nil, open)
		for _, r := range []*Root{r, after} {
			listed := listOK(t, r)
			require.Equal(t, fail == 0, slices.Contains(listed, "a"))
			require.Contains(t, listed, "b")
		}
		if fail == 0 {
			holds(t, contextOK(t, after, "a"), "a")
		} else {
			_, err := after.Context("a")
			require.ErrorIs(t, err, ErrNoContext)
		}
		holds(t, contextOK(t, after, "b"), "b")
		left, err := filepath.Glob(filepath.Join(dir, ".deleted-*"))
		require.NoError(t, err)
		require.Empty(t, left)
		require.NoError(t, errors.Join(r.Close(), after.Close())) // whose filing would be among the next steps
	}
}

// What a deletion left may still have its old name on the disk: that is settled before anything of it is removed, by whoever removes it.
func TestRootStepsWhatADeletionLeftIsRemovedAfterASync(t *testing.T) {
	for fail := -1; fail < 1; fail++ {
		dir := t.TempDir()
		left := leftover(t, dir, "a", 1)
		var r *Root
		taken, err := step.Taken(dir, fail, func() (err error) {
			r, err = OpenRoot(dir, nil)
			return err
		})
		require.NoError(t, err, "it keeps nobody from the contexts")
		require.Equal(t, "sync .", taken[0])
		if fail == 0 {
			require.Len(t, taken, 1)
			require.DirExists(t, left)
		} else {
			require.NoDirExists(t, left)
		}
		require.NoError(t, r.Close())
	}
}

// A root is as durable as the stores in it.
func TestRootStepsMakingIsDurable(t *testing.T) {
	dir := t.TempDir()
	taken, err := step.Taken(dir, -1, func() error {
		r, err := OpenRoot(filepath.Join(dir, "a", "b"), nil)
		require.NoError(t, err)
		return r.Close()
	})
	require.NoError(t, err)
	require.Equal(t, []string{"mkdir a", "sync .", "mkdir a/b", "sync a"}, taken)
}

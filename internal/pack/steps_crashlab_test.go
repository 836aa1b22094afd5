//go:build crashlab && linux

package pack

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"opossum/dcb"
	"opossum/internal/step"
)

// TestEachStepMayFail: a pack has its name when all of it is written, and not before. When a step fails, that is told; Abort leaves nothing, or what
// can be told apart, and the next attempt succeeds.
func TestEachStepMayFail(t *testing.T) {
	r := Range{1, 4}
	var recs [][]byte
	for p := r.First; p <= r.Last; p++ {
		recs = append(recs, stamped(dcb.Event{Type: "A", Data: noisy(100 << 10)}, p))
	}
	whole := []string{"mkdir packs", "create packs/temp", "write packs/temp", "write packs/temp", "rename packs/" + Name(r)}
	for fail := -1; fail < len(whole); fail++ {
		above := t.TempDir()
		dir := filepath.Join(above, "packs")
		make := func() error {
			b, err := Create(dir, testSeed, r)
			if err != nil {
				return err
			}
			for _, rec := range recs {
				if err = b.Add(rec); err != nil {
					break
				}
			}
			if err == nil {
				err = b.Commit()
			}
			return errors.Join(err, b.Abort())
		}
		taken, err := step.Taken(above, fail, make)
		for i, what := range taken {
			if at := strings.Index(what, tempPrefix); at >= 0 {
				taken[i] = what[:at] + "temp"
			}
		}
		if fail < 0 {
			require.NoError(t, err)
			require.Equal(t, whole, taken)
		} else {
			require.ErrorIs(t, err, step.ErrRefused, whole[fail])
			require.Equal(t, whole[:fail+1], taken[:fail+1])
			for _, later := range taken[fail+1:] {
				require.Equal(t, "remove packs/temp", later, "after %s", whole[fail])
			}
			list, err := ListDir(dir)
			require.NoError(t, err)
			require.Zero(t, list, "after %s", whole[fail])
			require.NoError(t, make())
		}
		requireHolds(t, open(t, dir, r), recs)
	}
}

// TestWhatIsReplacedIsReplacedBySomethingSynced: an owner who died while he removed the event files of a pack leaves it as the only copy, and the next one writes it again.
func TestWhatIsReplacedIsReplacedBySomethingSynced(t *testing.T) {
	r := Range{1, 4}
	recs := records(r)
	above := t.TempDir()
	dir := filepath.Join(above, "packs")
	write := func() error {
		b, err := Create(dir, testSeed, r)
		if err != nil {
			return err
		}
		for _, rec := range recs {
			err = errors.Join(err, b.Add(rec))
		}
		return errors.Join(err, b.Commit(), b.Abort())
	}
	require.NoError(t, write())
	taken, err := step.Taken(above, -1, write)
	require.NoError(t, err)
	n := len(taken)
	require.Regexp(t, `^write packs/`+tempPrefix, taken[n-3])
	require.Regexp(t, `^sync packs/`+tempPrefix, taken[n-2])
	require.Equal(t, "rename packs/"+Name(r), taken[n-1])
	_, err = step.Taken(above, n-2, write)
	require.ErrorIs(t, err, step.ErrRefused)
	requireHolds(t, open(t, dir, r), recs)
}

// What Abort could not remove has a name that says what it is.
func TestAbortMayFail(t *testing.T) {
	dir := t.TempDir()
	b, err := Create(dir, testSeed, Range{1, 4})
	require.NoError(t, err)
	_, err = step.Taken(dir, 0, b.Abort)
	require.ErrorIs(t, err, step.ErrRefused)
	list, err := ListDir(dir)
	require.NoError(t, err)
	require.Len(t, list.Temps, 1)
	require.NoError(t, RemoveTemp(dir, list.Temps[0]))
	require.Empty(t, names(t, dir))
}

//go:build crashlab && linux

package storage

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"opossum/internal/step"
)

// No sync: the file is worth none. And whatever fails is said and leaves the old text.
func TestStoreSteps(t *testing.T) {
	whole := []string{"create " + tempName, "write " + tempName, "rename " + FileName}
	dir := t.TempDir()
	taken, err := step.Taken(dir, -1, func() error { return Store(dir, testMeasurement()) })
	require.NoError(t, err)
	require.Equal(t, whole, taken)
	for fail := range whole {
		taken, err = step.Taken(dir, fail, func() error { return Store(dir, Measurement{}) })
		require.ErrorIs(t, err, step.ErrRefused)
		require.Equal(t, whole[:fail+1], taken[:fail+1])
		require.Equal(t, []string{FileName}, names(t, dir))
	}
	text, err := os.ReadFile(filepath.Join(dir, FileName))
	require.NoError(t, err)
	m, err := decode(text)
	require.NoError(t, err)
	require.Equal(t, testMeasurement(), m)
}

// Append, sync, append, sync, and nothing is left, unless it cannot be removed.
func TestMeasureSteps(t *testing.T) {
	slow := func() func() time.Time { return (&clock{now: start, takes: []time.Duration{90 * ms}}).read }
	whole := []string{"create storage.probe"}
	whole = append(whole, slices.Repeat([]string{"write storage.probe", "sync storage.probe"}, 3)...)
	whole = append(whole, "remove storage.probe")
	for fail := -1; fail < len(whole); fail++ {
		dir := t.TempDir()
		taken, err := step.Taken(dir, fail, func() error {
			_, err := Measure(dir, slow())
			return err
		})
		if fail < 0 {
			require.NoError(t, err)
			require.Equal(t, whole, taken)
		} else {
			require.ErrorIs(t, err, step.ErrRefused, "at %s", whole[fail])
			require.Equal(t, whole[:fail+1], taken[:fail+1])
		}
		require.Len(t, names(t, dir), max(0, fail-len(whole)+2))
	}
}

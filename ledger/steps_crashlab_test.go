//go:build crashlab && linux

package ledger

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"opossum/internal/step"
)

// TestStoreSyncsTheTextBeforeTheNameAndTheNameBeforeItReturns: what a power cut would show, shown by the order of the steps. And when one of them
// fails, Store says so, leaves the old state or the new one, says truly whether it was touched, and can be called again.
func TestStoreSyncsTheTextBeforeTheNameAndTheNameBeforeItReturns(t *testing.T) {
	before, after := testState(), testState()
	after.Epoch++
	for fail := -1; ; fail++ {
		dir := t.TempDir()
		require.NoError(t, Store(dir, before))
		taken, err := step.Taken(dir, fail, func() error { return Store(dir, after) })
		whole := []string{"create " + tempName, "write " + tempName, "sync " + tempName, "rename " + FileName, "sync ."}
		if fail == len(whole) {
			require.NoError(t, err, "all steps failed once")
			break
		}
		got, loadErr := Load(dir)
		require.NoError(t, loadErr)
		if fail < 0 {
			require.NoError(t, err)
			require.Equal(t, whole, taken)
			require.Equal(t, after, got)
			continue
		}
		require.ErrorIs(t, err, step.ErrRefused)
		require.Equal(t, fail < 2, errors.Is(err, ErrUnsynced), "at %s", whole[fail])
		require.Equal(t, whole[:fail+1], taken[:fail+1], "and nothing goes on as if nothing were")
		if fail < 4 {
			require.Equal(t, before, got, "at %s", whole[fail])
		}
		require.NoError(t, Store(dir, after))
		got, err = Load(dir)
		require.NoError(t, err)
		require.Equal(t, after, got)
	}
}

// What cannot be removed is not gone.
func TestRemoveTempFails(t *testing.T) {
	dir := t.TempDir()
	taken, err := step.Taken(dir, 0, func() error {
		found, err := RemoveTemp(dir)
		require.False(t, found)
		return err
	})
	require.ErrorIs(t, err, step.ErrRefused)
	require.Equal(t, []string{"remove " + tempName}, taken)
}

// TestAFailedWriteOrSyncLeavesNothingBehind: a file that was not synced must not be taken for one that was, by nobody.
func TestAFailedWriteOrSyncLeavesNothingBehind(t *testing.T) {
	for fail := 1; fail <= 2; fail++ {
		dir := t.TempDir()
		_, err := step.Taken(dir, fail, func() error { return Store(dir, testState()) })
		require.ErrorIs(t, err, step.ErrRefused)
		require.NoFileExists(t, filepath.Join(dir, tempName))
	}
}

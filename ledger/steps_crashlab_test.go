//go:build crashlab && linux

package ledger

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"opossum/internal/step"
)

var errStep = errors.New("the step fails")

// steps does something that changes the disk, and returns which steps it took, of which number fail is refused; -1: none.
func steps(fail int, do func() error) (taken []string, err error) {
	end := step.Watch(func(kind step.Kind, path string) error {
		taken = append(taken, string(kind)+" "+filepath.Base(path))
		if len(taken) == fail+1 {
			return errStep
		}
		return nil
	})
	defer end()
	err = do()
	return taken, err
}

// TestStoreSyncsTheTextBeforeTheNameAndTheNameBeforeItReturns: what a power cut would show, shown by the order of the steps. And when one of them
// fails, Store says so, leaves the old state or the new one, says truly whether it was touched, and can be called again.
func TestStoreSyncsTheTextBeforeTheNameAndTheNameBeforeItReturns(t *testing.T) {
	before, after := testState(), testState()
	after.Epoch++
	base := filepath.Base
	for fail := -1; ; fail++ {
		dir := t.TempDir()
		require.NoError(t, Store(dir, before))
		taken, err := steps(fail, func() error { return Store(dir, after) })
		whole := []string{"create " + tempName, "write " + tempName, "sync " + tempName, "rename " + FileName, "sync " + base(dir)}
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
		require.ErrorIs(t, err, errStep)
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
	taken, err := steps(0, func() error {
		found, err := RemoveTemp(t.TempDir())
		require.False(t, found)
		return err
	})
	require.ErrorIs(t, err, errStep)
	require.Equal(t, []string{"remove " + tempName}, taken)
}

// TestAFailedWriteOrSyncLeavesNothingBehind: a file that was not synced must not be taken for one that was, by nobody.
func TestAFailedWriteOrSyncLeavesNothingBehind(t *testing.T) {
	for fail := 1; fail <= 2; fail++ {
		dir := t.TempDir()
		_, err := steps(fail, func() error { return Store(dir, testState()) })
		require.ErrorIs(t, err, errStep)
		require.NoFileExists(t, filepath.Join(dir, tempName))
	}
}

package powercut

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"opossum"
)

func TestLapse(t *testing.T) {
	for _, c := range []struct {
		name          string
		relaxed       bool
		lost          int
		kept, head    opossum.Position
		before, after uint64
		wrong         string
	}{
		{name: "nothing lost", kept: 5, head: 7, before: 1, after: 1},
		{name: "a store just created", after: 1},
		{name: "less than was durable", kept: 8, head: 7, before: 1, after: 1, wrong: "everything up to 8 was durable"},
		{name: "less than was durable, relaxed", relaxed: true, kept: 8, head: 7, before: 1, after: 2, wrong: "everything up to 8 was durable"},
		{name: "lost", lost: 2, head: 7, before: 1, after: 2, wrong: "2 acknowledged or read events"},
		{name: "lost, relaxed", relaxed: true, lost: 2, head: 7, before: 1, after: 2},
		{name: "lost in silence", relaxed: true, lost: 2, head: 7, before: 1, after: 1, wrong: "the epoch stayed 1"},
		{name: "perhaps lost, relaxed", relaxed: true, head: 7, before: 1, after: 2},
		{name: "a false alarm", head: 7, before: 1, after: 2, wrong: "nothing was lost"},
	} {
		got := lapse(c.relaxed, c.lost, c.kept, c.head, c.before, c.after)
		if c.wrong == "" {
			require.Empty(t, got, c.name)
		} else {
			require.Contains(t, got, c.wrong, c.name)
		}
	}
}

func TestGenerations(t *testing.T) {
	dir := t.TempDir()
	got, err := generations(dir)
	require.NoError(t, err)
	require.Empty(t, got, "no store yet")
	for name, size := range map[string]int{"00000009": 5000, "00000010": 200, "00000011.tmp": 5000} {
		require.NoError(t, os.MkdirAll(filepath.Join(dir, "wal", name), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "wal", name, logFile), make([]byte, size), 0o644))
	}
	got, err = generations(dir)
	require.NoError(t, err)
	require.Equal(t, []generation{{9, true}, {10, false}}, got)
}

func TestEpochOf(t *testing.T) {
	dir := t.TempDir()
	_, err := epochOf(dir)
	require.ErrorIs(t, err, os.ErrNotExist)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "ledger.json"), []byte(`{"format": "opossum-ledger", "epoch": 3}`), 0o644))
	epoch, err := epochOf(dir)
	require.NoError(t, err)
	require.EqualValues(t, 3, epoch)
}

package lock

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"opossum/dcb"
)

// Who opened a lock file before its store was deleted, and gets its lock afterwards, owns nothing.
func TestTheLockOfADeletedStoreIsNone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "LOCK")
	for _, again := range []bool{false, true} {
		l, err := Take(path)
		require.NoError(t, err)
		require.NoError(t, os.Rename(path, path+"-gone"))
		want := fs.ErrNotExist
		if again {
			require.NoError(t, os.WriteFile(path, nil, 0o644))
			want = dcb.ErrLocked
		}
		_, err = acquire(l)
		require.ErrorIs(t, err, want)
		require.False(t, l.Locked(), "it is let go")
	}
}

func TestOneOwner(t *testing.T) {
	path := filepath.Join(t.TempDir(), "LOCK")
	l, err := Take(path)
	require.NoError(t, err)
	_, err = Take(path)
	require.ErrorIs(t, err, dcb.ErrLocked)
	require.ErrorContains(t, err, path)
	require.NoError(t, l.Unlock())
	l, err = Take(path)
	require.NoError(t, err)
	require.NoError(t, l.Unlock())
}

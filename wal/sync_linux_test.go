package wal

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// A reader's descriptor is open for reading only, and what is mounted may be a file system that knows no sync at all.
func TestSettlingNeedsNoRightToWrite(t *testing.T) {
	path := t.TempDir() + "/file"
	require.NoError(t, os.WriteFile(path, make([]byte, 20_000), 0o444))
	for _, path := range []string{path, "/dev/null"} { // which answers a sync with EINVAL
		f, err := os.Open(path)
		require.NoError(t, err)
		for _, off := range []int64{0, 1, 4096, 19_999} {
			require.NoError(t, settleFrom(f, off), "%s from %d", path, off)
		}
		require.NoError(t, f.Close())
		require.ErrorIs(t, settleFrom(f, 0), unix.EBADF)
	}
}

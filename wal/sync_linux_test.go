package wal

import (
	"errors"
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
		require.NoError(t, settleOpen(f), path)
		require.NoError(t, f.Close())
		require.ErrorIs(t, settleOpen(f), unix.EBADF)
	}
}

// What is read back after settling comes from the disk: nothing of it is left in memory. Only a file system with a disk shows that.
func TestSettlingLeavesNothingInMemory(t *testing.T) {
	const size = 1 << 20
	path := t.TempDir() + "/file"
	var fs unix.Statfs_t
	require.NoError(t, unix.Statfs(t.TempDir(), &fs))
	if fs.Type == unix.TMPFS_MAGIC {
		require.Empty(t, os.Getenv("CI"), "CI must prove it: TMPDIR has to be on a disk")
		t.Skip("temporary files are in memory alone")
	}
	cached := func(f *os.File) int {
		var stat unix.Cachestat_t
		err := unix.Cachestat(uint(f.Fd()), &unix.CachestatRange{Len: size}, &stat, 0)
		if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) {
			require.Empty(t, os.Getenv("CI"), "CI must prove it: %v", err)
			t.Skipf("the kernel does not tell what it holds in memory: %v", err)
		}
		require.NoError(t, err)
		return int(stat.Cache) * os.Getpagesize()
	}
	for name, settle := range map[string]func(f *os.File) error{
		"by its name": func(f *os.File) error { return settle(f.Name()) },
		"open":        settleOpen,
	} {
		require.NoError(t, os.WriteFile(path, make([]byte, size), 0o644))
		f, err := os.Open(path)
		require.NoError(t, err)
		require.Positive(t, cached(f))
		require.NoError(t, settle(f), name)
		require.Zero(t, cached(f), name)
		require.NoError(t, f.Close())
	}
}

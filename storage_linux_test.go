package opossum

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"opossum/internal/testmount"
)

func TestMeasureStorageWithoutRoomOrRight(t *testing.T) {
	if !testmount.Private(t) {
		return
	}
	dir := filepath.Join(t.TempDir(), "disk")
	testmount.Tmpfs(t, dir, "size=64k", 0)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "ballast"), make([]byte, 60<<10), 0o644))
	_, err := MeasureStorage(ctxb, dir)
	require.ErrorIs(t, err, ErrDiskFull)
	require.NoError(t, os.Remove(filepath.Join(dir, "ballast")))
	testmount.Tmpfs(t, dir, "size=1m", 0)
	m, err := MeasureStorage(ctxb, dir)
	require.NoError(t, err)
	require.Equal(t, "tmpfs", m.FileSystem)
	require.Len(t, m.Warnings(), 1)
	testmount.Tmpfs(t, dir, "size=1m", unix.MS_RDONLY)
	_, err = MeasureStorage(ctxb, dir)
	require.ErrorIs(t, err, ErrReadOnly)
	require.ErrorContains(t, err, dir)
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left)
}

package pack

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"opossum/dcb"
	"opossum/internal/testmount"
)

func TestAFullDiskLeavesNoFile(t *testing.T) {
	if !testmount.Private(t) {
		return
	}
	disk := filepath.Join(t.TempDir(), "small")
	testmount.Tmpfs(t, disk, "size=1m", 0)
	dir := filepath.Join(disk, "packs")
	noise := noisy(100 << 10)
	begin := func(n dcb.Position) (*Builder, error) {
		b, err := Create(dir, testSeed, Range{1, n})
		require.NoError(t, err)
		for p := dcb.Position(1); p <= n; p++ {
			if err := b.Add(stamped(dcb.Event{Type: "A", Data: noise}, p)); err != nil {
				return b, err
			}
		}
		return b, nil
	}
	b, err := begin(100)
	require.ErrorIs(t, err, syscall.ENOSPC, "much too large: a record fails")
	require.Equal(t, err, b.Commit())
	require.NoError(t, b.Abort())
	require.Empty(t, names(t, dir))

	b, err = begin(1)
	require.NoError(t, err)
	require.NoError(t, b.Commit())
	whole := readFile(t, dir, Name(Range{1, 1}))
	require.ErrorIs(t, os.WriteFile(filepath.Join(disk, "filler"), make([]byte, 1<<20), 0o644), syscall.ENOSPC)

	b, err = begin(1)
	require.NoError(t, err)
	err = b.Commit()
	require.ErrorIs(t, err, syscall.ENOSPC, "no room at all: Commit fails")
	require.Equal(t, err, b.Commit())
	require.NoError(t, b.Abort())
	require.Equal(t, []string{Name(Range{1, 1})}, names(t, dir))
	require.Equal(t, whole, readFile(t, dir, Name(Range{1, 1})), "what was there before is untouched")
}

func TestAReadOnlyDisk(t *testing.T) {
	if !testmount.Private(t) {
		return
	}
	disk := filepath.Join(t.TempDir(), "disk")
	testmount.Tmpfs(t, disk, "size=1m", 0)
	dir := filepath.Join(disk, "packs")
	build(t, dir, smallRange, records(smallRange))
	b, err := Create(dir, testSeed, Range{1, 1})
	require.NoError(t, err)
	require.NoError(t, b.Abort())
	testmount.Tmpfs(t, disk, "", syscall.MS_RDONLY)

	_, err = Create(dir, testSeed, Range{1, 1})
	require.ErrorIs(t, err, syscall.EROFS)
	require.ErrorIs(t, Remove(dir, smallRange), syscall.EROFS)
	requireHolds(t, open(t, dir, smallRange), records(smallRange))
}

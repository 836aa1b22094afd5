package recovery

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"opossum/dcb"
	"opossum/internal/testmount"
)

// A repair that runs out of space, wherever that is, leaves the originals, and goes on when there is room.
func TestARepairOnAFullDiskGoesOnWhenThereIsRoom(t *testing.T) {
	if !testmount.Private(t) {
		return
	}
	source := hard(t, false)
	full := 0
	for room := int64(0); ; room += 4096 {
		disk := filepath.Join(t.TempDir(), "disk")
		testmount.Tmpfs(t, disk, "size=16m", 0)
		dir := filepath.Join(disk, "store")
		require.NoError(t, os.CopyFS(dir, os.DirFS(source.dir)))
		f := openFixture(t, dir)
		filler := fillUp(t, disk, room)
		before := tree(t, dir)
		_, err := Repair(t.Context(), dir, RepairOptions{})
		if err == nil {
			break
		}
		full++
		require.ErrorIs(t, err, dcb.ErrDiskFull)
		f.requireKept(before)
		require.NoError(t, os.Remove(filler))
		rep, err := Repair(t.Context(), dir, RepairOptions{})
		require.NoError(t, err)
		require.True(t, rep.Done)
		f.requireRepaired()
		f.requireAll(9)
	}
	require.Greater(t, full, 5, "the disk was never full")
}

// fillUp leaves room bytes, a multiple of a page.
func fillUp(t *testing.T, disk string, room int64) (filler string) {
	t.Helper()
	var st unix.Statfs_t
	require.NoError(t, unix.Statfs(disk, &st))
	filler = filepath.Join(disk, "filler")
	require.NoError(t, os.WriteFile(filler, make([]byte, int64(st.Bfree)*int64(st.Bsize)-room), 0o644))
	return filler
}

func TestVerifyWorksWhereNothingCanBeWritten(t *testing.T) {
	if !testmount.Private(t) {
		return
	}
	source := ward(t)
	source.flip(source.event(3), 60)
	disk := filepath.Join(t.TempDir(), "disk")
	testmount.Tmpfs(t, disk, "size=4m", 0)
	dir := filepath.Join(disk, "store")
	require.NoError(t, os.CopyFS(dir, os.DirFS(source.dir)))
	testmount.Tmpfs(t, disk, "size=4m", unix.MS_RDONLY)
	r, err := Verify(t.Context(), dir, VerifyOptions{})
	require.NoError(t, err)
	require.False(t, r.Sound())
	dry, err := Repair(t.Context(), dir, RepairOptions{DryRun: true})
	require.NoError(t, err)
	require.NotEmpty(t, dry.Steps)
	_, err = Repair(t.Context(), dir, RepairOptions{})
	require.ErrorIs(t, err, syscall.EROFS)
}

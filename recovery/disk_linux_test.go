package recovery

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"opossum/dcb"
)

// privateMounts runs the test again in a process with mounts of its own, and reports whether this is that process. Where not
// even root may have them, the test fails; an ordinary user of a system that forbids user namespaces is let off.
func privateMounts(t *testing.T) bool {
	t.Helper()
	const env = "OPOSSUM_TEST_PRIVATE_MOUNTS"
	if os.Getenv(env) != "" {
		require.NoError(t, unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
		return true
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.count=1")
	cmd.Env = append(os.Environ(), env+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if root := os.Getuid() == 0; !root {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	out, err := cmd.CombinedOutput()
	if _, ended := err.(*exec.ExitError); err != nil && !ended && os.Getuid() != 0 && os.Getenv("CI") == "" { // CI must prove it
		t.Skipf("this user may not have mounts of its own: %v", err)
	}
	require.NoError(t, err, "%s", out)
	return false
}

// mount puts a file system in memory at dir, with options such as "size=64k"; called again it changes them.
func mount(t *testing.T, dir, options string, flags uintptr) {
	t.Helper()
	if err := os.Mkdir(dir, 0o755); err == nil {
		t.Cleanup(func() { require.NoError(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	} else {
		flags |= unix.MS_REMOUNT
	}
	require.NoError(t, unix.Mount("tmpfs", dir, "tmpfs", flags, options))
}

// A repair that runs out of space, wherever that is, leaves the originals, and goes on when there is room.
func TestARepairOnAFullDiskGoesOnWhenThereIsRoom(t *testing.T) {
	if !privateMounts(t) {
		return
	}
	source := hard(t, false)
	full := 0
	for room := int64(0); ; room += 4096 {
		disk := filepath.Join(t.TempDir(), "disk")
		mount(t, disk, "size=16m", 0)
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
	require.NoError(t, os.WriteFile(filler, make([]byte, int64(st.Bfree)*st.Bsize-room), 0o644))
	return filler
}

func TestVerifyWorksWhereNothingCanBeWritten(t *testing.T) {
	if !privateMounts(t) {
		return
	}
	source := ward(t)
	source.flip(source.event(3), 60)
	disk := filepath.Join(t.TempDir(), "disk")
	mount(t, disk, "size=4m", 0)
	dir := filepath.Join(disk, "store")
	require.NoError(t, os.CopyFS(dir, os.DirFS(source.dir)))
	mount(t, disk, "size=4m", unix.MS_RDONLY)
	r, err := Verify(t.Context(), dir, VerifyOptions{})
	require.NoError(t, err)
	require.False(t, r.Sound())
	dry, err := Repair(t.Context(), dir, RepairOptions{DryRun: true})
	require.NoError(t, err)
	require.NotEmpty(t, dry.Steps)
	_, err = Repair(t.Context(), dir, RepairOptions{})
	require.ErrorIs(t, err, syscall.EROFS)
}

package materializer

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"opossum/dcb"
	"opossum/ledger"
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

// mountSmall puts a file system of the given size, such as "64k", at a new directory; called again it changes the size.
func mountSmall(t *testing.T, dir, size string) {
	t.Helper()
	flags := uintptr(unix.MS_REMOUNT)
	if err := os.Mkdir(dir, 0o755); err == nil {
		flags = 0
		t.Cleanup(func() { require.NoError(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	}
	require.NoError(t, unix.Mount("tmpfs", dir, "tmpfs", flags, "size="+size))
}

func TestAFullDiskPausesFilingAndRoomLetsItGoOn(t *testing.T) {
	if !privateMounts(t) {
		return
	}
	r := newRig(t, 0)
	disk := filepath.Join(r.dir, "small")
	mountSmall(t, disk, "64k")
	r.openFiles(filepath.Join(disk, "events"))
	told := make(chan bool, 1000)
	r.cfg.NoSpace = func(stopped bool) { r.spaceChanged(stopped); told <- stopped }
	r.start()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	tell := func() (stopped bool) {
		select {
		case stopped = <-told:
		case <-ctx.Done():
			require.FailNow(t, "nothing is told about space")
		}
		return stopped
	}
	const n = 60
	r.write(1, true)
	for r.Stats().Files == 0 { // a burst of its own
		require.NoError(t, ctx.Err())
		runtime.Gosched()
	}
	r.write(n-1, true)
	require.True(t, tell(), "filing must stop for want of space")

	// What was filed before is checkpointed meanwhile, which must not let the appends in.
	require.NoError(t, r.ledger.Wait(ctx, ledger.Materialized, 1))
	for range 4 {
		require.True(t, tell(), "there still is no space")
	}
	require.True(t, r.Stats().Stalled)
	require.Less(t, r.ledger.Get(ledger.Materialized), dcb.Position(n))
	_, noSpace, failed := r.seen()
	require.Equal(t, []bool{true}, noSpace)
	require.Empty(t, failed)

	mountSmall(t, disk, "8m")
	require.NoError(t, r.Wait(ctx, n))
	r.requireFiled(n)
	_, noSpace, failed = r.seen()
	require.Equal(t, []bool{true, false}, noSpace)
	require.Empty(t, failed)
	require.False(t, r.Stats().Stalled)
}

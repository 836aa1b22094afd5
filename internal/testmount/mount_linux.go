package testmount

import (
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// Private runs the test again in a process with mounts of its own, and reports whether this is that process. Where not even
// root may have them, the test fails; an ordinary user of a system that forbids user namespaces is let off.
func Private(t *testing.T) bool {
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

// Tmpfs puts a file system in memory at dir, which is made if need be, with options such as "size=64k". Called again for one that it
// mounted it changes the options. It is unmounted with the test.
// REQUIRES: Private has returned true.
func Tmpfs(t *testing.T, dir, options string, flags uintptr) {
	t.Helper()
	if err := os.Mkdir(dir, 0o755); err != nil {
		require.ErrorIs(t, err, os.ErrExist)
	}
	if mounted(t, dir) {
		flags |= unix.MS_REMOUNT
	} else {
		t.Cleanup(func() { require.NoError(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	}
	require.NoError(t, unix.Mount("tmpfs", dir, "tmpfs", flags, options))
}

// mounted reports whether dir is on another device than the directory that it is in.
func mounted(t *testing.T, dir string) bool {
	t.Helper()
	var here, above unix.Stat_t
	require.NoError(t, unix.Stat(dir, &here))
	require.NoError(t, unix.Stat(dir+"/..", &above))
	return here.Dev != above.Dev
}

package segment

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
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

func TestAFullDiskLeavesNoFile(t *testing.T) {
	if !privateMounts(t) {
		return
	}
	disk := filepath.Join(t.TempDir(), "small")
	require.NoError(t, os.Mkdir(disk, 0o755))
	require.NoError(t, unix.Mount("tmpfs", disk, "tmpfs", 0, "size=256k"))
	t.Cleanup(func() { require.NoError(t, unix.Unmount(disk, unix.MNT_DETACH)) })
	dir := filepath.Join(disk, "index")

	begin := func(r Range, m model) (*Builder, error) {
		b, err := Create(dir, testSeed, r)
		require.NoError(t, err)
		for _, key := range m.keys() {
			if err := errors.Join(b.Term(Kind(key[0]), key[1:]), b.Positions(m[key])); err != nil {
				return b, err
			}
		}
		return b, nil
	}
	b, err := begin(Range{1, 60_000}, benchTerms(60_000, false))
	require.ErrorIs(t, err, syscall.ENOSPC, "much too large: a term fails")
	require.NoError(t, b.Abort())
	require.Empty(t, names(t, dir))

	r := Range{1, 1000}
	build(t, dir, r, benchTerms(1000, false))
	in := open(t, dir, r)
	require.Less(t, in.Size(), int64(64<<10))
	require.NoError(t, os.WriteFile(filepath.Join(disk, "filler"), make([]byte, 256<<10-(64+12)<<10), 0o644))

	b, err = begin(Range{1, 8000}, benchTerms(8000, false))
	require.NoError(t, err)
	require.ErrorIs(t, b.Commit(), syscall.ENOSPC, "too large: Commit fails, and cleans up")
	require.Equal(t, []string{Name(r)}, names(t, dir))

	require.ErrorIs(t, os.WriteFile(filepath.Join(disk, "rest"), make([]byte, 256<<10), 0o644), syscall.ENOSPC)
	_, err = Merge(t.Context(), dir, testSeed, []*Segment{in})
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.Equal(t, []string{Name(r)}, names(t, dir))
	require.NoError(t, in.Verify(), "what was there before is untouched")
}

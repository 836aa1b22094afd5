package storage

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"opossum/internal/testmount"
)

// What lies below a mount that hides another one is told by the kernel, not by paths.
func TestDescribeSeesTheMountThatIsThere(t *testing.T) {
	if !testmount.Private(t) {
		return
	}
	dir := filepath.Join(t.TempDir(), "with a space")
	testmount.Tmpfs(t, dir, "size=64k", 0)
	s, err := Describe(dir)
	require.NoError(t, err)
	require.Equal(t, System{FileSystem: "tmpfs", Device: "tmpfs"}, s)

	inner := filepath.Join(dir, "inner")
	require.NoError(t, os.Mkdir(inner, 0o755))
	require.NoError(t, unix.Mount("ramfs of mine", inner, "ramfs", 0, ""))
	defer func() { require.NoError(t, unix.Unmount(inner, unix.MNT_DETACH)) }()
	link := filepath.Join(t.TempDir(), "link")
	require.NoError(t, os.Symlink(inner, link))
	s, err = Describe(link)
	require.NoError(t, err)
	require.Equal(t, System{FileSystem: "ramfs", Device: "ramfs of mine"}, s)
}

// needs lets a test off where something is missing. CI must prove it: there it fails.
func needs(t *testing.T, there bool, what string) {
	t.Helper()
	if !there {
		require.Empty(t, os.Getenv("CI"), "CI must prove it, and has not what this needs: %s", what)
		t.Skip("needs " + what)
	}
}

// The system's own tools say the same of the directory of the tests.
func TestDescribeSaysWhatTheSystemSays(t *testing.T) {
	dir := t.TempDir()
	out, err := exec.Command("findmnt", "-n", "-o", "FSTYPE", "-T", dir).Output()
	needs(t, err == nil, "findmnt")
	s, err := Describe(dir)
	require.NoError(t, err)
	mounts := strings.Fields(string(out)) // one mounted over the other
	require.Equal(t, mounts[len(mounts)-1], s.FileSystem)
	require.NotEmpty(t, s.Device)
}

// Each subvolume of btrfs has a device number of its own, which is in no list of mounts.
func TestDescribeOnBtrfs(t *testing.T) {
	needs(t, os.Getuid() == 0, "root, to mount a file")
	_, err := exec.LookPath("mkfs.btrfs")
	needs(t, err == nil, "mkfs.btrfs")
	if !testmount.Private(t) {
		return
	}
	image, dir := filepath.Join(t.TempDir(), "image"), filepath.Join(t.TempDir(), "mnt")
	require.NoError(t, os.Mkdir(dir, 0o755))
	require.NoError(t, os.WriteFile(image, nil, 0o644))
	require.NoError(t, os.Truncate(image, 256<<20))
	run := func(name string, args ...string) {
		out, err := exec.Command(name, args...).CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	run("mkfs.btrfs", "-q", image)
	run("mount", "-o", "loop", image, dir)
	defer run("umount", dir)
	sub := filepath.Join(dir, "sub")
	run("btrfs", "subvolume", "create", sub)
	s, err := Describe(sub)
	require.NoError(t, err)
	require.Equal(t, "btrfs", s.FileSystem)
	require.Regexp(t, `^loop\d+$`, s.Device)
	require.NotNil(t, s.Rotational)
	require.NotEmpty(t, s.WriteCache)
}

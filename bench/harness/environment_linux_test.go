package harness

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

const someMounts = `22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard
30 27 0:25 / /data rw,noatime - xfs /dev/vdb rw
31 27 0:26 / /my\040disk ro - btrfs /dev/vdc rw,space_cache
32 27 0:27 / /data rw - ext4 /dev/vdd rw,data=ordered
`

func TestTheMountOfAPathIsTheNearestAboveIt(t *testing.T) {
	for path, want := range map[string]mount{
		"/":                {"/", "/dev/vda", "rw,relatime;rw,discard"},
		"/database":        {"/", "/dev/vda", "rw,relatime;rw,discard"},
		"/data/x":          {"/data", "/dev/vdd", "rw;rw,data=ordered"}, // the later of the two is on top
		"/my disk/a/place": {"/my disk", "/dev/vdc", "ro;rw,space_cache"},
	} {
		found, ok := findMount(someMounts, path)
		require.True(t, ok, path)
		require.Equal(t, want, found, path)
	}
}

func TestDirectoriesInMemoryAreRefused(t *testing.T) {
	const inMemory = "/dev/shm"
	var s unix.Statfs_t
	if err := unix.Statfs(inMemory, &s); err != nil || s.Type != unix.TMPFS_MAGIC {
		require.Empty(t, os.Getenv("CI"), "CI must prove it, and %s is no tmpfs", inMemory)
		t.Skip("no tmpfs here")
	}
	_, err := Inspect(inMemory)
	require.ErrorIs(t, err, ErrNoDisk)
	require.ErrorContains(t, err, "tmpfs")
}

func TestTheEnvironmentIsNamed(t *testing.T) {
	e, err := Inspect(".")
	if err != nil {
		require.ErrorIs(t, err, ErrNoDisk)
	}
	require.NotEqual(t, "unknown", e.FileSystem)
	require.NotEmpty(t, e.Kernel)
	require.NotEmpty(t, e.CPU)
	_, err = Inspect("no/such/directory")
	require.ErrorIs(t, err, os.ErrNotExist)
}

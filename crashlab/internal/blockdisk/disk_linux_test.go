package blockdisk

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"opossum/crashlab/internal/host"
)

// TestMain is the disk's process, too, and runs the tests where they leave no mount behind.
func TestMain(m *testing.M) {
	if Asked() {
		os.Exit(Serve())
	}
	if err := host.Probe(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		if os.Getenv("CI") != "" {
			os.Exit(1)
		}
		fmt.Fprintln(os.Stderr, "no CI: tests of package blockdisk are left out")
		return
	}
	inside, status, err := host.Isolate()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if !inside {
		os.Exit(status)
	}
	os.Exit(m.Run())
}

// What is written through the loop device is recorded before the flush, and the mark after it.
func TestDisk(t *testing.T) {
	dir := t.TempDir()
	image, recording := filepath.Join(dir, "image"), filepath.Join(dir, "recording")
	require.NoError(t, os.WriteFile(image, nil, 0o644))
	require.NoError(t, os.Truncate(image, 1<<20))
	disk, err := Start(filepath.Join(dir, "disk"), image, recording)
	require.NoError(t, err)
	loop, err := host.Attach(disk.Image())
	require.NoError(t, err)
	marks, err := disk.Marks()
	require.NoError(t, err)

	block := make([]byte, 4096)
	copy(block, "a block of data")
	_, err = loop.WriteAt(block, 8192)
	require.NoError(t, err)
	require.NoError(t, loop.Sync())
	_, err = marks.WriteString("it is durable\n")
	require.NoError(t, err)

	_, err = disk.Refuse(&Rule{Kind: Write, With: "bad", Once: true})
	require.NoError(t, err)
	copy(block, "a bad block")
	_, err = loop.WriteAt(block, 0)
	require.NoError(t, err, "it is cached")
	require.ErrorIs(t, loop.Sync(), unix.EIO)
	require.NoError(t, loop.Sync(), "an error is told once")
	met, err := disk.Refuse(&Rule{Kind: Flush})
	require.NoError(t, err)
	require.Equal(t, 1, met.Refused)
	require.ErrorIs(t, loop.Sync(), unix.EIO)

	require.NoError(t, marks.Close())
	require.NoError(t, loop.Close())
	require.NoError(t, disk.Stop())

	r, err := OpenRecording(recording)
	require.NoError(t, err)
	defer r.Close()
	var story string
	for i, rec := range r.Records {
		data, err := r.Data(i)
		require.NoError(t, err)
		story += fmt.Sprintf("%c %d %.20q\n", rec.Kind, rec.Off, data)
	}
	require.Contains(t, story, "W 8192 \"a block of data\\x00\\x00\\x00\\x00\\x00\"\nF 0 \"\"\nM 0 \"it is durable\\n\"\n")
	require.NotContains(t, story, "bad")
}

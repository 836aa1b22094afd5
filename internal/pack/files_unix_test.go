//go:build unix

package pack

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// A pack is a regular file: what else stands under its name is damage, and nobody waits for the other end of a pipe.
func TestOnlyRegularFilesAreOpened(t *testing.T) {
	dir := t.TempDir()
	build(t, dir, smallRange, records(smallRange))
	r := Range{smallRange.First + 100, smallRange.Last + 100}
	path := filepath.Join(dir, Name(r))
	for name, make := range map[string]func() error{
		"directory": func() error { return os.Mkdir(path, 0o755) },
		"pipe":      func() error { return syscall.Mkfifo(path, 0o644) },
		"link":      func() error { return os.Symlink(Name(smallRange), path) },
		"dead link": func() error { return os.Symlink("nowhere", path) },
	} {
		require.NoError(t, make(), name)
		_, err := Open(dir, testSeed, r)
		requireDamage(t, err, path)
		require.ErrorContains(t, err, "not a regular file", name)
		require.NoError(t, os.Remove(path))
	}
}

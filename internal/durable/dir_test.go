package durable

import (
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

// That names survive shows only in a power cut; here, that it can be called and that an error is one.
func TestDir(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "name"), nil, 0o644))
	require.NoError(t, Dir(dir))
	if runtime.GOOS != "windows" {
		require.ErrorIs(t, Dir(filepath.Join(dir, "missing")), fs.ErrNotExist)
	}
}

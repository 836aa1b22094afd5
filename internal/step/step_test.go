package step

import (
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

// That names survive shows only in a power cut; here, that it can be called and that an error is one.
func TestSyncDir(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "name"), nil, 0o644))
	require.NoError(t, SyncDir(dir))
	if runtime.GOOS != "windows" {
		require.ErrorIs(t, SyncDir(filepath.Join(dir, "missing")), fs.ErrNotExist)
	}
}

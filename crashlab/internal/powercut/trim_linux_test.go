package powercut

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestOnTrim(t *testing.T) {
	dir := t.TempDir()
	gen := filepath.Join(dir, "wal", "00000001")
	require.NoError(t, os.MkdirAll(gen, 0o755))
	trimmed := make(chan struct{})
	stop, err := onTrim(dir, func() { close(trimmed) })
	require.NoError(t, err)
	require.NoError(t, os.Rename(gen, gen+".tmp"))
	require.NoError(t, os.RemoveAll(gen+".tmp"))
	<-trimmed
	require.NoError(t, stop())

	_, err = onTrim(filepath.Join(dir, "nowhere"), nil)
	require.ErrorIs(t, err, os.ErrNotExist)
}

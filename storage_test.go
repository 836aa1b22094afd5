package opossum

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMeasureStorageBesideAnOwner(t *testing.T) {
	dir := t.TempDir()
	e, err := Open(dir, nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, e.Close()) }()
	before, err := os.ReadDir(dir)
	require.NoError(t, err)
	m, err := MeasureStorage(ctxb, dir)
	require.NoError(t, err)
	require.Positive(t, m.Flushes)
	require.NotEqual(t, "unknown", m.Class.String())
	after, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Equal(t, before, after)
}

func TestMeasureStorageFails(t *testing.T) {
	dir := t.TempDir()
	_, err := MeasureStorage(ctxb, filepath.Join(dir, "missing"))
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.ErrorContains(t, err, filepath.Join(dir, "missing"))
	ctx, cancel := context.WithCancel(ctxb)
	cancel()
	_, err = MeasureStorage(ctx, dir)
	require.ErrorIs(t, err, context.Canceled)
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left)
}

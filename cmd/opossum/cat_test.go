package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"opossum"
)

func TestCatShowsTheEventFile(t *testing.T) {
	dir := t.TempDir()
	e, err := opossum.Open(dir, nil)
	require.NoError(t, err)
	_, err = e.Append(t.Context(), []opossum.Event{{Type: "T", Tags: []opossum.Tag{"a", "b"}, Data: []byte("{\n}"), Metadata: map[string]string{"k": "<"}}}, nil)
	require.NoError(t, err)
	require.NoError(t, e.WaitMaterialized(t.Context(), 1))
	require.NoError(t, e.Close())
	files, err := filepath.Glob(filepath.Join(dir, "events", "*", "*.json"))
	require.NoError(t, err)
	require.Len(t, files, 1)
	want, err := os.ReadFile(files[0])
	require.NoError(t, err)

	cmd := newRoot()
	var out strings.Builder
	cmd.SetArgs([]string{"cat", "--dir", dir, "1"})
	cmd.SetOut(&out)
	require.NoError(t, cmd.ExecuteContext(t.Context()))
	assert.Equal(t, string(want), out.String())
}

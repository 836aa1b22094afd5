package main

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestTwoCommitsAreCompared makes a repository in which a benchmark becomes faster.
func TestTwoCommitsAreCompared(t *testing.T) {
	repository := t.TempDir()
	t.Chdir(repository)
	git := func(args ...string) {
		args = append([]string{"-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"}, args...)
		out, err := exec.CommandContext(t.Context(), "git", args...).CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	benchmark := func(ns string) {
		require.NoError(t, os.WriteFile("x_test.go", []byte("package x\n\nimport \"testing\"\n\n"+
			"func BenchmarkX(b *testing.B) {\n\tb.ReportMetric("+ns+", \"ns/op\")\n\tb.ReportMetric("+ns+", \"p99-us\")\n}\n"), 0o644))
	}
	require.NoError(t, os.WriteFile("go.mod", []byte("module x\n\ngo 1.26.0\n"), 0o644))
	benchmark("200")
	git("init", "-q")
	git("add", ".")
	git("commit", "-qm", "slow")
	benchmark("100")

	var out bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"--bench", "X", "--package", ".", "--count", "6", "--time", "1x", "HEAD"}, &out, io.Discard))
	require.Contains(t, out.String(), "before")
	require.Contains(t, out.String(), "-50.00%")
	left, err := os.ReadDir(repository)
	require.NoError(t, err)
	require.Len(t, left, 3, "nothing but .git, go.mod, x_test.go: %v", left)
	worktrees, err := filepath.Glob(".git/worktrees/*")
	require.NoError(t, err)
	require.Empty(t, worktrees)

	require.ErrorContains(t, run(t.Context(), []string{"nothing"}, &out, io.Discard), "nothing")
	require.NoError(t, os.Mkdir("bench-data", 0o755))
	require.ErrorContains(t, run(t.Context(), []string{"HEAD"}, &out, io.Discard), "must be new")
}

func TestWrongArgumentsAreRefused(t *testing.T) {
	for _, args := range [][]string{nil, {""}, {"a", "b"}, {"--count", "0", "a"}, {"--nothing", "a"}} {
		_, err := parse(args, io.Discard)
		require.Error(t, err, "%q", args)
	}
}

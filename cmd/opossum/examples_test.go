package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"
)

// TestEveryExampleRuns takes every line of every command's examples to a shell, in a directory with the store of a demo.
// Each has to end with status 0, or go on until it is interrupted, and to print something.
func TestEveryExampleRuns(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the examples are for a shell of Unix")
	}
	demo := demoStore(t)
	dir := t.TempDir()
	n := 0
	for _, cmd := range commands(newRoot()) {
		examples := strings.Split(cmd.Example, "\n")
		if cmd.Hidden {
			continue
		}
		n += len(examples)
		name := strings.ReplaceAll(cmd.CommandPath(), " ", "_") + ".txtar"
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(exampleScript(cmd, examples)), 0o644))
	}
	require.Greater(t, n, 20, "the walk must have seen the commands")
	params := scripts(dir)
	setup := params.Setup
	params.Setup = func(env *testscript.Env) error {
		return firstError(setup(env), os.CopyFS(filepath.Join(env.WorkDir, demoDir), os.DirFS(demo)))
	}
	testscript.Run(t, params)
}

// exampleScript runs the examples one after the other.
func exampleScript(cmd *cobra.Command, examples []string) string {
	var script strings.Builder
	for _, line := range examples {
		quoted := strings.ReplaceAll(strings.TrimSpace(line), "'", "''")
		if cmd.Name() == "tail" {
			fmt.Fprintf(&script, "begin tail - . sh -c 'exec %s'\nfinish tail INT 0\n", quoted)
			continue
		}
		fmt.Fprintf(&script, "exec bash -e -o pipefail -c '%s'\nstdout .\n", quoted)
	}
	return script.String()
}

// demoStore returns the directory of a store as examples expect it: that of a demo, and an event with an awkward tag.
func demoStore(t *testing.T) string {
	dir := filepath.Join(t.TempDir(), demoDir)
	run := func(input string, args ...string) {
		cmd := exec.Command("opossum", append(args, "--dir", dir)...)
		cmd.Stdin = strings.NewReader(input)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	run("", "demo", "--events", "200", "--writers", "8")
	run(`{"type":"Noted","tags":["with a space"]}`, "append")
	return dir
}

// TestReadme runs what README.md says to type, and compares what it says about queries.
func TestReadme(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	require.Contains(t, string(text), "```text\n"+queryHelp+"\n```\n", "README.md and `opossum help query` describe the same queries")

	_, block, ok := strings.Cut(string(text), "<!-- README program: run by a test -->\n```sh\n")
	require.True(t, ok)
	block, _, _ = strings.Cut(block, "```")
	build, block, _ := strings.Cut(block, "\n")
	require.Contains(t, build, "go build -o bin/opossum ./cmd/opossum")
	cmd := exec.Command("bash", "-e", "-o", "pipefail", "-c", strings.ReplaceAll(block, "bin/opossum", "opossum"))
	cmd.Dir = t.TempDir()
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "StudentRegistered")
}

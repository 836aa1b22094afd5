package opossum_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// block returns the lines of the fenced block that follows the marker in README.md.
func block(t *testing.T, marker string) []string {
	text, err := os.ReadFile("README.md")
	require.NoError(t, err)
	_, rest, ok := strings.Cut(string(text), "<!-- "+marker)
	require.True(t, ok, "README.md has no %q", marker)
	_, rest, ok = strings.Cut(rest, "```")
	require.True(t, ok)
	_, rest, _ = strings.Cut(rest, "\n") // the language
	body, _, ok := strings.Cut(rest, "```")
	require.True(t, ok)
	return strings.Split(strings.TrimSpace(body), "\n")
}

func TestReadmeExamplesAreTheTestedOnes(t *testing.T) {
	source, err := os.ReadFile("example_test.go")
	require.NoError(t, err)
	for marker, name := range map[string]string{"README example": "Example", "README reader": "ExampleOpen_readOnly"} {
		_, example, ok := strings.Cut(string(source), "func "+name+"() {")
		require.True(t, ok)
		example, _, _ = strings.Cut(example, "// Output:")
		for _, line := range block(t, marker) {
			i := strings.Index(example, strings.TrimSpace(line))
			require.GreaterOrEqual(t, i, 0, "not in %s, or not in this order: %s", name, line)
			example = example[i:]
		}
	}
}

const embedder = `package main

import (
	"fmt"

	"opossum"
)

func main() {
	store, err := opossum.Open("data", nil)
	if err != nil {
		panic(err)
	}
	fmt.Println(store.Head(), store.Close())
}
`

func TestReadmeLinesEmbedAClone(t *testing.T) {
	clone, err := os.Getwd()
	require.NoError(t, err)
	app := t.TempDir()
	run := func(args ...string) string {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Dir = app
		cmd.Env = append(cmd.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%v: %s", args, out)
		return string(out)
	}
	require.NoError(t, os.WriteFile(filepath.Join(app, "main.go"), []byte(embedder), 0o644))
	run("go", "mod", "init", "example.org/app")
	for _, line := range block(t, "README embedding") {
		run(strings.Fields(strings.ReplaceAll(line, "../opossum", clone))...)
	}
	require.Equal(t, "0 <nil>\n", run("go", "run", "."))
}

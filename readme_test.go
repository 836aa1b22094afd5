package opossum_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// block returns the lines of the fenced block that follows the marker in a page.
func block(t *testing.T, page, marker string) []string {
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	_, rest, ok := strings.Cut(string(text), "<!-- "+marker)
	require.True(t, ok, "%s has no %q", page, marker)
	_, rest, ok = strings.Cut(rest, "```")
	require.True(t, ok)
	_, rest, _ = strings.Cut(rest, "\n") // the language
	body, _, ok := strings.Cut(rest, "```")
	require.True(t, ok)
	return strings.Split(strings.TrimSpace(body), "\n")
}

func TestExamplesInPagesAreTheTestedOnes(t *testing.T) {
	for _, c := range []struct{ page, marker, file, name string }{
		{"README.md", "README example", "example_test.go", "Example"},
		{"README.md", "README reader", "example_test.go", "ExampleOpen_readOnly"},
		{"README.md", "README contexts", "example_test.go", "ExampleOpenRoot"},
		{"README.md", "README read model", "example_projection_test.go", "ExampleEngine_Projections"},
		{"docs/flush.md", "recipe production", "example_flush_test.go", "ExampleFlush_production"},
		{"docs/flush.md", "recipe tests", "example_flush_test.go", "ExampleFlush_tests"},
		{"docs/flush.md", "recipe staging", "example_flush_test.go", "ExampleFlush_staging"},
	} {
		source, err := os.ReadFile(c.file)
		require.NoError(t, err)
		_, example, ok := strings.Cut(string(source), "func "+c.name+"() {")
		require.True(t, ok)
		example, _, _ = strings.Cut(example, "// Output:")
		for _, line := range block(t, c.page, c.marker) {
			i := strings.Index(example, strings.TrimSpace(line))
			require.GreaterOrEqual(t, i, 0, "not in %s, or not in this order: %s", c.name, line)
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
	for _, line := range block(t, "README.md", "README embedding") {
		run(strings.Fields(strings.ReplaceAll(line, "../opossum", clone))...)
	}
	require.Equal(t, "0 <nil>\n", run("go", "run", "."))
}

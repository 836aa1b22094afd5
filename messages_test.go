package opossum_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// message is what a line of the log may say.
type message struct {
	text, level string
	attributes  []string // sorted
}

// messagesOf returns the calls of a logger below dir, one message for all that say the same.
func messagesOf(t *testing.T, dir string) []message {
	levels := map[string]string{"Debug": "debug", "Info": "info", "Warn": "warn", "Error": "error"}
	var found []message
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) == 0 {
				return true
			}
			name, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || levels[name.Sel.Name] == "" {
				return true
			}
			text, ok := literal(call.Args[0])
			if !ok || !strings.HasPrefix(text, "opossum: ") {
				return true
			}
			m := message{text: text, level: levels[name.Sel.Name]}
			for i := 1; i < len(call.Args); i += 2 {
				key, ok := literal(call.Args[i])
				require.True(t, ok, "%s: %s: an attribute has a plain name", path, text)
				m.attributes = append(m.attributes, key)
			}
			found = append(found, m)
			return true
		})
		return nil
	})
	require.NoError(t, err)
	return found
}

func literal(e ast.Expr) (string, bool) {
	l, ok := e.(*ast.BasicLit)
	if !ok || l.Kind != token.STRING {
		return "", false
	}
	s, err := strconv.Unquote(l.Value)
	return s, err == nil
}

// merged makes one message of those with the same text and level, and sorts.
func merged(all []message) []message {
	by := map[[2]string][]string{}
	for _, m := range all {
		key := [2]string{m.text, m.level}
		by[key] = append(by[key], m.attributes...)
	}
	var out []message
	for key, attributes := range by {
		slices.Sort(attributes)
		out = append(out, message{key[0], key[1], slices.Compact(attributes)})
	}
	slices.SortFunc(out, func(a, b message) int { return strings.Compare(a.text, b.text) })
	return out
}

func TestThePageListsEveryMessage(t *testing.T) {
	var said []message
	for _, dir := range []string{".", "internal", "wal", "ledger", "materializer", "query", "recovery", "projection"} {
		if dir != "." {
			said = append(said, messagesOf(t, dir)...)
			continue
		}
		root, err := filepath.Glob("*.go")
		require.NoError(t, err)
		for _, file := range root {
			said = append(said, messagesOf(t, file)...)
		}
	}
	page, err := os.ReadFile(filepath.Join("docs", "metrics.md"))
	require.NoError(t, err)
	_, table, ok := strings.Cut(string(page), "<!-- messages")
	require.True(t, ok)
	table, _, ok = strings.Cut(table, "<!-- end of messages -->")
	require.True(t, ok)
	code := regexp.MustCompile("`([^`]+)`")
	var listed []message
	for line := range strings.Lines(table) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 4 || !strings.Contains(cells[0], "`") {
			continue
		}
		text := code.FindStringSubmatch(cells[0])
		require.NotNil(t, text, line)
		m := message{text: "opossum: " + text[1], level: strings.TrimSpace(cells[1])}
		for _, a := range code.FindAllStringSubmatch(cells[2], -1) {
			m.attributes = append(m.attributes, a[1])
		}
		require.NotEmpty(t, strings.TrimSpace(cells[3]), "when is it said? %s", line)
		listed = append(listed, m)
	}
	require.Equal(t, len(listed), len(merged(listed)), "a message is listed once")
	require.Equal(t, merged(said), merged(listed))
}

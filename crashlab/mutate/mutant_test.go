package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// found lists the mutants of a function body as "kind: before -> after".
func found(t *testing.T, body string) (names []string, all []mutant, src string) {
	t.Helper()
	src = "package p\n\nfunc f(a, b int, s []int, g func() error) (n int, err error) {\n" + body + "\n}\n"
	all, err := mutants("p/p.go", src)
	require.NoError(t, err)
	for _, m := range all {
		names = append(names, strings.TrimPrefix(m.name(), "p/p.go f, "))
		require.Equal(t, m.before, src[m.from:m.to])
	}
	return names, all, src
}

func TestEveryKind(t *testing.T) {
	for body, want := range map[string][]string{
		"n = a": {"assignment removed: `n = a` -> `_ = a`"},
		"n += a": {
			"arithmetic: `n += a` -> `n -= a`",
			"assignment removed: `n += a` -> `_ = a`",
		},
		"n, s[a] = b, a": {"assignment removed: `n, s[a] = b, a` -> `_, _ = b, a`"},
		"s = nil":        {"assignment removed: `s = nil` -> ``"},
		"x := a":         nil,
		"n--":            {"arithmetic: `n--` -> `n++`"},
		"x := a < b": {
			"boundary: `a < b` -> `a <= b`",
			"comparison: `a < b` -> `a >= b`",
		},
		"x := a == b && !(a >= b)": {
			"logic: `a == b && !(a >= b)` -> `(a == b || !(a >= b))`",
			"comparison: `a == b` -> `a != b`",
			"not: `!(a >= b)` -> `(a >= b)`",
			"boundary: `a >= b` -> `a > b`",
			"comparison: `a >= b` -> `a < b`",
		},
		"x := a + b":             {"arithmetic: `a + b` -> `a - b`"},
		`x := "a" + "b"`:         nil,
		"x := s[1:]":             {"constant: `1` -> `0`"},
		"x := s[:0]":             {"constant: `0` -> `1`"},
		"x := 0x10":              {"constant: `0x10` -> `17`"},
		"x := 0o644":             nil,
		"x := make([]int, a, 7)": nil,
		"return 0, nil":          {"constant: `0` -> `1`"},
		"x := true":              {"constant: `true` -> `false`"},
		"g()":                    {"call removed: `g()` -> `func(...any) {}()`"},
		"defer close(c)":         {"call removed: `close(c)` -> `func(...any) {}(c)`"},
		"c <- a":                 {"call removed: `c <- a` -> `_, _ = c, a`"},
		"mu.Lock()":              nil,
		"defer mu.RUnlock()":     nil,
		`logger.Info("x", a+1)`:  nil,
		`panic(a + 1)`:           nil,
		"s.stats.lost.Add(1)":    nil,
		"for i := 0; a > b; i++ { g() }": {
			"constant: `0` -> `1`",
			"boundary: `a > b` -> `a >= b`",
			"comparison: `a > b` -> `a <= b`",
			"call removed: `g()` -> `func(...any) {}()`",
		},
		"for { break }": {"loop: `break` -> `continue`"},
		"if h() { a := b; _ = a } else { x := b; _ = x }": {
			"not: `h()` -> `!h()`",
			"branch emptied: `h()` -> `(h()) && false`",
			"branch emptied: `x := b; _ = x` -> ``",
		},
		"if a { n = b }": { // to empty it would be the same as to remove what is in it
			"not: `a` -> `!a`",
			"assignment removed: `n = b` -> `_ = b`",
		},
		"switch { case a: return b, nil }": {"branch emptied: `return b, nil` -> ``"},
		"select { case <-c: }":             nil,
		"if err := g(); err != nil { return 0, err }": {
			"call removed: `g()` -> `func(...any) (_ error) { return }()`",
			"error ignored: `err != nil` -> `(err != nil && false)`",
			"error swallowed: `return 0, err` -> `_ = err; return 0, nil`",
		},
		"return a, errors.Join(g(), err)": {
			"error swallowed: `return a, errors.Join(g(), err)` -> `_ = errors.Join(g(), err); return a, nil`",
			"call removed: `g()` -> `func(...any) (_ error) { return }()`",
		},
		`return a, fmt.Errorf("%d", a+1)`: {
			"error swallowed: `return a, fmt.Errorf(\"%d\", a+1)` -> `_ = fmt.Errorf(\"%d\", a+1); return a, nil`",
		},
	} {
		got, _, _ := found(t, body)
		require.Equal(t, want, got, body)
	}
}

func TestTextsForPeopleHaveNoMutants(t *testing.T) {
	all, err := mutants("p/p.go", "package p\nfunc (x X) String() string { if x > 1 { return \"\" }; return s[1:] }\nconst c = 2\n")
	require.NoError(t, err)
	require.Len(t, all, 1)
	require.Equal(t, "p/p.go , constant: `2` -> `3`", all[0].name())
	require.Equal(t, alone, all[0].form, "a constant cannot be switched at run time")
}

func TestAMutantKeepsItsImportsUsed(t *testing.T) {
	src := "package p\n\nimport \"os\"\n\nfunc f() { os.Exit(1) }\n"
	all, err := mutants("p/p.go", src)
	require.NoError(t, err)
	require.Equal(t, "package p\n\nimport \"os\"\n\nfunc f() { func(...any) {}(1) }\n\nvar _ = os.Exit\n", all[0].apply(src))
}

// program is called so that most mutants of it show.
const program = `package main

import "errors"

var limit = 3

func failing(fail bool) error {
	if fail {
		return errors.New("fails")
	}
	return nil
}

func sum(values []uint64, skip bool) (total uint64, err error) {
	if err := failing(len(values) > limit); err != nil {
		return 0, err
	}
	for i, v := range values[1:] {
		if skip && i == 1 {
			continue
		}
		total += v + 2
	}
	switch {
	case total >= 12:
		total--
	}
	return total, nil
}
`

// caller is the part of it that has no mutants.
const caller = `package main

import (
	"fmt"
	"os"
)

func main() {
	for _, values := range [][]uint64{{1, 2}, {1, 2, 3}, {1, 5, 6}, {0, 5, 4}, {0, 5, 3}, {1, 2, 3, 4}} {
		for _, skip := range []bool{false, true} {
			n, err := sum(values, skip)
			fmt.Fprintln(os.Stdout, n, err)
		}
	}
}
`

// TestASchemaBehavesAsEachOfItsMutants: with no mutant in force as the program itself, and with one as the program that has only that one.
func TestASchemaBehavesAsEachOfItsMutants(t *testing.T) {
	root := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(root, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
		return path
	}
	write("go.mod", "module m\n\ngo 1.26\n")
	write("p/p.go", program)
	write("p/main.go", caller)
	all, err := mutants("p/p.go", program)
	require.NoError(t, err)
	sources := &schema{root: root, pkg: "p", texts: map[string]string{"p/p.go": program}, mutants: all, alone: map[int]bool{}}
	overlay, err := sources.settle(context.Background(), t.TempDir())
	require.NoError(t, err)
	bin := filepath.Join(root, "schema")
	build := exec.Command("go", "build", "-overlay", overlay, "-o", bin, "./p")
	build.Dir = root
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))
	run := func(name, number string) string {
		cmd := exec.Command(name)
		cmd.Env = append(os.Environ(), activeVariable+"="+number, reachedVariable+"="+filepath.Join(root, "reached"))
		out, _ := cmd.CombinedOutput()
		return string(out)
	}
	plain := exec.Command("go", "run", "./p")
	plain.Dir = root
	want, err := plain.CombinedOutput()
	require.NoError(t, err)
	require.Equal(t, string(want), run(bin, ""))

	require.Greater(t, len(all), 20)
	require.Less(t, sources.countAlone(), 4, "nearly all go together")
	changed := 0
	for i := range all {
		if !sources.alone[i+1] && run(bin, strconv.Itoa(i+1)) != string(want) {
			changed++
		}
	}
	require.Greater(t, changed, len(all)*3/4, "most of them show")
	reached, err := os.ReadFile(filepath.Join(root, "reached"))
	require.NoError(t, err)
	require.Contains(t, string(reached), "\n8\n")
}

func TestTheSampleDependsOnTheSeedAlone(t *testing.T) {
	_, all, _ := found(t, strings.Repeat("n += a\n", 50))
	fresh := func() []mutant { return append([]mutant(nil), all...) }
	require.Equal(t, choose(fresh(), 7, 10, ""), choose(fresh(), 7, 10, ""))
	require.NotEqual(t, choose(fresh(), 7, 10, ""), choose(fresh(), 8, 10, ""))
	require.Len(t, choose(fresh(), 7, 0, ""), 100)
	require.Len(t, choose(fresh(), 7, 10, "p/p.go:5"), 2)
}

func TestTheListOfTheHarmless(t *testing.T) {
	_, all, _ := found(t, "x := a < b")
	doc := "# Mutants\n\n- " + all[0].name() + ": a reason.\n- something else\n"
	require.Equal(t, map[string]bool{all[0].name(): true}, judgedHarmless(doc))
}

// Who is judged harmless is one mutant, and not also those that look the same elsewhere in the function.
func TestNoTwoMutantsHaveTheSameName(t *testing.T) {
	_, all, _ := found(t, "x := a < b\ny := a < b\nz := a < b")
	names := map[string]bool{}
	for _, m := range all {
		require.False(t, names[m.name()], m.name())
		names[m.name()] = true
		require.Equal(t, map[string]bool{m.name(): true}, judgedHarmless("- "+m.name()+": a reason.\n"))
	}
}

func TestTheTable(t *testing.T) {
	var s score
	s.pkg, s.all = "wal", 9
	for _, o := range []outcome{
		{compiles: true, killed: true}, {compiles: true, killed: true, others: true, timeout: true}, {compiles: true, harmless: true},
		{compiles: true}, {},
	} {
		s.count(o)
	}
	require.Contains(t, table([]score{s}), "| wal | 9 | 4 | 1 | 1 | 1 | 1 | 1 | 66.7 % |\n| all | 9 |")
}

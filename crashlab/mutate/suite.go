package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"opossum/crashlab/internal/variant"
)

// suite is the tests of one package, as judges of the mutants of another, or of the same.
type suite struct {
	root  string
	pkg   string // as the go command is given it: ./wal
	bin   string // built with the schema
	tests []test
}

// test is one test of a suite.
type test struct {
	name    string
	took    time.Duration
	reaches map[int]bool // numbers of mutants
}

// tags are those of all builds: with them the tests see the engine's steps.
const tags = "crashlab"

// realShards are packages whose tests know the shards that users have. All others are built with small ones, as make test does it: then a few dozen events have packs.
var realShards = map[string]bool{"./recovery": true, "./internal/eventfile": true}

// tagsOf returns the tags of the tests of a package, as the go command takes them.
func tagsOf(pkg string) string {
	if realShards[pkg] {
		return tags
	}
	return tags + ",smallshards"
}

// quick tests are run first, because most mutants die in them.
const quick = 150 * time.Millisecond

// measure runs the tests that match run one by one, with no mutant in force, and notes which each reaches.
func measure(ctx context.Context, root, pkg, run, overlay, scratch string) (*suite, error) {
	dir, err := os.MkdirTemp(scratch, "suite-")
	if err != nil {
		return nil, err
	}
	s := &suite{root: root, pkg: pkg, bin: filepath.Join(dir, "schema.test")}
	if err := s.build(ctx, s.bin, overlay); err != nil {
		return nil, err
	}
	list, err := s.command(ctx, s.bin, "-test.list", run).Output()
	if err != nil {
		return nil, err
	}
	for _, name := range strings.Fields(string(list)) {
		if !strings.HasPrefix(name, "Test") && !strings.HasPrefix(name, "Fuzz") && !strings.HasPrefix(name, "Example") {
			continue
		}
		reached := filepath.Join(dir, name)
		cmd := s.command(ctx, s.bin, "-test.short", "-test.run", "^"+name+"$")
		cmd.Env = append(cmd.Environ(), reachedVariable+"="+reached)
		start := time.Now()
		out, err := cmd.CombinedOutput()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil { // it would kill every mutant
			fmt.Printf("left out, because it fails without a mutant: %s of %s\n%s", name, pkg, out)
			continue
		}
		t := test{name: name, took: time.Since(start), reaches: map[int]bool{}}
		text, err := os.ReadFile(reached)
		if err != nil {
			return nil, err
		}
		for _, number := range strings.Fields(string(text)) {
			i, _ := strconv.Atoi(number)
			t.reaches[i] = true
		}
		s.tests = append(s.tests, t)
	}
	return s, nil
}

// groups returns the tests that reach mutant number i, the quick ones first; for 0 all, because nothing is known of it.
func (s *suite) groups(i int) [][]test {
	var fast, slow []test
	for _, t := range s.tests {
		switch {
		case i != 0 && !t.reaches[i]:
		case t.took < quick:
			fast = append(fast, t)
		default:
			slow = append(slow, t)
		}
	}
	return slices.DeleteFunc([][]test{fast, slow}, func(g []test) bool { return len(g) == 0 })
}

// errDoesNotCompile says that a mutant is none.
var errDoesNotCompile = errors.New("does not compile")

// verdict is how a suite judged a mutant.
type verdict struct {
	reached bool
	killed  bool
	timeout bool
}

// judge runs the tests that reach mutant number i, with it in force, until one fails.
func (s *suite) judge(ctx context.Context, i int, scratch string) (verdict, error) {
	return s.trial(ctx, s.bin, s.groups(i), scratch, activeVariable+"="+strconv.Itoa(i))
}

// judgeAlone does it for a mutant that needs a build of its own.
func (s *suite) judgeAlone(ctx context.Context, m mutant, src, scratch string) (verdict, error) {
	overlay, err := variant.Overlay(s.root, scratch, []variant.Edit{{File: m.file, Old: src, New: m.apply(src)}})
	if err != nil {
		return verdict{}, err
	}
	bin := filepath.Join(scratch, "mutant.test")
	if err := s.build(ctx, bin, overlay); err != nil {
		return verdict{}, fmt.Errorf("%w: %w", errDoesNotCompile, err)
	}
	return s.trial(ctx, bin, s.groups(0), scratch)
}

func (s *suite) trial(ctx context.Context, bin string, groups [][]test, scratch string, env ...string) (v verdict, err error) {
	for _, group := range groups {
		v.reached = true
		v.killed, v.timeout = s.fails(ctx, bin, group, scratch, env)
		if v.killed && !v.timeout { // on a machine that is busy a test may fail by itself; twice is no accident
			v.killed, v.timeout = s.fails(ctx, bin, group, scratch, env)
		}
		if v.killed || ctx.Err() != nil {
			break
		}
	}
	return v, ctx.Err()
}

// fails runs tests until one fails. A time-out is far above what they took when they were measured, on a machine that has more to do now.
func (s *suite) fails(ctx context.Context, bin string, tests []test, scratch string, env []string) (failed, timeout bool) {
	limit := 10 * time.Second
	var names []string
	for _, t := range tests {
		limit += 5 * t.took
		names = append(names, t.name)
	}
	limit = min(limit, time.Minute)
	ctx, cancel := context.WithTimeout(ctx, limit+5*time.Second)
	defer cancel()
	cmd := s.command(ctx, bin, "-test.short", "-test.failfast", "-test.timeout", limit.String(), "-test.run", "^("+strings.Join(names, "|")+")$")
	cmd.WaitDelay = time.Second // a child of a test may hold the pipe
	temp, err := os.MkdirTemp(scratch, "temp")
	if err != nil {
		return false, false
	}
	defer os.RemoveAll(temp)
	cmd.Env = append(append(cmd.Environ(), "TMPDIR="+temp), env...)
	out, err := cmd.CombinedOutput()
	return err != nil, ctx.Err() != nil || strings.Contains(string(out), "panic: test timed out")
}

func (s *suite) build(ctx context.Context, bin, overlay string) error {
	cmd := exec.CommandContext(ctx, "go", "test", "-c", "-tags="+tagsOf(s.pkg), "-vet=off", "-ldflags=-s -w", "-overlay", overlay, "-o", bin, s.pkg)
	cmd.Dir = s.root
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// command runs the test binary where the go command would.
func (s *suite) command(ctx context.Context, bin string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, bin, args...)
	cmd.Dir = filepath.Join(s.root, s.pkg)
	return cmd
}

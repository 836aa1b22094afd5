// Command compare runs the Go benchmarks of two commits in turn, round after round, and prints their ratios with confidence intervals by benchstat.
//
//	go run ./bench/compare REF                              REF beside the files as they are
//	go run ./bench/compare --bench 'Append/way=opossum' --count 10 REF
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"

	"opossum/bench/harness"
)

// benchstat is pinned, so that the same results give the same tables.
const benchstat = "golang.org/x/perf/cmd/benchstat@v0.0.0-20260908200009-22c9c6c9d4da"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
}

// settings are the arguments of one call.
type settings struct {
	ref, bench, time, pkg, dir string
	count                      int
}

func parse(args []string, out io.Writer) (s settings, err error) {
	flags := flag.NewFlagSet("compare", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.StringVar(&s.bench, "bench", "Append/way=opossum", "which benchmarks, as for go test -bench")
	flags.StringVar(&s.pkg, "package", "./bench/harness", "the package that has them")
	flags.StringVar(&s.time, "time", "1s", "of a benchmark, as for go test -benchtime")
	flags.IntVar(&s.count, "count", 6, "rounds; benchstat needs six for a confidence of 95 %")
	flags.StringVar(&s.dir, "dir", "bench-data", "directory on the disk to measure; it is removed again")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	if flags.NArg() != 1 || flags.Arg(0) == "" || s.count < 1 {
		return s, errors.New("want one commit to compare with, and at least one round; see --help")
	}
	s.ref = flags.Arg(0)
	return s, nil
}

// side is one of the two commits.
type side struct{ name, source, binary, results string }

func run(ctx context.Context, args []string, out, progress io.Writer) (err error) {
	s, err := parse(args, progress)
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "opossum-compare-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	data, err := filepath.Abs(s.dir)
	if err != nil {
		return err
	}
	if err := os.Mkdir(data, 0o755); err != nil {
		return fmt.Errorf("the directory to measure in must be new: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(data)) }()
	if _, err := harness.Inspect(data); err != nil { // reads may be compared there all the same
		fmt.Fprintln(progress, "compare: no figure of a sync means anything here:", err)
	}

	before := side{s.ref, filepath.Join(work, "source"), filepath.Join(work, "before.test"), filepath.Join(work, "before.txt")}
	after := side{"the files as they are", ".", filepath.Join(work, "after.test"), filepath.Join(work, "after.txt")}
	if err := command(ctx, progress, ".", "git", "worktree", "add", "--detach", before.source, s.ref); err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, command(context.WithoutCancel(ctx), progress, ".", "git", "worktree", "remove", "--force", before.source))
	}()
	for _, side := range []side{before, after} {
		if err := command(ctx, progress, side.source, "go", "test", "-c", "-o", side.binary, s.pkg); err != nil {
			return fmt.Errorf("%s: %w", side.name, err)
		}
	}
	for round := range s.count {
		for _, side := range []side{before, after} {
			fmt.Fprintf(progress, "round %d of %d: %s\n", round+1, s.count, side.name)
			if err := s.measure(ctx, side, data); err != nil {
				return fmt.Errorf("%s: %w", side.name, err)
			}
		}
	}
	return command(ctx, out, ".", "go", "run", benchstat, "before="+before.results, "after="+after.results)
}

// measure runs the benchmarks of one side once and adds what they print to its results.
func (s settings) measure(ctx context.Context, side side, data string) error {
	results, err := os.OpenFile(side.results, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer results.Close()
	c := exec.CommandContext(ctx, side.binary, "-test.run", "^$", "-test.bench", s.bench, "-test.benchtime", s.time)
	c.Dir = filepath.Join(side.source, s.pkg)
	c.Env = append(os.Environ(), "TMPDIR="+data)
	var errs strings.Builder
	c.Stdout, c.Stderr = results, &errs
	if err := c.Run(); err != nil {
		return fmt.Errorf("%w: %s", err, errs.String())
	}
	return results.Close()
}

func command(ctx context.Context, out io.Writer, dir, name string, args ...string) error {
	c := exec.CommandContext(ctx, name, args...)
	c.Dir = dir
	c.Stdout = out
	var errs strings.Builder
	c.Stderr = &errs
	if err := c.Run(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(errs.String()))
	}
	return nil
}

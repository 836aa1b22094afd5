// Command bench makes durable the same events in many ways, opossum's and those of what people would pick instead, and reports what each costs.
//
//	go run ./bench            everything, side by side: some half an hour, and 40 GB of free disk
//	go run ./bench --quick    does it work here? Under three minutes
//
// It writes a directory: results.json with every round, index.html to be opened, report.md with its pictures; also when it is interrupted, with what
// was measured until then. README.md says what is measured, how,
// and what not to conclude.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"

	"opossum/bench/harness"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var err error
	if args := os.Args[1:]; harness.IsJob(args) {
		err = harness.Serve(ctx, args, own(), os.Stdout)
	} else {
		err = run(ctx, args, os.Stdout, os.Stderr)
	}
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// own are the ways of this module.
func own() []harness.Way {
	ways := append([]harness.Way{harness.FilePerEventIndexed()}, harness.Ways()...)
	return append(ways, harness.Prewritten(harness.RingBytes), harness.OpossumPaused(), harness.OpossumLoose())
}

// settings are the arguments of one call.
type settings struct {
	dir, out   string
	quick      bool
	only       []string // experiments; empty: all
	from       string   // results to report anew
	withMemory bool
}

func parse(args []string, out io.Writer) (s settings, err error) {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(out)
	var names []string
	for _, e := range experiments() {
		names = append(names, e.name)
	}
	names = slices.Compact(names)
	only := flags.String("only", "", "measure these only, separated by commas: "+strings.Join(names, ", "))
	flags.StringVar(&s.dir, "dir", "bench-data", "directory on the disk to measure; what it is given is removed again")
	flags.StringVar(&s.out, "out", "bench-report", "directory of the report")
	flags.BoolVar(&s.quick, "quick", false, "one round of everything, small: does it work at all?")
	flags.StringVar(&s.from, "from", "", "measure nothing and report these results, a results.json, again")
	flags.BoolVar(&s.withMemory, "allow-memory", false, "measure even where a sync does nothing, on tmpfs: no figure means anything then")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	if flags.NArg() > 0 {
		return s, fmt.Errorf("%q: there are no arguments but flags; see --help", flags.Arg(0))
	}
	for name := range strings.SplitSeq(*only, ",") {
		if *only == "" {
			break
		}
		if !slices.Contains(names, name) {
			return s, fmt.Errorf("--only: there is no %q, but %s", name, strings.Join(names, ", "))
		}
		s.only = append(s.only, name)
	}
	return s, nil
}

func run(ctx context.Context, args []string, out, progress io.Writer) error {
	s, err := parse(args, progress)
	if err != nil {
		return err
	}
	if s.from != "" {
		r, err := loadResults(s.from)
		if err != nil {
			return err
		}
		return write(r, s.out, out)
	}
	if err := os.MkdirAll(s.out, 0o755); err != nil { // found out now, and not when all is measured
		return err
	}
	return s.measure(ctx, progress, func(r results) error {
		if len(r.Cells) == 0 {
			return nil
		}
		return write(r, s.out, out)
	})
}

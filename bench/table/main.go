// Command table measures opossum beside other ways of keeping the same events and prints tables.
//
//	go run ./bench/table                 the five-row table: what durability costs
//	go run ./bench/table --floors        appends beside the bare log, conditions, batches, filing
//	go run ./bench/table --tuning        how the bare log was tuned
//	go run ./bench/table --strategies    flush strategies beside the bare file
//	go run ./bench/table --reads         reads beside a scan and a map in memory
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"opossum/bench/harness"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "table:", err)
		os.Exit(1)
	}
}

// report is what one call measured, and what --json prints.
type report struct {
	Environment harness.Environment `json:"environment"`
	Rounds      int                 `json:"rounds"`
	Time        time.Duration       `json:"cell_ns"`
	Cells       []cell              `json:"cells,omitempty"`
	Floors      []floor             `json:"floors,omitempty"`
	Bursts      *bursts             `json:"bursts,omitempty"`
	Reads       *reads              `json:"reads,omitempty"`

	load   string  // what was measured, in one line
	tables []table // the same for people
}

// settings are the arguments of one call.
type settings struct {
	dir               string
	rounds            int
	seconds           float64
	quick             bool
	floors, tuning    bool // the kind of table; none: the five rows
	strategies, reads bool
	markdown, asJSON  bool
}

func parse(args []string, out io.Writer) (s settings, err error) {
	flags := flag.NewFlagSet("table", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.StringVar(&s.dir, "dir", "bench-data", "directory on the disk to measure; what it is given is removed again")
	flags.IntVar(&s.rounds, "rounds", 3, "interleaved rounds, of which the medians are printed")
	flags.Float64Var(&s.seconds, "seconds", 1, "measured seconds per cell and round")
	flags.BoolVar(&s.quick, "quick", false, "one round of 0.2 s per cell or less: does it work at all?")
	flags.BoolVar(&s.floors, "floors", false, "measure appends against the floors of speed")
	flags.BoolVar(&s.tuning, "tuning", false, "measure variants of the bare log")
	flags.BoolVar(&s.strategies, "strategies", false, "measure flush strategies beside the bare file")
	flags.BoolVar(&s.reads, "reads", false, "measure reads and opening beside a scan and a map in memory")
	flags.BoolVar(&s.markdown, "markdown", false, "print Markdown")
	flags.BoolVar(&s.asJSON, "json", false, "print JSON, with every round")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	if s.quick {
		s.rounds, s.seconds = 1, 0.2
	}
	kinds := 0
	for _, chosen := range []bool{s.floors, s.tuning, s.strategies, s.reads} {
		if chosen {
			kinds++
		}
	}
	if flags.NArg() > 0 || s.rounds < 1 || s.seconds <= 0 || kinds > 1 {
		return s, fmt.Errorf("want at least one round of more than 0 seconds, one kind of table and no other arguments; see --help")
	}
	return s, nil
}

func run(ctx context.Context, args []string, out, progress io.Writer) error {
	s, err := parse(args, progress)
	if err != nil {
		return err
	}
	l := &lab{ctx: ctx, dir: s.dir, quick: s.quick, progress: progress}
	l.report.Rounds, l.report.Time = s.rounds, time.Duration(s.seconds*float64(time.Second))
	l.report.load = fmt.Sprintf("events with %d bytes of data and 3 tags; writers x events per append; %d interleaved rounds of %v",
		harness.Default.Bytes, l.report.Rounds, l.report.Time)
	measure := l.fiveRows
	switch {
	case s.floors:
		measure = l.floors
	case s.tuning:
		measure = l.tuning
	case s.strategies:
		measure = l.strategies
	case s.reads:
		measure = l.reads
	}
	if err := l.open(); err != nil {
		return err
	}
	if err := errors.Join(measure(), l.close()); err != nil {
		return err
	}
	if s.asJSON {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(l.report)
	}
	return l.report.print(out, s.markdown)
}

// print writes the tables under a line that says what they were measured on.
func (r report) print(out io.Writer, markdown bool) error {
	_, err := fmt.Fprintf(out, "%v\n%s\n", r.Environment, r.load)
	for _, t := range r.tables {
		if markdown {
			err = errors.Join(err, t.markdown(out))
		} else {
			err = errors.Join(err, t.text(out))
		}
	}
	return err
}

// Command table measures opossum beside other ways of keeping the same events and prints tables.
//
//	go run ./bench/table                 the five-row table: what durability costs
//	go run ./bench/table --floors        appends beside the bare log, conditions, batches, filing
//	go run ./bench/table --tuning        how the bare log was tuned
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

	"opossum/bench"
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
	Environment bench.Environment `json:"environment"`
	Rounds      int               `json:"rounds"`
	Time        time.Duration     `json:"cell_ns"`
	Cells       []cell            `json:"cells"`
	Floors      []floor           `json:"floors,omitempty"`
	Bursts      *bursts           `json:"bursts,omitempty"`

	tables []table // the same for people
}

func run(ctx context.Context, args []string, out, progress io.Writer) error {
	flags := flag.NewFlagSet("table", flag.ContinueOnError)
	flags.SetOutput(progress)
	var (
		dir      = flags.String("dir", "bench-data", "directory on the disk to measure; what it is given is removed again")
		rounds   = flags.Int("rounds", 3, "interleaved rounds, of which the medians are printed")
		seconds  = flags.Float64("seconds", 1, "measured seconds per cell and round")
		quick    = flags.Bool("quick", false, "one round of 0.2 s per cell: does it work at all?")
		floors   = flags.Bool("floors", false, "measure appends against the floors of speed")
		tuning   = flags.Bool("tuning", false, "measure variants of the bare log")
		markdown = flags.Bool("markdown", false, "print Markdown")
		asJSON   = flags.Bool("json", false, "print JSON, with every round")
	)
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *quick {
		*rounds, *seconds = 1, 0.2
	}
	if flags.NArg() > 0 || *rounds < 1 || *seconds <= 0 || *floors && *tuning {
		return fmt.Errorf("want at least one round of more than 0 seconds, one kind of table and no other arguments; see --help")
	}
	l := &lab{ctx: ctx, dir: *dir, quick: *quick, progress: progress}
	l.report.Rounds, l.report.Time = *rounds, time.Duration(*seconds*float64(time.Second))
	measure := l.fiveRows
	switch {
	case *floors:
		measure = l.floors
	case *tuning:
		measure = l.tuning
	}
	if err := l.open(); err != nil {
		return err
	}
	if err := errors.Join(measure(), l.close()); err != nil {
		return err
	}
	if *asJSON {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(l.report)
	}
	return l.report.print(out, *markdown)
}

// print writes the tables under a line that says what they were measured on.
func (r report) print(out io.Writer, markdown bool) error {
	_, err := fmt.Fprintf(out, "%v\nevents with %d bytes of data and 3 tags; writers x events per append; %d interleaved rounds of %v\n",
		r.Environment, bench.Default.Bytes, r.Rounds, r.Time)
	for _, t := range r.tables {
		if markdown {
			err = errors.Join(err, t.markdown(out))
		} else {
			err = errors.Join(err, t.text(out))
		}
	}
	return err
}

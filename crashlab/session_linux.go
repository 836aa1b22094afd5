package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"opossum/crashlab/internal/lab"
	"opossum/crashlab/internal/powercut"
	"opossum/crashlab/internal/sabotage"
)

// least is how many crashes a run for CI must have met, by the first word of the techniques' names: less proves too little, however green.
var least = map[string]uint64{"cuts": 400, "blocks": 600, "models": 250}

// session is a run that ends in a report.
type session struct {
	lab.Report
	env     lab.Env
	out     io.Writer
	path    string // of the report, without the suffix
	workers int
}

// reportFlags are those of commands that write a report.
type reportFlags struct {
	seed    uint64
	path    string
	workers int
}

func (f *reportFlags) add(c *cobra.Command) {
	seedFlag(c, &f.seed)
	workersFlag(c, &f.workers)
	c.Flags().StringVar(&f.path, "report", "crash-report", "where the report goes: this path with .md and .json")
}

// withSession runs do in isolation, and writes the report whatever came of it.
func withSession(c *cobra.Command, f *reportFlags, do func(context.Context, *session) error) error {
	return isolated(func() error {
		env, err := prepare(c.Context())
		if err != nil {
			return err
		}
		env.Keep = keepDir
		s := &session{env: env, out: c.OutOrStdout(), path: f.path, workers: f.workers}
		s.Command, s.Seed, s.CPUs, s.Started = strings.Join(append([]string{"crashlab"}, os.Args[1:]...), " "), f.seed, runtime.NumCPU(), time.Now()
		s.Commit, s.Kernel = commit(c.Context()), kernel()
		fmt.Fprintf(s.out, "seed %d, commit %s, Linux %s\n", s.Seed, s.Commit, s.Kernel)
		err = do(c.Context(), s)
		printLosses(s.out, s.Report)
		if err != nil {
			s.Failures = append(s.Failures, err.Error())
		}
		return errors.Join(err, s.write(), s.judge())
	})
}

// run runs a technique, adds it to the report and prints what it came to.
func (s *session) run(ctx context.Context, t lab.Technique, b lab.Bound) (lab.Outcome, error) {
	out, err := lab.Run(ctx, t, s.env, s.Seed, b, s.workers)
	s.Merge(out)
	printOutcome(s.out, out)
	return out, errors.Join(err, s.write())
}

// write writes the report; it is called often, so that a run that is killed leaves what it had.
func (s *session) write() error {
	s.Took = time.Since(s.Started)
	b, err := json.MarshalIndent(s.Report, "", "  ")
	if err != nil {
		return err
	}
	return errors.Join(os.WriteFile(s.path+".json", append(b, '\n'), 0o644), os.WriteFile(s.path+".md", []byte(s.Markdown()), 0o644))
}

// judge returns errFindings if anything was found, or escaped.
func (s *session) judge() error {
	printFindings(s.out, s.Findings()) // once more: of a long output people, and CI, see the end
	fmt.Fprintf(s.out, "%d findings in %v; the report is in %s.md and .json\n", len(s.Findings()), s.Took.Round(time.Second), s.path)
	var errs []error
	for _, name := range s.Escaped() {
		errs = append(errs, fmt.Errorf("the sabotage %s escaped: %w", name, errFindings))
	}
	if len(s.Findings()) > 0 {
		errs = append(errs, errFindings)
	}
	return errors.Join(errs...)
}

// enough returns an error for every kind of technique that met too little, and for every flush strategy of which too little is proved.
func (s *session) enough() error {
	met := map[string]uint64{}
	for _, o := range s.Outcomes {
		kind, _, _ := strings.Cut(o.Technique, "/")
		met[kind] += o.Crashes
		if o.Crashes == 0 {
			return fmt.Errorf("%s met no crash at all", o.Technique)
		}
	}
	var errs []error
	for kind, want := range least {
		if met[kind] < want {
			errs = append(errs, fmt.Errorf("%s met %d crashes, and a run must meet %d", kind, met[kind], want))
		}
	}
	errs = append(errs, powercut.Unproved(s.Losses()))
	return errors.Join(errs...)
}

// printLosses prints what power cuts took, if there were any.
func printLosses(w io.Writer, r lab.Report) {
	for _, line := range powercut.Summary(r.Losses()) {
		fmt.Fprintln(w, line)
	}
}

func printOutcome(w io.Writer, o lab.Outcome) {
	fmt.Fprintf(w, "%-32s %6d cases %7d crashes %9d acks verified %3d findings %8v\n", o.Technique, o.Cases, o.Crashes, o.Acked, len(o.Findings), o.Took.Round(100*time.Millisecond))
	printFindings(w, o.Findings)
}

func printFindings(w io.Writer, found []lab.Finding) {
	for _, f := range found {
		fmt.Fprintf(w, "  FINDING at %s: %s\n    %s\n", f.At, f.What, f.Replay())
		if f.Kept != "" {
			fmt.Fprintf(w, "    go run ./crashlab replay-state %s\n", f.Kept)
		}
	}
}

func ciCommand() *cobra.Command {
	var f reportFlags
	c := &cobra.Command{
		Use: "ci", Short: "Run every technique as often as CI does, and every sabotage", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return withSession(c, &f, func(ctx context.Context, s *session) error {
				for _, t := range techniques() {
					if _, err := s.run(ctx, t, lab.Bound{Cases: t.Quick}); err != nil {
						return err
					}
				}
				if err := s.enough(); err != nil {
					return err
				}
				return s.sabotage(ctx, sabotage.All)
			})
		},
	}
	f.add(c)
	return c
}

func soakCommand() *cobra.Command {
	var f reportFlags
	minutes := 60
	c := &cobra.Command{
		Use: "soak", Short: "Crash for a long time", Args: cobra.NoArgs,
		Example: "  crashlab soak --minutes 60",
		RunE: func(c *cobra.Command, _ []string) error {
			return withSession(c, &f, func(ctx context.Context, s *session) error {
				return s.soak(ctx, time.Duration(minutes)*time.Minute)
			})
		},
	}
	f.add(c)
	c.Flags().IntVar(&minutes, "minutes", minutes, "how long")
	return c
}

// soakRounds is how often a soak comes back to each technique: an early end leaves something of every one.
const soakRounds = 4

// soak gives the techniques that have an end, which are run once, a quarter of the time at most, and shares the rest among the others.
func (s *session) soak(ctx context.Context, long time.Duration) error {
	end := time.Now().Add(long)
	shares, finite := 0, 0
	for _, t := range techniques() {
		if shares += t.Share; t.Share == 0 {
			finite++
		}
	}
	for _, t := range techniques() {
		if t.Share > 0 {
			continue
		}
		if _, err := s.run(ctx, t, lab.Bound{Until: time.Now().Add(long / 4 / time.Duration(finite))}); err != nil {
			return err
		}
	}
	next := map[string]uint64{}
	for round := range soakRounds {
		slice := time.Until(end) / time.Duration(soakRounds-round)
		for _, t := range techniques() {
			if t.Share == 0 {
				continue
			}
			until := time.Now().Add(slice * time.Duration(t.Share) / time.Duration(shares))
			out, err := s.run(ctx, t, lab.Bound{First: next[t.Name], Until: until})
			if err != nil {
				return err
			}
			next[t.Name] += out.Cases
		}
	}
	return nil
}

// commit names the code that is crashed.
func commit(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty", "--abbrev=12").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

func kernel() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(u.Release[:])
}

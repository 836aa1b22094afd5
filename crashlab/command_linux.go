package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/spf13/cobra"

	"opossum/crashlab/internal/blockreplay"
	"opossum/crashlab/internal/host"
	"opossum/crashlab/internal/lab"
	"opossum/crashlab/internal/variant"
)

func newCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "crashlab",
		Short: "Prove that the event store loses nothing that it acknowledged",
		Long: `Crashlab crashes the event store in every way it knows, on real file systems, and checks each time that everything
that was acknowledged is there, whole, unaltered and in its place.

It needs Linux, root, loop devices and FUSE, and runs in a clone, because it builds what it crashes. It leaves no mounts,
loop devices or processes behind, however it ends.

Exit status: 0 nothing was found; 1 the lab itself failed; 2 there are findings.`,
		SilenceErrors: true, SilenceUsage: true,
	}
	c.AddCommand(ciCommand(), soakCommand(), listCommand(), runCommand(), replayCommand(), replayStateCommand(), sabotageCommand())
	return c
}

func listCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the techniques", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			for _, t := range techniques() {
				fmt.Fprintf(c.OutOrStdout(), "%-24s %s\n", t.Name, t.About)
			}
			return nil
		},
	}
}

func runCommand() *cobra.Command {
	var seed, cases, first uint64
	var workers int
	c := &cobra.Command{
		Use: "run [TECHNIQUE...]", Short: "Run some techniques, by default all, as often as CI does",
		Example: "  crashlab run cuts/ext4 --cases 1000",
		RunE: func(c *cobra.Command, args []string) error {
			some, err := chosen(args)
			if err != nil {
				return err
			}
			return isolated(func() error {
				env, err := prepare(c.Context())
				if err != nil {
					return err
				}
				env.Keep = keepDir
				var all lab.Report
				for _, t := range some {
					n := t.Quick
					if cases > 0 {
						n = cases
					}
					out, err := lab.Run(c.Context(), t, env, seed, lab.Bound{Cases: n, First: first}, workers)
					all.Merge(out)
					printOutcome(c.OutOrStdout(), out)
					for _, what := range slices.Sorted(maps.Keys(out.Met)) {
						fmt.Fprintf(c.OutOrStdout(), "  %7d %s\n", out.Met[what], what)
					}
					if err != nil {
						return err
					}
				}
				printLosses(c.OutOrStdout(), all)
				if len(all.Findings()) > 0 {
					return errFindings
				}
				return nil
			})
		},
	}
	seedFlag(c, &seed)
	c.Flags().Uint64Var(&cases, "cases", 0, "of each technique; by default as many as in CI")
	c.Flags().Uint64Var(&first, "first", 0, "the index of the first case")
	workersFlag(c, &workers)
	return c
}

func seedFlag(c *cobra.Command, seed *uint64) {
	c.Flags().Uint64Var(seed, "seed", rand.Uint64N(1<<32), "of everything random (by default another one each time)")
	c.Flags().Lookup("seed").DefValue = ""
}

func workersFlag(c *cobra.Command, workers *int) {
	c.Flags().IntVar(workers, "workers", runtime.NumCPU(), "cases at a time")
}

func replayCommand() *cobra.Command {
	var seed, index uint64
	c := &cobra.Command{
		Use: "replay TECHNIQUE", Short: "Run one case again", Args: cobra.ExactArgs(1),
		Example: "  crashlab replay cuts/ext4 --seed 7 --index 12",
		RunE: func(c *cobra.Command, args []string) error {
			run := runCommand()
			run.SetContext(c.Context())
			return errors.Join(
				run.Flags().Set("seed", fmt.Sprint(seed)), run.Flags().Set("first", fmt.Sprint(index)), run.Flags().Set("cases", "1"),
				run.RunE(run, args))
		},
	}
	c.Flags().Uint64Var(&seed, "seed", 0, "as the finding says")
	c.Flags().Uint64Var(&index, "index", 0, "as the finding says")
	return c
}

// keepDir is where findings keep what can be looked at.
const keepDir = "crash-findings"

func replayStateCommand() *cobra.Command {
	return &cobra.Command{
		Use: "replay-state DIR", Short: "Judge a disk again that a finding of blocks/* has kept", Args: cobra.ExactArgs(1),
		Example: "  crashlab replay-state " + keepDir + "/blocks-ext4-7-12-0-1234",
		RunE: func(c *cobra.Command, args []string) error {
			return isolated(func() error {
				env, err := prepare(c.Context())
				if err != nil {
					return err
				}
				found, err := blockreplay.Judge(c.Context(), env.Worker, args[0], env.Scratch)
				if err != nil {
					return err
				}
				if found != "" {
					fmt.Fprintln(c.OutOrStdout(), "FINDING:", found)
					return errFindings
				}
				fmt.Fprintln(c.OutOrStdout(), "nothing was found")
				return nil
			})
		},
	}
}

// prepare builds what is crashed.
func prepare(ctx context.Context) (lab.Env, error) {
	env := lab.Env{
		Scratch: filepath.Join(host.Memory, "cases"), Worker: filepath.Join(host.Memory, "worker"), Points: filepath.Join(host.Memory, "worker-points"),
	}
	root, err := variant.Root()
	if err != nil {
		return env, err
	}
	for out, tags := range map[string][]string{env.Worker: nil, env.Points: {"crashlab"}} {
		scratch, err := os.MkdirTemp(host.Memory, "build-")
		if err != nil {
			return env, err
		}
		if err := variant.Build(ctx, root, variant.Worker, out, scratch, tags, nil); err != nil {
			return env, err
		}
	}
	return env, nil
}

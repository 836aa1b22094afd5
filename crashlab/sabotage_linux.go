package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"opossum/crashlab/internal/lab"
	"opossum/crashlab/internal/sabotage"
)

func sabotageCommand() *cobra.Command {
	var f reportFlags
	c := &cobra.Command{
		Use: "sabotage [NAME...]", Short: "Build known bugs into the engine, by default all, and demand that each is caught",
		Example: "  crashlab sabotage trim-before-checkpoint",
		RunE: func(c *cobra.Command, args []string) error {
			all, err := sabotage.Chosen(args)
			if err != nil {
				return err
			}
			return withSession(c, &f, func(ctx context.Context, s *session) error { return s.sabotage(ctx, all) })
		},
	}
	f.add(c)
	return c
}

// sabotage demands that each bug is caught, and adds to the report what became of it.
func (s *session) sabotage(ctx context.Context, all []sabotage.Sabotage) error {
	return sabotage.Run(ctx, s.env, s.Seed, s.workers, all, techniques(), func(r lab.Sabotaged) error {
		s.Sabotages = append(s.Sabotages, r)
		printSabotaged(s.out, r)
		return s.write()
	})
}

func printSabotaged(w io.Writer, r lab.Sabotaged) {
	verdict, text := "ESCAPED", ""
	switch {
	case r.Caught:
		verdict, text = "caught by "+r.By, r.What
		if r.Uncatchable != "" {
			text += " (and it was thought that none could: " + r.Uncatchable + ")"
		}
	case r.Uncatchable != "":
		verdict, text = "not caught", "as expected: "+r.Uncatchable
	}
	fmt.Fprintf(w, "%-32s %-32s %7d crashes %8v\n", r.Name, verdict, r.Crashes, r.Took.Round(100*time.Millisecond))
	if text != "" {
		fmt.Fprintf(w, "    %.400s\n", text)
	}
}

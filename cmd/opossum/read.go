package main

import (
	"context"
	"errors"
	"iter"

	"github.com/spf13/cobra"

	"opossum"
)

// readFlags are the flags of `read`.
type readFlags struct {
	match     queryFlag
	after     uint64
	limit     int
	backwards bool
	last      bool
}

func newRead(a *app) *cobra.Command {
	var f readFlags
	cmd := &cobra.Command{
		Use:   "read",
		Short: "Print the events that match",
		Long: `read prints the events of the store in order, a line for each: those that match, or all without --match. Reading sees
the store as it is when the command starts. With --json every line is an event in the form that append takes, and its
position.`,
		Example: `  opossum read --dir demo-data --match tag=course:t1-7
  opossum read --dir demo-data --match 'type=StudentEnrolled tag=student:t1-7' --backwards --json
  opossum read --dir demo-data --match type=StudentRegistered,CourseCreated --after 20 --limit 10
  opossum read --dir demo-data --match type=CourseCreated --last`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withReader(cmd, func(ctx context.Context, e *opossum.Engine) error {
				p := newPrinter(cmd.OutOrStdout(), a.json)
				err := p.all(f.events(ctx, e))
				if errors.Is(err, context.Canceled) {
					return &reworded{"after " + counted(p.printed, "event"), err}
				}
				return err
			})
		},
	}
	addQueryFlag(cmd, &f.match, "match", "only events that match (repeatable: any of the queries)")
	flags := cmd.Flags()
	flags.Uint64Var(&f.after, "after", 0, "only events after this position")
	flags.IntVar(&f.limit, "limit", 0, "at most so many events (0: all)")
	flags.BoolVar(&f.backwards, "backwards", false, "newest first")
	flags.BoolVar(&f.last, "last", false, "only the newest event that matches; an error if there is none")
	for _, other := range []string{"after", "limit", "backwards"} {
		cmd.MarkFlagsMutuallyExclusive("last", other)
	}
	return cmd
}

// events yields what the flags ask for; an error is yielded once, last.
func (f *readFlags) events(ctx context.Context, e *opossum.Engine) iter.Seq2[opossum.SequencedEvent, error] {
	if f.last {
		return func(yield func(opossum.SequencedEvent, error) bool) { yield(e.ReadLast(ctx, f.match.query())) }
	}
	view, err := e.Read(ctx, f.match.query(), opossum.ReadOptions{
		After:     opossum.Position(f.after),
		Backwards: f.backwards,
		Limit:     f.limit,
	})
	if err != nil {
		return func(yield func(opossum.SequencedEvent, error) bool) { yield(opossum.SequencedEvent{}, err) }
	}
	return view.All()
}

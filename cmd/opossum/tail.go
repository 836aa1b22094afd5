package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"opossum"
)

// tailFlags are the flags of `tail`.
type tailFlags struct {
	match queryFlag
	after uint64
	last  int
	from  bool // after was given
}

func newTail(a *app) *cobra.Command {
	var f tailFlags
	cmd := &cobra.Command{
		Use:   "tail",
		Short: "Print events as they come",
		Long: `tail prints the events that match, or all without --match, a line for each as soon as it is there, until it is
interrupted; then its status is 0. It begins with the next event, or where --after or --last say. Lines are those of
read.`,
		Example: `  opossum tail --dir demo-data --last 3
  opossum tail --dir demo-data --match type=StudentEnrolled --after 100 --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f.from = cmd.Flags().Changed("after")
			return a.withReader(cmd, func(ctx context.Context, e *opossum.Engine) error {
				err := f.follow(ctx, e, newPrinter(cmd.OutOrStdout(), a.json))
				if errors.Is(err, context.Canceled) {
					return nil
				}
				return err
			})
		},
	}
	addQueryFlag(cmd, &f.match, "match", "only events that match (repeatable: any of the queries)")
	flags := cmd.Flags()
	flags.Uint64Var(&f.after, "after", 0, "begin after this position (default: the newest)")
	flags.IntVar(&f.last, "last", 0, "begin with the last so many events that match")
	cmd.MarkFlagsMutuallyExclusive("after", "last")
	return cmd
}

// follow prints what matches until ctx ends or something fails, and returns why. What exists is read first, because that
// is let out in large pieces; what comes is let out one by one. A view's head is where a subscription goes on without a gap.
func (f *tailFlags) follow(ctx context.Context, e *opossum.Engine, p *printer) error {
	after, err := f.start(ctx, e)
	if err != nil {
		return err
	}
	view, err := e.Read(ctx, f.match.query(), opossum.ReadOptions{After: after})
	if err != nil {
		return err
	}
	if err := p.all(view.All()); err != nil {
		return err
	}
	live, err := e.Subscribe(ctx, f.match.query(), max(after, view.Head()))
	if err != nil {
		return err
	}
	return p.each(live.All())
}

// start returns the position after which the flags want to begin.
func (f *tailFlags) start(ctx context.Context, e *opossum.Engine) (opossum.Position, error) {
	if f.from {
		return opossum.Position(f.after), nil
	}
	if f.last == 0 {
		return e.Head(), nil
	}
	view, err := e.Read(ctx, f.match.query(), opossum.ReadOptions{Backwards: true, Limit: f.last})
	if err != nil {
		return 0, err
	}
	after := view.Head()
	for ev, err := range view.All() {
		if err != nil {
			return 0, err
		}
		after = ev.Position - 1
	}
	return after, nil
}

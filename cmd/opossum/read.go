package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"iter"
	"strings"

	"github.com/spf13/cobra"

	"opossum"
)

// readFlags are the flags of `read`.
type readFlags struct {
	types     []string
	tags      []string
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
		Long: `read prints the events of the store in order, a line for each. Without --type and --tag it prints all events.

An event matches if its type is one of the given types and it has all of the given tags. Reading sees the store as it is
when the command starts. With --json every line is an event in the form that append takes, and its position.`,
		Example: `  opossum read --dir demo-data --tag course:t1-7
  opossum read --dir demo-data --type StudentEnrolled --tag student:t1-42 --last
  opossum read --dir demo-data --type StudentRegistered,CourseCreated --after 1000 --limit 10 --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withStore(cmd, refuseAbsent, func(ctx context.Context, e *opossum.Engine) error {
				out := bufio.NewWriter(cmd.OutOrStdout())
				if err := printEvents(out, f.events(ctx, e), a.json); err != nil {
					return err
				}
				return out.Flush()
			})
		},
	}
	flags := cmd.Flags()
	flags.StringSliceVar(&f.types, "type", nil, "only events of these types (repeatable, or separated by commas)")
	flags.StringArrayVar(&f.tags, "tag", nil, "only events that have this tag (repeatable: all of them)")
	flags.Uint64Var(&f.after, "after", 0, "only events after this position")
	flags.IntVar(&f.limit, "limit", 0, "at most so many events (0: all)")
	flags.BoolVar(&f.backwards, "backwards", false, "newest first")
	flags.BoolVar(&f.last, "last", false, "only the newest event that matches; an error if there is none")
	for _, other := range []string{"after", "limit", "backwards"} {
		cmd.MarkFlagsMutuallyExclusive("last", other)
	}
	return cmd
}

func (f readFlags) query() opossum.Query {
	if len(f.types) == 0 && len(f.tags) == 0 {
		return opossum.AllEvents()
	}
	item := opossum.QueryItem{Types: f.types}
	for _, tag := range f.tags {
		item.Tags = append(item.Tags, opossum.Tag(tag))
	}
	return opossum.Match(item)
}

// events yields what the flags ask for; an error is yielded once, last.
func (f readFlags) events(ctx context.Context, e *opossum.Engine) iter.Seq2[opossum.SequencedEvent, error] {
	if f.last {
		return func(yield func(opossum.SequencedEvent, error) bool) { yield(e.ReadLast(ctx, f.query())) }
	}
	view, err := e.Read(ctx, f.query(), opossum.ReadOptions{
		After:     opossum.Position(f.after),
		Backwards: f.backwards,
		Limit:     f.limit,
	})
	if err != nil {
		return func(yield func(opossum.SequencedEvent, error) bool) { yield(opossum.SequencedEvent{}, err) }
	}
	return view.All()
}

// printEvents prints a line for each event. What came before an error has been printed when it returns the error.
func printEvents(out *bufio.Writer, events iter.Seq2[opossum.SequencedEvent, error], json bool) error {
	var line []byte
	for ev, err := range events {
		if err != nil {
			return firstError(out.Flush(), err)
		}
		if !json {
			printLine(out, ev)
			continue
		}
		if line, err = appendLine(line[:0], ev); err != nil {
			return err
		}
		if _, err := out.Write(append(line, '\n')); err != nil {
			return err
		}
	}
	return nil
}

func printLine(w io.Writer, ev opossum.SequencedEvent) {
	tags := make([]string, len(ev.Event.Tags))
	for i, tag := range ev.Event.Tags {
		tags[i] = word(string(tag))
	}
	line := fmt.Sprintf("%8d  %s  %s  [%s]  %s", ev.Position, ev.Event.Time.UTC().Format("2006-01-02T15:04:05.000Z"),
		word(ev.Event.Type), strings.Join(tags, " "), excerpt(ev.Event.Data))
	fmt.Fprintln(w, strings.TrimRight(line, " "))
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"opossum"
)

func newAppend(a *app) *cobra.Command {
	var f appendFlags
	var engine *engineFlags
	cmd := &cobra.Command{
		Use:   "append [FILE...]",
		Short: "Append events, one JSON object a line",
		Long: `append reads events from the files, or from standard input, and appends them to the store, which it creates
if the directory does not exist or is empty. Each line is one event:

  {"type": "...", "tags": ["..."], "data": ANY JSON, "id": "UUID", "metadata": {"key": "value"}, "time": "RFC 3339"}

Only type is required. Instead of data, dataText takes a text and dataBase64 binary data. The members position and
checksum, which read and event files add, are ignored; any other member is an error. Empty lines are skipped.

Each event is appended on its own, in order; with --batch all of them become one append, which is there wholly or not at
all (at most 16 MiB). The position of each event is printed as soon as the event is acknowledged, which is when it is durable unless
--flush says otherwise; with --json, one object
for each append with the position of its last event and the number of its events.

A condition is checked atomically with the append, which has to be one: a single event, or --batch. --fail-if-match looks
at the events after the position --after, which is the newest that the decision rests on; --fail-if-exists at all
events. If one matches, nothing is appended, the error names its position, and the status is 3.

An append whose event has an ID, and whose condition matches that event, can be repeated safely: if it happened before, it
prints its position again.

The first bad line ends the command. The error names the line and what was appended before it.`,
		Example: `  echo '{"type":"CourseCreated","tags":["course:c1"],"data":{"capacity":30}}' | opossum append --dir store
  opossum read --dir store --json | opossum append --dir copy --batch
  echo '{"type":"Enrolled","tags":["course:c1"]}' | opossum append --dir store --fail-if-match tag=course:c1 --after 1
  echo '{"type":"Paid","tags":["order:7"]}' | opossum append --dir store --fail-if-exists tag=order:7 --id 0199a8f0-0000-7000-8000-000000000007`,
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: cobra.FixedCompletions(nil, cobra.ShellCompDirectiveDefault), // files
		RunE: func(cmd *cobra.Command, files []string) error {
			if err := f.check(cmd.Flags()); err != nil {
				return err
			}
			return a.withOwnStore(cmd, engine, func(ctx context.Context, e *opossum.Engine) error {
				p := &appender{ctx: ctx, engine: e, flags: &f, out: cmd.OutOrStdout(), json: a.json}
				return p.explained(p.run(readEvents(ctx, files, cmd.InOrStdin())))
			})
		},
	}
	engine = addEngineFlags(cmd, slog.LevelWarn)
	flags := cmd.Flags()
	flags.BoolVar(&f.batch, "batch", false, "append all events as one: wholly or not at all")
	flags.Uint64Var(&f.after, "after", 0, "--fail-if-match looks at events after this position")
	flags.TextVar(&f.id, "id", uuid.Nil, "ID of the event, a `UUID`; there may be one event only")
	flags.Lookup("id").DefValue = "" // the zero UUID is none
	addQueryFlag(cmd, &f.failIfMatch, "fail-if-match", "append only if no event after --after matches (repeatable: any of the queries)")
	addQueryFlag(cmd, &f.failIfExists, "fail-if-exists", "append only if no event at all matches (repeatable: any of the queries)")
	return cmd
}

// appender appends what it is given and remembers what is durable.
type appender struct {
	ctx    context.Context
	engine *opossum.Engine
	flags  *appendFlags
	out    io.Writer
	json   bool

	first, last opossum.Position // of what was appended; 0 if nothing was
}

func (p *appender) run(events iter.Seq2[inputEvent, error]) error {
	if p.flags.one() {
		gathered, err := p.flags.gather(events)
		if err != nil {
			return err
		}
		return p.append(gathered)
	}
	for in, err := range events {
		if err != nil {
			return err
		}
		if err := p.append([]opossum.Event{in.event}); err != nil {
			return fmt.Errorf("%s: %w", in.place, err)
		}
	}
	return nil
}

// append appends the events as one and prints where they are.
func (p *appender) append(events []opossum.Event) error {
	last, err := p.engine.Append(p.ctx, events, p.flags.condition())
	if err != nil {
		return p.flags.refusal(err)
	}
	first := last - opossum.Position(len(events)) + 1
	if p.first == 0 {
		p.first = first
	}
	p.last = last
	if err := p.print(first, last); err != nil {
		return errors.New("the position cannot be printed: " + err.Error()) // even a closed pipe is an error here: there may be more to append
	}
	return nil
}

func (p *appender) print(first, last opossum.Position) error {
	if p.json {
		return json.NewEncoder(p.out).Encode(struct {
			Position opossum.Position `json:"position"`
			Events   int              `json:"events"`
		}{last, int(last - first + 1)})
	}
	var text []byte
	for pos := first; pos <= last; pos++ {
		text = fmt.Appendln(text, pos)
	}
	_, err := p.out.Write(text)
	return err
}

// explained adds to an error what was appended before it; to an interruption that leaves nothing open, instead of it.
func (p *appender) explained(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled) && !errors.Is(err, opossum.ErrOutcomeUnknown):
		return &reworded{p.done(), err}
	default:
		return fmt.Errorf("%w (%s)", err, p.done())
	}
}

// done says what was appended. The positions are contiguous: this process owns the store.
func (p *appender) done() string {
	switch p.last {
	case 0:
		return "nothing was appended"
	case p.first:
		return fmt.Sprintf("appended before: position %d", p.first)
	default:
		return fmt.Sprintf("appended before: positions %d to %d", p.first, p.last)
	}
}

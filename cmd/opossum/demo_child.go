package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"

	"github.com/spf13/cobra"

	"opossum"
)

// demoChildName is the command that the demo starts and kills.
const demoChildName = "demo-child"

func newDemoChild(a *app) *cobra.Command {
	var events, writers int
	var engine *engineFlags
	cmd := &cobra.Command{
		Use:    demoChildName,
		Short:  "Run the demo's load until killed",
		Hidden: true,
		Long: `demo-child is the process that the demo kills. It runs one term of the load after the other, and writes a line to
standard output for every acknowledged append. It ends when standard input does: not even a parent that was killed
leaves it behind.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			go dieWith(cmd.InOrStdin())
			return a.withOwnStore(cmd, engine, func(ctx context.Context, e *opossum.Engine) error {
				return runTerms(ctx, e, events, writers, cmd.OutOrStdout())
			})
		},
	}
	engine = addEngineFlags(cmd, slog.LevelWarn)
	cmd.Flags().IntVar(&events, "events", minEvents, "appends of one term")
	cmd.Flags().IntVar(&writers, "writers", 1, "concurrent writers")
	return cmd
}

// dieWith ends the process when r does, at once: to be killed is what this process is for.
func dieWith(r io.Reader) {
	if _, err := io.Copy(io.Discard, r); err != nil {
		fmt.Fprintln(os.Stderr, "opossum:", err)
	}
	fmt.Fprintln(os.Stderr, "opossum: the parent process is gone")
	os.Exit(exitError)
}

// runTerms runs term after term until an error ends it. It writes an ack to out before the writer goes on.
func runTerms(ctx context.Context, e *opossum.Engine, events, writers int, out io.Writer) error {
	var mu sync.Mutex
	acked := func(writer int, ev opossum.SequencedEvent) error {
		a, err := newAck(writer, ev)
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		return a.send(out)
	}
	for term := 2; ; term++ { // the parent ran the first
		l := newLoad(e, fmt.Sprintf("t%d", term), events, writers, acked)
		if err := l.campus.fill(ctx, e); err != nil {
			return err
		}
		if _, err := l.run(ctx); err != nil {
			return err
		}
	}
}

// fill adds the students and courses of earlier terms, as the store tells them.
func (c *campus) fill(ctx context.Context, e *opossum.Engine) error {
	view, err := e.Read(ctx, opossum.ByTypes(studentRegistered, courseCreated), opossum.ReadOptions{})
	if err != nil {
		return err
	}
	for ev, err := range view.All() {
		if err != nil {
			return err
		}
		var data enrolment // the ID of either is in the member that enrolments have for it
		if err := json.Unmarshal(ev.Event.Data, &data); err != nil {
			return fmt.Errorf("position %d: %w", ev.Position, err)
		}
		if ev.Event.Type == courseCreated {
			c.addCourse(data.Course)
		} else {
			c.addStudent(data.Student)
		}
	}
	return nil
}

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"opossum"
)

// demoLogLevel keeps the engine from warning of the recovery that is the point of the demo, and reported by it.
const demoLogLevel = slog.LevelError

// demoDir is where the demo goes if nobody says otherwise.
const demoDir = "demo-data"

func newDemo(a *app) *cobra.Command {
	var events, writers int
	var engine *engineFlags
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run a course enrolment under load, kill it, and prove that nothing was lost",
		Long: `demo makes a store in ./demo-data (or in --dir) and lets many writers at once register students with unique e-mail
addresses, create courses, and enrol students under the condition that the course has a free seat and the student is
neither in it already nor at her limit. It reports throughput, latency, conflicts, lag and sizes.

Then it runs the same load in a second process, kills that in mid-append, opens the store again, and proves: every
acknowledged append is there, in order and byte for byte; no course is over its capacity; no student is enrolled twice or
above her limit; a known e-mail address is refused. If anything is violated it says what, and its status is not 0.

The store is kept to be looked at. An earlier demo in the same directory is deleted; any other directory that is not
empty is left alone.`,
		Example: "  opossum demo --events 1000\n  opossum demo --events 500 --writers 16 --dir other-data --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if events < minEvents || events > maxEvents {
				return usagef("--events %d: from %d to %d are possible", events, minEvents, maxEvents)
			}
			if writers < 1 || writers > maxWriters {
				return usagef("--writers %d: from 1 to %d are possible", writers, maxWriters)
			}
			if err := engine.check(); err != nil {
				return err
			}
			dir, err := a.storeDir()
			if err != nil {
				dir = demoDir
			}
			d := &demo{dir: filepath.Clean(dir), events: events, writers: writers, engine: engine,
				json: a.json, out: bufio.NewWriter(cmd.OutOrStdout()), stderr: cmd.ErrOrStderr()}
			err = d.run(cmd.Context())
			if cmd.Context().Err() != nil {
				return &reworded{"what was acknowledged is kept in " + d.dir, cmd.Context().Err()}
			}
			return err
		},
	}
	engine = addEngineFlags(cmd, demoLogLevel)
	cmd.Flags().IntVar(&events, "events", 50_000, "appends of the load")
	cmd.Flags().IntVar(&writers, "writers", 64, "concurrent writers")
	return cmd
}

// demo is one run of the demo.
type demo struct {
	dir             string
	events, writers int
	engine          *engineFlags
	json            bool
	out             *bufio.Writer // keeps the first error until the end
	stderr          io.Writer

	witness witness
	report  demoReport
}

// run tells the story: load, crash, proof, and where to look. Without --json each part is printed when it is over.
func (d *demo) run(ctx context.Context) error {
	d.report = demoReport{Dir: d.dir, Writers: d.writers}
	if err := clearDemo(d.dir, d.stderr); err != nil {
		return err
	}
	if err := d.load(ctx); err != nil {
		return err
	}
	d.say(d.report.Load.text())
	if err := d.kill(ctx); err != nil {
		return err
	}
	if err := d.recover(ctx); err != nil {
		return err
	}
	if d.json {
		if err := writeJSON(d.out, d.report); err != nil {
			return err
		}
	}
	if n := len(d.report.Proof.Violations); n > 0 {
		return firstError(fmt.Errorf("the proof failed: %s", counted(n, "violation")), d.out.Flush())
	}
	return d.out.Flush()
}

// say prints text for people.
func (d *demo) say(text string) {
	if !d.json {
		_, _ = d.out.WriteString(text)
		_ = d.out.Flush() // now, not at the end
	}
}

// load runs one term in this process and waits until all of it is filed.
func (d *demo) load(ctx context.Context) (err error) {
	e, err := d.engine.open(d.dir, d.stderr)
	if err != nil {
		return err
	}
	defer func() { err = firstError(err, e.Close()) }()
	if err := os.WriteFile(filepath.Join(d.dir, demoMarker), []byte(demoMarkerText), 0o644); err != nil {
		return err
	}
	d.say(d.report.heading()) // from here on the directory is this demo's

	bar := d.progress(d.events, "enrolling")
	l := newLoad(e, "t1", d.events, d.writers, func(writer int, ev opossum.SequencedEvent) error {
		a, err := newAck(writer, ev)
		if err != nil {
			return err
		}
		d.witness.add(a)
		return bar.Add(1)
	})
	times, err := l.run(ctx)
	if err := firstError(err, bar.Finish()); err != nil {
		return err
	}
	r := &d.report.Load
	r.set(l, times)
	r.Groups = groupSizesOf(e.Metrics())
	r.Lag = e.Head() - e.Materialized()
	start := time.Now()
	if err := d.drain(ctx, e); err != nil {
		return err
	}
	r.Drained = millis(time.Since(start))
	r.Disk, err = measureStore(d.dir)
	return err
}

// drain waits until everything is filed, and shows how far that is.
func (d *demo) drain(ctx context.Context, e *opossum.Engine) error {
	const step = 100 * time.Millisecond
	from, to := e.Materialized(), e.Head()
	if from == to {
		return nil
	}
	bar := d.progress(int(to-from), "filing")
	for {
		waiting, cancel := context.WithTimeout(ctx, step)
		err := e.WaitMaterialized(waiting, to)
		cancel()
		if err == nil || ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded) {
			return firstError(err, bar.Finish())
		}
		if err := bar.Set64(int64(e.Materialized() - from)); err != nil {
			return err
		}
	}
}

// set takes over what the writers have counted.
func (r *loadReport) set(l *load, t loadTimes) {
	r.Students, r.Courses, r.Enrolments = l.plan.students, l.plan.courses, l.plan.enrolments
	r.Registering = rate{l.plan.students + l.plan.courses, t.registering + t.creating}
	r.Enrolling = rate{l.plan.enrolments, t.enrolling}
	r.Total = rate{r.Registering.Appends + r.Enrolling.Appends, r.Registering.Took + r.Enrolling.Took}
	counts, latency := l.totals()
	r.Counted, r.Latency = counts, latenciesOf(latency)
}

// kill runs the load in a child process, a quarter of it a term, and kills that somewhere in its first term.
func (d *demo) kill(ctx context.Context) error {
	term := max(d.events/4, minEvents)
	killAfter := term/4 + rand.IntN(term/2)
	child, err := childCommand(d.dir, term, d.writers, d.engine.args())
	if err != nil {
		return err
	}
	bar := d.progress(killAfter, "enrolling, to be killed")
	d.report.Crash.Acknowledged, err = crash(ctx, child, killAfter, &d.witness, func() error { return bar.Add(1) })
	return firstError(err, bar.Finish())
}

// recover opens the store that the child left behind, and compares.
func (d *demo) recover(ctx context.Context) (err error) {
	e, err := d.engine.open(d.dir, d.stderr)
	if err != nil {
		return err
	}
	defer func() { err = firstError(err, e.Close()) }()
	d.report.Crash.Recovery = e.Recovery()
	d.say(d.report.Crash.text())

	if d.report.Proof, err = prove(ctx, e, d.witness.acks, d.writers); err != nil {
		return err
	}
	d.say(d.report.Proof.text())
	if err := d.drain(ctx, e); err != nil {
		return err
	}
	if d.report.Example, err = newestEventFile(d.dir); err != nil {
		return err
	}
	d.say(d.report.ending())
	return nil
}

// progress returns a bar on standard error, or one that shows nothing where nobody would see it move.
func (d *demo) progress(total int, what string) *progressbar.ProgressBar {
	if !isTerminal(d.stderr) {
		return progressbar.DefaultSilent(int64(total))
	}
	return newBar(d.stderr, int64(total), what,
		progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionSetItsString("events"))
}

// firstError returns the first error that is one.
func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

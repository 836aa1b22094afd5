package harness

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"time"
)

// Job is one measurement as a value, which a process of its own makes: then memory, the garbage collector and what the system counts for
// a process belong to one way alone, and ways whose libraries are in another module can be asked too. One of its parts is set.
type Job struct {
	Way  string   `json:"way"`
	Load *LoadJob `json:"load,omitempty"`
}

// LoadJob is a [Cell] but for its way.
type LoadJob struct {
	Load            string        `json:"load"`
	Bytes           int           `json:"bytes"`
	Tags            int           `json:"tags,omitempty"`
	NoFlush         bool          `json:"no_flush,omitempty"`
	Writers         int           `json:"writers"`
	EventsPerAppend int           `json:"events_per_append"`
	Time            time.Duration `json:"time_ns,omitempty"`
	Events          int           `json:"events,omitempty"`
	Prefill         int           `json:"prefill,omitempty"`
	Rate            float64       `json:"rate,omitempty"`
	Window          time.Duration `json:"window_ns,omitempty"`
	Settle          bool          `json:"settle,omitempty"`
}

// String says in one line what the job is.
func (j Job) String() string {
	switch {
	case j.Load != nil:
		return j.Way + ", " + j.Load.String()
	default:
		return j.Way
	}
}

func (j LoadJob) String() string {
	text := fmt.Sprintf("%s, %d x %d of %d bytes", j.Load, j.Writers, j.EventsPerAppend, j.Bytes)
	if j.NoFlush {
		text += ", without flush"
	}
	if j.Rate > 0 {
		text += fmt.Sprintf(", %g a second", j.Rate)
	}
	return text
}

// Outcome is what a job showed: the part that the job asked for.
type Outcome struct {
	Load *CellResult `json:"load,omitempty"`
}

// The first argument of a process that makes a job, whose others are the directory and the job, and of one that says what its ways are.
const (
	jobArgument  = "job"
	waysArgument = "ways"
)

// IsJob says whether a program was started to serve another one: then it calls [Serve] and does nothing else.
func IsJob(args []string) bool {
	return len(args) == 3 && args[0] == jobArgument || len(args) == 1 && args[0] == waysArgument
}

// Serve makes the job in args and writes its outcome to out, or says what ways there are. REQUIRES: IsJob(args).
func Serve(ctx context.Context, args []string, ways []Way, out io.Writer) error {
	if args[0] == waysArgument {
		return json.NewEncoder(out).Encode(ways)
	}
	var job Job
	if err := json.Unmarshal([]byte(args[2]), &job); err != nil {
		return fmt.Errorf("job: %w", err)
	}
	outcome, err := job.make(ctx, args[1], ways)
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(outcome)
}

func (j Job) make(ctx context.Context, root string, ways []Way) (outcome Outcome, err error) {
	at := slices.IndexFunc(ways, func(w Way) bool { return w.Name == j.Way })
	if at < 0 {
		return outcome, fmt.Errorf("no way is called %q", j.Way)
	}
	way := ways[at]
	switch {
	case j.Load != nil:
		result, err := j.Load.measure(ctx, root, way)
		return Outcome{Load: &result}, err
	default:
		return outcome, errors.New("a job without a part")
	}
}

func (j LoadJob) measure(ctx context.Context, root string, way Way) (result CellResult, err error) {
	loads := Loads()
	at := slices.IndexFunc(loads, func(l Load) bool { return l.Name == j.Load })
	if at < 0 {
		return result, fmt.Errorf("no load is called %q", j.Load)
	}
	if loads[at].Store && !way.Store {
		return result, fmt.Errorf("%s cannot bear the load %s: %w", way.Name, j.Load, errors.ErrUnsupported)
	}
	return Cell{
		Way: way, Load: loads[at], Workload: Workload{Seed: Default.Seed, Bytes: j.Bytes, Tags: j.Tags}, NoFlush: j.NoFlush,
		Writers: j.Writers, EventsPerAppend: j.EventsPerAppend, Time: j.Time, Events: j.Events, Prefill: j.Prefill,
		Rate: j.Rate, Window: j.Window, Settle: j.Settle,
	}.Measure(ctx, root)
}

// Run has the program at path make the job under root, in a process of its own that ends with ctx.
func (j Job) Run(ctx context.Context, path, root string) (outcome Outcome, err error) {
	text, err := json.Marshal(j)
	if err != nil {
		return outcome, err
	}
	var out, errs bytes.Buffer
	c := exec.CommandContext(ctx, path, jobArgument, root, string(text))
	c.Cancel = func() error { return c.Process.Signal(os.Interrupt) } // it removes what it has made
	c.WaitDelay = 30 * time.Second
	c.Stdout, c.Stderr = &out, &errs
	if err := c.Run(); err != nil {
		return outcome, fmt.Errorf("%s: %w: %s", text, errors.Join(err, context.Cause(ctx)), bytes.TrimSpace(errs.Bytes()))
	}
	return outcome, json.Unmarshal(out.Bytes(), &outcome)
}

// WaysOf asks the program at path for its ways. They cannot be opened here.
func WaysOf(ctx context.Context, path string) (ways []Way, err error) {
	out, err := exec.CommandContext(ctx, path, waysArgument).Output()
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", path, waysArgument, err)
	}
	return ways, json.Unmarshal(out, &ways)
}

package harness

import (
	"bytes"
	"cmp"
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
// a process belong to one way alone, and ways whose libraries are in another module can be asked too. One of its parts is set. What a job makes on the disk it
// leaves there, in a directory of its own under the one it is given.
type Job struct {
	Way    string     `json:"way,omitempty"` // its name; of a Device none
	Load   *LoadJob   `json:"load,omitempty"`
	Reads  *ReadsJob  `json:"reads,omitempty"`
	Fill   *FillJob   `json:"fill,omitempty"`
	Open   *OpenJob   `json:"open,omitempty"`
	Growth *GrowthJob `json:"growth,omitempty"`
	Device *DeviceJob `json:"device,omitempty"`

	// Those of scale. Some leave a store behind, in which others go on: Shared names the directory in which they meet.
	Shared    string        `json:"shared,omitempty"`
	Sustained *SustainedJob `json:"sustained,omitempty"`
	Files     *FilesJob     `json:"files,omitempty"`
	Reopen    *ReopenJob    `json:"reopen,omitempty"`
	Abandon   *AbandonJob   `json:"abandon,omitempty"`
	Ask       *AskJob       `json:"ask,omitempty"`
	Append    *AppendJob    `json:"append,omitempty"`
	Models    *ModelsJob    `json:"models,omitempty"`
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
	Beside          string        `json:"beside,omitempty"` // the load of as many others
	Settle          bool          `json:"settle,omitempty"`
}

// String says in one line what the job is.
func (j Job) String() string {
	switch {
	case j.Load != nil:
		return j.Way + ", " + j.Load.String()
	case j.Reads != nil:
		return fmt.Sprintf("%s, reads of %d events", j.Way, j.Reads.Events)
	case j.Fill != nil:
		return fmt.Sprintf("%s, filled with %d events", j.Way, j.Fill.Events)
	case j.Open != nil:
		return fmt.Sprintf("%s, opened with %d events", j.Way, j.Open.Acknowledged)
	case j.Growth != nil:
		return fmt.Sprintf("%s, growing to %d events, %s", j.Way, j.Growth.Events, j.Growth.Load)
	case j.Device != nil:
		return "the device"
	case j.Sustained != nil:
		return fmt.Sprintf("%s, %d events until the last is checkpointed", j.Way, j.Sustained.Events)
	case j.Files != nil:
		return fmt.Sprintf("%s, the bare files of %d events", j.Way, j.Files.Events)
	case j.Reopen != nil:
		return j.Way + ", " + j.Reopen.String()
	case j.Abandon != nil:
		return fmt.Sprintf("%s, killed after %d events", j.Way, j.Abandon.Events)
	case j.Ask != nil:
		return fmt.Sprintf("%s, questions to %d events", j.Way, j.Ask.Acknowledged)
	case j.Append != nil:
		return fmt.Sprintf("%s, %s to %s", j.Way, j.Append.Load, cmp.Or(j.Shared, "an empty store"))
	case j.Models != nil:
		return fmt.Sprintf("%s, a read model of %d events", j.Way, j.Models.Acknowledged)
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
	if j.Beside != "" {
		text += fmt.Sprintf(", beside as many of %s", j.Beside)
	}
	return text
}

// Outcome is what a job showed: the part that the job asked for.
type Outcome struct {
	Load   *CellResult   `json:"load,omitempty"`
	Reads  *ReadsResult  `json:"reads,omitempty"`
	Fill   *FillResult   `json:"fill,omitempty"`
	Open   *OpenResult   `json:"open,omitempty"`
	Growth *GrowthResult `json:"growth,omitempty"`
	Device *DeviceResult `json:"device,omitempty"`

	Sustained *SustainedResult `json:"sustained,omitempty"`
	Files     *FilesResult     `json:"files,omitempty"`
	Reopen    *ReopenResult    `json:"reopen,omitempty"`
	Abandon   *AbandonResult   `json:"abandon,omitempty"`
	Ask       *AskResult       `json:"ask,omitempty"`
	Append    *AppendResult    `json:"append,omitempty"`
	Models    *ModelsResult    `json:"models,omitempty"`
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
	tell := func(o Outcome) error { return json.NewEncoder(out).Encode(o) }
	if job.dies() {
		return job.die(ctx, args[1], ways, tell)
	}
	outcome, err := job.make(ctx, args[1], ways)
	if err != nil {
		return err
	}
	return tell(outcome)
}

func (j Job) make(ctx context.Context, root string, ways []Way) (outcome Outcome, err error) {
	if j.Device != nil {
		outcome.Device, err = j.Device.measure(ctx, root)
		return outcome, err
	}
	way, err := j.way(ways)
	if err != nil {
		return outcome, err
	}
	switch {
	case j.Load != nil:
		outcome.Load, err = j.Load.measure(ctx, root, way)
	case j.Reads != nil:
		outcome.Reads, err = j.Reads.measure(ctx, root, way)
	case j.Fill != nil:
		outcome.Fill, err = j.Fill.fillAndClose(ctx, root, way)
	case j.Open != nil:
		outcome.Open, err = j.Open.measure(ctx, root, way)
	case j.Growth != nil:
		outcome.Growth, err = j.Growth.measure(ctx, root, way)
	case j.Sustained != nil:
		outcome.Sustained, err = j.Sustained.measure(ctx, root, way)
	case j.Files != nil:
		outcome.Files, err = j.Files.measure(ctx, root, way)
	case j.Reopen != nil:
		outcome.Reopen, err = j.Reopen.measure(ctx, root, way)
	case j.Ask != nil:
		outcome.Ask, err = j.Ask.measure(ctx, root, way)
	case j.Append != nil:
		outcome.Append, err = j.Append.measure(ctx, root, way)
	case j.Models != nil:
		outcome.Models, err = j.Models.measure(ctx, root, way)
	default:
		err = errors.New("a job without a part")
	}
	return outcome, err
}

func (j Job) way(ways []Way) (Way, error) {
	at := slices.IndexFunc(ways, func(w Way) bool { return w.Name == j.Way })
	if at < 0 {
		return Way{}, fmt.Errorf("no way is called %q", j.Way)
	}
	return ways[at], nil
}

// bear returns the load of that name, if the way can bear it.
func (w Way) bear(name string) (Load, error) {
	loads := Loads()
	at := slices.IndexFunc(loads, func(l Load) bool { return l.Name == name })
	if at < 0 {
		return Load{}, fmt.Errorf("no load is called %q", name)
	}
	if loads[at].Store && !w.Store {
		return Load{}, fmt.Errorf("%s cannot bear the load %s: %w", w.Name, name, errors.ErrUnsupported)
	}
	return loads[at], nil
}

// sized is the canonical workload with events of so many bytes of data.
func sized(bytes int) Workload { return Workload{Seed: Default.Seed, Bytes: bytes} }

func (j LoadJob) measure(ctx context.Context, root string, way Way) (*CellResult, error) {
	load, err := way.bear(j.Load)
	if err != nil {
		return nil, err
	}
	var beside Load
	if j.Beside != "" {
		if beside, err = way.bear(j.Beside); err != nil {
			return nil, err
		}
	}
	result, err := Cell{
		Way: way, Load: load, Workload: Workload{Seed: Default.Seed, Bytes: j.Bytes, Tags: j.Tags}, NoFlush: j.NoFlush,
		Writers: j.Writers, EventsPerAppend: j.EventsPerAppend, Time: j.Time, Events: j.Events, Prefill: j.Prefill,
		Rate: j.Rate, Window: j.Window, Beside: beside, Settle: j.Settle, Keep: true,
	}.Measure(ctx, root)
	return &result, err
}

// Run has the program at path make the job under root, in a process of its own that ends with ctx. That a process which has to kill itself
// ends so is no error.
func (j Job) Run(ctx context.Context, path, root string) (outcome Outcome, err error) {
	text, err := json.Marshal(j)
	if err != nil {
		return outcome, err
	}
	var out, errs bytes.Buffer
	c := exec.CommandContext(ctx, path, jobArgument, root, string(text))
	c.Cancel = func() error { return c.Process.Signal(os.Interrupt) } // it closes what it has opened
	c.WaitDelay = 30 * time.Second
	c.Stdout, c.Stderr = &out, &errs
	if err := c.Run(); err != nil && !(j.dies() && killed(err) && ctx.Err() == nil) {
		return outcome, fmt.Errorf("%s: %w: %s", text, errors.Join(err, context.Cause(ctx)), said(errs.Bytes()))
	}
	return outcome, json.Unmarshal(out.Bytes(), &outcome)
}

// said is the beginning of what a process said of its end: the rest of a panic are goroutines.
func said(text []byte) []byte {
	const most = 500
	text = bytes.TrimSpace(text)
	if len(text) <= most {
		return text
	}
	return append(bytes.ToValidUTF8(text[:most:most], nil), "..."...)
}

// WaysOf asks the program at path for its ways. They cannot be opened here.
func WaysOf(ctx context.Context, path string) (ways []Way, err error) {
	out, err := exec.CommandContext(ctx, path, waysArgument).Output()
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", path, waysArgument, err)
	}
	return ways, json.Unmarshal(out, &ways)
}

package ioerror

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"opossum"
	"opossum/crashlab/internal/child"
	"opossum/crashlab/internal/invariant"
	"opossum/crashlab/internal/lab"
	"opossum/internal/workload"
)

// Techniques are the errors that are injected, by the kind of the step that fails, and those that a disk really has.
func Techniques() []lab.Technique {
	return append(realOnes(),
		injected("sync-eio", "EIO", 360, "sync"),
		injected("write-eio", "EIO", 240, "write"),
		injected("write-enospc", "ENOSPC", 240, "write"),
		injected("create-enospc", "ENOSPC", 240, "create", "mkdir", "link"),
		injected("rename-eio", "EIO", 200, "rename", "remove"),
	)
}

// order is what package internal/step is told.
type order struct {
	At     uint64   `json:"at"`
	Do     string   `json:"do"`
	Errno  string   `json:"errno"`
	Kinds  []string `json:"kinds"`
	Sticky bool     `json:"sticky"`
}

func (o order) env() child.Option {
	b, err := json.Marshal(o)
	if err != nil {
		panic(err) // there is nothing in it that cannot be encoded
	}
	return child.Env("OPOSSUM_STEP=" + string(b))
}

// scenario is what a store does while an error waits for it.
type scenario struct {
	name   string
	before child.Task // makes the store, without errors, and is killed; none if it does nothing
	task   child.Task
}

// scenarios: sealing, merging and checkpoints; a recovery before that; rotation, and the trimming that follows it; the same two with packs, written of a backlog and
// of files; and unpacking.
var scenarios = []scenario{
	{name: "small appends", task: child.Task{Shape: "small", Loose: opossum.KeepLoose, First: 2 * workload.IDsPerWriter, Appends: 12}},
	{
		name:   "after a kill",
		before: child.Task{Shape: "small", First: 3 * workload.IDsPerWriter, Writers: 1, Appends: 12, Filing: child.Paused},
		task:   child.Task{Shape: "small", Loose: opossum.KeepLoose, First: 4 * workload.IDsPerWriter, Appends: 4},
	},
	{name: "rotation", task: child.Task{Loose: opossum.KeepLoose, First: workload.Large + 5*workload.IDsPerWriter, Appends: 36}},
	{
		name:   "packing",
		before: child.Task{Shape: "small", First: 3 * workload.IDsPerWriter, Writers: 1, Appends: 40, Filing: child.Paused},
		task:   child.Task{Shape: "small", Loose: 1, First: 4 * workload.IDsPerWriter, Appends: 12, Repack: child.AtLast},
	},
	{
		name:   "unpacking",
		before: child.Task{Shape: "small", Loose: 1, First: 3 * workload.IDsPerWriter, Writers: 1, Appends: 35, Filing: child.Waited, Repack: child.AtLast},
		task:   child.Task{Shape: "small", Loose: opossum.KeepLoose, First: 4 * workload.IDsPerWriter, Appends: 2, Repack: child.AtLast},
	},
}

// variants: each scenario, with an error that comes once, and with one that stays.
var variants = 2 * uint64(len(scenarios))

// ends tells which step was beyond the last one of a variant: the earliest case that ended untouched.
type ends struct {
	sync.Mutex
	of map[[2]uint64]uint64 // by seed and variant
}

func (e *ends) beyond(seed, variant, k uint64) bool {
	e.Lock()
	defer e.Unlock()
	end, ok := e.of[[2]uint64{seed, variant}]
	return ok && k >= end
}

func (e *ends) note(seed, variant, k uint64) {
	e.Lock()
	defer e.Unlock()
	at := [2]uint64{seed, variant}
	if end, ok := e.of[at]; !ok || k < end {
		e.of[at] = k
	}
}

// steps is more than a scenario has of any kind.
const steps = 256

// place returns which step fails in a case, and in which variant; false if there are no more cases. All steps have their turn, and the first cases
// are spread over all of them.
func place(index uint64) (k, variant uint64, ok bool) {
	const far = 97 // without a common divisor with steps
	turn := index / variants
	return turn * far % steps, index % variants, turn < steps
}

// injected is the technique that lets each step fail, until there are no more. Cases for steps that a run does not come to are run until it is known
// where the end is, and then empty.
func injected(name, errno string, quick uint64, kinds ...string) lab.Technique {
	found := ends{of: map[[2]uint64]uint64{}}
	return lab.Technique{
		Name: "errors/" + name, About: fmt.Sprintf("let the k-th of these steps fail with %s: %v", errno, kinds), Quick: quick,
		Case: func(ctx context.Context, env lab.Env, seed, index uint64) (t lab.Tally, err error) {
			k, variant, ok := place(index)
			if !ok {
				return t, lab.ErrEnd
			}
			if found.beyond(seed, variant, k) {
				return t, nil
			}
			c := trial{env: env, seed: seed, scenario: scenarios[variant/2], order: order{At: k, Do: "error", Errno: errno, Kinds: kinds, Sticky: variant%2 == 1}}
			touched, err := c.run(ctx, &t)
			switch {
			case err == nil && touched && k == steps-1:
				err = fmt.Errorf("%s has more than %d steps", c.scenario.name, steps)
			case err == nil && !touched:
				found.note(seed, variant, k)
			}
			return t, err
		},
	}
}

// trial is one error in one scenario.
type trial struct {
	env      lab.Env
	seed     uint64
	scenario scenario
	order    order
	dir      string
	witness  *workload.Witness
}

func (c *trial) run(ctx context.Context, t *lab.Tally) (touched bool, err error) {
	c.dir, c.witness = filepath.Join(c.env.Scratch, "store"), workload.NewWitness()
	if err := os.MkdirAll(c.env.Scratch, 0o755); err != nil {
		return false, err
	}
	if c.scenario.before.Appends > 0 {
		if err := c.prepare(); err != nil {
			return false, err
		}
	}
	task := c.scenario.task
	task.Do, task.Dir, task.Passes = child.Strain, c.dir, !c.order.Sticky
	p, err := child.Run(ctx, c.env.Points, task, c.witness, c.order.env())
	switch {
	case ctx.Err() != nil:
		return false, context.Cause(ctx)
	case p == nil:
		return false, err
	case len(p.Steps) == 0:
		t.Meet("untouched")
	}
	at := fmt.Sprintf("%s, %s, sticky %t: %v", c.scenario.name, c.order.Errno, c.order.Sticky, p.Steps)
	if err != nil {
		t.Find(at, err.Error())
	}
	if p.Violation() != "" {
		t.Find(at, p.Violation())
	}
	for i, step := range p.Steps {
		settling := i < p.Early && strings.HasSuffix(step, "/events") // its error is of files that are written anew: see eventfile.Settle
		if vital(step) && !settling && !p.Poison && len(p.Errs) == 0 {
			t.Find(at, "nobody was told: the engine is not poisoned, and no call failed")
		}
	}
	t.Meet(ending(p))
	if c.order.Sticky {
		if err := c.reopen(ctx, t, at); err != nil {
			return true, err
		}
	}
	return len(p.Steps) > 0, c.judge(ctx, t, at)
}

// prepare makes the store that the scenario begins with.
func (c *trial) prepare() error {
	task := c.scenario.before
	task.Do, task.Dir = child.Append, c.dir
	p, err := child.Start(c.env.Worker, task)
	if err != nil {
		return err
	}
	defer time.AfterFunc(child.Patience, func() { _ = p.Quit() }).Stop()
	for {
		line, ok := p.Next(c.witness)
		if len(p.Errs) > 0 || !ok {
			return errors.Join(lab.Unprovoked(fmt.Errorf("it does not come to its end: %q", p.Errs)), p.Kill())
		}
		if line == "done" {
			return p.Kill()
		}
	}
}

// reopen opens the store with the error still there from the first step on: it may fail, or not be in need of such a step.
func (c *trial) reopen(ctx context.Context, t *lab.Tally, at string) error {
	o := c.order
	o.At = 0
	p, err := child.Run(ctx, c.env.Points, child.Task{Do: child.Strain, Dir: c.dir, Shape: c.scenario.task.Shape, Loose: c.scenario.task.Loose}, c.witness, o.env())
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case p == nil:
		return err
	case err != nil:
		t.Find(at+", reopened with the error still there", err.Error())
	case p.Violation() != "":
		t.Find(at+", reopened with the error still there", p.Violation())
	}
	t.Meet(map[bool]string{true: "reopened beside the error", false: "not reopened beside the error"}[p.Opened])
	return nil
}

// judge opens the store without errors: twice, as a recovery must leave nothing to be recovered.
func (c *trial) judge(ctx context.Context, t *lab.Tally, at string) error {
	task := child.Task{Dir: c.dir, Shape: c.scenario.task.Shape, Loose: invariant.DrawLoose(lab.Rand(c.seed, c.order.At)), Witness: c.witness, Seed: c.seed + c.order.At, Beside: c.order.At%2 == 0, Deep: true, Another: 1 << 30}
	return judge(ctx, c.env, task, t, at)
}

// judge judges a store after its errors have passed.
func judge(ctx context.Context, env lab.Env, task child.Task, t *lab.Tally, at string) error {
	r, err := child.Judge(ctx, env.Worker, task)
	if err != nil {
		return err
	}
	t.Crash(r.Acked)
	if r.Violation != "" {
		t.Find(at, "afterwards: "+r.Violation)
	}
	return nil
}

// ending tells what the errors came to.
func ending(p *child.Process) string {
	switch {
	case !p.Opened:
		return "not opened"
	case p.Poison:
		return "poisoned"
	case slices.ContainsFunc(p.Errs, func(e string) bool { return disk.MatchString(e) }):
		return "disk full"
	case len(p.Errs) > 0:
		return "an error of Close"
	}
	return "no call failed"
}

var disk = regexp.MustCompile(regexp.QuoteMeta(opossum.ErrDiskFull.Error()))

// lifeline matches the reports of steps whose errors must not pass unnoticed: writes and syncs of the log and of ACKED, the sync of all event files,
// the sync of the ledger's text. (If it cannot be written, it is written again: nothing has been touched.)
var lifeline = regexp.MustCompile(`^step \d+ (write \w+ \S*/wal/(\d+|ACKED)|sync \w+ \S*/(wal/\d+/\d{20}|events|ledger\.json\.tmp))$`)

func vital(step string) bool { return lifeline.MatchString(step) }

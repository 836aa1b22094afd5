package child

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"opossum"
	"opossum/crashlab/internal/invariant"
	"opossum/crashlab/internal/readmodel"
	"opossum/internal/workload"
)

// Exit statuses of a child: its parent is gone; it was told nonsense.
const (
	exitAlone = 4
	exitTask  = 5
)

// reports is held until the end of the process: Go closes a file that is garbage, and a child that has said all and waits to be killed would seem to have ended.
var reports *os.File

// Main is the whole of a child. It returns the exit status.
func Main() int {
	in := bufio.NewReader(os.Stdin)
	var task Task
	line, err := in.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &task)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "child: task:", err)
		return exitTask
	}
	go func() { // nobody is left behind if the parent dies
		_, _ = io.Copy(io.Discard, in)
		os.Exit(exitAlone)
	}()
	shape, err := invariant.ShapeOf(task.Shape)
	if err != nil {
		fmt.Fprintln(os.Stderr, "child:", err)
		return exitTask
	}
	shape.Options.LooseEvents = task.Loose
	reports = os.NewFile(3, "reports")
	c := &child{Task: task, shape: shape, out: reports, began: time.Now()}
	switch task.Do {
	case Append:
		c.append()
	case Open:
		e := c.open()
		c.sight(e)
		c.keep(e)
		select {}
	case Check:
		c.check()
	case Register:
		c.register()
	case Repair:
		if _, err := opossum.Repair(context.Background(), task.Dir, &opossum.RepairOptions{AcceptLoss: task.AcceptLoss}); err != nil {
			c.say(lineError, quote(err))
		}
		c.say(lineDone)
	case Strain:
		c.strain()
	case Rot:
		d, err := invariant.Examine(context.Background(), invariant.Injury{
			Dir: task.Dir, Shape: shape, Witness: task.Witness, File: task.Damaged, Seed: task.Seed, Repair: task.Mend,
		})
		c.verdict(d, err)
	case Look:
		c.verdict(struct{}{}, invariant.Mending{
			Dir: task.Dir, Shape: shape, Witness: task.Witness, Head: task.Head, Gone: task.Gone, Repaired: task.Repaired,
		}.Judge(context.Background()))
	case CheckModels:
		v, err := readmodel.Check(context.Background(), readmodel.Order{
			Dir: task.Dir, Options: shape.Options, Version: task.Models.Version, Kept: task.Kept, Damaged: task.Rotten, Seed: task.Seed, Append: task.Another,
		})
		c.verdict(v, err)
	default:
		fmt.Fprintf(os.Stderr, "child: nothing to do: %q\n", task.Do)
		return exitTask
	}
	return 0
}

type child struct {
	Task
	shape invariant.Shape
	began time.Time // of its clock
	mu    sync.Mutex
	out   *os.File
}

// say reports one line with one write, so that a kill leaves whole lines.
func (c *child) say(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, err := c.out.Write(fmt.Appendf(nil, format+"\n", args...)); err != nil {
		os.Exit(exitAlone)
	}
}

// quote makes one line of an error.
func quote(err error) string { return fmt.Sprintf("%q", err.Error()) }

// open opens the store, or ends the child: an error is an answer, and there is nothing more to do.
func (c *child) open() *opossum.Engine {
	c.say(lineBegin)
	start := time.Now()
	opts := c.shape.Options
	e, err := opossum.Open(c.Dir, &opts)
	if err != nil {
		c.say(lineError, quote(err))
		c.finish()
	}
	c.say(lineOpen, e.Head(), time.Since(start).Microseconds())
	return e
}

// sight reports the newest event of a store just opened: from then on it must stay, though nothing is ever appended behind it.
func (c *child) sight(e *opossum.Engine) {
	switch ev, err := e.ReadLast(context.Background(), opossum.AllEvents()); {
	case err == nil:
		c.say("%s", workload.ReadLine(ev))
	case !errors.Is(err, opossum.ErrNotFound):
		c.say(lineError, quote(err))
	}
}

// finish reports the end and waits to be killed, unless the task says otherwise.
func (c *child) finish() {
	c.say(lineDone)
	if c.End {
		os.Exit(0)
	}
	select {}
}

// append appends, reads along, prompts checkpoints. Errors of the engine are reported, and end only the writer that got them.
func (c *child) append() {
	ctx := context.Background()
	e := c.open()
	c.sight(e)
	resume := func() {}
	if c.Filing == Paused || c.Filing == Resumed {
		var err error
		if resume, err = e.PauseFiling(ctx); err != nil {
			c.say(lineError, quote(err))
		}
	}
	go c.follow(ctx, e)
	keeper := c.keep(e)
	acts, acted := make(chan struct{}, 1), make(chan struct{})
	go func() {
		defer close(acted)
		for range acts {
			keeper.Act(ctx)
		}
	}()
	prompts := make(chan opossum.Position, 1)
	go func() {
		for p := range prompts {
			c.sayFiled(e.WaitMaterialized(ctx, p), p)
		}
	}()
	repacks := make(chan struct{}, 1)
	go func() {
		for range repacks {
			c.repack(ctx, e)
		}
	}()
	var done sync.WaitGroup
	for w := range c.Writers {
		done.Go(func() { c.write(ctx, e, w, prompts, repacks, acts) })
	}
	done.Wait()
	close(acts)
	<-acted
	keeper.Finish(ctx, c.Close)
	if c.Filing == Resumed {
		resume()
	}
	if c.Filing == Waited || c.Filing == Resumed {
		p := e.Head()
		c.sayFiled(e.WaitMaterialized(ctx, p), p)
	}
	if c.Repack == AtLast {
		c.repack(ctx, e)
	}
	if c.Close {
		c.say(lineClosing)
		if err := e.Close(); err != nil {
			c.say(lineError, quote(err))
		}
	}
	c.finish()
}

// keep keeps read models, if the task has a plan for them.
func (c *child) keep(e *opossum.Engine) *readmodel.Keeper {
	if c.Models == nil {
		return nil
	}
	return readmodel.Keep(e, *c.Models, func(name string, version int) { c.say(lineKept, name, version) }, func(err error) { c.say(lineError, quote(err)) })
}

// sayFiled reports what came of waiting for p to be checkpointed.
func (c *child) sayFiled(err error, p opossum.Position) {
	switch {
	case err == nil:
		c.say(lineFiled, p)
	case !errors.Is(err, opossum.ErrClosed):
		c.say(lineError, quote(err))
	}
}

// repack packs what can be packed, or unpacks.
func (c *child) repack(ctx context.Context, e *opossum.Engine) {
	do := e.Pack
	if c.Loose == opossum.KeepLoose {
		do = e.Unpack
	}
	switch err := do(ctx, nil); {
	case err == nil:
		c.say(lineRepacked)
	case !errors.Is(err, opossum.ErrClosed):
		c.say(lineError, quote(err))
	}
}

// register makes registrations, and reports the outcome of each.
func (c *child) register() {
	e := c.open()
	for _, r := range c.Registrations {
		tag := opossum.Tag("email:" + r.Address)
		cond, want := &opossum.Condition{FailIfExists: opossum.ByTags(tag)}, opossum.ErrAlreadyExists
		if r.Match {
			cond, want = &opossum.Condition{FailIfMatch: opossum.ByTags(tag)}, opossum.ErrConditionFailed
		}
		_, err := e.Append(context.Background(), []opossum.Event{{ID: r.ID, Type: "AddressRegistered", Tags: []opossum.Tag{tag}}}, cond)
		switch {
		case err == nil:
			c.say(Registered)
		case errors.Is(err, want):
			c.say(Taken)
		default:
			c.say(lineError, quote(err))
		}
	}
	c.finish()
}

// write is one writer.
func (c *child) write(ctx context.Context, e *opossum.Engine, w int, prompts chan<- opossum.Position, repacks, acts chan<- struct{}) {
	last := opossum.Position(0)
	r := rand.New(rand.NewPCG(c.First, uint64(w)))
	for n := range c.Appends {
		id := c.First + uint64(w*workload.IDsPerWriter+n)
		events, how := workload.Events(id), c.assurance(n)
		var opts []opossum.AppendOption
		if how == whenDurable {
			opts = append(opts, opossum.WhenDurable())
		}
		contested := id&workload.Contested != 0
		if contested {
			last = e.Head()
			c.say("%s", workload.HeadLine(id, last))
		}
		begun := time.Since(c.began)
		p, err := e.Append(ctx, events, workload.Condition(id, last), opts...)
		acked := time.Since(c.began)
		var failed *opossum.ConditionFailedError
		if contested && errors.As(err, &failed) {
			c.say("%s", workload.BeatenLine(id, failed.Position))
			continue
		}
		if err != nil {
			c.say(lineError, quote(err))
			return
		}
		c.say("%s", invariant.AckLine(invariant.Ack{
			ID: id, Last: p, Events: uint64(len(events)), Begun: begun, Acked: acked, Durable: e.Durable(), Assured: how == whenDurable,
		}))
		last = p
		if err := c.assure(ctx, e, how, p); err != nil {
			c.say(lineError, quote(err))
			return
		}
		if c.Filing == Prompted && n%8 == 7 {
			select {
			case prompts <- p:
			default:
			}
		}
		if c.Repack == Beside && n%16 == 15 {
			select {
			case repacks <- struct{}{}:
			default:
			}
		}
		if c.Models != nil && n%12 == 11 {
			select {
			case acts <- struct{}{}:
			default:
			}
		}
		if c.Pace > 0 { // waits for nothing: appends far apart are what an interval is for
			time.Sleep(time.Duration(r.Int64N(int64(c.Pace))))
		}
	}
}

// assurance is how an append is made durable that a relaxed store may lose.
type assurance int

const (
	none        assurance = iota
	whenDurable           // it is made so
	bySync                // by a call after it
	byWaiting             // by another one
	assurances
)

// assurance returns that of a writer's n-th append.
func (c *child) assurance(n int) assurance {
	if c.Assure == 0 || n%c.Assure != c.Assure-1 {
		return none
	}
	return whenDurable + assurance(n/c.Assure)%(assurances-whenDurable)
}

// assure makes an append at p durable in the way that follows it, and reports that it is.
func (c *child) assure(ctx context.Context, e *opossum.Engine, how assurance, p opossum.Position) error {
	var err error
	switch how {
	case bySync:
		err = e.Sync(ctx)
	case byWaiting:
		err = e.WaitDurable(ctx, p)
	default:
		return nil
	}
	if err == nil {
		c.say("%s", invariant.DurableLine(p))
	}
	return err
}

// follow reports what a subscriber sees of the newest events.
func (c *child) follow(ctx context.Context, e *opossum.Engine) {
	sub, err := e.Subscribe(ctx, opossum.AllEvents(), e.Head()-min(e.Head(), 10))
	if err != nil {
		return // closed already
	}
	for ev, err := range sub.All() {
		if err != nil {
			return // the engine is closed or poisoned, which the writers report
		}
		if id, _, _ := workload.Origin(ev.Event.ID); id%3 == 0 { // some are enough
			c.say("%s", workload.ReadLine(ev))
		}
	}
}

func (c *child) check() {
	v, err := invariant.Check(context.Background(), invariant.Order{
		Dir: c.Dir, Shape: c.shape, Witness: c.Witness, PowerCut: c.PowerCut, Recovered: c.Recovered,
		Seed: c.Seed, Beside: c.Beside, Deep: c.Deep, Append: c.Another,
	})
	c.verdict(v, err)
}

// verdict reports what came of a check, and what was wrong.
func (c *child) verdict(v any, err error) {
	b, jsonErr := json.Marshal(v)
	if jsonErr != nil {
		fmt.Fprintln(os.Stderr, "child:", jsonErr)
		os.Exit(exitTask)
	}
	if err != nil {
		c.say(lineWrong, quote(err))
	}
	c.say(lineVerdict, b)
}

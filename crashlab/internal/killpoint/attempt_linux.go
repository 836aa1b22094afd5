package killpoint

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"opossum"
	"opossum/crashlab/internal/child"
	"opossum/crashlab/internal/host"
	"opossum/crashlab/internal/invariant"
	"opossum/crashlab/internal/lab"
	"opossum/internal/workload"
)

// patience is how long a run may take to come to its step or its end.
const patience = 60 * time.Second

// attempt is one case: a run of the scenario that crashes at a point, and what is found afterwards.
type attempt struct {
	bench
	lab.Tally
	env         lab.Env
	seed, index uint64
	point       point
	neighbour   bool // syncs a file of his before the power goes
	fixture     *fixture
	home, store string
	witness     *workload.Witness
	kept        map[string]int // read models that could be read
}

// homeOf and storeOf say where the store of a case lives. The parent is the lab's, too: creating a store syncs it.
func homeOf(env lab.Env) string     { return filepath.Join(env.Scratch, "home") }
func storeOf(home string) string    { return filepath.Join(home, "store") }
func (a *attempt) image() string    { return filepath.Join(a.env.Scratch, "image") }
func (a *attempt) find(what string) { a.Find(a.at(), what) }

func (a *attempt) at() string {
	if a.neighbour {
		return a.point.String() + ", when a neighbour had synced a file"
	}
	return a.point.String()
}

func (a *attempt) try(ctx context.Context) (err error) {
	a.home = homeOf(a.env)
	a.store = storeOf(a.home)
	if err := a.begin(); err != nil {
		return err
	}
	if a.fs != nil {
		defer func() { err = errors.Join(err, host.Unmount(a.home)) }()
	}
	a.witness = a.fixture.copyWitness()
	if a.prelude != nil && a.fs != nil { // else it is part of the fixture
		if err := a.prelude(ctx, a.env, a.store, a.witness); err != nil {
			return err
		}
	}
	if met, err := a.crash(); !met || err != nil {
		return err
	}
	a.Meet(a.point.when + " " + string(a.point.class))
	if a.neighbour {
		a.Meet("a neighbour's sync before the power goes")
	}
	return a.recover(ctx)
}

// begin puts the fixture where the store lives.
func (a *attempt) begin() error {
	if a.fs == nil {
		return a.fixture.copyTo(a.home)
	}
	if err := host.CopyImage(a.fixture.image, a.image()); err != nil {
		return err
	}
	return a.fs.MountImage(a.image(), a.home)
}

// crash runs the scenario up to the point and crashes it there. It reports false if the run ended without meeting the point.
func (a *attempt) crash() (met bool, err error) {
	do := "kill"
	if a.fs != nil {
		do = "report"
	}
	p, err := child.Start(a.env.Points, a.planned(a.task(a.store)), order(map[string]any{
		"do": do, "when": a.point.when, "at": a.point.at, "kinds": []string{a.point.class.kind()}, "path": a.point.class.paths(a.store),
	}))
	if err != nil {
		return false, err
	}
	var hangs atomic.Bool
	defer time.AfterFunc(patience, func() { hangs.Store(true); _ = p.Signal() }).Stop()
	done := false
	for more := true; more && !met && !done; {
		var line string
		line, more = p.Next(a.witness)
		done = line == "done"
		met = strings.HasPrefix(line, "step ") || done && a.point == point{class: theEnd, when: "before"}
	}
	a.kept = maps.Clone(keptBefore)
	maps.Copy(a.kept, p.Kept)
	errs := p.Errs // of a disk that was in order
	if met && a.neighbour {
		err = host.Neighbour(a.home)
	}
	if met && a.fs != nil {
		err = errors.Join(err, host.Cut(a.home))
	}
	if sigErr := p.Signal(); !errors.Is(sigErr, os.ErrProcessDone) {
		err = errors.Join(err, sigErr)
	}
	p.Drain(a.witness)
	ended := p.Wait()
	if err != nil {
		return false, err
	}
	switch {
	case hangs.Load():
		a.find(fmt.Sprintf("it hangs: neither at the step nor at its end after %v", patience))
	case !met && !done:
		a.find(fmt.Sprintf("it ended by itself: %v", ended))
	case len(errs) > 0:
		a.find("an error without a reason: " + errs[0])
	case !met:
		a.fixture.end(a.point)
	}
	return met, nil
}

// order tells a child about its steps.
func order(o map[string]any) child.Option {
	b, err := json.Marshal(o)
	if err != nil {
		panic(err) // words and numbers always encode
	}
	return child.Env("OPOSSUM_STEP=" + string(b))
}

// after is the LooseEvents of who comes after the crash.
func (a *attempt) after() int { return invariant.DrawLoose(lab.Rand(a.seed, a.index)) }

// recover brings the store back and judges it.
func (a *attempt) recover(ctx context.Context) error {
	if a.fs != nil {
		if err := host.Unmount(a.home); err != nil {
			return err
		}
		if err := a.fs.MountImage(a.image(), a.home); err != nil {
			return err
		}
	}
	if a.repairs {
		return a.repair(ctx)
	}
	if a.scenario == models {
		return a.recoverModels(ctx)
	}
	judge := child.Task{
		Dir: a.store, Shape: shape, Loose: a.after(), Witness: a.witness, PowerCut: a.fs != nil, Seed: a.seed ^ a.index,
		Beside: a.index%2 == 0, Deep: a.index%5 == 0, Another: another,
	}
	if a.index%3 == 0 {
		head, err := a.recoverOnce()
		if head == nil || err != nil {
			return err
		}
		judge.Recovered = head
		a.Meet("a second recovery")
	}
	return a.judge(ctx, judge)
}

func (a *attempt) judge(ctx context.Context, t child.Task) error {
	r, err := child.Judge(ctx, a.env.Worker, t)
	if err != nil {
		return err
	}
	a.Crash(r.Acked)
	a.Meet("found " + r.Found)
	if r.Violation != "" {
		a.find(r.Violation)
	}
	return nil
}

// recoverOnce opens the store in a process that is killed then, and returns the head that it found; nil if it does not open, which is a finding.
func (a *attempt) recoverOnce() (*opossum.Position, error) {
	p, err := child.Start(a.env.Worker, child.Task{Do: child.Open, Dir: a.store, Shape: shape, Loose: a.after()})
	if err != nil {
		return nil, err
	}
	defer time.AfterFunc(patience, func() { _ = p.Quit() }).Stop()
	for !p.Opened && len(p.Errs) == 0 {
		if _, ok := p.Next(nil); !ok {
			break
		}
	}
	if err := p.Kill(); err != nil {
		return nil, err
	}
	if !p.Opened {
		a.find(fmt.Sprintf("the first recovery does not open the store: %q", p.Errs))
		return nil, nil
	}
	return &p.Head, nil
}

// planned gives a task that keeps read models a plan of this run.
func (a *attempt) planned(t child.Task) child.Task {
	if t.Models != nil {
		plan := *t.Models
		plan.Seed += a.seed
		t.Models = &plan
	}
	return t
}

// recoverModels has read models judged. Every other time their next owner is killed first: at a step of his recovery, or of what he does then.
func (a *attempt) recoverModels(ctx context.Context) error {
	task := a.planned(a.task(a.store))
	if r := lab.Rand(a.seed, a.index); r.IntN(2) == 0 {
		task.First, task.Appends = another+workload.IDsPerWriter, 5
		p, err := child.Start(a.env.Points, task, order(map[string]any{
			"do": "kill", "when": []string{"before", "after"}[r.IntN(2)], "at": r.IntN([]int{5, 40, 200}[r.IntN(3)]), "path": modelSteps(a.store),
		}))
		if err != nil {
			return err
		}
		defer time.AfterFunc(patience, func() { _ = p.Quit() }).Stop()
		met := false
		for {
			line, more := p.Next(nil)
			if !more {
				break
			}
			met = met || strings.HasPrefix(line, "step ")
			if line == "done" {
				_ = p.Signal()
			}
		}
		if ended := p.Wait(); !child.Killed(ended) {
			a.find(fmt.Sprintf("the second owner ended by himself: %v", ended))
			return nil
		}
		if len(p.Errs) > 0 {
			a.find("the second owner: " + p.Errs[0])
		}
		maps.Copy(a.kept, p.Kept)
		a.Meet(fmt.Sprintf("killed again: %t", met))
	}
	v, err := child.JudgeModels(ctx, a.env.Worker, child.Task{
		Dir: a.store, Shape: shape, Loose: a.after(), Models: task.Models, Kept: a.kept, Seed: a.seed ^ a.index, Another: another,
	})
	if err != nil {
		return err
	}
	a.Crash(len(a.witness.Acked))
	for _, found := range v.Found {
		a.Meet(found)
	}
	if v.Violation != "" {
		a.find(v.Violation)
	}
	return nil
}

// repair goes on with the repair that was crashed, and judges what comes of it. Before that it looks: a reader of a store whose repair is unfinished is
// refused, or sees what is right.
func (a *attempt) repair(ctx context.Context) error {
	look := child.Task{Dir: a.store, Shape: shape, Loose: a.after(), Witness: a.witness, Head: a.fixture.known.head, Gone: a.fixture.known.gone}
	wrong, err := child.Mended(ctx, a.env.Worker, look)
	if err != nil {
		return err
	}
	if wrong != "" {
		a.find("read-only, before the second repair: " + wrong)
	}
	task := a.task(a.store)
	p, err := child.Run(ctx, a.env.Worker, task, nil)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case p == nil:
		return err
	case err != nil:
		a.find(fmt.Sprintf("the second repair: %v", err))
		return nil
	case len(p.Errs) > 0:
		a.find("the second repair: " + p.Errs[0])
		return nil
	}
	if a.fixture.known.gone != 0 { // the witness knows more than the store can have
		a.Crash(len(a.witness.Acked))
		look.Repaired = true
		wrong, err := child.Mended(ctx, a.env.Worker, look)
		if wrong != "" {
			a.find(wrong)
		}
		return err
	}
	return a.judge(ctx, child.Task{
		Dir: a.store, Shape: shape, Loose: a.after(), Witness: a.witness, PowerCut: a.fs != nil, Seed: a.seed ^ a.index,
		Beside: a.index%2 == 0, Deep: a.index%3 == 0, Another: another,
	})
}

package killpoint

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"opossum"
	"opossum/crashlab/internal/child"
	"opossum/crashlab/internal/host"
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
	fixture     *fixture
	home, store string
	witness     *workload.Witness
}

// homeOf and storeOf say where the store of a case lives. The parent is the lab's, too: creating a store syncs it.
func homeOf(env lab.Env) string     { return filepath.Join(env.Scratch, "home") }
func storeOf(home string) string    { return filepath.Join(home, "store") }
func (a *attempt) at() string       { return a.point.String() }
func (a *attempt) image() string    { return filepath.Join(a.env.Scratch, "image") }
func (a *attempt) find(what string) { a.Find(a.at(), what) }

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
	p, err := child.Start(a.env.Points, a.task(a.store), order(map[string]any{
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
	errs := p.Errs // of a disk that was in order
	if met && a.fs != nil {
		err = host.Cut(a.home)
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
	judge := child.Task{
		Dir: a.store, Shape: shape, Witness: a.witness, PowerCut: a.fs != nil, Seed: a.seed ^ a.index,
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
	if r.Violation != "" {
		a.find(r.Violation)
	}
	return nil
}

// recoverOnce opens the store in a process that is killed then, and returns the head that it found; nil if it does not open, which is a finding.
func (a *attempt) recoverOnce() (*opossum.Position, error) {
	p, err := child.Start(a.env.Worker, child.Task{Do: child.Open, Dir: a.store, Shape: shape})
	if err != nil {
		return nil, err
	}
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

// repair goes on with the repair that was crashed, and judges what comes of it. Before that it looks: a reader of a store whose repair is unfinished is
// refused, or sees what is right.
func (a *attempt) repair(ctx context.Context) error {
	if err := a.fixture.known.look(ctx, a.store); err != nil {
		a.find("read-only, before the second repair: " + err.Error())
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
		if err := a.fixture.known.check(ctx, a.store); err != nil {
			a.find(err.Error())
		}
		return nil
	}
	return a.judge(ctx, child.Task{
		Dir: a.store, Shape: shape, Witness: a.witness, PowerCut: a.fs != nil, Seed: a.seed ^ a.index,
		Beside: a.index%2 == 0, Deep: a.index%3 == 0, Another: another,
	})
}

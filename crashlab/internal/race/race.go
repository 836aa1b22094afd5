// Package race lets many writers append under conditions that exclude each other, kills them, and demands that none was passed or refused wrongly.
package race

import (
	"context"
	"path/filepath"
	"time"

	"opossum/crashlab/internal/child"
	"opossum/crashlab/internal/invariant"
	"opossum/crashlab/internal/lab"
	"opossum/internal/workload"
)

// Techniques returns the techniques of this package.
func Techniques() []lab.Technique {
	return []lab.Technique{{
		Name:  "races",
		About: "Writers compete for the same seats under conditions that exclude each other; the surviving history must agree with every answer.",
		Quick: 40, Share: 1,
		Case: contest,
	}}
}

// longest is how long a race may go on before the kill: some hundred seats.
const longest = 150 * time.Millisecond

func contest(ctx context.Context, env lab.Env, seed, index uint64) (t lab.Tally, err error) {
	r := lab.Rand(seed, index)
	task := child.Task{
		Do: child.Append, Dir: filepath.Join(env.Scratch, "store"), Shape: invariant.Draw(r).Name,
		First: workload.Contested, Writers: 2 + r.IntN(15), Appends: workload.IDsPerWriter,
		Filing: []string{child.AsItComes, child.Prompted, child.Paused}[r.IntN(3)], Loose: invariant.DrawLoose(r),
	}
	if task.Filing != child.Paused && r.IntN(2) == 0 {
		task.Repack = child.Beside
	}
	w := workload.NewWitness()
	p, err := child.Start(env.Worker, task)
	if err != nil {
		return t, err
	}
	over := time.AfterFunc(time.Duration(r.Int64N(int64(longest))), func() { _ = p.Signal() }) // a random moment
	defer over.Stop()
	p.Drain(w)
	if err := p.Wait(); !child.Killed(err) {
		t.Find("race", "the child ended by itself: "+errText(err))
		return t, nil
	}
	for _, err := range p.Errs {
		t.Find("race", "an append failed: "+err)
	}
	if len(w.Beaten) > 0 {
		t.Meet("refused")
	}
	v, err := child.Judge(ctx, env.Worker, child.Task{Dir: task.Dir, Shape: task.Shape, Loose: invariant.DrawLoose(r), Witness: w, Seed: r.Uint64(), Another: workload.IDsPerWriter})
	if err != nil {
		return t, err
	}
	t.Crash(len(w.Acked))
	if v.Violation != "" {
		t.Find("after the kill", v.Violation)
	}
	return t, nil
}

func errText(err error) string {
	if err == nil {
		return "status 0"
	}
	return err.Error()
}

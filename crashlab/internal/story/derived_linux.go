package story

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"opossum/crashlab/internal/child"
	"opossum/crashlab/internal/host"
	"opossum/crashlab/internal/invariant"
	"opossum/crashlab/internal/lab"
	"opossum/internal/workload"
)

// withoutDerived cuts the power under a store, and recovers it twice from the same disk: as it is, and without anything that is derived. Both must
// give the same answers.
func withoutDerived(ctx context.Context, fs host.FileSystem, env lab.Env, r *rand.Rand) (t lab.Tally, err error) {
	other := &host.Disk{FS: fs, Image: filepath.Join(env.Scratch, "other.img"), Dir: filepath.Join(env.Scratch, "other")}
	w := workload.NewWitness()
	task := child.Task{Do: child.Append, Shape: invariant.DrawStrict(r).Name, First: workload.IDsPerWriter, Writers: 1 + r.IntN(4),
		Appends: 2000, Filing: []string{child.AsItComes, child.Prompted}[r.IntN(2)], Loose: invariant.DrawLoose(r)}
	judge := child.Task{Shape: task.Shape, Loose: task.Loose, Witness: w, PowerCut: true, Seed: r.Uint64()}
	var whole, bare child.Result
	failed := ""
	err = onDisk(fs, env, func(disk *host.Disk) (err error) {
		task.Dir = filepath.Join(disk.Dir, "store")
		if failed, err = appended(disk, env.Worker, task, 1+r.IntN(100), 1+r.IntN(20), w); err != nil || failed != "" {
			return err
		}
		if err := errors.Join(disk.Unmount(), host.CopyImage(disk.Image, other.Image), disk.Mount()); err != nil {
			return err
		}
		judge.Dir, judge.Deep = task.Dir, false
		whole, err = child.Judge(ctx, env.Worker, judge)
		return err
	})
	if err != nil {
		return t, err
	}
	if failed != "" {
		t.Find("before the power cut", failed)
		return t, nil
	}
	t.Crash(whole.Acked)
	if whole.Violation != "" {
		t.Find("as the power cut left it", whole.Violation)
		return t, other.Remove()
	}
	if err := other.Mount(); err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, other.Remove()) }()
	judge.Dir, judge.Beside, judge.Deep = filepath.Join(other.Dir, "store"), r.IntN(2) == 0, true
	gone, err := derived(judge.Dir)
	if err != nil {
		t.Find("as the power cut left it", err.Error())
		return t, nil
	}
	for kind, paths := range gone {
		t.Meet("deleted " + kind)
		for _, path := range paths {
			if err := os.RemoveAll(path); err != nil {
				return t, err
			}
		}
	}
	if bare, err = child.Judge(ctx, env.Worker, judge); err != nil {
		return t, err
	}
	t.Crash(bare.Acked)
	switch {
	case bare.Violation != "":
		t.Find("without what is derived", bare.Violation)
	case bare.Head != whole.Head || bare.Sum != whole.Sum:
		t.Find("without what is derived", fmt.Sprintf("the head was %d and is %d; sums of all events %x and %x", whole.Head, bare.Head, whole.Sum, bare.Sum))
	}
	return t, nil
}

// appended lets a child append, has the disk take everything that is there after so many acknowledgements, as it may, and cuts the power a few
// later. It returns what failed before that; the error is one of the lab's.
func appended(disk *host.Disk, worker string, task child.Task, taken, later int, w *workload.Witness) (failed string, err error) {
	p, err := child.Start(worker, task)
	if err != nil {
		return "", err
	}
	defer time.AfterFunc(child.Patience, func() { _ = p.Quit() }).Stop()
	for p.Acks < taken+later {
		line, ok := p.Next(w)
		if !ok {
			return fmt.Sprintf("it ended: %v", p.Wait()), nil
		}
		if len(p.Errs) > 0 {
			return p.Errs[0], p.Kill()
		}
		if p.Acks == taken && strings.HasPrefix(line, "ack ") {
			if err := everything(disk.Dir); err != nil {
				return "", errors.Join(err, p.Kill())
			}
		}
	}
	return "", errors.Join(disk.Cut(), p.Kill())
}

// everything has the disk take everything that is there.
func everything(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(unix.Syncfs(int(d.Fd())), d.Close())
}

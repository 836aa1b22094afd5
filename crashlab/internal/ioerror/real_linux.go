package ioerror

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"opossum/crashlab/internal/child"
	"opossum/crashlab/internal/host"
	"opossum/crashlab/internal/invariant"
	"opossum/crashlab/internal/lab"
	"opossum/internal/workload"
)

// realOnes are the techniques in which nothing is injected.
func realOnes() []lab.Technique {
	out := []lab.Technique{
		{Name: "errors/full-tmpfs", About: "fill a small file system in memory, and make room", Quick: 40, Share: 3, Case: full(newTmpfs)},
		{Name: "errors/file-limit", About: "limit the size of every file: real short writes", Quick: 40, Share: 2, Case: limited},
		{Name: "errors/abort-ext4", About: "abort the journal of ext4 under the store: it is read-only then", Quick: 30, Share: 2, Case: aborted},
	}
	for _, fs := range []host.FileSystem{host.Ext4, host.XFS} {
		out = append(out, lab.Technique{
			Name: "errors/full-" + fs.Name, About: "fill " + fs.Name + " but for a little, and make room", Quick: 25, Share: 2,
			Case: full(func(scratch string, free uint64) (volume, error) { return newImage(fs, scratch, free) }),
		})
	}
	return out
}

// volume is a mounted file system that is almost full.
type volume struct {
	dir  string
	room func() error // makes room
}

func (v volume) drop() error { return host.Unmount(v.dir) }

func newTmpfs(scratch string, free uint64) (volume, error) {
	v := volume{dir: filepath.Join(scratch, "disk")}
	v.room = func() error { return unix.Mount("", v.dir, "", unix.MS_REMOUNT, "size=256m") }
	if err := os.MkdirAll(v.dir, 0o755); err != nil {
		return v, err
	}
	return v, unix.Mount("crashlab", v.dir, "tmpfs", 0, fmt.Sprintf("size=%d", free))
}

// newImage makes a file system with a file that fills it up, but for free bytes.
func newImage(fs host.FileSystem, scratch string, free uint64) (volume, error) {
	v := volume{dir: filepath.Join(scratch, "disk")}
	image, ballast := filepath.Join(scratch, "image"), filepath.Join(v.dir, "ballast")
	v.room = func() error { return os.Remove(ballast) }
	if err := errors.Join(os.MkdirAll(scratch, 0o755), fs.NewImage(image)); err != nil {
		return v, err
	}
	if err := fs.MountImage(image, v.dir); err != nil {
		return v, err
	}
	return v, fill(ballast, free)
}

// fill makes a file that takes all space of its file system but free bytes.
func fill(path string, free uint64) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	size := int64(0)
	for piece := int64(64 << 20); piece >= 4<<10; {
		err := unix.Fallocate(int(f.Fd()), 0, size, piece)
		switch {
		case errors.Is(err, unix.ENOSPC):
			piece /= 2
		case err != nil:
			return err
		default:
			size += piece
		}
	}
	return errors.Join(f.Truncate(max(0, size-int64(free))), f.Sync())
}

// full is a case of a file system without space. In some cases there is room as soon as somebody complains, in others after the owner has gone.
func full(newVolume func(scratch string, free uint64) (volume, error)) func(context.Context, lab.Env, uint64, uint64) (lab.Tally, error) {
	return func(ctx context.Context, env lab.Env, seed, index uint64) (t lab.Tally, err error) {
		r := lab.Rand(seed, index)
		task := strain(r)
		most := 24 << (10 + r.IntN(6)) // small appends need little
		if task.First&workload.Large != 0 {
			most = 14 << 20
		}
		free := uint64(8<<10 + r.IntN(most))
		v, err := newVolume(env.Scratch, free)
		if err != nil {
			return t, err
		}
		defer func() { err = errors.Join(err, v.drop()) }()
		task.Dir, task.Passes = filepath.Join(v.dir, "store"), r.IntN(3) > 0
		roomy := false
		room := func() error {
			if roomy {
				return nil
			}
			roomy = true
			return v.room()
		}
		w := workload.NewWitness()
		at := fmt.Sprintf("%d bytes are free, shape %s, first append %d, room beside the owner %t", free, task.Shape, task.First, task.Passes)
		p, err := child.Attend(ctx, env.Worker, task, w, func(line string) error {
			if task.Passes && child.Complains(line) {
				return room()
			}
			return nil
		})
		if err := report(ctx, &t, p, err, at); err != nil {
			return t, err
		}
		if !roomy && r.IntN(2) == 0 {
			if err := again(ctx, env, &t, task, w, at); err != nil {
				return t, err
			}
		}
		if err := room(); err != nil {
			return t, err
		}
		return t, judge(ctx, env, afterwards(r, task, w), &t, at)
	}
}

// limited is a case of files that cannot grow.
func limited(ctx context.Context, env lab.Env, seed, index uint64) (t lab.Tally, err error) {
	r := lab.Rand(seed, index)
	task := strain(r)
	task.Dir = filepath.Join(env.Scratch, "store")
	task.Limit = 1 + uint64(r.IntN(64<<(r.IntN(13))))
	if task.First&workload.Large != 0 {
		task.Limit = 100_000 + uint64(r.IntN(10<<20))
	}
	w := workload.NewWitness()
	at := fmt.Sprintf("files are limited to %d bytes, shape %s, first append %d", task.Limit, task.Shape, task.First)
	p, err := child.Run(ctx, env.Worker, task, w)
	if err := report(ctx, &t, p, err, at); err != nil {
		return t, err
	}
	if r.IntN(2) == 0 {
		if err := again(ctx, env, &t, task, w, at); err != nil {
			return t, err
		}
	}
	return t, judge(ctx, env, afterwards(r, task, w), &t, at)
}

// aborted is a case of a file system that becomes read-only, as ext4 does after an error of its own, with what was not synced lost.
func aborted(ctx context.Context, env lab.Env, seed, index uint64) (t lab.Tally, err error) {
	r := lab.Rand(seed, index)
	task := strain(r)
	image, dir := filepath.Join(env.Scratch, "image"), filepath.Join(env.Scratch, "disk")
	if err := errors.Join(host.Ext4.NewImage(image), host.Ext4.MountImage(image, dir)); err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, host.Unmount(dir)) }()
	task.Dir = filepath.Join(dir, "store")
	w, moment := workload.NewWitness(), r.IntN(task.Appends)
	at := fmt.Sprintf("the journal is aborted after %d acknowledgements, shape %s, first append %d", moment, task.Shape, task.First)
	done := false
	p, err := child.Attend(ctx, env.Worker, task, w, func(string) error {
		if done || len(w.Acked) < moment {
			return nil
		}
		done = true
		return unix.Mount("", dir, "ext4", unix.MS_REMOUNT|unix.MS_NOATIME, "abort")
	})
	if err := report(ctx, &t, p, err, at); err != nil {
		return t, err
	}
	if r.IntN(2) == 0 {
		if err := again(ctx, env, &t, task, w, at); err != nil {
			return t, err
		}
	}
	if err := errors.Join(host.Unmount(dir), host.Ext4.MountImage(image, dir)); err != nil {
		return t, err
	}
	after := afterwards(r, task, w)
	after.PowerCut = true
	return t, judge(ctx, env, after, &t, at)
}

// strain is what the owner does while there are errors.
func strain(r *rand.Rand) child.Task {
	t := child.Task{Do: child.Strain, First: 2 * workload.IDsPerWriter, Appends: 40, Shape: "small", Loose: invariant.DrawLoose(r), Repack: child.AtLast}
	if r.IntN(3) == 0 {
		t.First, t.Appends, t.Shape = workload.Large+3*workload.IDsPerWriter, 36, "default"
	}
	return t
}

// afterwards judges what is left.
func afterwards(r *rand.Rand, task child.Task, w *workload.Witness) child.Task {
	return child.Task{Dir: task.Dir, Shape: task.Shape, Loose: invariant.DrawLoose(r), Witness: w, Seed: r.Uint64(), Beside: r.IntN(2) == 0, Deep: true, Another: 1 << 30}
}

// again opens the store beside the error: it may fail.
func again(ctx context.Context, env lab.Env, t *lab.Tally, task child.Task, w *workload.Witness, at string) error {
	task.Appends, task.Passes = 0, false
	p, err := child.Run(ctx, env.Worker, task, w)
	return report(ctx, t, p, err, at+", opened once more")
}

// report adds what a child found, and how it ended. The error is the lab's.
func report(ctx context.Context, t *lab.Tally, p *child.Process, err error, at string) error {
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case p == nil:
		return err
	case err != nil:
		t.Find(at, err.Error())
	case p.Violation() != "":
		t.Find(at, p.Violation())
	}
	t.Meet(ending(p))
	return nil
}

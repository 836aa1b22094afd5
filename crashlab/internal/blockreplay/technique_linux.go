package blockreplay

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"

	"opossum/crashlab/internal/child"
	"opossum/crashlab/internal/host"
	"opossum/crashlab/internal/invariant"
	"opossum/crashlab/internal/lab"
	"opossum/internal/workload"
)

// statesPerCase are shared by the recordings of a case; enoughFindings end it.
const (
	statesPerCase  = 32
	enoughFindings = 3
)

var fileSystems = []host.FileSystem{host.Ext4, host.XFS, host.Btrfs}

// Techniques returns one for each file system.
func Techniques() []lab.Technique {
	var out []lab.Technique
	for _, fs := range fileSystems {
		out = append(out, lab.Technique{
			Name: "blocks/" + fs.Name, About: "recorded disk writes of " + fs.Name + ", replayed up to any moment, with unflushed writes lost",
			Quick: 10, Share: 3,
			Case: func(ctx context.Context, env lab.Env, seed, index uint64) (lab.Tally, error) {
				name := fmt.Sprintf("blocks-%s-%d-%d", fs.Name, seed, index)
				return newRun(fs, env, name, lab.Rand(seed, index)).all(ctx)
			},
		})
	}
	return out
}

// run is a case: a chain of recordings, each of which begins with a state of the one before.
type run struct {
	fs    host.FileSystem
	env   lab.Env
	name  string // of the case
	r     *rand.Rand
	shape invariant.Shape
	mount string // where file systems are mounted
	base  string // image: the disk with which a recording begins; it moves on as the recording is replayed

	tally   lab.Tally
	witness *workload.Witness // of base
	history invariant.History // since the store on it was opened
}

func newRun(fs host.FileSystem, env lab.Env, name string, r *rand.Rand) *run {
	c := &run{
		fs: fs, env: env, name: name, r: r, mount: filepath.Join(env.Scratch, "mount"), base: filepath.Join(env.Scratch, "base"),
		witness: workload.NewWitness(), shape: invariant.Draw(r),
	}
	return c
}

// next is the image that becomes base with the next recording.
func (c *run) next() string { return filepath.Join(c.env.Scratch, "next") }

// store is the store's directory, below the root of the file system.
func (c *run) store() string { return filepath.Join(c.mount, "store") }

func (c *run) all(ctx context.Context) (lab.Tally, error) {
	if err := c.format(); err != nil {
		return c.tally, err
	}
	tasks := c.plan()
	for i, task := range tasks {
		if err := c.session(ctx, i, task, statesPerCase/len(tasks)); err != nil {
			return c.tally, fmt.Errorf("session %d (%s): %w", i, task.Do, err)
		}
		if len(c.tally.Findings) > 0 {
			break // what comes after would begin with a broken store
		}
	}
	return c.tally, nil
}

// format makes a file system that is no copy of another one: btrfs and xfs tell file systems apart by their IDs.
func (c *run) format() error {
	fresh := filepath.Join(c.env.Scratch, "fresh")
	f, err := os.Create(fresh)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Truncate(c.fs.MiB<<20), f.Close(), c.fs.Format(fresh)); err != nil {
		return err
	}
	return errors.Join(host.CopyImage(fresh, c.base), os.Remove(fresh))
}

// plan chooses what is recorded: appends to a new store, then often a recovery from a power cut in them, or a repair.
func (c *run) plan() []child.Task {
	r := c.r
	tasks := []child.Task{c.appends(0)}
	for len(tasks) < 3 && r.IntN(2) == 0 {
		switch r.IntN(4) {
		case 0, 1: // recovery and nothing else
			tasks = append(tasks, repacks(r, child.Task{
				Do: child.Append, Filing: []string{child.AsItComes, child.Paused, child.Waited, child.Waited}[r.IntN(4)], Close: r.IntN(2) == 0,
			}))
		case 2:
			tasks = append(tasks, c.appends(uint64(len(tasks))))
		case 3:
			tasks = append(tasks, child.Task{Do: child.Repair})
		}
	}
	for i := range tasks {
		tasks[i].Dir, tasks[i].Shape, tasks[i].End = c.store(), c.shape.Name, true
	}
	return tasks
}

// writersPerSession keeps the numbers of the appends of sessions, and of checks, apart.
const writersPerSession = 100

func (c *run) appends(session uint64) child.Task {
	r := c.r
	t := child.Task{
		Do: child.Append, First: session * writersPerSession * workload.IDsPerWriter, Writers: 1 + r.IntN(4), Appends: 5 + r.IntN(30),
		Filing: []string{child.AsItComes, child.Prompted, child.Prompted, child.Paused, child.Waited, child.Resumed}[r.IntN(6)], Close: r.IntN(3) == 0,
		Assure: []int{0, 0, 9}[r.IntN(3)],
	}
	if r.IntN(6) == 0 { // enough for the log to go on to another generation, and with checkpoints to trim the first
		t.First += workload.Large
		t.Writers, t.Appends = 2, 15+r.IntN(30)
	}
	return repacks(r, t)
}

// repacks lets a task find some of its shards to be packed, or unpacked.
func repacks(r *rand.Rand, t child.Task) child.Task {
	t.Loose = invariant.DrawLoose(r)
	if t.Filing != child.Paused {
		t.Repack = []string{child.Never, child.Beside, child.AtLast}[r.IntN(3)]
	}
	return t
}

package rot

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"opossum"
	"opossum/crashlab/internal/child"
	"opossum/crashlab/internal/host"
	"opossum/crashlab/internal/lab"
	"opossum/crashlab/internal/readmodel"
	"opossum/internal/workload"
)

// fixture is a store at rest, to be copied and damaged.
type fixture struct {
	name    string
	dir     string
	shape   string
	witness *workload.Witness
	files   map[string][]string // relative paths, by kind
	older   map[string][]string // of a file, its former contents that differ: paths of copies
}

// period is one owner's time with a fixture.
type period struct {
	child.Task
	kill  bool // at the end, where the others close
	after func(dir string) error
}

// plan says how a fixture is made.
type plan struct {
	name, shape string
	often       int // it is taken so many times as often as one with 1: large stores take their time
	periods     []period
}

// plans: of the log of some stores nothing is needed any more, of others it is the only copy, in several generations; some were closed, some killed;
// some have many index segments, some have packs, some have been recovered before. In all of them everything that was appended was acknowledged.
func plans() []plan {
	writers := func(n int) uint64 { return uint64(n) * workload.IDsPerWriter }
	return []plan{
		{"filed and closed", "default", 1, []period{
			{Task: child.Task{Loose: opossum.KeepLoose, First: workload.Large + writers(1), Writers: 1, Appends: 36, Filing: child.Waited, Close: true}},
			{Task: child.Task{Loose: opossum.KeepLoose, First: writers(2), Writers: 2, Appends: 40, Filing: child.Waited, Close: true}},
		}},
		{"a backlog of generations", "default", 2, []period{
			{Task: child.Task{Loose: opossum.KeepLoose, First: writers(4), Writers: 1, Appends: 20, Filing: child.Waited, Close: true}},
			{Task: child.Task{Loose: opossum.KeepLoose, First: workload.Large + writers(5), Writers: 2, Appends: 17, Filing: child.Paused}, kill: true},
		}},
		{"many segments, killed", "small", 3, []period{
			{Task: child.Task{Loose: opossum.KeepLoose, First: writers(7), Writers: 1, Appends: 60, Filing: child.Prompted, Close: true}},
			{Task: child.Task{Loose: opossum.KeepLoose, First: writers(8), Writers: 2, Appends: 40, Filing: child.Prompted}, kill: true},
		}},
		{"recovered and closed", "small", 3, []period{
			{Task: child.Task{Loose: opossum.KeepLoose, First: writers(10), Writers: 1, Appends: 80}, kill: true, after: tear},
			{Task: child.Task{Loose: 40, First: writers(11), Writers: 1, Appends: 60, Filing: child.Paused, Close: true}},
		}},
		{"packed, and a loose backlog", "default", 2, []period{
			{Task: child.Task{Loose: 1, First: writers(13), Writers: 2, Appends: 40, Filing: child.Resumed, Repack: child.AtLast}, kill: true},
			{Task: child.Task{Loose: opossum.KeepLoose, First: writers(15), Writers: 1, Appends: 40, Filing: child.Waited}, kill: true},
		}},
		{"packed and loose at once", "small", 2, []period{
			{Task: child.Task{Loose: opossum.KeepLoose, First: writers(17), Writers: 1, Appends: 50, Filing: child.Waited, Close: true}, after: setAside},
			{Task: child.Task{Loose: 1, First: writers(18), Writers: 1, Appends: 3, Filing: child.Waited, Repack: child.AtLast, Close: true}, after: putBack},
		}},
	}
}

// modelPlans: of one store the read models were closed, and a rebuild of them was cut short; the owner of the other was killed.
func modelPlans() []plan {
	writers := func(n int) uint64 { return uint64(n) * workload.IDsPerWriter }
	return []plan{
		{"read models, closed", "default", 1, []period{
			{Task: child.Task{First: writers(21), Writers: 1, Appends: 90, Models: &readmodel.Plan{Version: 1, Budget: 1, Pieces: true, Seed: 1}, Close: true}},
			{Task: child.Task{First: writers(22), Writers: 1, Appends: 30, Models: &readmodel.Plan{Version: 1, Seed: 2}, Close: true}},
		}},
		{"read models, killed", "small", 1, []period{
			{Task: child.Task{First: writers(23), Writers: 1, Appends: 60, Models: &readmodel.Plan{Version: 1, Pieces: true, Seed: 3}, Close: true}},
			{Task: child.Task{First: writers(24), Writers: 2, Appends: 45, Models: &readmodel.Plan{Version: 1, Seed: 4}}, kill: true},
		}},
	}
}

// afterwards is the number of the first append to a store with read models that was copied.
const afterwards = 30 * workload.IDsPerWriter

// aside is where the event files of a store are until their shards are packed.
func aside(dir string) string { return dir + "-aside" }

// setAside and putBack bring it about that the event files of packed shards are still there, as when an owner is killed who has just packed them.
func setAside(dir string) error { return copyTree(filepath.Join(dir, "events"), aside(dir)) }

func putBack(dir string) error { return copyTree(aside(dir), filepath.Join(dir, "events")) }

// tear leaves something at the end of the log that recovery has to cut off, as a torn write would.
func tear(dir string) error {
	logs, err := filepath.Glob(filepath.Join(dir, "wal", "*[0-9]", "*"))
	if err != nil {
		return err
	}
	f, err := os.OpenFile(slices.Max(logs), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = f.Write(bytes.Repeat([]byte("torn"), 300))
	return errors.Join(err, f.Close())
}

// made are the fixtures of this run, by worker and plan: one made by a sabotaged engine is another.
var made = struct {
	sync.Mutex
	of map[maker]func() ([]fixture, error)
}{of: map[maker]func() ([]fixture, error){}}

type maker struct{ worker, plans string }

// fixtures makes the fixtures of plans of a name when they are first asked for. Each is in the list as often as it is to be taken.
func fixtures(ctx context.Context, worker, name string, plans []plan) ([]fixture, error) {
	made.Lock()
	by := maker{worker, name}
	get := made.of[by]
	if get == nil {
		get = sync.OnceValues(func() (all []fixture, err error) {
			dir, err := os.MkdirTemp(host.Memory, "rot-")
			if err != nil {
				return nil, err
			}
			for i, p := range plans {
				f, err := p.make(ctx, worker, filepath.Join(dir, fmt.Sprint(i)))
				if err != nil {
					return nil, fmt.Errorf("fixture %q: %w", p.name, err)
				}
				for range p.often {
					all = append(all, f)
				}
			}
			return all, nil
		})
		made.of[by] = get
	}
	made.Unlock()
	return get()
}

// make makes the store, keeping copies of what its files were at some moments on the way.
func (p plan) make(ctx context.Context, worker, dir string) (fixture, error) {
	f := fixture{name: p.name, shape: p.shape, dir: filepath.Join(dir, "store"), witness: workload.NewWitness(), files: map[string][]string{}, older: map[string][]string{}}
	moments := 0
	snapshot := func() error {
		moments++
		return copyTree(f.dir, filepath.Join(dir, "older", fmt.Sprint(moments)))
	}
	for _, owner := range p.periods {
		if err := owner.live(worker, f, snapshot); err != nil {
			return f, err
		}
		if err := snapshot(); err != nil {
			return f, err
		}
		if owner.after != nil {
			if err := owner.after(f.dir); err != nil {
				return f, err
			}
		}
	}
	if _, err := f.witness.All(); err != nil {
		return f, lab.Unprovoked(err)
	}
	return f, f.survey(dir, moments)
}

// live runs one owner, and takes a snapshot after each third of the acknowledgements.
func (o period) live(worker string, f fixture, snapshot func() error) error {
	t := o.Task
	t.Do, t.Dir, t.Shape, t.End = child.Append, f.dir, f.shape, !o.kill
	p, err := child.Start(worker, t)
	if err != nil {
		return err
	}
	defer time.AfterFunc(child.Patience, func() { _ = p.Quit() }).Stop()
	third := t.Writers * t.Appends / 3
	for next := third; ; {
		line, ok := p.Next(f.witness)
		if !ok {
			break
		}
		if len(p.Errs) > 0 {
			return errors.Join(lab.Unprovoked(fmt.Errorf("the child fails: %v", p.Errs)), p.Kill())
		}
		if line == "done" && o.kill {
			return p.Kill()
		}
		if p.Acks >= next && p.Acks < t.Writers*t.Appends {
			next += third
			if err := snapshot(); err != nil {
				return errors.Join(err, p.Kill())
			}
		}
	}
	return lab.Unprovoked(p.Wait())
}

// survey lists the files and what they were.
func (f *fixture) survey(dir string, moments int) error {
	return filepath.WalkDir(f.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(f.dir, path)
		if err != nil {
			return err
		}
		kind := kindOf(rel)
		f.files[kind] = append(f.files[kind], rel)
		now, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for i := range moments {
			old := filepath.Join(dir, "older", fmt.Sprint(i+1), rel)
			if was, err := os.ReadFile(old); err == nil && !bytes.Equal(was, now) {
				f.older[rel] = append(f.older[rel], old)
			}
		}
		return nil
	})
}

// copyTree copies a directory, in which an owner may be at work: what vanishes meanwhile is left out.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && path != from {
			return nil
		}
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), 0o755)
		}
		b, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return errors.Join(err, os.WriteFile(filepath.Join(to, rel), b, 0o644))
	})
}

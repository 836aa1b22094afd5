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

	"opossum/crashlab/internal/child"
	"opossum/crashlab/internal/host"
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
// some have many index segments, some have been recovered before. In all of them everything that was appended was acknowledged.
func plans() []plan {
	writers := func(n int) uint64 { return uint64(n) * workload.IDsPerWriter }
	return []plan{
		{"filed and closed", "default", 1, []period{
			{Task: child.Task{First: workload.Large + writers(1), Writers: 1, Appends: 36, Filing: "waited", Close: true}},
			{Task: child.Task{First: writers(2), Writers: 2, Appends: 40, Filing: "waited", Close: true}},
		}},
		{"a backlog of generations", "default", 2, []period{
			{Task: child.Task{First: writers(4), Writers: 1, Appends: 20, Filing: "waited", Close: true}},
			{Task: child.Task{First: workload.Large + writers(5), Writers: 2, Appends: 17, Filing: "paused"}, kill: true},
		}},
		{"many segments, killed", "small", 3, []period{
			{Task: child.Task{First: writers(7), Writers: 1, Appends: 60, Filing: "prompted", Close: true}},
			{Task: child.Task{First: writers(8), Writers: 2, Appends: 40, Filing: "prompted"}, kill: true},
		}},
		{"recovered and closed", "small", 3, []period{
			{Task: child.Task{First: writers(10), Writers: 1, Appends: 80}, kill: true, after: tear},
			{Task: child.Task{First: writers(11), Writers: 1, Appends: 60, Filing: "paused", Close: true}},
		}},
	}
}

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
	of map[string]func() ([]fixture, error)
}{of: map[string]func() ([]fixture, error){}}

// fixtures makes the fixtures when they are first asked for. Each is in the list as often as it is to be taken.
func fixtures(ctx context.Context, worker string) ([]fixture, error) {
	made.Lock()
	get := made.of[worker]
	if get == nil {
		get = sync.OnceValues(func() (all []fixture, err error) {
			dir, err := os.MkdirTemp(host.Memory, "rot-")
			if err != nil {
				return nil, err
			}
			for i, p := range plans() {
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
		made.of[worker] = get
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
		return f, err
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
	third := t.Writers * t.Appends / 3
	for next := third; ; {
		line, ok := p.Next(f.witness)
		if !ok {
			break
		}
		if len(p.Errs) > 0 {
			return errors.Join(fmt.Errorf("the child fails: %v", p.Errs), p.Kill())
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
	return p.Wait()
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

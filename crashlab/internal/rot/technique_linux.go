package rot

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"

	"opossum/crashlab/internal/child"
	"opossum/crashlab/internal/invariant"
	"opossum/crashlab/internal/lab"
	"opossum/crashlab/internal/readmodel"
	"opossum/internal/workload"
)

// Techniques are one for each kind of file.
func Techniques() []lab.Technique {
	quick := map[string]uint64{"log": 160, "acked": 60, "ledger": 80, "events": 90, "packs": 120, "index": 120, "quarantine": 20, "lock": 20}
	share := map[string]int{"log": 8, "acked": 2, "ledger": 3, "events": 4, "packs": 5, "index": 5, "quarantine": 1, "lock": 1}
	var out []lab.Technique
	for _, kind := range kinds {
		out = append(out, lab.Technique{
			Name: "rot/" + kind, About: "damage one file of a store at rest", Quick: quick[kind], Share: share[kind],
			Case: func(ctx context.Context, env lab.Env, seed, index uint64) (lab.Tally, error) {
				return one(ctx, env, kind, seed, index)
			},
		})
	}
	return append(out, lab.Technique{
		Name: "models/rot", About: "damage one file of a read model at rest", Quick: 120, Share: 2, Case: oneModel,
	})
}

// one copies a store, damages a file of the kind, and has it examined.
func one(ctx context.Context, env lab.Env, kind string, seed, index uint64) (t lab.Tally, err error) {
	all, err := fixtures(ctx, env.Worker, "stores", plans())
	if err != nil {
		return t, err
	}
	dir := filepath.Join(env.Scratch, "store")
	p, err := admit(all, kind, seed, index, dir)
	if err != nil {
		return t, err
	}
	end := "opened"
	if index%2 == 0 {
		end = "repaired"
	}
	found, err := child.Examine(ctx, env.Worker, child.Task{
		Dir: dir, Shape: p.of.shape, Loose: invariant.DrawLoose(lab.Rand(seed, ^index)), Witness: p.of.witness, Damaged: p.file, Seed: seed + index, Mend: end == "repaired",
	})
	if err != nil {
		return t, err
	}
	t.Crash(found.Acked)
	t.Meet(fmt.Sprintf("%s: verify %s, read %s, %s %s", p.damage, found.Verify, found.Read, end, found.End))
	if found.Violation == "" {
		return t, nil
	}
	t.Find(fmt.Sprintf("%s: %s, in the store %q, to be %s", p.damage, p.file, p.of.name, end), fmt.Sprintf("%s (%.2000s)", found.Violation, found.Why))
	if env.Keep != "" {
		kept := &t.Findings[0].Kept
		*kept = filepath.Join(env.Keep, fmt.Sprintf("rot-%s-%d-%d", kind, seed, index))
		_, err = admit(all, kind, seed, index, *kept)
	}
	return t, err
}

// patient is a damaged copy of a fixture.
type patient struct {
	of     fixture
	damage string
	file   string
}

// admit makes the damaged store of a case at dir.
func admit(all []fixture, kind string, seed, index uint64, dir string) (p patient, err error) {
	r := lab.Rand(seed, index)
	if !slices.ContainsFunc(all, func(f fixture) bool { return len(f.files[kind]) > 0 }) {
		return p, lab.Unprovoked(fmt.Errorf("no store has a file of the kind %s", kind))
	}
	for len(p.of.files[kind]) == 0 {
		p.of = all[r.IntN(len(all))]
	}
	if err := copyTree(p.of.dir, dir); err != nil {
		return p, err
	}
	p.damage, p.file, err = p.of.damage(r, all, kind, dir)
	return p, err
}

// oneModel copies a store with read models, damages a file of them, and has them judged: they may be found to be damaged, and must be right in the end. Every other time
// the damaged files are those that the system would vouch for, because somebody had them open in this run of it.
func oneModel(ctx context.Context, env lab.Env, seed, index uint64) (t lab.Tally, err error) {
	all, err := fixtures(ctx, env.Worker, "read models", modelPlans())
	if err != nil {
		return t, err
	}
	r := lab.Rand(seed, index)
	f, dir := all[r.IntN(len(all))], filepath.Join(env.Scratch, "store")
	if err := copyTree(f.dir, dir); err != nil {
		return t, err
	}
	plan := readmodel.Plan{Version: 1}
	how := "as a copy"
	if index%2 == 0 {
		how = "in place"
		if err := child.Complete(ctx, env.Worker, child.Task{
			Do: child.Append, Dir: dir, Shape: f.shape, First: afterwards, Writers: 1, Appends: 1 + r.IntN(9), Models: &plan, Close: true,
		}, nil); err != nil {
			return t, err
		}
	}
	kind := []string{states, states, indexLogs}[r.IntN(3)]
	what, file, err := f.damage(r, all, kind, dir)
	if err != nil {
		return t, err
	}
	v, err := child.JudgeModels(ctx, env.Worker, child.Task{
		Dir: dir, Shape: f.shape, Loose: invariant.DrawLoose(r), Models: &plan, Rotten: true, Seed: seed + index, Another: afterwards + workload.IDsPerWriter,
	})
	if err != nil {
		return t, err
	}
	t.Crash(len(f.witness.Acked))
	for _, found := range v.Found {
		t.Meet(fmt.Sprintf("%s, %s: %s", kind, how, found))
	}
	if v.Violation != "" {
		t.Find(fmt.Sprintf("%s: %s, %s, in the store %q", what, file, how, f.name), v.Violation)
	}
	return t, nil
}

// damage damages a file of the kind in the copy of the fixture that is at dir. It returns how, and which.
func (f fixture) damage(r *rand.Rand, all []fixture, kind, dir string) (what, file string, err error) {
	for range 1000 * min(1, len(f.files[kind])) {
		file = f.files[kind][r.IntN(len(f.files[kind]))]
		if kind == "log" && r.IntN(3) == 0 {
			file = slices.Max(f.files[kind]) // the newest matters most
		}
		was, err := os.ReadFile(filepath.Join(dir, file))
		if errors.Is(err, fs.ErrNotExist) {
			continue // appends to the copy have deleted this state
		}
		if err != nil {
			return "", "", err
		}
		var now []byte
		switch n := r.IntN(len(damages) + 4); n - len(damages) {
		case 0:
			return "removed", file, os.Remove(filepath.Join(dir, file))
		case 1, 2:
			what = "stale"
			if len(f.older[file]) == 0 {
				continue
			}
			now, err = os.ReadFile(f.older[file][r.IntN(len(f.older[file]))])
		case 3:
			what = "another's"
			now, err = f.another(r, all, kind)
		default:
			what = damages[n].name
			now = damages[n].do(r, bytes.Clone(was))
		}
		if err != nil {
			return "", "", err
		}
		if !bytes.Equal(was, now) {
			return what, file, os.WriteFile(filepath.Join(dir, file), now, 0o644)
		}
	}
	return "", "", lab.Unprovoked(fmt.Errorf("of the store %q there is nothing to damage in its %s", f.name, kind))
}

// another returns another file of the kind, of this store or of another; never an event file or a state of another store, which bears no mark of its own and
// is told apart only by its place.
func (f fixture) another(r *rand.Rand, all []fixture, kind string) ([]byte, error) {
	from := f
	if kind != "events" && kind != states {
		from = all[r.IntN(len(all))]
	}
	if len(from.files[kind]) == 0 {
		return nil, nil
	}
	return os.ReadFile(filepath.Join(from.dir, from.files[kind][r.IntN(len(from.files[kind]))]))
}

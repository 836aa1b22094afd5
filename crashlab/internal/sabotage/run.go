package sabotage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"opossum/crashlab/internal/lab"
	"opossum/crashlab/internal/variant"
)

// How long each technique of a sabotage may try. What is not caught within patience would be caught too seldom by a run for CI.
const (
	patience  = 2 * time.Minute
	formality = 5 * time.Second // for one that none can catch
)

// Run builds the sabotages one after the other and lets their techniques try, until one has a finding. report gets each result as it
// comes. The error is one of the lab, or of report.
func Run(ctx context.Context, env lab.Env, seed uint64, workers int, all []Sabotage, techniques []lab.Technique, report func(lab.Sabotaged) error) error {
	root, err := variant.Root()
	if err != nil {
		return err
	}
	for _, s := range all {
		r, err := s.run(ctx, root, env, seed, workers, techniques)
		if err != nil {
			return fmt.Errorf("sabotage %s: %w", s.Name, err)
		}
		if err := report(r); err != nil {
			return err
		}
	}
	return nil
}

func (s Sabotage) run(ctx context.Context, root string, env lab.Env, seed uint64, workers int, techniques []lab.Technique) (r lab.Sabotaged, err error) {
	r = lab.Sabotaged{Name: s.Name, About: s.About, Uncatchable: s.Uncatchable}
	// A place of its own: techniques keep stores to begin with, and those of a sabotaged engine are others.
	env.Scratch = filepath.Join(env.Scratch, "sabotage", s.Name)
	if err := os.MkdirAll(env.Scratch, 0o755); err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(env.Scratch)) }()
	env.Sabotaged = true
	env.Keep = "" // what a sabotaged engine leaves behind teaches nothing
	env.Worker = filepath.Join(env.Scratch, "worker")
	env.Points = env.Worker // kill points do nothing unless they are told to
	if err := variant.Build(ctx, root, variant.Worker, env.Worker, env.Scratch, []string{"crashlab"}, s.Edits); err != nil {
		return r, err
	}
	long := patience
	if s.Uncatchable != "" {
		long = formality
	}
	start := time.Now()
	defer func() { r.Took = time.Since(start) }()
	for _, name := range s.By {
		i := slices.IndexFunc(techniques, func(t lab.Technique) bool { return t.Name == name })
		if i < 0 {
			return r, fmt.Errorf("there is no technique %q", name)
		}
		out, err := lab.Run(ctx, techniques[i], env, seed, lab.Bound{Until: time.Now().Add(long), Findings: 1}, workers)
		r.Crashes += out.Crashes
		if err != nil {
			return r, err
		}
		if len(out.Findings) > 0 {
			r.Caught, r.By, r.What = true, name, out.Findings[0].At+": "+out.Findings[0].What
			return r, nil
		}
	}
	return r, nil
}

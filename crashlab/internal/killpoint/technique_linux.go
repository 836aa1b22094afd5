package killpoint

import (
	"context"
	"fmt"
	"path"

	"opossum/crashlab/internal/host"
	"opossum/crashlab/internal/lab"
)

// Techniques returns every scenario, killed at its steps, and with the power cut at its steps. A run for CI meets every class: kills before and after
// its first step, power cuts before it, because a disk after a step is mostly that before the next.
func Techniques() []lab.Technique {
	all := []lab.Technique{{
		Name: "models/kills", About: "SIGKILL before and after every step of " + models.about, Quick: 2 * uint64(len(models.classes)), Case: bench{scenario: models}.run,
	}}
	for _, s := range scenarios {
		b := bench{scenario: s}
		all = append(all, lab.Technique{
			Name: path.Join("kills", s.name), About: "SIGKILL before and after every step of " + s.about,
			Quick: 2 * uint64(len(s.classes)), Case: b.run,
		})
	}
	for _, fs := range []host.FileSystem{host.Ext4, host.XFS} {
		for _, s := range scenarios {
			b := bench{scenario: s, fs: &fs}
			all = append(all, lab.Technique{
				Name: path.Join("cutpoints", fs.Name, s.name), About: fmt.Sprintf("%s loses its power before and after every step of %s", fs.Name, s.about),
				Quick: uint64(len(s.classes)), Case: b.run,
			})
		}
	}
	return all
}

// bench runs the cases of a scenario.
type bench struct {
	*scenario
	fs *host.FileSystem // nil: kills
}

func (b bench) run(ctx context.Context, env lab.Env, seed, index uint64) (lab.Tally, error) {
	f, err := b.fixtureOf(ctx, env)
	if err != nil {
		return lab.Tally{}, fmt.Errorf("the store to begin with: %w", err)
	}
	p := pointOf(b.classes, index)
	switch beyond, over := f.beyond(p, b.classes); {
	case over:
		return lab.Tally{}, lab.ErrEnd
	case beyond:
		return lab.Tally{}, nil
	}
	c := attempt{bench: b, env: env, seed: seed, index: index, point: p, fixture: f}
	err = c.try(ctx)
	return c.Tally, err
}

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
				Name: path.Join("cutpoints", fs.Name, s.name), About: fmt.Sprintf("%s loses its power before and after every step of %s, with and without all names", fs.Name, s.about),
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

// place returns where a case crashes, and whether a neighbour's sync takes the names of all files along just before the power goes. Each point has both, one round after
// the other; the seed says which is first, so that a run for CI has some of either.
func (b bench) place(seed, index uint64) (p point, neighbour bool) {
	if b.fs == nil {
		return pointOf(b.classes, index), false
	}
	n := uint64(len(b.classes))
	round, class := index/n, index%n
	first := lab.Rand(seed, class).IntN(2) == 0
	return pointOf(b.classes, round/2*n+class), (round%2 == 0) == first
}

func (b bench) run(ctx context.Context, env lab.Env, seed, index uint64) (lab.Tally, error) {
	f, err := b.fixtureOf(ctx, env)
	if err != nil {
		return lab.Tally{}, fmt.Errorf("the store to begin with: %w", err)
	}
	p, neighbour := b.place(seed, index)
	switch beyond, over := f.beyond(p, b.classes); {
	case over:
		return lab.Tally{}, lab.ErrEnd
	case beyond:
		return lab.Tally{}, nil
	}
	c := attempt{bench: b, env: env, seed: seed, index: index, point: p, neighbour: neighbour, fixture: f}
	err = c.try(ctx)
	return c.Tally, err
}

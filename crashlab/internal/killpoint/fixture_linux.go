package killpoint

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"sync"

	"opossum/crashlab/internal/host"
	"opossum/crashlab/internal/lab"
	"opossum/internal/workload"
)

// fixture is what the cases of a scenario have in common: the store that they begin with, and what is known of how the scenario ends.
type fixture struct {
	dir     string // of the home of the store, for kills
	image   string // of a file system with the home in it, for power cuts
	witness *workload.Witness
	known   *known // of a store that is repaired

	mu   sync.Mutex
	ends ends
}

// fixtures are made once for each binary that is crashed, because each makes its own stores. The scratch directory is a part of the key: what a
// fixture is made of lies beside those of the cases.
var fixtures struct {
	sync.Mutex
	made map[string]func() (*fixture, error)
}

func (b bench) fixtureOf(ctx context.Context, env lab.Env) (*fixture, error) {
	place := filepath.Dir(env.Scratch)
	fixtures.Lock()
	make, ok := fixtures.made[place+env.Points]
	if !ok {
		if fixtures.made == nil {
			fixtures.made = map[string]func() (*fixture, error){}
		}
		make = sync.OnceValues(func() (*fixture, error) { return b.makeFixture(ctx, env, place) })
		fixtures.made[place+env.Points] = make
	}
	fixtures.Unlock()
	return make()
}

func (b bench) makeFixture(ctx context.Context, env lab.Env, place string) (*fixture, error) {
	place, err := os.MkdirTemp(place, "fixture-")
	if err != nil {
		return nil, err
	}
	f := &fixture{dir: filepath.Join(place, "home"), witness: workload.NewWitness()}
	store := storeOf(f.dir)
	if err := os.Mkdir(f.dir, 0o755); err != nil {
		return nil, err
	}
	if b.fixture != nil {
		if f.known, err = b.fixture(ctx, env, store, f.witness); err != nil {
			return nil, err
		}
	}
	if b.fs != nil {
		f.image = filepath.Join(place, "image")
		return f, b.fill(f, filepath.Join(place, "mount"))
	}
	if b.prelude != nil {
		return f, b.prelude(ctx, env, store, f.witness)
	}
	return f, nil
}

// fill makes the image, with nothing left to be written.
func (b bench) fill(f *fixture, mount string) error {
	if err := b.fs.NewImage(f.image); err != nil {
		return err
	}
	if err := b.fs.MountImage(f.image, mount); err != nil {
		return err
	}
	return errors.Join(f.copyTo(mount), host.Unmount(mount), os.RemoveAll(f.dir))
}

// copyTo copies the home of the store.
func (f *fixture) copyTo(home string) error {
	if err := os.MkdirAll(home, 0o755); err != nil {
		return err
	}
	return os.CopyFS(home, os.DirFS(f.dir))
}

// copyWitness returns a witness of the store of a case.
func (f *fixture) copyWitness() *workload.Witness {
	return &workload.Witness{Acked: maps.Clone(f.witness.Acked), Read: maps.Clone(f.witness.Read)}
}

func (f *fixture) beyond(p point, classes []class) (beyond, over bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ends.beyond(p, classes)
}

func (f *fixture) end(p point) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ends.note(p)
}

package readmodel

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"opossum"
	"opossum/projection"
)

// Keeper keeps the read models of an open store, and is never content with them. Its methods are for one goroutine.
type Keeper struct {
	e      *opossum.Engine
	plan   Plan
	r      *random
	kept   func(name string, version int)
	failed func(error)

	runner *projection.Runner
	models map[string]*projection.Model[State]
}

// Keep begins to keep the read models. kept is told of each when it can be read for the first time, and failed of errors that it has in a disk that is in order; both by any
// goroutine.
func Keep(e *opossum.Engine, p Plan, kept func(name string, version int), failed func(error)) *Keeper {
	k := &Keeper{e: e, plan: p, r: &random{r: rand.New(rand.NewPCG(p.Seed, 1))}, kept: kept, failed: failed}
	k.tell(k.open(p.AtStart))
	return k
}

// tell reports an error, unless it is that of a store that is closed.
func (k *Keeper) tell(err error) {
	if err != nil && !errors.Is(err, opossum.ErrClosed) {
		k.failed(fmt.Errorf("read models: %w", err))
	}
}

func (k *Keeper) open(at projection.AtStart) error {
	var err error
	k.runner, k.models, err = start(k.e, k.plan, at, func(s projection.Stores) projection.Stores {
		if k.plan.Pieces {
			return piecemeal{s, k.r}
		}
		return s
	}, func(d *projection.Definition[State]) {
		if k.plan.Fails {
			d.Apply = k.failing(d.Apply)
		}
	})
	for name, m := range k.models {
		go func() {
			if m.Wait(context.Background(), 0) == nil {
				k.kept(name, k.plan.Version)
			}
		}()
	}
	return err
}

// start opens the read models of a store.
func start(
	e *opossum.Engine, p Plan, at projection.AtStart, wrap func(projection.Stores) projection.Stores, change func(*projection.Definition[State]),
) (*projection.Runner, map[string]*projection.Model[State], error) {
	stores, err := projection.Files(dirOf(e.Dir()), slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, nil, err
	}
	runner, err := e.Projections(&projection.Options{
		Stores: wrap(stores), AtStart: at, BudgetBytes: p.Budget, Attempts: 1 << 30, MinDelay: time.Millisecond, MaxDelay: 2 * time.Millisecond, Parallel: len(names),
	})
	if err != nil {
		return nil, nil, errors.Join(err, stores.Close())
	}
	models := map[string]*projection.Model[State]{}
	for _, name := range names {
		d := definitions(p.Version)[name]
		change(&d)
		if models[name], err = projection.Add(runner, d); err != nil {
			return nil, nil, errors.Join(err, runner.Close())
		}
	}
	return runner, models, nil
}

// Act does something that an owner may do at any time; nil does nothing.
func (k *Keeper) Act(ctx context.Context) {
	if k == nil || k.runner == nil {
		return
	}
	name := names[k.r.n(len(names))]
	one := projection.Rebuilding{Names: []string{name}}
	switch k.r.n(7) {
	case 0:
		k.tell(k.runner.Pause(name))
		k.tell(k.runner.Resume(name))
	case 1:
		k.tell(k.runner.Pause(name))
		k.tell(k.runner.Rebuild(ctx, one))
		k.tell(k.runner.Resume(name))
	case 2:
		k.tell(k.runner.Rebuild(ctx, projection.Rebuilding{}))
	case 3: // it ends before the rebuild does, or after it
		within, cancel := context.WithCancel(ctx)
		one.Report = func(projection.Progress) {
			if k.r.n(2) == 0 {
				cancel()
			}
		}
		if err := k.runner.Rebuild(within, one); within.Err() == nil { // else it says what it ended with
			k.tell(err)
		}
		cancel()
		k.tell(k.runner.Rebuild(ctx, projection.Rebuilding{Names: one.Names, Unfit: true}))
	case 4:
		k.tell(k.runner.Close())
		k.tell(k.open([]projection.AtStart{projection.RebuildUnfit, projection.RebuildUnfit, projection.RebuildAll}[k.r.n(3)]))
	default:
		k.tell(k.runner.Rebuild(ctx, one))
	}
}

// Finish waits until everything that was appended is in the read models, and closes them if close says so; nil does nothing.
func (k *Keeper) Finish(ctx context.Context, close bool) {
	if k == nil || k.runner == nil {
		return
	}
	k.tell(k.e.Sync(ctx))
	for _, name := range names {
		k.tell(k.models[name].Wait(ctx, k.e.Head()))
	}
	if close {
		k.tell(k.runner.Close())
	}
}

// errOfChance is that of a function that fails.
var errOfChance = errors.New("by chance")

// failing returns a function that fails now and then when it has done its work: what it has changed must not be kept.
func (k *Keeper) failing(apply func(*State, projection.Event) (*State, error)) func(*State, projection.Event) (*State, error) {
	return func(s *State, e projection.Event) (*State, error) {
		s, err := apply(s, e)
		switch k.r.n(150) { // seldom enough that a rebuild gets on
		case 0:
			return s, errOfChance
		case 1:
			panic(errOfChance)
		}
		return s, err
	}
}

// random is a random source for several goroutines.
type random struct {
	mu sync.Mutex
	r  *rand.Rand
}

func (r *random) n(below int) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.r.IntN(below)
}

// piecemeal saves in pieces what is to be saved at once: all but the last under the checkpoint before, as a rebuild does that has many states.
type piecemeal struct {
	projection.Stores
	r *random
}

func (p piecemeal) Live(id projection.Identity) (projection.Store, error) {
	return p.wrap(p.Stores.Live(id))
}

func (p piecemeal) Build(id projection.Identity, fresh bool) (projection.Store, error) {
	return p.wrap(p.Stores.Build(id, fresh))
}

func (p piecemeal) wrap(s projection.Store, err error) (projection.Store, error) {
	if err != nil {
		return nil, err
	}
	return pieces{s, p.r}, nil
}

type pieces struct {
	projection.Store
	r *random
}

func (p pieces) Save(records []projection.Record, at projection.Checkpoint) error {
	for len(records) > 1 && p.r.n(2) == 0 {
		n := 1 + p.r.n(len(records)-1)
		if err := p.Store.Save(records[:n], p.Store.Checkpoint()); err != nil {
			return err
		}
		records = records[n:]
	}
	return p.Store.Save(records, at)
}

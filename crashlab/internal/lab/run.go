package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Bound says when a run is over: after so many cases, or at a time. A zero bound does not count; ErrEnd always ends a run.
type Bound struct {
	Cases    uint64
	Until    time.Time
	Findings int    // stop after so many
	First    uint64 // the index to begin with
}

// Run runs the cases of a technique, workers at a time, and adds them up. The error is the first failure of the lab, or ctx's.
func Run(ctx context.Context, t Technique, env Env, seed uint64, b Bound, workers int) (Outcome, error) {
	out := Outcome{Technique: t.Name, Seed: seed}
	start := time.Now()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var (
		mu   sync.Mutex
		all  sync.WaitGroup
		next atomic.Uint64
		over atomic.Bool
	)
	next.Store(b.First)
	for w := range workers {
		all.Go(func() {
			for ctx.Err() == nil && !over.Load() && (b.Until.IsZero() || time.Now().Before(b.Until)) {
				index := next.Add(1) - 1
				if b.Cases > 0 && index >= b.First+b.Cases {
					return
				}
				tally, err := one(ctx, t, env, seed, index, fmt.Sprintf("worker-%d", w))
				if errors.Is(err, ErrEnd) {
					over.Store(true)
					return
				}
				if err != nil {
					cancel(fmt.Errorf("%s, seed %d, case %d: %w", t.Name, seed, index, err))
					return
				}
				mu.Lock()
				out.Add(tally)
				if b.Findings > 0 && len(out.Findings) >= b.Findings {
					over.Store(true)
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	out.Took = time.Since(start)
	return out, context.Cause(ctx)
}

// one runs a case in a scratch directory of its own.
func one(ctx context.Context, t Technique, env Env, seed, index uint64, worker string) (Tally, error) {
	env.Scratch = filepath.Join(env.Scratch, strings.ReplaceAll(t.Name, "/", "-"), worker)
	if err := os.MkdirAll(env.Scratch, 0o755); err != nil {
		return Tally{}, err
	}
	tally, err := t.Case(ctx, env, seed, index)
	if env.Sabotaged && errors.Is(err, ErrUnprovoked) {
		tally.Find("before anything was done to it", err.Error())
		err = nil
	}
	if err := errors.Join(err, os.RemoveAll(env.Scratch)); err != nil {
		return Tally{}, err
	}
	tally.Cases = 1
	for i := range tally.Findings {
		f := &tally.Findings[i]
		f.Technique, f.Seed, f.Index = t.Name, seed, index
	}
	return tally, nil
}

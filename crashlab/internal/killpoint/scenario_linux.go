package killpoint

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"opossum"
	"opossum/crashlab/internal/child"
	"opossum/crashlab/internal/lab"
	"opossum/crashlab/internal/readmodel"
	"opossum/internal/workload"
	"opossum/projection"
)

// shape is that of all stores here: it seals and merges all the time.
const shape = "small"

// The numbers of the appends: of the scenario append; of a store before it is recovered, and meanwhile; of a store that is damaged; of the judge's.
const (
	fresh     = workload.Large
	closed    = fresh + workload.IDsPerWriter
	unsettled = closed + workload.IDsPerWriter
	caughtUp  = unsettled + workload.IDsPerWriter
	filed     = 0 // small ones
	unfiled   = filed + workload.IDsPerWriter
	filedToo  = 2 * workload.IDsPerWriter
	another   = 99 * workload.IDsPerWriter
)

// scenario is what a process does that is crashed.
type scenario struct {
	name, about string
	task        func(store string) child.Task
	// fixture makes the store to begin with, if there is one, and notes in the witness what must be in it; of one that is repaired it returns more.
	fixture func(ctx context.Context, env lab.Env, store string, w *workload.Witness) (*known, error)
	// prelude, if any, leaves what only a page cache has: before a power cut it is part of each case, else of the fixture.
	prelude func(ctx context.Context, env lab.Env, store string, w *workload.Witness) error
	repairs bool
	classes []class
	// elsewhere are classes that it has as well, and in which another scenario is crashed.
	elsewhere []class
}

var scenarios = []*scenario{
	{
		name: "append", about: "a new store that appends, rotates, seals, merges, checkpoints, trims and closes",
		task: func(store string) child.Task {
			return child.Task{Do: child.Append, Dir: store, Shape: shape, Loose: opossum.KeepLoose, First: fresh, Writers: 1, Appends: 60, Filing: child.Prompted, Close: true}
		},
		classes: serving,
	},
	{
		name: "recovery", about: "the recovery of a killed store and of all that it did not come to",
		task: func(store string) child.Task {
			return child.Task{Do: child.Append, Dir: store, Shape: shape, Loose: opossum.KeepLoose, First: caughtUp, Writers: 1, Appends: 3, Filing: child.Waited, Close: true}
		},
		fixture: backlog, prelude: torn,
		classes: recovering,
	},
	{
		name: "pack", about: "a store that packs its backlog at once, packs old event files beside it, and what a packing that was killed has left",
		task: func(store string) child.Task {
			return child.Task{
				Do: child.Append, Dir: store, Shape: shape, Loose: 1, First: filedToo, Writers: 1, Appends: 3, Filing: child.Waited, Repack: child.AtLast, Close: true,
			}
		},
		fixture: halfPacked,
		classes: packing, elsewhere: recovering,
	},
	{
		name: "unpack", about: "unpacking, once more after one that was killed",
		task: func(store string) child.Task {
			return child.Task{
				Do: child.Append, Dir: store, Shape: shape, Loose: opossum.KeepLoose, First: filedToo, Writers: 1, Appends: 3, Filing: child.Waited,
				Repack: child.AtLast, Close: true,
			}
		},
		fixture: halfUnpacked,
		classes: unpacking, elsewhere: recovering,
	},
	{
		name: "repair", about: "a repair that loses nothing",
		task:    func(store string) child.Task { return child.Task{Do: child.Repair, Dir: store} },
		fixture: damaged, repairs: true,
		classes: repairing,
	},
	{
		name: "repair-loss", about: "a repair that gives up what is intact nowhere",
		task:    func(store string) child.Task { return child.Task{Do: child.Repair, Dir: store, AcceptLoss: true} },
		fixture: damagedBeyondRepair, repairs: true,
		classes: repairing,
	},
}

// models is the scenario of what is derived: the events are those of the others, and it is the read models that are judged.
var models = &scenario{
	name: "models", about: "read models of a store with a past that are built, followed, rebuilt, replaced, closed and opened again",
	task: func(store string) child.Task {
		return child.Task{
			Do: child.Append, Dir: store, Shape: shape, Loose: opossum.KeepLoose, First: filedToo, Writers: 1, Appends: 84, Filing: child.Paused, Close: true,
			Models: &readmodel.Plan{Version: 1, AtStart: projection.RebuildAll, Budget: 1, Pieces: true, Seed: 4},
		}
	},
	fixture: packedPast,
	classes: slices.Concat(keeping, atTimes), elsewhere: serving,
}

// packedPast makes a store of so many events that rebuilds come to several checkpoints. One of its read models is new, and the others are in order.
func packedPast(ctx context.Context, env lab.Env, store string, w *workload.Witness) (*known, error) {
	kept := filepath.Join(store, "projections")
	return nil, cmp.Or(
		child.Complete(ctx, env.Worker, child.Task{
			Do: child.Append, Dir: store, Shape: shape, Loose: 1, First: filed, Writers: 2, Appends: 160, Filing: child.Waited, Close: true, Models: &readmodel.Plan{Version: 1},
		}, w),
		os.RemoveAll(filepath.Join(kept, readmodel.Lists)),
		os.RemoveAll(filepath.Join(kept, ".build")),
	)
}

// keptBefore are the read models that can be read from the start, and their versions.
var keptBefore = map[string]int{readmodel.Lives: 1, readmodel.Appends: 1}

// backlog makes a store of several generations that was closed before anything was filed.
func backlog(ctx context.Context, env lab.Env, store string, w *workload.Witness) (*known, error) {
	return nil, child.Complete(ctx, env.Worker, child.Task{
		Do: child.Append, Dir: store, Shape: shape, Loose: opossum.KeepLoose, First: closed, Writers: 1, Appends: 36, Filing: child.Paused, Close: true,
	}, w)
}

// killed runs a child until it is killed at a point. The error Is lab.ErrUnprovoked if it does not come to that.
func killed(env lab.Env, t child.Task, at point, w *workload.Witness) error {
	p, err := child.Start(env.Points, t, order(map[string]any{
		"do": "kill", "when": at.when, "at": at.at, "kinds": []string{at.class.kind()}, "path": at.class.paths(t.Dir),
	}))
	if err != nil {
		return err
	}
	defer time.AfterFunc(patience, func() { _ = p.Quit() }).Stop()
	met := false
	for {
		line, more := p.Next(w)
		if !more {
			break
		}
		met = met || strings.HasPrefix(line, "step ")
		if line == "done" {
			_ = p.Signal()
		}
	}
	if ended := p.Wait(); !met || len(p.Errs) > 0 {
		return lab.Unprovoked(fmt.Errorf("it did not come to %v: %w, %q", at, ended, p.Errs))
	}
	return nil
}

// halfPacked makes a store of loose shards, and of a backlog as long as some. Its owner was killed while he removed the files of the first shard: some of its events are in the
// pack only, and whoever packs it again replaces that. The second one has a pack beside its files, and that is damaged.
func halfPacked(ctx context.Context, env lab.Env, store string, w *workload.Witness) (*known, error) {
	base := child.Task{Do: child.Append, Dir: store, Shape: shape, Loose: opossum.KeepLoose, Writers: 1, Close: true}
	loose, packs, behind := base, base, base
	loose.First, loose.Appends, loose.Filing = filed, 50, child.Waited
	packs.Loose, packs.Filing, packs.Repack = 1, child.Waited, child.AtLast
	behind.First, behind.Appends, behind.Filing = unfiled, 50, child.Paused
	twin := packs
	twin.Dir = store + "-packed"
	err := cmp.Or(
		child.Complete(ctx, env.Worker, loose, w),
		os.CopyFS(twin.Dir, os.DirFS(store)),
		child.Complete(ctx, env.Worker, twin, nil),
		killed(env, packs, point{class: "remove events/N/N.json", when: "before", at: 5}, w),
		killed(env, behind, point{class: "sync wal/N/N", when: "before", at: 40}, w), // not closed: there is something to be recovered
	)
	if err != nil {
		return nil, err
	}
	done, err := glob(twin.Dir, "packs/*.pack", 2)
	if err != nil {
		return nil, err
	}
	second := filepath.Join(store, "packs", filepath.Base(done[1]))
	return nil, errors.Join(
		os.Rename(done[1], second), flip(second, 100), os.RemoveAll(twin.Dir),
		os.WriteFile(filepath.Join(store, "packs", ".tmp-0123456789abcdef"), []byte("half of it"), 0o644),
	)
}

// halfUnpacked makes a store of packs, of which one has some loose files beside it, as an owner leaves it that is killed while it unpacks.
func halfUnpacked(ctx context.Context, env lab.Env, store string, w *workload.Witness) (*known, error) {
	base := child.Task{Do: child.Append, Dir: store, Shape: shape, Writers: 1, Filing: child.Waited, Repack: child.AtLast, Close: true}
	packed, unpacks := base, base
	packed.Loose, packed.First, packed.Appends = 1, filed, 60
	unpacks.Loose = opossum.KeepLoose
	return nil, cmp.Or(
		child.Complete(ctx, env.Worker, packed, w),
		killed(env, unpacks, point{class: "link N.json", when: "before", at: 5}, w),
	)
}

// torn goes on with a store and is killed between the write of an append and its sync. What follows that in the log is made up: part of a frame, such as
// a longer write leaves behind; and so are temporary files of every sort.
func torn(ctx context.Context, env lab.Env, store string, w *workload.Witness) error {
	err := killed(env, child.Task{
		Do: child.Append, Dir: store, Shape: shape, Loose: opossum.KeepLoose, First: unsettled, Writers: 1, Appends: 9, Filing: child.Paused,
	}, point{class: "sync wal/N/N", when: "before", at: 5}, w)
	if err != nil {
		return err
	}
	// An event file beyond the checkpoint may be anything. It is replaced, which takes other steps.
	path := filepath.Join(store, "events", fmt.Sprintf("%020d", 1), fmt.Sprintf("%020d.json", 20))
	return errors.Join(leave(store), os.WriteFile(path, []byte("not synced"), 0o644))
}

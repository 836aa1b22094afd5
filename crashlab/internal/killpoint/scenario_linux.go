package killpoint

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"opossum/crashlab/internal/child"
	"opossum/crashlab/internal/lab"
	"opossum/internal/workload"
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
}

var scenarios = []*scenario{
	{
		name: "append", about: "a new store that appends, rotates, seals, merges, checkpoints, trims and closes",
		task: func(store string) child.Task {
			return child.Task{Do: child.Append, Dir: store, Shape: shape, First: fresh, Writers: 1, Appends: 60, Filing: "prompted", Close: true}
		},
		classes: serving,
	},
	{
		name: "recovery", about: "the recovery of a killed store and of all that it did not come to",
		task: func(store string) child.Task {
			return child.Task{Do: child.Append, Dir: store, Shape: shape, First: caughtUp, Writers: 1, Appends: 3, Filing: "waited", Close: true}
		},
		fixture: backlog, prelude: torn,
		classes: recovering,
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

// complete runs a child that must come to its end without an error.
func complete(ctx context.Context, worker string, t child.Task, w *workload.Witness) error {
	p, err := child.Run(ctx, worker, t, w)
	if err == nil && len(p.Errs) > 0 {
		err = errors.New(p.Errs[0])
	}
	return err
}

// backlog makes a store of several generations that was closed before anything was filed.
func backlog(ctx context.Context, env lab.Env, store string, w *workload.Witness) (*known, error) {
	return nil, complete(ctx, env.Worker, child.Task{
		Do: child.Append, Dir: store, Shape: shape, First: closed, Writers: 1, Appends: 36, Filing: "paused", Close: true,
	}, w)
}

// torn goes on with a store and is killed between the write of an append and its sync. What follows that in the log is made up: part of a frame, such as
// a longer write leaves behind; and so are temporary files of every sort.
func torn(ctx context.Context, env lab.Env, store string, w *workload.Witness) error {
	p, err := child.Start(env.Points, child.Task{
		Do: child.Append, Dir: store, Shape: shape, First: unsettled, Writers: 1, Appends: 9, Filing: "paused",
	}, order(map[string]any{"do": "kill", "when": "before", "at": 5, "kinds": []string{"sync"}, "path": class("sync wal/N/N").paths(store)}))
	if err != nil {
		return err
	}
	met := false
	for {
		line, more := p.Next(w)
		if !more {
			break
		}
		met = met || strings.HasPrefix(line, "step ")
	}
	if ended := p.Wait(); !met || len(p.Errs) > 0 {
		return fmt.Errorf("it did not come to its sixth sync: %w, %q", ended, p.Errs)
	}
	// An event file beyond the checkpoint may be anything. It is replaced, which takes other steps.
	path := filepath.Join(store, "events", fmt.Sprintf("%020d", 1), fmt.Sprintf("%020d.json", 20))
	return errors.Join(leave(store), os.WriteFile(path, []byte("not synced"), 0o644))
}

package harness

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"opossum"
	"opossum/projection"
)

// ModelsJob folds a store that a [SustainedJob] has left in the directory store of the job's into a read model of its students, in files, in a directory of its own. Then it
// appends, one event at a time with a pause after each, and looks when the state of its student shows it.
type ModelsJob struct {
	Acknowledged int           `json:"acknowledged"` // at least so many events must be there
	Bytes        int           `json:"bytes"`        // of data, of those that are appended
	Follow       int           `json:"follow"`       // how many are
	Pause        time.Duration `json:"pause_ns"`
}

// ModelsResult is what a read model cost.
type ModelsResult struct {
	Events  uint64        `json:"events"` // that were folded
	States  int           `json:"states"` // into so many
	Rebuild time.Duration `json:"rebuild_ns"`
	CPU     time.Duration `json:"cpu_ns"`     // of the process in that time; 0 where it cannot be told
	Most    uint64        `json:"most_bytes"` // as in Resident, when the rebuild has ended; the store is in it
	// Follow is the time from an acknowledgement until the state that includes the event was read.
	Follow ReadResult `json:"follow"`
}

// RebuildRate returns the events a second.
func (r ModelsResult) RebuildRate() float64 { return float64(r.Events) / r.Rebuild.Seconds() }

// student is the state of one.
type student struct {
	Orders int              `json:"orders"`
	Bytes  int              `json:"bytes"`
	First  opossum.Position `json:"first"`
	Course string           `json:"course"` // of the newest order
}

// studentModel has no need to decode the data: what that costs is whoever's who defines a read model.
var studentModel = projection.Definition[student]{
	Name: "students", Version: 1, Query: opossum.AllEvents(),
	Key: func(e opossum.SequencedEvent) string { return string(e.Event.Tags[2]) },
	Apply: func(s *student, e projection.Event) (*student, error) {
		if s == nil {
			s = &student{First: e.Position}
		}
		s.Orders++
		s.Bytes += len(e.Event.Data)
		s.Course = string(e.Event.Tags[1])
		return s, nil
	},
}

func (j ModelsJob) measure(ctx context.Context, root string, way Way) (result *ModelsResult, err error) {
	e, err := opossum.Open(filepath.Join(root, historyStore), nil)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, e.Close(), settle(root)) }()
	if e.Head() < opossum.Position(j.Acknowledged) {
		return nil, fmt.Errorf("%s has %d events, and %d were acknowledged", way.Name, e.Head(), j.Acknowledged)
	}
	dir, err := os.MkdirTemp(root, "models-")
	if err != nil {
		return nil, err
	}
	stores, err := projection.Files(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	runner, err := e.Projections(&projection.Options{Stores: stores, AtStart: projection.RebuildNone})
	if err != nil {
		return nil, errors.Join(err, stores.Close())
	}
	defer func() { err = errors.Join(err, runner.Close()) }()
	model, err := projection.Add(runner, studentModel)
	if err != nil {
		return nil, err
	}
	if result, err = j.rebuild(ctx, runner, model); err == nil {
		result.Follow, err = j.follow(ctx, e, model)
	}
	return result, err
}

func (j ModelsJob) rebuild(ctx context.Context, runner *projection.Runner, model *projection.Model[student]) (*ModelsResult, error) {
	result, start, before := &ModelsResult{}, time.Now(), cpuTime()
	err := runner.Rebuild(ctx, projection.Rebuilding{Report: func(p projection.Progress) { result.Events = p.Events }})
	if err != nil {
		return nil, err
	}
	result.Rebuild, result.CPU, result.Most = time.Since(start), cpuTime()-before, readResident().Most
	if result.States, err = model.Len(); err != nil {
		return nil, err
	}
	events := 0
	for i, err := range model.All() {
		if err != nil {
			return nil, err
		}
		events += i.State.Orders
	}
	if events != int(result.Events) || events < j.Acknowledged {
		return nil, fmt.Errorf("the states have %d events, %d were folded, and %d acknowledged", events, result.Events, j.Acknowledged)
	}
	return result, nil
}

func (j ModelsJob) follow(ctx context.Context, e *opossum.Engine, model *projection.Model[student]) (r ReadResult, err error) {
	stream := school(j.Bytes).Stream(int(e.Head()))
	latencies := hdrhistogram.New(1, int64(10*time.Minute), 3)
	for range j.Follow {
		events := stream.Next(1)
		key := studentModel.Key(opossum.SequencedEvent{Event: events[0]})
		at, err := e.Append(ctx, events, nil)
		if err != nil {
			return r, err
		}
		start := time.Now()
		if err := model.Wait(ctx, at); err != nil {
			return r, err
		}
		state, err := model.Get(key)
		if err != nil {
			return r, err
		}
		if state.Position < at {
			return r, fmt.Errorf("the state of %s is of position %d, after a wait for %d", key, state.Position, at)
		}
		took := time.Since(start)
		r.Reads, r.Elapsed = r.Reads+1, r.Elapsed+took
		if err := latencies.RecordValue(int64(took)); err != nil {
			return r, err
		}
		if !pause(ctx, j.Pause) {
			return r, context.Cause(ctx)
		}
	}
	r.P50, r.P99, r.Max = time.Duration(latencies.ValueAtQuantile(50)), time.Duration(latencies.ValueAtQuantile(99)), time.Duration(latencies.Max())
	return r, nil
}

// pause says whether the time has passed, and not ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

package harness

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync/atomic"
	"time"

	"opossum"
)

// FillJob puts events into a store in the directory store of the job's, which it leaves there: 100 an append, by four writers.
type FillJob struct {
	Bytes  int  `json:"bytes"`
	Events int  `json:"events"`
	Settle bool `json:"settle,omitempty"` // then wait until all work in the background is done
	// Kill has the process kill itself, as SIGKILL does, while appends are running, instead of closing the store. Its outcome is told before, so there
	// are a few more events than it says. It needs a system with signals.
	Kill bool `json:"kill,omitempty"`
}

// FillResult says what is in the store.
type FillResult struct {
	Acknowledged int           `json:"acknowledged"` // events
	Elapsed      time.Duration `json:"elapsed_ns"`
}

// OpenJob opens the store that a [FillJob] has left, asks it one question and closes it. What the store may have forgotten is an error.
type OpenJob struct {
	Acknowledged int `json:"acknowledged"` // at least so many events must be there
}

// OpenResult is what an open showed. What was written before is in the page cache.
type OpenResult struct {
	Acknowledged int           `json:"acknowledged"`
	Head         int           `json:"head"`     // events that are there
	Open         time.Duration `json:"open_ns"`  // until it is open
	Ready        time.Duration `json:"ready_ns"` // until it has answered the first ReadLast too, of the oldest event's own tag
	Memory       Footprint     `json:"memory"`   // then
}

const (
	fillWriters = 4
	killAfter   = 10            // appends after the outcome was told, so that others are on their way
	fillFirst   = prefillWriter // the stream of the first append, whose first event has a tag that is known
)

// firstTag is that of the first event of a filled store, and of no other.
func firstTag() opossum.Tag { return Workload{Bytes: 64}.Stream(fillFirst).Next(1)[0].Tags[0] }

// OpenAfter fills a store in one process and opens it in another, each of the program at path, in a directory of its own under root, which it leaves.
func OpenAfter(ctx context.Context, path, root, way string, fill FillJob) (result OpenResult, err error) {
	err = inNewDir(root, func(dir string) error {
		filled, err := Job{Way: way, Fill: &fill}.Run(ctx, path, dir)
		if err = errors.Join(err, settle(dir)); err != nil {
			return err
		}
		opened, err := Job{Way: way, Open: &OpenJob{filled.Fill.Acknowledged}}.Run(ctx, path, dir)
		if err == nil {
			result = *opened.Open
		}
		return err
	})
	return result, err
}

// fillAndClose is the job without Kill.
func (j FillJob) fillAndClose(ctx context.Context, dir string, way Way) (result *FillResult, err error) {
	s, err := way.openStore(dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	_, result, err = j.fill(ctx, s)
	return result, err
}

// fill appends the events. The returned writers can go on.
func (j FillJob) fill(ctx context.Context, s Store) (*Fleet, *FillResult, error) {
	start := time.Now()
	w := sized(j.Bytes)
	first := min(j.Events, historyAppend)
	if err := s.Append(ctx, w.Stream(fillFirst).Next(first), nil); err != nil {
		return nil, nil, err
	}
	result := &FillResult{Acknowledged: first}
	fleet := NewFleet(w, Append, fillWriters, historyAppend)
	if rest := j.Events - first; rest > 0 {
		run, err := fleet.Run(ctx, s, Limit{Events: rest})
		if err != nil {
			return nil, nil, err
		}
		result.Acknowledged += run.Events
	}
	result.Elapsed = time.Since(start)
	if j.Settle {
		return fleet, result, settled(ctx, s)
	}
	return fleet, result, nil
}

// dies says that the job's process ends by killing itself.
func (j Job) dies() bool { return j.Fill != nil && j.Fill.Kill || j.Abandon != nil }

// killed says whether a process ended by a signal.
func killed(err error) bool {
	var exit *exec.ExitError
	return errors.As(err, &exit) && exit.ExitCode() < 0
}

// die tells the outcome and returns only if something fails. REQUIRES: j.dies().
func (j Job) die(ctx context.Context, dir string, ways []Way, tell func(Outcome) error) error {
	way, err := j.way(ways)
	if err != nil {
		return err
	}
	s, err := way.openStore(dir)
	if err != nil {
		return err
	}
	var fleet *Fleet
	var outcome Outcome
	if j.Abandon != nil {
		fleet, outcome.Abandon, err = j.Abandon.append(ctx, s)
	} else {
		fleet, outcome.Fill, err = j.Fill.fill(ctx, s)
	}
	if err == nil {
		err = tell(outcome)
	}
	if err == nil {
		fleet.load = deadly(kill)
		_, err = fleet.Run(ctx, s, Limit{})
	}
	return errors.Join(err, s.Close())
}

// deadly appends, and one of its writers kills while the others do so.
func deadly(kill func() error) Load {
	var answered atomic.Int64
	l := Append
	l.step = func(ctx context.Context, t Target, s *Stream, events []opossum.Event) (stepped, error) {
		done, err := Append.step(ctx, t, s, events)
		if err == nil && answered.Add(1) == killAfter {
			err = kill()
		}
		return done, err
	}
	return l
}

// kill ends the process at once: nothing is closed. It returns only if that fails.
func kill() error {
	self, err := os.FindProcess(os.Getpid())
	if err == nil {
		err = self.Kill()
	}
	if err != nil {
		return err
	}
	select {}
}

func (j OpenJob) measure(ctx context.Context, dir string, way Way) (result *OpenResult, err error) {
	first := opossum.ByTags(firstTag())
	start := time.Now()
	s, err := way.openStore(dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	opened := time.Since(start)
	e, err := s.Last(ctx, first)
	if err != nil {
		return nil, err
	}
	result = &OpenResult{Acknowledged: j.Acknowledged, Open: opened, Ready: time.Since(start), Head: int(s.Head()), Memory: readFootprint()}
	if e.Position != 1 || result.Head < j.Acknowledged {
		err = fmt.Errorf("%s has forgotten: its first event is at %d, its last at %d, and %d were acknowledged", way.Name, e.Position, result.Head, j.Acknowledged)
	}
	return result, err
}

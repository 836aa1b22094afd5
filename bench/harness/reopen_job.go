package harness

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"opossum"
)

// ReopenJob opens a store that another job has left in the directory store of the job's, asks it one question, and closes it when all work in the background is done. What
// the store may have forgotten is an error.
type ReopenJob struct {
	Acknowledged int `json:"acknowledged"` // at least so many events must be there
	// Cold has the system forget beforehand what it has read; where it does not let one, nothing is measured, and that is no error. Else what the process before
	// has read and written is still in memory.
	Cold bool `json:"cold,omitempty"`
	// After is done before in another process, which is killed: its events are to be found in the log. Then what it acknowledged must be there, too.
	After *AbandonJob `json:"after,omitempty"`
}

func (j ReopenJob) String() string {
	text := "opened again"
	if j.After != nil {
		text += fmt.Sprintf(", killed after %d events", j.After.Events)
	}
	if j.Cold {
		text += ", cold"
	}
	return text
}

// ReopenResult is what an open showed.
type ReopenResult struct {
	Missing string        `json:"missing,omitempty"` // why nothing was measured
	Head    int           `json:"head"`              // events that are there
	Tail    int           `json:"tail"`              // of them, those not yet in their place when the other process told what it had done
	Open    time.Duration `json:"open_ns"`           // until it is open
	Ready   time.Duration `json:"ready_ns"`          // until it has answered the first ReadLast too
	Memory  Resident      `json:"memory"`            // when it was open, before the question
}

// AbandonJob appends Events more to the store in the directory store of the job's; then its process kills itself, as SIGKILL does, while its writers go on. Its outcome
// is told before, so there are a few more events than it says.
type AbandonJob struct {
	Bytes           int `json:"bytes"`
	Writers         int `json:"writers"`
	EventsPerAppend int `json:"events_per_append"`
	Events          int `json:"events"`
}

// AbandonResult is what the process left.
type AbandonResult struct {
	Acknowledged int    `json:"acknowledged"` // events in the store
	Lag          uint64 `json:"lag"`          // as in Moment
}

func (j AbandonJob) append(ctx context.Context, s Store) (*Fleet, *AbandonResult, error) {
	fleet := newFleet(school(j.Bytes), Append, int(s.Head()), j.Writers, j.EventsPerAppend)
	_, err := fleet.Run(ctx, s, Limit{Events: j.Events})
	return fleet, &AbandonResult{Acknowledged: int(s.Head()), Lag: lag(s)}, err
}

func (j ReopenJob) measure(ctx context.Context, root string, way Way) (result *ReopenResult, err error) {
	result = &ReopenResult{}
	if j.After != nil {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		left, err := Job{Way: way.Name, Abandon: j.After}.Run(ctx, self, root)
		if err != nil {
			return nil, err
		}
		j.Acknowledged, result.Tail = max(j.Acknowledged, left.Abandon.Acknowledged), int(left.Abandon.Lag)
	}
	if err := settle(root); err != nil {
		return nil, err
	}
	if j.Cold {
		if err := forgetFiles(); err != nil {
			result.Missing = err.Error()
			return result, nil
		}
	}
	start := time.Now()
	s, err := way.openStore(root)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	result.Open, result.Memory = time.Since(start), readResident()
	before := time.Now()
	last, err := s.Last(ctx, opossum.AllEvents())
	result.Ready = result.Open + time.Since(before)
	result.Head = int(s.Head())
	if err == nil && (int(last.Position) != result.Head || result.Head < j.Acknowledged) {
		err = fmt.Errorf("%s has forgotten: its last event is at %d, its head %d, and %d were acknowledged", way.Name, last.Position, result.Head, j.Acknowledged)
	}
	if err == nil {
		err = settled(ctx, s)
	}
	return result, err
}

package harness

import (
	"context"
	"errors"
	"time"
)

// AppendJob appends for Time to the store in the directory store of the job's, whatever is in it, and closes it when all work in the background is done. A fifth of the time runs
// before, to warm up.
type AppendJob struct {
	Load            string        `json:"load"`
	Bytes           int           `json:"bytes"`
	Writers         int           `json:"writers"`
	EventsPerAppend int           `json:"events_per_append"`
	Time            time.Duration `json:"time_ns"`
}

// AppendResult is what the appends showed.
type AppendResult struct {
	Result
	Before int `json:"before"` // events in the store when it was opened
}

func (j AppendJob) measure(ctx context.Context, root string, way Way) (result *AppendResult, err error) {
	load, err := way.bear(j.Load)
	if err != nil {
		return nil, err
	}
	s, err := way.openStore(root)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close(), settle(root)) }()
	result = &AppendResult{Before: int(s.Head())}
	fleet := newFleet(school(j.Bytes), load, result.Before, j.Writers, j.EventsPerAppend)
	if _, err := fleet.Run(ctx, s, Limit{Time: j.Time / 5}); err != nil {
		return nil, err
	}
	if result.Result, err = fleet.Run(ctx, s, Limit{Time: j.Time}); err != nil {
		return nil, err
	}
	return result, settled(ctx, s)
}

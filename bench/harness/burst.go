package harness

import (
	"context"
	"errors"
	"time"

	"opossum"
)

// Burst is a load on opossum after which one waits for the event files: how much do appends lose to filing, and how far
// does filing fall behind?
type Burst struct {
	Workload Workload
	Writers  int
	Time     time.Duration
	Paused   bool          // no event is filed meanwhile
	Follow   time.Duration // watch filing for so long after the burst, or until it has caught up
}

// BurstResult is what a burst showed.
type BurstResult struct {
	Result
	Samples []Sample `json:"samples"`
}

// Sample is the state of an engine during a burst.
type Sample struct {
	At     time.Duration `json:"at_ns"`  // since the burst began
	Events uint64        `json:"events"` // appended so far
	Filed  uint64        `json:"filed"`  // event files written so far
	Lag    uint64        `json:"lag"`    // events appended and not yet checkpointed
	Held   uint64        `json:"held"`   // appends that had to wait for filing
}

const sampleEvery = 250 * time.Millisecond

// Measure runs the burst on an empty directory of its own under root, which it removes.
func (b Burst) Measure(ctx context.Context, root string) (result BurstResult, err error) {
	err = InDir(root, func(dir string) error {
		e, err := b.open(dir)
		if err != nil {
			return err
		}
		result, err = b.run(ctx, e)
		return errors.Join(err, e.Close())
	})
	return result, err
}

func (b Burst) open(dir string) (*engine, error) {
	if b.Paused {
		return openPaused(dir)
	}
	return openEngine(dir, nil)
}

func (b Burst) run(ctx context.Context, t *engine) (BurstResult, error) {
	e, begun := t.Engine, time.Now()
	ended := make(chan struct{})
	samples := make(chan []Sample)
	go func() { samples <- watch(e, begun, ended) }()

	fleet := NewFleet(b.Workload, Append, b.Writers, 1)
	result, err := fleet.Run(ctx, t, Limit{Time: b.Time})
	if err == nil && !b.Paused {
		err = b.follow(ctx, e)
	}
	close(ended)
	return BurstResult{Result: result, Samples: <-samples}, err
}

// follow returns when everything is filed or the time is up. It does not ask for that, which would hasten it.
func (b Burst) follow(ctx context.Context, e *opossum.Engine) error {
	deadline := time.Now().Add(b.Follow)
	for e.Materialized() < e.Head() && time.Now().Before(deadline) {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(sampleEvery):
		}
	}
	return nil
}

// watch takes samples until ended.
func watch(e *opossum.Engine, begun time.Time, ended <-chan struct{}) (samples []Sample) {
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for {
		m := e.Metrics()
		samples = append(samples, Sample{time.Since(begun), uint64(m.Visible), m.Files, m.LagEvents, m.Held})
		select {
		case <-ended:
			return samples
		case <-tick.C:
		}
	}
}

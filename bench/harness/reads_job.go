package harness

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ReadsJob asks a store of a [History] all that [ReadOperations] can ask, each for Time, and opens it several times before, as [ReadWay] says. First
// all answers are verified.
type ReadsJob struct {
	Bytes  int           `json:"bytes"`
	Events int           `json:"events"` // a multiple of 10, at least 50
	Time   time.Duration `json:"time_ns"`
}

// ReadsResult is what the reads showed. Results are in the order of [ReadOperations].
type ReadsResult struct {
	ReadRound
	Made Made `json:"made"`
}

func (j ReadsJob) measure(ctx context.Context, root string, way Way) (result *ReadsResult, err error) {
	h := History{Workload: sized(j.Bytes), Events: j.Events}
	if least := opens * perProduct; h.Events < least || h.Events%perProduct != 0 { // each open asks for a product of its own
		return nil, fmt.Errorf("a history of %d events: want a multiple of %d, at least %d", h.Events, perProduct, least)
	}
	err = inNewDir(root, func(dir string) error {
		made, err := h.fill(ctx, way, dir)
		if err = errors.Join(err, settle(dir)); err != nil {
			return err
		}
		reads := way.reads()
		if err := withReader(reads, dir, func(r Reader) error { return h.Verify(ctx, r) }); err != nil {
			return fmt.Errorf("%s answers wrongly: %w", way.Name, err)
		}
		round, err := reads.Measure(ctx, h, dir, j.Time)
		result = &ReadsResult{ReadRound: round, Made: made}
		return err
	})
	return result, err
}

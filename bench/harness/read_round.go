package harness

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"opossum"
)

// ReadRound is what one way of reading showed in one round.
type ReadRound struct {
	Opens   []time.Duration `json:"opens_ns"`   // each after a Close: until open, and the first query answered
	Heap    uint64          `json:"heap_bytes"` // that Go holds for the open reader, garbage collected
	Results []ReadResult    `json:"results"`    // in the order of ReadOperations
	Memory  Footprint       `json:"memory"`     // when all has been asked
}

// opens is how often a way is opened in a round.
const opens = 5

// Measure opens the history in dir several times, then asks the last reader all that ReadOperations can ask, each for the
// given time. One way is open at a time, so that none pays for another's memory. An opening counts until the first query is answered,
// so that it makes no difference how much of the work Open does and how much it leaves for later.
func (w ReadWay) Measure(ctx context.Context, h History, dir string, limit time.Duration) (round ReadRound, err error) {
	runtime.GC()
	before := heapBytes()
	for range opens - 1 {
		if err := w.open(ctx, dir, &round, func(Reader) error { return nil }); err != nil {
			return round, err
		}
	}
	err = w.open(ctx, dir, &round, func(r Reader) error {
		runtime.GC()
		after := heapBytes()
		round.Heap = after - min(before, after)
		err := w.operate(ctx, h, r, limit, &round)
		round.Memory = readFootprint()
		return err
	})
	return round, err
}

// open opens the history once, adds its time to round, and closes it after use.
func (w ReadWay) open(ctx context.Context, dir string, round *ReadRound, use func(Reader) error) error {
	first := opossum.ByTags(productTag(len(round.Opens)))
	start := time.Now()
	return withReader(w, dir, func(r Reader) error {
		if _, err := r.Last(ctx, first); err != nil {
			return err
		}
		round.Opens = append(round.Opens, time.Since(start))
		return use(r)
	})
}

func (w ReadWay) operate(ctx context.Context, h History, r Reader, limit time.Duration, round *ReadRound) error {
	for _, o := range ReadOperations() {
		result, err := o.Measure(ctx, r, o.Queries(h), limit)
		if err != nil {
			return fmt.Errorf("%s: %w", w.Name, err)
		}
		round.Results = append(round.Results, result)
	}
	return nil
}

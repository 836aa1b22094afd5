package harness

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"strconv"
	"time"

	"opossum"
)

// History is what reads are measured on: the first Events events of one stream of the workload. Each has a time of its own, so
// that whoever keeps it keeps the same, and a fourth tag: a product, of which every tenth of the history has each once. So
// exactly ten events have it, as far from each other as can be, in ten shards and, where there are as many, in ten segments.
type History struct {
	Workload Workload
	Events   int // a multiple of 10 that is not 0
}

const (
	perProduct     = 10
	historyAppend  = 100 // events an append
	historyStore   = "store"
	historyRecords = "events.records"
)

var historyBegan = time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)

func productTag(n int) opossum.Tag { return opossum.Tag("product:" + strconv.Itoa(n)) }

func orderTag(n int) opossum.Tag { return opossum.Tag("order:0-" + strconv.Itoa(n)) }

func (h History) products() int { return h.Events / perProduct }

// appends yields the history in pieces. Each is valid until the next.
func (h History) appends() iter.Seq[[]opossum.Event] {
	return func(yield func([]opossum.Event) bool) {
		stream := h.Workload.Stream(0)
		for made := 0; made < h.Events; {
			events := stream.Next(min(historyAppend, h.Events-made))
			for i := range events {
				events[i].Time = historyBegan.Add(time.Duration(made+i) * time.Millisecond)
				events[i].Tags = append(events[i].Tags, productTag((made+i)%h.products()))
			}
			made += len(events)
			if !yield(events) {
				return
			}
		}
	}
}

// Made says how long making a history took. It is not a result: one writer, and nothing compared.
type Made struct {
	Append time.Duration `json:"append_ns"`
	File   time.Duration `json:"file_ns"` // from the last append until every event was in its file, of a way that files
}

// Make puts the history into the directory dir, once for all that will read it: into a store with default options, in
// appends of 100 events, filed and closed; and the same events one record after the other into a file.
func (h History) Make(ctx context.Context, dir string) (Made, error) {
	made, err := h.fill(ctx, Opossum(), dir)
	if err != nil {
		return made, fmt.Errorf("make a store of %d events: %w", h.Events, err)
	}
	return made, errors.Join(h.writeRecords(filepath.Join(dir, historyRecords)), settle(dir))
}

// fill opens the way in the new directory dir/store, appends the history there, waits until what the way does in the background is done,
// if it can say so, and closes. REQUIRES: w.Store.
func (h History) fill(ctx context.Context, w Way, dir string) (made Made, err error) {
	t, err := w.openStore(dir)
	if err != nil {
		return made, err
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	start := time.Now()
	for events := range h.appends() {
		if err := t.Append(ctx, events, nil); err != nil {
			return made, err
		}
	}
	made.Append = time.Since(start)
	if head := t.Head(); head != opossum.Position(h.Events) {
		return made, fmt.Errorf("the last position is %d", head)
	}
	err = settled(ctx, t)
	made.File = time.Since(start) - made.Append
	return made, err
}

// settled waits until all work in the background is done, of a target that can say so.
func settled(ctx context.Context, t Target) error {
	if t, ok := t.(interface{ Settle(context.Context) error }); ok {
		return t.Settle(ctx)
	}
	return nil
}

package harness

import (
	"context"
	"path/filepath"
	"slices"

	"opossum"
)

// scan is the reader without an index: each query reads the records in order, verifies and decodes them, and asks
// Query.Matches. It knows nothing when it starts, so it is ready at once. The newest events are found by reading all, because records
// can only be read forwards.
type scan struct{ path string }

func openScan(dir string) (Reader, error) { return scan{filepath.Join(dir, historyRecords)}, nil }

func (s scan) Read(_ context.Context, q opossum.Query, newest int, yield func(opossum.SequencedEvent)) error {
	var last []opossum.SequencedEvent
	err := eachRecord(s.path, func(e opossum.SequencedEvent) bool {
		if !q.Matches(e.Event) {
			return true
		}
		e = kept(e)
		if newest == 0 {
			yield(e)
			return true
		}
		if last = append(last, e); len(last) > newest {
			last = last[1:]
		}
		return true
	})
	for _, e := range slices.Backward(last) {
		yield(e)
	}
	return err
}

func (s scan) Last(ctx context.Context, q opossum.Query) (last opossum.SequencedEvent, err error) {
	err = s.Read(ctx, q, 1, func(e opossum.SequencedEvent) { last = e })
	if err == nil && last.Position == 0 {
		err = opossum.ErrNotFound
	}
	return last, err
}

func (s scan) Refuse(_ context.Context, q opossum.Query) error {
	found := false
	err := eachRecord(s.path, func(e opossum.SequencedEvent) bool {
		found = q.Matches(e.Event)
		return !found
	})
	if err == nil && found {
		err = opossum.ErrConditionFailed
	}
	return err
}

func (s scan) Close() error { return nil }

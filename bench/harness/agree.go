package harness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"opossum"
)

// Agree returns an error unless all ways of reading the history in dir give the same answers: the speed of a wrong answer is
// worth nothing. All queries that will be measured are asked, which warms the disk's cache as well; slow ways are asked a few.
func Agree(ctx context.Context, h History, dir string, ways []ReadWay) error {
	return withReader(ways[0], dir, func(first Reader) error {
		for _, w := range ways[1:] {
			err := withReader(w, dir, func(r Reader) error { return agree(ctx, h, first, r, ways[0].slow || w.slow) })
			if err != nil {
				return fmt.Errorf("%s and %s: %w", ways[0].Name, w.Name, err)
			}
		}
		return nil
	})
}

func withReader(w ReadWay, dir string, use func(Reader) error) error {
	r, err := w.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(use(r), r.Close())
}

func agree(ctx context.Context, h History, a, b Reader, slow bool) error {
	for _, o := range ReadOperations() {
		queries := o.Queries(h)
		if slow {
			queries = queries[:min(few, len(queries))]
		}
		for _, q := range queries {
			if err := o.agree(ctx, a, b, q); err != nil {
				return err
			}
		}
	}
	return nil
}

func (o ReadOperation) agree(ctx context.Context, a, b Reader, q opossum.Query) error {
	var answers [2][]opossum.SequencedEvent
	for i, r := range []Reader{a, b} {
		err := o.answer(ctx, r, q, func(e opossum.SequencedEvent) { answers[i] = append(answers[i], e) })
		if err != nil {
			return err
		}
	}
	if len(answers[0]) != len(answers[1]) {
		return fmt.Errorf("%s, %v: %d events and %d", o.Name, q.Items(), len(answers[0]), len(answers[1]))
	}
	for i, e := range answers[0] {
		if !same(e, answers[1][i]) {
			return fmt.Errorf("%s, %v: answer %d is %v and %v", o.Name, q.Items(), i, e, answers[1][i])
		}
	}
	return nil
}

func same(a, b opossum.SequencedEvent) bool {
	x, y := a.Event, b.Event
	return a.Position == b.Position && x.ID == y.ID && x.Type == y.Type && x.Time.Equal(y.Time) &&
		slices.Equal(x.Tags, y.Tags) && bytes.Equal(x.Data, y.Data) && maps.Equal(x.Metadata, y.Metadata)
}

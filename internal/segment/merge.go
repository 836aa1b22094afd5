package segment

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"opossum/dcb"
)

// Merge builds one segment from inputs whose ranges ascend and adjoin, and returns its range. The result is the same,
// byte for byte, as one built from all postings at once, and is durable under its name in dir when Merge returns. Every
// byte of the inputs is verified anew on the way: damage must not get a right checksum. Inputs are neither closed nor removed.
//
// When ctx ends, or anything fails, nothing but the error is left.
func Merge(ctx context.Context, dir string, seed uint64, inputs []*Segment) (Range, error) {
	r, err := union(inputs)
	if err != nil {
		return Range{}, err
	}
	b, err := Create(dir, seed, r)
	if err != nil {
		return Range{}, err
	}
	if err := concatenate(ctx, b, inputs); err != nil {
		return Range{}, errors.Join(fmt.Errorf("segment: merge: %w", err), b.Abort())
	}
	return r, b.Commit()
}

// union is the range of the inputs together.
func union(inputs []*Segment) (Range, error) {
	if len(inputs) == 0 {
		return Range{}, errors.New("segment: nothing to merge")
	}
	r := inputs[0].Range()
	for _, in := range inputs[1:] {
		if next := in.Range(); next.First != r.Last+1 {
			return Range{}, fmt.Errorf("segment: merge: positions %d to %d do not continue %d", next.First, next.Last, r.Last)
		}
		r.Last = in.Range().Last
	}
	return r, r.check()
}

// concatenate writes each term once, with its positions of all inputs one behind the other.
func concatenate(ctx context.Context, b *Builder, inputs []*Segment) error {
	open := make([]*scanner, 0, len(inputs)) // those that have a term, in the order of their ranges
	for _, in := range inputs {
		sc := &scanner{m: in.afresh()}
		if sc.next() {
			open = append(open, sc)
		} else if sc.err != nil {
			return sc.err
		}
	}
	for len(open) > 0 {
		i, limit := least(open)
		var err error
		if limit == nil || bytes.Compare(open[i].key, limit) < 0 {
			err = copyTerms(ctx, b, open[i], limit)
		} else {
			err = copyTerm(ctx, b, open)
		}
		if err != nil {
			return err
		}
		open = slices.DeleteFunc(open, func(sc *scanner) bool { return sc.ended() })
	}
	return nil
}

// least returns the first input with the lowest key, and the lowest key of the others, nil if there are none. A merge has about eight inputs;
// a heap would cost more than it saves.
func least(open []*scanner) (first int, limit []byte) {
	for i, sc := range open[1:] {
		switch {
		case bytes.Compare(sc.key, open[first].key) < 0:
			first, limit = i+1, open[first].key
		case limit == nil || bytes.Compare(sc.key, limit) < 0:
			limit = sc.key
		}
	}
	return first, limit
}

// copyTerms copies the terms of one input up to a limit that the others have. Terms that occur once are often numbered in the order of their
// positions; then it copies long stretches.
func copyTerms(ctx context.Context, b *Builder, sc *scanner, limit []byte) error {
	for {
		if err := b.begin(sc.key); err != nil {
			return err
		}
		if err := copyList(ctx, b, sc.list()); err != nil {
			return err
		}
		if !sc.next() {
			return sc.err
		}
		if limit != nil && bytes.Compare(sc.key, limit) >= 0 {
			return nil
		}
	}
}

// copyTerm copies the lowest term, which several inputs have.
func copyTerm(ctx context.Context, b *Builder, open []*scanner) error {
	first, _ := least(open)
	if err := b.begin(open[first].key); err != nil {
		return err
	}
	for _, sc := range open[first:] {
		if !bytes.Equal(sc.key, b.key) {
			continue
		}
		if err := copyList(ctx, b, sc.list()); err != nil {
			return err
		}
		if sc.next(); sc.err != nil {
			return sc.err
		}
	}
	return nil
}

func copyList(ctx context.Context, b *Builder, l List) error {
	if l.Len() == 1 { // the commonest, and it needs no block
		if err := ctx.Err(); err != nil {
			return err
		}
		return b.Positions([]dcb.Position{l.m.place.r.First + dcb.Position(l.one)})
	}
	for ps, err := range l.Each() {
		if err == nil {
			err = ctx.Err()
		}
		if err == nil {
			err = b.Positions(ps)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

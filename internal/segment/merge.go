package segment

import (
	"bytes"
	"context"
	"errors"
	"fmt"

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
	var key []byte
	for len(open) > 0 {
		key = append(key[:0], least(open)...)
		if err := b.begin(key); err != nil {
			return err
		}
		rest := open[:0]
		for _, sc := range open {
			if bytes.Equal(sc.key(), key) {
				if err := copyList(ctx, b, sc.list()); err != nil {
					return err
				}
				if !sc.next() {
					if sc.err != nil {
						return sc.err
					}
					continue
				}
			}
			rest = append(rest, sc)
		}
		open = rest
	}
	return nil
}

// least returns the lowest key. A merge has about eight inputs; a heap would cost more than it saves.
func least(open []*scanner) []byte {
	key := open[0].key()
	for _, sc := range open[1:] {
		if k := sc.key(); bytes.Compare(k, key) < 0 {
			key = k
		}
	}
	return key
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

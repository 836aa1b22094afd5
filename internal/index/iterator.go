package index

import "opossum/dcb"

// Iterator yields the positions of a query in the direction of the read, each once. It is for one goroutine, and holds the
// segments that it reads until Close.
type Iterator struct {
	order       order
	q           dcb.Query
	after, upto dcb.Position
	files       *files
	parts       []part // still to be read, in the direction of the read
	c           cursor
	err         error
}

// Iterate returns the positions in (after, upto] that match q, ascending, or descending if backwards. The caller closes the
// iterator. The error Is ErrClosed.
func (ix *Index) Iterate(q dcb.Query, after, upto dcb.Position, backwards bool) (*Iterator, error) {
	v, err := ix.Acquire()
	if err != nil {
		return nil, err
	}
	it := &Iterator{order: order{backwards}, q: q, after: after, upto: upto, files: v.files, c: none{}}
	switch {
	case after >= upto:
	case q.IsAll():
		it.c = newSpan(it.order, after, upto)
	default:
		if it.parts = v.partsIn(after, upto); backwards {
			reverse(it.parts)
		}
	}
	return it, nil
}

func newSpan(o order, after, upto dcb.Position) cursor {
	if o.backwards {
		return &span{o.key(upto), o.key(after + 1)}
	}
	return &span{o.key(after + 1), o.key(upto)}
}

// Next returns the next position; ok is false at the end, and if something could not be read: then Err says what.
func (it *Iterator) Next() (p dcb.Position, ok bool) {
	for it.err == nil {
		k := it.c.peek()
		if it.err != nil { // found while looking: k may lie behind what could not be read
			break
		}
		if k != done {
			it.c.seek(k + 1)
			return it.order.position(k), true
		}
		if len(it.parts) == 0 {
			break
		}
		lo, hi := it.parts[0].clip(it.after, it.upto)
		it.c = it.parts[0].matches(it.order, it.q, lo, hi, &it.err)
		it.parts[0], it.parts = part{}, it.parts[1:] // what is read is held no longer
	}
	return 0, false
}

// Err returns the error that ended the iterator, nil if it came to its end.
func (it *Iterator) Err() error { return it.err }

// Close releases what the iterator holds. It may be called once.
func (it *Iterator) Close() { it.files.release() }

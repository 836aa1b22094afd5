package index

import (
	"opossum/dcb"
	"opossum/internal/segment"
)

// part answers for the positions in (lo, hi]: a segment, or a memory part.
type part struct {
	lo, hi dcb.Position
	file   *held // nil: memory answers
	memory *Recent
}

// clip returns the part of the window (after, upto] that p answers for; empty if after >= upto.
func (p part) clip(after, upto dcb.Position) (dcb.Position, dcb.Position) {
	return max(after, p.lo), min(upto, p.hi)
}

// firstOf returns the lowest position of a term in (after, upto], 0 if there is none.
func (p part) firstOf(kind segment.Kind, term string, after, upto dcb.Position) (dcb.Position, error) {
	if p.file == nil {
		if l := p.memory.lookup(kind, term); l != nil {
			return l.firstAfter(after, upto), nil
		}
		return 0, nil
	}
	l, err := p.file.Find(kind, term)
	if err == nil {
		var first dcb.Position
		if first, err = l.FirstAfter(after, upto); err == nil {
			return first, nil
		}
	}
	p.file.note(err, &err)
	return 0, err
}

// cursor returns the positions of a term in (after, upto]. An error goes into failed, and the cursor is at its end.
func (p part) cursor(o order, kind segment.Kind, term string, after, upto dcb.Position, failed *error) cursor {
	if p.file == nil {
		if l := p.memory.lookup(kind, term); l != nil {
			return newListed(o, l, after, upto)
		}
		return none{}
	}
	l, err := p.file.Find(kind, term)
	if err != nil {
		p.file.note(err, failed)
		return none{}
	}
	if l.Len() == 0 {
		return none{}
	}
	return &onDisk{order: o, c: l.Cursor(after, upto, o.backwards), h: p.file, failed: failed}
}

// firstMatch returns the lowest position in (after, upto] whose event matches q, 0 if there is none.
func (p part) firstMatch(q dcb.Query, after, upto dcb.Position) (first dcb.Position, err error) {
	q.Terms(func(types []string, tags []dcb.Tag) {
		if err != nil {
			return
		}
		var at dcb.Position
		if at, err = p.firstOfItem(types, tags, after, upto); at != 0 && (first == 0 || at < first) {
			first = at
		}
	})
	return first, err
}

// firstOfItem answers for one item. The two commonest items, one tag and one type, need no cursor and allocate nothing.
func (p part) firstOfItem(types []string, tags []dcb.Tag, after, upto dcb.Position) (dcb.Position, error) {
	switch {
	case len(tags) == 1 && len(types) == 0:
		return p.firstOf(segment.Tag, string(tags[0]), after, upto)
	case len(tags) == 0 && len(types) == 1:
		return p.firstOf(segment.Type, types[0], after, upto)
	}
	// A tag without a position in the window settles the matter, and in an uncontended append that is the rule.
	for _, t := range tags {
		if at, err := p.firstOf(segment.Tag, string(t), after, upto); at == 0 {
			return 0, err
		}
	}
	var failed error
	k := p.item(order{}, types, tags, after, upto, &failed).peek()
	if failed != nil || k == done {
		return 0, failed
	}
	return dcb.Position(k), nil
}

// matches is the cursor over the positions in (after, upto] that match q.
func (p part) matches(o order, q dcb.Query, after, upto dcb.Position, failed *error) cursor {
	var items []cursor
	q.Terms(func(types []string, tags []dcb.Tag) {
		items = append(items, p.item(o, types, tags, after, upto, failed))
	})
	return newUnion(items)
}

// item is the cursor of one query item: any of the types, and all of the tags.
func (p part) item(o order, types []string, tags []dcb.Tag, after, upto dcb.Position, failed *error) cursor {
	parts := make([]cursor, 0, len(tags)+1)
	for _, t := range tags {
		c := p.cursor(o, segment.Tag, string(t), after, upto, failed)
		if c.peek() == done {
			return none{}
		}
		parts = append(parts, c)
	}
	if len(types) > 0 {
		var any []cursor
		for _, t := range types {
			if c := p.cursor(o, segment.Type, t, after, upto, failed); c.peek() != done {
				any = append(any, c)
			}
		}
		parts = append(parts, newUnion(any))
	}
	return newBoth(parts)
}

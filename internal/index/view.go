package index

import "opossum/dcb"

// View is what reads and conditions rest on: for now Recent alone, which on-disk segments will join below Base. It holds
// terms of events that are not visible yet, so every question carries the head up to which it is asked.
type View struct{ recent *Recent }

// NewView returns the view over recent.
func NewView(recent *Recent) *View { return &View{recent: recent} }

// Base is the position from which on the memory part answers.
func (v *View) Base() dcb.Position { return v.recent.base }

// FirstMatch returns the lowest position in (after, upto] whose event matches q, 0 if there is none. The answer is
// exact. Safe for concurrent use.
func (v *View) FirstMatch(q dcb.Query, after, upto dcb.Position) dcb.Position {
	if after >= upto {
		return 0
	}
	if q.IsAll() {
		return after + 1
	}
	var first dcb.Position
	q.Terms(func(types []string, tags []dcb.Tag) {
		if p := v.firstOfItem(types, tags, after, upto); p != 0 && (first == 0 || p < first) {
			first = p
		}
	})
	return first
}

// firstOfItem answers for one item. The two commonest items, one tag and one type, need no cursor and allocate nothing.
func (v *View) firstOfItem(types []string, tags []dcb.Tag, after, upto dcb.Position) dcb.Position {
	switch {
	case len(tags) == 1 && len(types) == 0:
		return firstIn(v.recent.tags.lookup(string(tags[0])), after, upto)
	case len(tags) == 0 && len(types) == 1:
		return firstIn(v.recent.types.lookup(types[0]), after, upto)
	}
	// A tag without a position in the window settles the matter, and in an uncontended append that is the rule.
	for _, t := range tags {
		if firstIn(v.recent.tags.lookup(string(t)), after, upto) == 0 {
			return 0
		}
	}
	k := v.item(order{}, types, tags, after, upto).peek()
	if k == done {
		return 0
	}
	return dcb.Position(k)
}

func firstIn(l *Postings, after, upto dcb.Position) dcb.Position {
	if l == nil {
		return 0
	}
	return l.firstAfter(after, upto)
}

// Iterator yields positions in the direction of the read, each once.
type Iterator struct {
	order order
	c     cursor
}

// Iterate returns the positions in (after, upto] that match q, ascending, or descending if backwards. The iterator is
// for one goroutine; the view may be asked by many.
func (v *View) Iterate(q dcb.Query, after, upto dcb.Position, backwards bool) *Iterator {
	o := order{backwards}
	if after >= upto {
		return &Iterator{o, none{}}
	}
	if q.IsAll() {
		return &Iterator{o, newSpan(o, after, upto)}
	}
	var items []cursor
	q.Terms(func(types []string, tags []dcb.Tag) {
		items = append(items, v.item(o, types, tags, after, upto))
	})
	return &Iterator{o, newUnion(items)}
}

func newSpan(o order, after, upto dcb.Position) cursor {
	if o.backwards {
		return &span{o.key(upto), o.key(after + 1)}
	}
	return &span{o.key(after + 1), o.key(upto)}
}

// Next returns the next position; ok is false at the end.
func (it *Iterator) Next() (p dcb.Position, ok bool) {
	k := it.c.peek()
	if k == done {
		return 0, false
	}
	it.c.seek(k + 1)
	return it.order.position(k), true
}

// item is the cursor of one query item: any of the types, and all of the tags.
func (v *View) item(o order, types []string, tags []dcb.Tag, after, upto dcb.Position) cursor {
	parts := make([]cursor, 0, len(tags)+1)
	for _, t := range tags {
		l := v.recent.tags.lookup(string(t))
		if l == nil {
			return none{}
		}
		parts = append(parts, newListed(o, l, after, upto))
	}
	if len(types) > 0 {
		var any []cursor
		for _, t := range types {
			if l := v.recent.types.lookup(t); l != nil {
				any = append(any, newListed(o, l, after, upto))
			}
		}
		parts = append(parts, newUnion(any))
	}
	return newBoth(parts)
}

package harness

import (
	"context"
	"fmt"
	"iter"

	"opossum"
)

// Verify returns an error unless r answers as the history must: the speed of a wrong answer is worth nothing. All queries that will be
// measured are asked once, which warms every way's caches alike. Of an answer it checks the number of events, their order, that each matches and that
// the newest is among them; in the answer to "all events" every event is compared. REQUIRES: r has the history and nothing else.
func (h History) Verify(ctx context.Context, r Reader) error {
	for _, o := range ReadOperations() {
		queries := o.Queries(h)
		for i, m := range h.matching(queries) {
			if err := o.verify(ctx, r, queries[i], m); err != nil {
				return err
			}
		}
	}
	return h.verifyAll(ctx, r)
}

// events yields the history event by event. Each is valid until the next.
func (h History) events() iter.Seq[opossum.SequencedEvent] {
	return func(yield func(opossum.SequencedEvent) bool) {
		p := opossum.Position(0)
		for events := range h.appends() {
			for _, e := range events {
				if p++; !yield(opossum.SequencedEvent{Position: p, Event: e}) {
					return
				}
			}
		}
	}
}

// matching is what is known of the events that match a query.
type matching struct {
	events int
	newest opossum.Position
}

// term is what a query of the harness asks for; without Type, any.
type term struct {
	Type string
	Tag  opossum.Tag
}

// matching counts the events that match each query. REQUIRES: a query is for all events or has one item, with one tag and at most one type.
func (h History) matching(queries []opossum.Query) []matching {
	terms, asked := make([]term, len(queries)), map[term]matching{}
	for i, q := range queries {
		q.Terms(func(types []string, tags []opossum.Tag) {
			terms[i].Tag = tags[0]
			if len(types) > 0 {
				terms[i].Type = types[0]
			}
		})
		asked[terms[i]] = matching{}
	}
	count := func(t term, p opossum.Position) {
		if m, ok := asked[t]; ok {
			asked[t] = matching{m.events + 1, p}
		}
	}
	for e := range h.events() {
		count(term{}, e.Position)
		for _, tag := range e.Event.Tags {
			count(term{"", tag}, e.Position)
			count(term{e.Event.Type, tag}, e.Position)
		}
	}
	all := make([]matching, len(queries))
	for i, t := range terms {
		all[i] = asked[t]
	}
	return all
}

// verify asks once.
func (o ReadOperation) verify(ctx context.Context, r Reader, q opossum.Query, m matching) error {
	var count int
	var before, newest opossum.Position
	var wrong error
	err := o.answer(ctx, r, q, func(e opossum.SequencedEvent) {
		if !q.Matches(e.Event) {
			wrong = fmt.Errorf("event %d does not match", e.Position)
		}
		if count > 0 && (e.Position == before || e.Position < before != o.newestFirst) {
			wrong = fmt.Errorf("event %d comes after %d", e.Position, before)
		}
		count++
		before, newest = e.Position, max(newest, e.Position)
	})
	if err != nil {
		return err
	}
	want := o.yields(m.events)
	switch {
	case wrong != nil:
	case count != want:
		wrong = fmt.Errorf("%d events, want %d", count, want)
	case count > 0 && newest != m.newest:
		wrong = fmt.Errorf("the newest is %d, want %d", newest, m.newest)
	default:
		return nil
	}
	return fmt.Errorf("%s, %v: %w", o.Name, q.Items(), wrong)
}

// verifyAll compares every event.
func (h History) verifyAll(ctx context.Context, r Reader) (wrong error) {
	next, stop := iter.Pull(h.events())
	defer stop()
	err := r.Read(ctx, opossum.AllEvents(), 0, func(e opossum.SequencedEvent) {
		if want, more := next(); wrong == nil && (!more || !same(e, want)) {
			wrong = fmt.Errorf("event %d is %v, want %v", e.Position, e.Event, want.Event)
		}
	})
	if err != nil {
		return err
	}
	if want, more := next(); wrong == nil && more {
		wrong = fmt.Errorf("event %d is missing", want.Position)
	}
	return wrong
}

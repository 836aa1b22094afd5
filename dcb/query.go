package dcb

import (
	"fmt"
	"slices"
)

// Limits of one query.
const (
	MaxQueryItems = 4_096 // items of one query
	MaxItemTerms  = 4_096 // types, and likewise tags, of one item
)

// Query says which events are meant. Make one with [AllEvents], [Match], [ByTypes] or [ByTags]; the zero Query is
// invalid, so that a forgotten query is an error and not "everything" or "nothing". A Query is immutable and safe for
// concurrent use.
type Query struct {
	kind  queryKind
	items []QueryItem
}

type queryKind uint8

const (
	unset     queryKind = iota // the zero Query
	allEvents                  // matches everything
	byItems                    // matches what any item matches
)

// QueryItem matches an event whose type is one of Types and whose tags contain all Tags. Empty Types means any type,
// empty Tags any tags; not both may be empty.
type QueryItem struct {
	Types []string
	Tags  []Tag
}

// AllEvents matches every event.
func AllEvents() Query { return Query{kind: allEvents} }

// Match matches what any of the items matches. The arguments are copied. Without items the query is invalid.
func Match(items ...QueryItem) Query {
	return Query{kind: byItems, items: copyItems(items)}
}

// ByTypes matches events of any of the types: one item.
func ByTypes(types ...string) Query { return Match(QueryItem{Types: types}) }

// ByTags matches events that have all of the tags: one item.
func ByTags(tags ...Tag) Query { return Match(QueryItem{Tags: tags}) }

// Or matches what q or other matches. With AllEvents the result is AllEvents; else the items are concatenated, so that
// the zero Query is neutral and queries can be gathered in a loop.
func (q Query) Or(other Query) Query {
	if q.kind == allEvents || other.kind == allEvents {
		return AllEvents()
	}
	kind := max(q.kind, other.kind)
	return Query{kind: kind, items: slices.Concat(q.items, other.items)}
}

// Items returns a copy of the items; nil for AllEvents and the zero Query.
func (q Query) Items() []QueryItem { return copyItems(q.items) }

// IsAll reports whether q is AllEvents.
func (q Query) IsAll() bool { return q.kind == allEvents }

// IsZero reports whether q is the zero Query, which a [Condition] takes as "clause not given".
func (q Query) IsZero() bool { return q.kind == unset }

// Matches is the one definition of matching: everything that answers queries faster is tested against it.
// The zero Query matches nothing.
func (q Query) Matches(e Event) bool {
	if q.kind == allEvents {
		return true
	}
	return slices.ContainsFunc(q.items, func(it QueryItem) bool { return it.matches(e) })
}

func (it QueryItem) matches(e Event) bool {
	if len(it.Types) > 0 && !slices.Contains(it.Types, e.Type) {
		return false
	}
	for _, t := range it.Tags {
		if !slices.Contains(e.Tags, t) {
			return false
		}
	}
	return true
}

// Validate returns nil, or an error that Is [ErrInvalidQuery] and names the item. Types and tags that no event can have
// (empty, too long, not UTF-8) are refused: as part of a condition they would silently guard nothing.
func (q Query) Validate() error {
	if q.kind == allEvents {
		return nil
	}
	if len(q.items) == 0 {
		return ErrNoItems
	}
	if len(q.items) > MaxQueryItems {
		return fmt.Errorf("%d items: %w", len(q.items), ErrTooManyItems)
	}
	for i, it := range q.items {
		if err := it.validate(); err != nil {
			return fmt.Errorf("query item %d: %w", i, err)
		}
	}
	return nil
}

func (it QueryItem) validate() error {
	if len(it.Types) == 0 && len(it.Tags) == 0 {
		return ErrEmptyItem
	}
	if len(it.Types) > MaxItemTerms || len(it.Tags) > MaxItemTerms {
		return fmt.Errorf("%d types and %d tags: %w", len(it.Types), len(it.Tags), ErrTooManyItems)
	}
	for _, t := range it.Types {
		if checkTerm(t, MaxTypeBytes, ErrBadTerm, ErrBadTerm) != nil {
			return fmt.Errorf("type %s: %w", quote(t), ErrBadTerm)
		}
	}
	for _, t := range it.Tags {
		if checkTerm(string(t), MaxTagBytes, ErrBadTerm, ErrBadTerm) != nil {
			return fmt.Errorf("tag %s: %w", quote(string(t)), ErrBadTerm)
		}
	}
	return nil
}

func copyItems(items []QueryItem) []QueryItem {
	out := slices.Clone(items)
	for i := range out {
		out[i] = QueryItem{Types: slices.Clone(out[i].Types), Tags: slices.Clone(out[i].Tags)}
	}
	return out
}

// Terms calls f for each item without copying. REQUIRES: f neither keeps nor changes what it is given.
// It exists for the index, which would otherwise copy every query on its way into a condition check.
func (q Query) Terms(f func(types []string, tags []Tag)) {
	for _, it := range q.items {
		f(it.Types, it.Tags)
	}
}

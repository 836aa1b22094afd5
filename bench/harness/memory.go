package harness

import (
	"context"
	"path/filepath"

	"opossum"
)

// memory is the ceiling: every event and the positions of every type and tag are in maps of the process. It pays
// at its start, when it reads, verifies and decodes all there is, and with memory for as long as it lives. What it yields is
// shared, not copied.
type memory struct {
	events []opossum.SequencedEvent // that of position p at p-1
	types  map[string][]opossum.Position
	tags   map[opossum.Tag][]opossum.Position
}

func openMemory(dir string) (Reader, error) {
	m := &memory{types: map[string][]opossum.Position{}, tags: map[opossum.Tag][]opossum.Position{}}
	err := eachRecord(filepath.Join(dir, historyRecords), func(e opossum.SequencedEvent) bool {
		e = kept(e)
		m.events = append(m.events, e)
		m.types[e.Event.Type] = append(m.types[e.Event.Type], e.Position)
		for _, t := range e.Event.Tags {
			m.tags[t] = append(m.tags[t], e.Position)
		}
		return true
	})
	return m, err
}

// candidates returns the shortest list of positions in which all that matches q is; exact: and nothing else.
// REQUIRES: q has one item, with at most one type.
func (m *memory) candidates(q opossum.Query) (list []opossum.Position, exact bool) {
	q.Terms(func(types []string, tags []opossum.Tag) {
		exact = len(types)+len(tags) == 1
		found := false
		shorter := func(positions []opossum.Position) {
			if !found || len(positions) < len(list) {
				list, found = positions, true
			}
		}
		for _, t := range tags {
			shorter(m.tags[t])
		}
		for _, t := range types {
			shorter(m.types[t])
		}
	})
	return list, exact
}

func (m *memory) Read(_ context.Context, q opossum.Query, newest int, yield func(opossum.SequencedEvent)) error {
	if q.IsAll() && newest == 0 {
		for _, e := range m.events {
			yield(e)
		}
		return nil
	}
	list, exact := m.candidates(q)
	if newest == 0 {
		for _, p := range list {
			if e := m.events[p-1]; exact || q.Matches(e.Event) {
				yield(e)
			}
		}
		return nil
	}
	for i := len(list) - 1; i >= 0 && newest > 0; i-- {
		if e := m.events[list[i]-1]; exact || q.Matches(e.Event) {
			yield(e)
			newest--
		}
	}
	return nil
}

func (m *memory) Last(ctx context.Context, q opossum.Query) (last opossum.SequencedEvent, err error) {
	_ = m.Read(ctx, q, 1, func(e opossum.SequencedEvent) { last = e }) // memory has no errors
	if last.Position == 0 {
		err = opossum.ErrNotFound
	}
	return last, err
}

func (m *memory) Refuse(ctx context.Context, q opossum.Query) error {
	if _, err := m.Last(ctx, q); err != nil {
		return nil
	}
	return opossum.ErrConditionFailed
}

func (m *memory) Close() error { return nil }

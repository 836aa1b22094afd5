package projection

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"opossum/dcb"
)

// Model reads a read model. Its methods are safe for concurrent use. While it is rebuilt they show the old states, and then, from one call to the next, the new ones.
//
// Their errors: ErrNotBuilt while there is nothing to be read; dcb.ErrClosed; dcb.ErrCorrupt, naming the file, of a state that is damaged: then the read model is
// rebuilt, unless AtStart is RebuildNone.
type Model[S any] struct{ f *follower }

// Instance is one state.
type Instance[S any] struct {
	Info
	State S
}

// Get returns the state of a key. The error Is dcb.ErrNotFound if there is none.
func (m *Model[S]) Get(key string) (Instance[S], error) {
	g, err := m.f.acquire()
	if err != nil {
		return Instance[S]{}, err
	}
	defer m.f.release(g)
	return m.get(g, key)
}

func (m *Model[S]) get(g *generation, key string) (i Instance[S], err error) {
	rec, err := g.store.Get(key)
	if err == nil && rec.Deleted() {
		err = fmt.Errorf("%q: %w", key, dcb.ErrNotFound)
	}
	if err == nil {
		i.Info = InfoOf(rec)
		if err = json.Unmarshal(rec.State, &i.State); err != nil {
			err = fmt.Errorf("%q: %w: %w", key, dcb.ErrCorrupt, err)
		}
	}
	if errors.Is(err, dcb.ErrCorrupt) {
		m.f.spoiled(g, fmt.Errorf("%w: %w", ErrUnfit, err))
	}
	if err != nil {
		return Instance[S]{}, fmt.Errorf("opossum: read model %q: %w", m.f.id.Name, err)
	}
	return i, nil
}

// All yields every state, by key: each as it is when it is yielded. What is added meanwhile is not in it, what is deleted may be missing. An error is yielded once, last.
func (m *Model[S]) All() iter.Seq2[Instance[S], error] {
	return m.each(func(x *Index) []Info { return x.Where(func(Info) bool { return true }) })
}

// Where yields the states for which keep holds, by key. It reads all of them; what is asked for often is worth a tag.
func (m *Model[S]) Where(keep func(Instance[S]) bool) iter.Seq2[Instance[S], error] {
	return func(yield func(Instance[S], error) bool) {
		for i, err := range m.All() {
			if (err != nil || keep(i)) && !yield(i, err) {
				return
			}
		}
	}
}

// Tagged yields the states that have all of the tags, by key; none without tags. It reads no others. A state that loses a tag before it is yielded is left out.
func (m *Model[S]) Tagged(tags ...dcb.Tag) iter.Seq2[Instance[S], error] {
	return func(yield func(Instance[S], error) bool) {
		for i, err := range m.each(func(x *Index) []Info { return x.Tagged(tags...) }) {
			lost := slices.ContainsFunc(tags, func(t dcb.Tag) bool { return !slices.Contains(i.Tags, t) })
			if (err != nil || !lost) && !yield(i, err) {
				return
			}
		}
	}
}

// each yields the states that find finds.
func (m *Model[S]) each(find func(*Index) []Info) iter.Seq2[Instance[S], error] {
	return func(yield func(Instance[S], error) bool) {
		g, err := m.f.acquire()
		if err != nil {
			yield(Instance[S]{}, err)
			return
		}
		defer m.f.release(g)
		for _, info := range find(g.store.Index()) {
			i, err := m.get(g, info.Key)
			if errors.Is(err, dcb.ErrNotFound) { // deleted meanwhile
				continue
			}
			if !yield(i, err) || err != nil {
				return
			}
		}
	}
}

// Infos returns what is known of the states for which keep holds, by key, without reading any.
func (m *Model[S]) Infos(keep func(Info) bool) ([]Info, error) {
	all, err := m.infos(func(Info) bool { return true })
	return slices.DeleteFunc(all, func(i Info) bool { return !keep(i) }), err // here no lock is held, as it is in Index.Where
}

func (m *Model[S]) infos(keep func(Info) bool) ([]Info, error) {
	g, err := m.f.acquire()
	if err != nil {
		return nil, err
	}
	defer m.f.release(g)
	return g.store.Index().Where(keep), nil
}

// UpdatedSince returns what is known of the states whose last event is of t or later, by key.
func (m *Model[S]) UpdatedSince(t time.Time) ([]Info, error) {
	return m.infos(func(i Info) bool { return !i.Updated.Before(t) })
}

// CreatedBetween returns what is known of the states whose first event is of from or later, and before to, by key.
func (m *Model[S]) CreatedBetween(from, to time.Time) ([]Info, error) {
	return m.infos(func(i Info) bool { return !i.Created.Before(from) && i.Created.Before(to) })
}

// Largest returns what is known of the n states whose JSON is the longest, the longest first, and those of the same size by key.
func (m *Model[S]) Largest(n int) ([]Info, error) {
	all, err := m.infos(func(Info) bool { return true })
	slices.SortFunc(all, func(a, b Info) int { return cmp.Or(cmp.Compare(b.Size, a.Size), strings.Compare(a.Key, b.Key)) })
	return all[:min(max(n, 0), len(all))], err
}

// Len returns how many states there are.
func (m *Model[S]) Len() (int, error) {
	g, err := m.f.acquire()
	if err != nil {
		return 0, err
	}
	defer m.f.release(g)
	return g.store.Index().Len(), nil
}

// Position returns how far the read model has come: every event up to here that belongs to it is in its states.
func (m *Model[S]) Position() dcb.Position {
	m.f.mu.Lock()
	defer m.f.mu.Unlock()
	return m.f.at.Position
}

// Wait returns when the event at p, and every one before it, is in the states: who has appended at p reads what he wrote. It prompts nothing. Errors: ErrParked,
// dcb.ErrClosed, ctx's.
func (m *Model[S]) Wait(ctx context.Context, p dcb.Position) error { return m.f.wait(ctx, p) }

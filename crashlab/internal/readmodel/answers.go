package readmodel

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"opossum"
	"opossum/projection"
)

// sorted returns the keys of a map.
func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// answers asks a read model that has come to a position everything that it can be asked, and says what is not as a fold from scratch has it.
func (p past) answers(m *projection.Model[State], at opossum.Position, r *rand.Rand) error {
	if got := m.Position(); got < at {
		return fmt.Errorf("it has come to %d, and was waited for at %d", got, at)
	}
	want := p.asOf(at)
	if err := alike("All", want, m.All()); err != nil {
		return err
	}
	if n, err := m.Len(); err != nil || n != len(want) {
		return fmt.Errorf("%d states are counted, not %d: %w", n, len(want), err)
	}
	for _, key := range sorted(p.turns) {
		got, err := m.Get(key)
		t := p.last(key, at)
		if !t.there() {
			if !errors.Is(err, opossum.ErrNotFound) {
				return fmt.Errorf("Get(%.40q) of a state that is deleted: %+v, %w", key, got, err)
			}
			continue
		}
		if err := alike("Get", []turn{t}, func(yield func(projection.Instance[State], error) bool) { yield(got, err) }); err != nil {
			return err
		}
	}
	if _, err := m.Get("never"); !errors.Is(err, opossum.ErrNotFound) {
		return fmt.Errorf("a state that has never been is found: %w", err)
	}
	if err := p.tagged(m, want); err != nil {
		return err
	}
	return p.infos(m, want, r)
}

func (p past) tagged(m *projection.Model[State], want []turn) error {
	tags := map[opossum.Tag]bool{"nobody's": true}
	for _, t := range want {
		for _, tag := range t.info.Tags {
			tags[tag] = true
		}
	}
	for a := range tags {
		for b := range tags {
			have := func(t turn) bool { return slices.Contains(t.info.Tags, a) && slices.Contains(t.info.Tags, b) }
			if err := alike(fmt.Sprintf("Tagged(%s, %s)", a, b), only(want, have), m.Tagged(a, b)); err != nil {
				return err
			}
		}
	}
	return nil
}

func only(all []turn, have func(turn) bool) []turn {
	return slices.DeleteFunc(slices.Clone(all), func(t turn) bool { return !have(t) })
}

func (p past) infos(m *projection.Model[State], want []turn, r *rand.Rand) error {
	check := func(what string, want []turn, got []projection.Info, err error) error {
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		if !slices.EqualFunc(want, got, func(t turn, i projection.Info) bool { return same(t.info, i) }) {
			return fmt.Errorf("%s: %+v, and a fold from scratch has %+v", what, got, infosOf(want))
		}
		return nil
	}
	got, err := m.Infos(func(projection.Info) bool { return true })
	if err := check("Infos", want, got, err); err != nil {
		return err
	}
	for range 3 * min(1, len(want)) {
		from, to := times(want)[r.IntN(2*len(want))], times(want)[r.IntN(2*len(want))]
		got, err := m.UpdatedSince(from)
		if err := check("UpdatedSince", only(want, func(t turn) bool { return !t.info.Updated.Before(from) }), got, err); err != nil {
			return err
		}
		got, err = m.CreatedBetween(from, to)
		between := func(t turn) bool { return !t.info.Created.Before(from) && t.info.Created.Before(to) }
		if err := check("CreatedBetween", only(want, between), got, err); err != nil {
			return err
		}
	}
	n := r.IntN(len(want) + 2)
	largest := slices.SortedFunc(slices.Values(want), func(a, b turn) int {
		return cmp.Or(cmp.Compare(b.info.Size, a.info.Size), strings.Compare(a.info.Key, b.info.Key))
	})
	got, err = m.Largest(n)
	return check("Largest", largest[:min(n, len(largest))], got, err)
}

func infosOf(all []turn) (out []projection.Info) {
	for _, t := range all {
		out = append(out, t.info)
	}
	return out
}

// alike compares what was yielded with what must be, in this order.
func alike(what string, want []turn, got iter.Seq2[projection.Instance[State], error]) error {
	n := 0
	for i, err := range got {
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		if n >= len(want) {
			return fmt.Errorf("%s: the state %.40q of position %d is one too many", what, i.Key, i.Position)
		}
		text, err := json.Marshal(i.State)
		if err != nil {
			return err
		}
		if w := want[n]; !same(w.info, i.Info) || string(text) != string(w.text) {
			return fmt.Errorf("%s: %+v, %s; a fold from scratch has %+v, %s", what, i.Info, text, w.info, w.text)
		}
		n++
	}
	if n < len(want) {
		return fmt.Errorf("%s: the state %.40q of position %d is missing", what, want[n].info.Key, want[n].info.Position)
	}
	return nil
}

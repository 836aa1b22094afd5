package readmodel

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"opossum"
	"opossum/projection"
)

// past is everything that a read model has ever been, folded from the first event in the plainest way.
type past struct {
	def     projection.Definition[State]
	turns   map[string][]turn  // by key, ascending; there may be none of a key
	applied []opossum.Position // of the events that belong to a state, ascending
}

// turn is what an event made of a state.
type turn struct {
	info projection.Info // of a deletion only key and position
	text []byte          // the state; nil: deleted
}

func (t turn) there() bool { return t.text != nil }

func foldAll(d projection.Definition[State], all []opossum.SequencedEvent) (past, error) {
	p := past{def: d, turns: map[string][]turn{}}
	for i, e := range all {
		if !d.Query.Matches(e.Event) {
			continue
		}
		key := d.Key(e)
		if key == "" {
			continue
		}
		p.applied = append(p.applied, e.Position)
		event := projection.Event{SequencedEvent: e}
		if d.Related != nil {
			if q := d.Related(e); !q.IsZero() {
				for _, o := range all[:i] {
					if q.Matches(o.Event) {
						event.Related = append(event.Related, o)
					}
				}
			}
		}
		was := p.last(key, e.Position)
		var state *State
		if was.there() {
			if err := json.Unmarshal(was.text, &state); err != nil {
				return p, err
			}
		}
		state, err := d.Apply(state, event)
		if err != nil {
			return p, err
		}
		if state != nil || was.there() {
			if err := p.add(key, e, was, state); err != nil {
				return p, err
			}
		}
	}
	return p, nil
}

func (p *past) add(key string, e opossum.SequencedEvent, was turn, state *State) (err error) {
	now := turn{info: projection.Info{Key: key, Position: e.Position}}
	if state != nil {
		if now.text, err = json.Marshal(state); err != nil {
			return err
		}
		i := &now.info
		i.Created, i.Updated, i.Version, i.Size = e.Event.Time, e.Event.Time, 1, len(now.text)
		if was.there() {
			i.Created, i.Version = was.info.Created, was.info.Version+1
		}
		if p.def.Tags != nil {
			i.Tags = p.def.Tags(*state)
			slices.Sort(i.Tags)
			i.Tags = slices.Compact(i.Tags)
		}
	}
	p.turns[key] = append(p.turns[key], now)
	return nil
}

// last returns the state of a key as of a position; the zero turn: there has been none.
func (p past) last(key string, at opossum.Position) (t turn) {
	for _, t = range slices.Backward(p.turns[key]) {
		if t.info.Position <= at {
			return t
		}
	}
	return turn{}
}

// asOf returns the states that there are at a position, by key.
func (p past) asOf(at opossum.Position) (out []turn) {
	for _, key := range sorted(p.turns) {
		if t := p.last(key, at); t.there() {
			out = append(out, t)
		}
	}
	return out
}

// events returns how many events up to a position belong to a state.
func (p past) events(at opossum.Position) uint64 {
	n := 0
	for n < len(p.applied) && p.applied[n] <= at {
		n++
	}
	return uint64(n)
}

// audit says what is wrong with a store that was just opened: with its checkpoint at C, each state must be the one as of C, or what an event behind C has made of it; and the
// index must say the same as the states. damaged: the store was damaged, and may own up to that: it only must not be wrong.
func (p past) audit(s projection.Store, head opossum.Position, damaged bool) error {
	at := s.Checkpoint()
	if at.Position > head {
		return fmt.Errorf("it has come to %d, and the head is %d", at.Position, head)
	}
	if want := p.events(at.Position); at.Events != want {
		return fmt.Errorf("at its checkpoint %d it has applied %d events, and a fold from scratch %d", at.Position, at.Events, want)
	}
	for _, key := range sorted(p.turns) {
		rec, err := s.Get(key)
		switch {
		case errors.Is(err, opossum.ErrNotFound):
			if t := p.last(key, at.Position); t.there() {
				return fmt.Errorf("the state %.40q is missing: at the checkpoint %d there is one, of position %d", key, at.Position, t.info.Position)
			}
		case damaged && errors.Is(err, opossum.ErrCorrupt):
			continue
		case err != nil:
			return err
		default:
			if err := p.admits(rec, at.Position); err != nil {
				return err
			}
		}
		indexed, ok := s.Index().Get(key)
		if there := err == nil && !rec.Deleted(); !damaged && (ok != there || ok && !same(indexed, projection.InfoOf(rec))) {
			return fmt.Errorf("of the state %.40q the index says %+v (%t), and its file %+v", key, indexed, ok, rec)
		}
	}
	for _, i := range s.Index().Where(func(i projection.Info) bool { return p.turns[i.Key] == nil }) {
		return fmt.Errorf("the index knows the state %.40q, which has never been", i.Key)
	}
	return nil
}

// admits: a record that was kept is the state as of a checkpoint, or of a position above it.
func (p past) admits(rec projection.Record, at opossum.Position) error {
	t := p.last(rec.Key, max(at, rec.Position))
	if t.info.Position == rec.Position && t.there() == !rec.Deleted() && (rec.Deleted() || string(t.text) == string(rec.State) && same(t.info, projection.InfoOf(rec))) {
		return nil
	}
	return fmt.Errorf("the state %.40q is kept as of position %d, deleted %t, version %d, %q; at the checkpoint %d a fold from scratch has position %d, version %d, %q",
		rec.Key, rec.Position, rec.Deleted(), rec.Version, rec.State, at, t.info.Position, t.info.Version, t.text)
}

func same(a, b projection.Info) bool {
	return a.Key == b.Key && a.Position == b.Position && a.Created.Equal(b.Created) && a.Updated.Equal(b.Updated) && a.Version == b.Version && a.Size == b.Size &&
		slices.Equal(a.Tags, b.Tags)
}

// times returns those of the first and the last event of the states, for queries.
func times(states []turn) (out []time.Time) {
	for _, t := range states {
		out = append(out, t.info.Created, t.info.Updated)
	}
	return out
}

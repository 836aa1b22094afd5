package projection

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"opossum/dcb"
)

// errPanicked marks a panic of a function of the definition.
var errPanicked = errors.New("panic")

// eventError is an error of the definition with an event: it cannot be applied, and nothing else is wrong.
type eventError struct {
	at  dcb.Position
	err error
}

func (e *eventError) Error() string { return fmt.Sprintf("position %d: %v", e.at, e.err) }
func (e *eventError) Unwrap() error { return e.err }

// fold applies events to the states of a store, in memory, until they are taken. It is for one goroutine.
type fold interface {
	// related returns what Apply needs to know of an event, the zero query if nothing.
	related(e dcb.SequencedEvent) (dcb.Query, error)
	// apply applies an event. An eventError leaves states in memory that are not to be taken; other errors are those of the store.
	apply(e Event) error
	// take returns what has changed, or a part of it: at most so many records, and whether there are more.
	take(most int) (records []Record, more bool, err error)
	// size is about how many bytes the states in memory have: what they had when they were weighed, and the data of the events since.
	size() int64
	// weigh judges anew what has changed.
	weigh()
	// forget drops the states in memory.
	forget()
	// events is how many events belonged to a state since all was taken, those included that a state had already.
	events() uint64
}

// folding is a fold with states of type S.
type folding[S any] struct {
	d       Definition[S]
	store   Store
	states  map[string]*held[S]
	changed []*held[S]
	fresh   []string // keys of new states that the store has not been told of
	bytes   int64
	applied uint64
}

// held is a state in memory.
type held[S any] struct {
	rec     Record       // without State
	state   *S           // nil: deleted, or never there
	last    dcb.Position // of the last event that changed it, or that it had already
	changed bool
	bytes   int64 // its share
}

func newFolding[S any](d Definition[S], store Store) *folding[S] {
	return &folding[S]{d: d, store: store, states: map[string]*held[S]{}}
}

func (f *folding[S]) related(e dcb.SequencedEvent) (q dcb.Query, err error) {
	if f.d.Related == nil {
		return q, nil
	}
	defer caught(e.Position, &err)
	if q = f.d.Related(e); !q.IsZero() {
		if err := q.Validate(); err != nil {
			return q, &eventError{e.Position, fmt.Errorf("what it is related to: %w", err)}
		}
	}
	return q, nil
}

func (f *folding[S]) apply(e Event) error {
	key, err := f.key(e.SequencedEvent)
	if err != nil || key == "" {
		return err
	}
	h, err := f.load(key)
	if err != nil {
		return err
	}
	f.applied++
	if e.Position <= h.rec.Position { // after a crash: the state was kept, the checkpoint was not
		f.change(h, e.Position) // so that the index hears of it
		return nil
	}
	state, err := f.next(h.state, e)
	if err != nil {
		return err
	}
	if state == nil && h.state == nil {
		return nil
	}
	f.change(h, e.Position)
	f.grow(h, int64(len(e.Event.Data)))
	h.state = state
	if state == nil {
		h.rec = Record{Key: key, Position: e.Position}
		return nil
	}
	if h.rec.Version == 0 {
		h.rec.Created = e.Event.Time
		f.expect(key)
	}
	h.rec.Position, h.rec.Updated, h.rec.Version = e.Position, e.Event.Time, h.rec.Version+1
	return nil
}

// expect tells the store of new states, if it wants to know, a portion at a time.
func (f *folding[S]) expect(key string) {
	store, ok := f.store.(expecting)
	if !ok {
		return
	}
	if f.fresh = append(f.fresh, key); len(f.fresh) == portion {
		store.expect(f.fresh)
		f.fresh = nil
	}
}

func (f *folding[S]) key(e dcb.SequencedEvent) (key string, err error) {
	defer caught(e.Position, &err)
	return f.d.Key(e), nil
}

func (f *folding[S]) next(state *S, e Event) (next *S, err error) {
	defer caught(e.Position, &err)
	if next, err = f.d.Apply(state, e); err != nil {
		return nil, &eventError{e.Position, err}
	}
	return next, nil
}

// caught makes an eventError of a panic. It is deferred.
func caught(at dcb.Position, err *error) {
	if r := recover(); r != nil {
		*err = &eventError{at, fmt.Errorf("%w: %v", errPanicked, r)}
	}
}

// heldBytes is about what a state takes in memory beside its contents.
const heldBytes = 400

func (f *folding[S]) load(key string) (*held[S], error) {
	if h, ok := f.states[key]; ok {
		return h, nil
	}
	rec, err := f.store.Get(key)
	if errors.Is(err, dcb.ErrCorrupt) {
		return nil, fmt.Errorf("%w: %w", ErrUnfit, err)
	}
	if err != nil && !errors.Is(err, dcb.ErrNotFound) {
		return nil, err
	}
	rec.Key = key
	h := &held[S]{rec: rec}
	if !rec.Deleted() {
		if h.state, err = decoded[S](rec.State); err != nil {
			return nil, fmt.Errorf("%w: the state of %.80q: %w", ErrUnfit, key, err)
		}
	}
	f.states[key] = h
	f.grow(h, heldBytes+int64(len(key)+2*len(rec.State)))
	h.rec.State = nil
	return h, nil
}

// decoded returns the state that a JSON is of. The type may have an UnmarshalJSON of its own: a panic of that is an error.
func decoded[S any](text []byte) (state *S, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", errPanicked, r)
		}
	}()
	state = new(S)
	return state, json.Unmarshal(text, state)
}

func (f *folding[S]) grow(h *held[S], bytes int64) {
	h.bytes += bytes
	f.bytes += bytes
}

// weigh goes by the JSON: a state may have kept all of its events' data or next to nothing. What has none is not weighed: it is an error when it is taken.
func (f *folding[S]) weigh() {
	for _, h := range f.changed {
		if bytes, err := jsonBytes(h.state); err == nil {
			f.grow(h, heldBytes+int64(len(h.rec.Key)+2*bytes)-h.bytes)
		}
	}
}

// jsonBytes returns the length of the JSON of a value.
func jsonBytes(v any) (n int, err error) {
	defer caught(0, &err)
	text, err := json.Marshal(v)
	return len(text), err
}

func (f *folding[S]) change(h *held[S], at dcb.Position) {
	h.last = at
	if !h.changed {
		h.changed = true
		f.changed = append(f.changed, h)
	}
}

func (f *folding[S]) take(most int) (records []Record, more bool, err error) {
	part := f.changed[:min(most, len(f.changed))]
	for _, h := range part {
		if h.state != nil {
			if err := f.encode(h); err != nil {
				return nil, false, err
			}
		}
		records = append(records, h.rec)
	}
	for _, h := range part {
		h.changed = false
		f.grow(h, heldBytes+int64(len(h.rec.Key)+2*len(h.rec.State))-h.bytes)
		h.rec.State = nil // the state itself is there
	}
	f.changed = f.changed[len(part):]
	if len(f.changed) == 0 {
		f.changed, f.applied = nil, 0
	}
	return records, len(f.changed) > 0, nil
}

// encode makes the record of a state. What cannot be encoded, or not be decoded again, is the fault of its last event: the ones before can be taken without it.
func (f *folding[S]) encode(h *held[S]) (err error) {
	defer caught(h.last, &err)
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false) // people read it
	if err = enc.Encode(h.state); err != nil {
		return &eventError{h.last, err}
	}
	h.rec.State, h.rec.Tags = bytes.TrimSuffix(text.Bytes(), []byte("\n")), nil
	if _, err = decoded[S](h.rec.State); err != nil { // or it would be taken for damaged, and rebuilt, for ever
		return &eventError{h.last, fmt.Errorf("the state of %.80q does not come back from its JSON: %w", h.rec.Key, err)}
	}
	if f.d.Tags != nil {
		h.rec.Tags = slices.Clone(f.d.Tags(*h.state))
		slices.Sort(h.rec.Tags)
		h.rec.Tags = slices.Compact(h.rec.Tags)
	}
	if err = checkRecord(h.rec); err != nil {
		return &eventError{h.last, err}
	}
	return nil
}

func (f *folding[S]) size() int64    { return f.bytes }
func (f *folding[S]) events() uint64 { return f.applied }

func (f *folding[S]) forget() {
	clear(f.states)
	f.changed, f.fresh, f.bytes, f.applied = nil, nil, 0, 0
}

package decision_test

import (
	"context"
	"errors"
	"iter"
	"strconv"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"opossum/dcb"
	"opossum/decision"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var ctxb = context.Background()

// memory is the plainest store: a slice. It notes what it is asked, and can be told to fail.
type memory struct {
	mu      sync.Mutex
	events  []dcb.SequencedEvent
	reads   []asked
	appends []dcb.Condition

	before      func(append int)            // each append, from 1, before its condition is checked
	readErr     func(read int) error        // what the Read of that number returns, from 1
	breakAt     func(read int) (int, error) // after so many events, the view of that number fails; nil error: never
	replyErr    func(append int) error      // what an append of that number returns although it was made
	yieldPanics bool                        // while events are read
}

type asked struct {
	query dcb.Query
	after dcb.Position
	found int
}

type view struct {
	events []dcb.SequencedEvent
	head   dcb.Position
	after  int
	err    error
	panics bool
}

func (v view) Head() dcb.Position { return v.head }

func (v view) All() iter.Seq2[dcb.SequencedEvent, error] {
	return func(yield func(dcb.SequencedEvent, error) bool) {
		if v.panics {
			panic("store")
		}
		for i, e := range v.events {
			if v.err != nil && i == v.after {
				yield(dcb.SequencedEvent{}, v.err)
				return
			}
			if !yield(e, nil) {
				return
			}
		}
		if v.err != nil {
			yield(dcb.SequencedEvent{}, v.err)
		}
	}
}

func (m *memory) Read(ctx context.Context, q dcb.Query, after dcb.Position) (decision.View, error) {
	if err := errors.Join(ctx.Err(), q.Validate()); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	n := len(m.reads) + 1
	v := view{head: dcb.Position(len(m.events)), panics: m.yieldPanics}
	for _, e := range m.events {
		if e.Position > after && q.Matches(e.Event) {
			v.events = append(v.events, e)
		}
	}
	m.reads = append(m.reads, asked{q, after, len(v.events)})
	if m.readErr != nil {
		if err := m.readErr(n); err != nil {
			return nil, err
		}
	}
	if m.breakAt != nil {
		v.after, v.err = m.breakAt(n)
	}
	return v, nil
}

func (m *memory) Append(ctx context.Context, events []dcb.Event, cond *dcb.Condition) (dcb.Position, error) {
	if err := errors.Join(ctx.Err(), cond.Validate()); err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.appends = append(m.appends, *cond)
	if m.before != nil {
		m.before(len(m.appends))
	}
	for _, e := range m.events {
		if e.Position > cond.After && cond.FailIfMatch.Matches(e.Event) {
			return 0, &dcb.ConditionFailedError{Position: e.Position}
		}
	}
	m.add(events...)
	if m.replyErr != nil {
		if err := m.replyErr(len(m.appends)); err != nil {
			return 0, err
		}
	}
	return dcb.Position(len(m.events)), nil
}

// add appends without a question. REQUIRES: nobody else uses m, or it is called by before.
func (m *memory) add(events ...dcb.Event) {
	for _, e := range events {
		m.events = append(m.events, dcb.SequencedEvent{Position: dcb.Position(len(m.events) + 1), Event: e})
	}
}

func storeOf(events ...dcb.Event) *memory {
	m := &memory{}
	m.add(events...)
	return m
}

func event(typ string, tags ...dcb.Tag) dcb.Event { return dcb.Event{Type: typ, Tags: tags} }

// count counts what matches.
func count(q dcb.Query) decision.Projection[int] {
	return decision.Projection[int]{Name: "count", Query: q, Apply: func(n int, _ dcb.SequencedEvent) int { return n + 1 }}
}

// list notes the positions, in a slice that grows in place.
func list(q dcb.Query) decision.Projection[[]dcb.Position] {
	return decision.Projection[[]dcb.Position]{Query: q,
		Initial: func() []dcb.Position { return make([]dcb.Position, 0, 8) },
		Apply:   func(all []dcb.Position, e dcb.SequencedEvent) []dcb.Position { return append(all, e.Position) },
	}
}

// histogram counts types, in a map that it changes.
func histogram(q dcb.Query) decision.Projection[map[string]int] {
	return decision.Projection[map[string]int]{Query: q,
		Initial: func() map[string]int { return map[string]int{} },
		Apply: func(types map[string]int, e dcb.SequencedEvent) map[string]int {
			types[e.Event.Type]++
			return types
		},
	}
}

// add returns a decision function that always comes to one event.
func add(typ string, tags ...dcb.Tag) func(int) ([]dcb.Event, error) {
	return func(int) ([]dcb.Event, error) { return []dcb.Event{event(typ, tags...)}, nil }
}

// plain returns the events without their positions.
func plain(events []dcb.SequencedEvent) (all []dcb.Event) {
	for _, e := range events {
		all = append(all, e.Event)
	}
	return all
}

func tag(kind string, n int) dcb.Tag { return dcb.Tag(kind + ":" + strconv.Itoa(n)) }

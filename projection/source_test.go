package projection

import (
	"context"
	"errors"
	"iter"
	"slices"
	"sync"
	"time"

	"opossum/dcb"
)

// memorySource is events in memory. Those above durable are readable, too, as in a relaxed store.
type memorySource struct {
	mu      sync.Mutex
	events  []dcb.SequencedEvent
	durable dcb.Position
	grown   chan struct{}
	reads   int
	fail    func(at dcb.Position) error // of reading an event
}

func newSource() *memorySource { return &memorySource{grown: make(chan struct{})} }

// at is the time of the event at a position.
func at(p dcb.Position) time.Time {
	return time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC).Add(time.Duration(p) * time.Second)
}

// add appends an event, durable.
func (s *memorySource) add(kind string, data string, tags ...dcb.Tag) dcb.Position {
	p := s.addVisible(kind, data, tags...)
	s.sync()
	return p
}

func (s *memorySource) addVisible(kind string, data string, tags ...dcb.Tag) dcb.Position {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := dcb.Position(len(s.events) + 1)
	s.events = append(s.events, dcb.SequencedEvent{Position: p, Event: dcb.Event{Type: kind, Tags: tags, Data: []byte(data), Time: at(p)}})
	return p
}

func (s *memorySource) sync() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.durable = dcb.Position(len(s.events))
	close(s.grown)
	s.grown = make(chan struct{})
}

func (s *memorySource) Read(ctx context.Context, q dcb.Query, o dcb.ReadOptions) (View, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads++
	if err := q.Validate(); err != nil {
		return nil, err
	}
	return memoryView(func(yield func(dcb.SequencedEvent, error) bool) {
		s.mu.Lock()
		events, fail := slices.Clone(s.events), s.fail
		s.mu.Unlock()
		for _, e := range events {
			if e.Position <= o.After || o.Before > 0 && e.Position >= o.Before || !q.Matches(e.Event) {
				continue
			}
			err := ctx.Err()
			if err == nil && fail != nil {
				err = fail(e.Position)
			}
			if err != nil {
				yield(dcb.SequencedEvent{}, err)
				return
			}
			if !yield(e, nil) {
				return
			}
		}
	}), nil
}

type memoryView iter.Seq2[dcb.SequencedEvent, error]

func (v memoryView) All() iter.Seq2[dcb.SequencedEvent, error] {
	return iter.Seq2[dcb.SequencedEvent, error](v)
}

func (s *memorySource) Wait(ctx context.Context, after dcb.Position) (dcb.Position, error) {
	for {
		s.mu.Lock()
		durable, grown := s.durable, s.grown
		s.mu.Unlock()
		if durable > after {
			return durable, nil
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

func (s *memorySource) Durable() dcb.Position {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.durable
}

func (s *memorySource) StoreID() string { return "store" }

var errTest = errors.New("test")

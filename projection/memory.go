package projection

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"opossum/dcb"
)

// Memory returns Stores that keep everything in memory: for tests, and for read models that need not outlive the process. Close forgets all of it.
func Memory() Stores {
	return &memory{live: map[string]*memoryStore{}, builds: map[string]*memoryStore{}}
}

// memory are the stores; those that were closed stay, to be opened again.
type memory struct {
	mu           sync.Mutex
	live, builds map[string]*memoryStore
	closed       bool
}

func (m *memory) Live(id Identity) (Store, error) {
	if err := checkIdentity(id); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, dcb.ErrClosed
	}
	s, ok := m.live[id.Name]
	if !ok {
		return nil, fmt.Errorf("%w: %w: there is none of the name %q", ErrUnfit, dcb.ErrNotFound, id.Name)
	}
	if err := s.id.fits(id); err != nil {
		return nil, err
	}
	return s, s.open()
}

func (m *memory) Build(id Identity, fresh bool) (Store, error) {
	if err := checkIdentity(id); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, dcb.ErrClosed
	}
	if s, ok := m.builds[id.Name]; ok && s.isOpen() {
		return nil, isOpenAlready(id.Name)
	} else if ok && !fresh && s.id.fits(id) == nil {
		return s, s.open()
	}
	s := &memoryStore{id: id, records: map[string]Record{}, tombs: map[string]dcb.Position{}, index: NewIndex()}
	m.builds[id.Name] = s
	return s, s.open()
}

func (m *memory) Interrupted(id Identity) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := m.builds[id.Name]
	return ok && !m.closed && !s.isOpen() && s.id.fits(id) == nil
}

func (m *memory) Replace(id Identity) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return dcb.ErrClosed
	}
	s, ok := m.builds[id.Name]
	if !ok || !s.isOpen() {
		return notBuilt(id.Name)
	}
	if err := s.id.fits(id); err != nil {
		return err
	}
	m.live[id.Name] = s
	delete(m.builds, id.Name)
	return nil
}

func (m *memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	var err error
	for _, stores := range []map[string]*memoryStore{m.live, m.builds} {
		for _, s := range stores {
			err = errors.Join(err, s.Close())
		}
		clear(stores)
	}
	return err
}

// memoryStore is one read model.
type memoryStore struct {
	id      Identity
	mu      sync.RWMutex
	opened  bool
	records map[string]Record       // the deleted ones above the checkpoint, too
	tombs   map[string]dcb.Position // those
	index   *Index
	at      Checkpoint
}

func (s *memoryStore) open() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.opened {
		return isOpenAlready(s.id.Name)
	}
	s.opened = true
	return nil
}

func (s *memoryStore) isOpen() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.opened
}

func (s *memoryStore) Checkpoint() Checkpoint {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.at
}

func (s *memoryStore) Get(key string) (Record, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if !s.opened {
		return Record{}, dcb.ErrClosed
	}
	r, ok := s.records[key]
	if !ok {
		return Record{}, noState(key)
	}
	return cloned(r), nil
}

func (s *memoryStore) Save(records []Record, at Checkpoint) error {
	if err := checkRecords(records); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.opened {
		return dcb.ErrClosed
	}
	for _, r := range records {
		delete(s.tombs, r.Key)
		if r.Deleted() {
			s.tombs[r.Key] = r.Position
			s.records[r.Key] = Record{Key: r.Key, Position: r.Position}
			s.index.Remove(r.Key)
		} else {
			r = cloned(r)
			s.records[r.Key] = r
			s.index.Put(InfoOf(r))
		}
	}
	s.at = at
	for key, p := range s.tombs {
		if p <= at.Position {
			delete(s.tombs, key)
			delete(s.records, key)
		}
	}
	return nil
}

func (s *memoryStore) Index() *Index { return s.index }

func (s *memoryStore) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opened = false
	return nil
}

func cloned(r Record) Record {
	r.Key, r.State, r.Tags = strings.Clone(r.Key), slices.Clone(r.State), slices.Clone(r.Tags)
	return r
}

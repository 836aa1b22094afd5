package peers

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"

	"opossum"
	"opossum/bench/harness"
)

// Pebble is an LSM tree, with the events and the index in one space of keys.
//
// # How it is used
//
// A lock is held while the condition is checked, the positions are assigned and the batch is applied (ApplyNoSyncWait), which makes it visible to
// the next check. The wait for the sync (SyncWait) is outside the lock, so that Pebble's own pipeline shares one sync between all that wait. ApplyNoSyncWait
// is marked experimental and for CockroachDB; with Apply the lock would be held through the sync. A rejection waits until
// what it was rejected for can be read: who decides anew would else read the old state, and be rejected again, until the sync is over.
//
// # Settings
//
// Cache 128 MiB, and a memtable of 64 MiB, where the defaults of 8 and 4 are for tests. Bloom filters of 10 bits at every level, and a comparer that
// splits the position from the term, so that a condition on a tag that nothing has asks the filters (SeekPrefixGE). L0StopWritesThreshold 1,000 and
// LBaseMaxBytes 64 MiB, as CockroachDB has them. The newest format.
//
// Without flush: NoSync; a killed process may then lose what was still in the log writer's buffer.
//
// # What it cannot do
//
// Reads see what is applied; they are clipped to what was answered for, by the highest position that was synced.
func Pebble() harness.Way {
	return harness.Way{Name: "pebble", What: "Pebble, checked under a lock, shared syncs, index in the same keys", Store: true, Settings: pebbleSettings, Open: openingStore(openPebble)}
}

// PebblePlain is Pebble without the index, and without the lock: Set with Sync, a batch for several events.
//
// # What it cannot do
//
// Positions are taken from a counter before the write, so a crash may leave holes where appends were that nobody was told had succeeded.
func PebblePlain() harness.Way {
	return harness.Way{Name: "pebble-plain", What: "Pebble, synced Set, no index", Settings: pebbleSettings, Open: opening(openPebblePlain)}
}

const pebbleSettings = "CacheSize 128 MiB, MemTableSize 64 MiB, MemTableStopWritesThreshold 4, L0StopWritesThreshold 1000, LBaseMaxBytes 64 MiB, " +
	"Bloom filters of 10 bits, newest format"

// openPebbleDB returns the database, and the position of the newest event in it.
func openPebbleDB(dir string) (*pebble.DB, opossum.Position, error) {
	options := &pebble.Options{
		Comparer:                    pebbleKeys,
		CacheSize:                   128 << 20,
		MemTableSize:                64 << 20,
		MemTableStopWritesThreshold: 4,
		L0StopWritesThreshold:       1000,
		LBaseMaxBytes:               64 << 20,
		FormatMajorVersion:          pebble.FormatNewest,
		Logger:                      quiet{},
	}
	for i := range options.Levels {
		options.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	db, err := pebble.Open(dir, options)
	if err != nil {
		return nil, 0, err
	}
	last, err := newest(pebbleView{db})
	if err != nil {
		return nil, 0, errors.Join(err, db.Close())
	}
	return db, last, nil
}

// pebbleKeys tells Pebble that the position is the suffix of a term's key, so that its Bloom filters are of terms.
var pebbleKeys = &pebble.Comparer{
	Name:                 "opossum.peers",
	Compare:              bytes.Compare,
	Equal:                bytes.Equal,
	ComparePointSuffixes: bytes.Compare,
	CompareRangeSuffixes: bytes.Compare,
	AbbreviatedKey:       pebble.DefaultComparer.AbbreviatedKey,
	FormatKey:            pebble.DefaultComparer.FormatKey,
	Separator:            func(dst, a, _ []byte) []byte { return append(dst, a...) },
	Successor:            func(dst, a []byte) []byte { return append(dst, a...) },
	Split: func(key []byte) int {
		if len(key) < termHeader || key[0] == kindEvent {
			return len(key)
		}
		return min(len(key), termHeader+int(binary.BigEndian.Uint16(key[1:])))
	},
}

// quiet is a logger that says nothing until all is lost.
type quiet struct{}

func (quiet) Infof(string, ...any)              {}
func (quiet) Errorf(string, ...any)             {}
func (quiet) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

type pebbleStore struct {
	db    *pebble.DB
	flush bool
	last  atomic.Uint64 // highest position that was answered for

	risen sync.Cond // last is higher, or stuck; its lock is its own
	stuck bool      // under risen's lock: a sync has failed

	mu       sync.Mutex       // from the check of a condition until what it allowed can be seen by the next one
	assigned opossum.Position // under mu
}

func openPebble(dir string, flush bool) (*pebbleStore, error) {
	db, last, err := openPebbleDB(dir)
	if err != nil {
		return nil, err
	}
	s := &pebbleStore{db: db, flush: flush, assigned: last, risen: sync.Cond{L: new(sync.Mutex)}}
	s.last.Store(uint64(last))
	return s, nil
}

func (s *pebbleStore) append(_ context.Context, a *attempt) error {
	b := s.db.NewBatch()
	head, err := s.stage(b, a)
	if err == nil && s.flush {
		if err = b.SyncWait(); err != nil {
			s.answer(0, true)
		}
	}
	if err == nil {
		s.answer(head, false)
	} else if errors.Is(err, opossum.ErrConditionFailed) || errors.Is(err, opossum.ErrAlreadyExists) {
		s.await(head)
	}
	return errors.Join(err, b.Close())
}

// answer makes the events up to p readable, or says that no more will be.
func (s *pebbleStore) answer(p opossum.Position, stuck bool) {
	s.risen.L.Lock()
	raise(&s.last, p)
	s.stuck = s.stuck || stuck
	s.risen.L.Unlock()
	s.risen.Broadcast()
}

// await returns when the events up to p are readable, or will never be. REQUIRES: they were applied.
func (s *pebbleStore) await(p opossum.Position) {
	s.risen.L.Lock()
	defer s.risen.L.Unlock()
	for s.head() < p && !s.stuck {
		s.risen.Wait()
	}
}

// stage checks the condition, and applies the events to memory and to the log's buffer. It returns the position of the last one; with an error, that of the
// last one before.
func (s *pebbleStore) stage(b *pebble.Batch, a *attempt) (opossum.Position, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := judge(a.cond, func(q opossum.Query, after opossum.Position) (bool, error) {
		return matchesIn(pebbleView{s.db}, q, after)
	})
	if err != nil {
		return s.assigned, err
	}
	head := s.assigned
	for i := range a.events {
		head++
		if err := b.Set(eventKey(head), a.records[i], nil); err != nil {
			return s.assigned, err
		}
		if err := eachKey(&a.events[i], head, func(key []byte) error { return b.Set(key, nil, nil) }); err != nil {
			return s.assigned, err
		}
	}
	if s.flush {
		err = s.db.ApplyNoSyncWait(b, pebble.Sync)
	} else {
		err = s.db.Apply(b, pebble.NoSync)
	}
	if err == nil {
		s.assigned = head
	}
	return head, err
}

// raise makes v at least p.
func raise(v *atomic.Uint64, p opossum.Position) {
	for {
		old := v.Load()
		if old >= uint64(p) || v.CompareAndSwap(old, uint64(p)) {
			return
		}
	}
}

func (s *pebbleStore) read(_ context.Context, q opossum.Query, newest int, yield func(opossum.SequencedEvent)) error {
	head := s.head()
	snapshot := s.db.NewSnapshot()
	err := readKeys(pebbleView{snapshot}, head, q, newest, yield)
	return errors.Join(err, snapshot.Close())
}

func (s *pebbleStore) head() opossum.Position { return opossum.Position(s.last.Load()) }

func (s *pebbleStore) close() error { return s.db.Close() }

type pebblePlain struct {
	db       *pebble.DB
	options  *pebble.WriteOptions
	assigned atomic.Uint64
	last     atomic.Uint64
}

func openPebblePlain(dir string, flush bool) (*pebblePlain, error) {
	db, last, err := openPebbleDB(dir)
	if err != nil {
		return nil, err
	}
	s := &pebblePlain{db: db, options: pebble.NoSync}
	if flush {
		s.options = pebble.Sync
	}
	s.assigned.Store(uint64(last))
	s.last.Store(uint64(last))
	return s, nil
}

func (s *pebblePlain) append(_ context.Context, a *attempt) error {
	n := uint64(len(a.events))
	head := opossum.Position(s.assigned.Add(n))
	if n == 1 {
		if err := s.db.Set(eventKey(head), a.records[0], s.options); err != nil {
			return err
		}
		raise(&s.last, head)
		return nil
	}
	b := s.db.NewBatch()
	for i, record := range a.records {
		if err := b.Set(eventKey(head-opossum.Position(len(a.records)-1-i)), record, nil); err != nil {
			return errors.Join(err, b.Close())
		}
	}
	if err := b.Commit(s.options); err != nil {
		return err
	}
	raise(&s.last, head)
	return b.Close()
}

func (s *pebblePlain) head() opossum.Position { return opossum.Position(s.last.Load()) }

func (s *pebblePlain) close() error { return s.db.Close() }

// pebbleView is a database, of which each list sees the moment it was opened, or a snapshot.
type pebbleView struct{ pebble.Reader }

func (v pebbleView) record(p opossum.Position) ([]byte, error) {
	body, closer, err := v.Get(eventKey(p))
	if err != nil {
		return nil, err
	}
	defer closer.Close()
	return bytes.Clone(body), nil
}

func (v pebbleView) list(prefix []byte, backwards bool) list {
	upper := bytes.Clone(prefix)
	upper = append(upper, bytes.Repeat([]byte{0xff}, positionBytes)...)
	it, err := v.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: upper})
	return &pebbleList{Iterator: it, err: err, prefix: prefix, backwards: backwards}
}

type pebbleList struct {
	*pebble.Iterator
	err       error // of opening it
	prefix    []byte
	backwards bool
}

func (l *pebbleList) seek(p opossum.Position) (opossum.Position, bool) {
	if l.err != nil {
		return 0, false
	}
	key := appendPosition(l.prefix[:len(l.prefix):len(l.prefix)], p)
	switch {
	case l.backwards:
		return l.at(l.SeekLT(appendPosition(key[:len(l.prefix)], p+1)))
	case l.prefix[0] == kindEvent:
		return l.at(l.SeekGE(key))
	}
	return l.at(l.SeekPrefixGE(key)) // asks the Bloom filters
}

func (l *pebbleList) step() (opossum.Position, bool) {
	if l.backwards {
		return l.at(l.Prev())
	}
	return l.at(l.Next())
}

func (l *pebbleList) at(valid bool) (opossum.Position, bool) {
	if !valid {
		return 0, false
	}
	return within(l.prefix, l.Key())
}

func (l *pebbleList) value() ([]byte, error) {
	body, err := l.ValueAndErr()
	return bytes.Clone(body), err
}

func (l *pebbleList) close() error {
	if l.err != nil {
		return l.err
	}
	return l.Close() // returns the error of the walk
}

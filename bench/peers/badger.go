package peers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/dgraph-io/badger/v4"

	"opossum"
	"opossum/bench/harness"
)

// Badger is an LSM tree whose log is mapped memory, with the events and the index in one space of keys.
//
// # How it is used
//
// Concurrent appends share a transaction by the [committer]. Badger syncs once for each transaction, however many wait: with a transaction for each append,
// committed concurrently, 16 and 64 writers were many times slower. Conditions are checked against a transaction that only reads, which may have iterators
// beside each other, and against what is staged before them in the group.
//
// # Settings
//
// SyncWrites. No detection of conflicts, because one transaction commits at a time, and no metrics: both only cost. All else is the default, which is generous:
// memtable 64 MiB, block cache 256 MiB, values up to 1 MiB in the tree.
//
// Without flush: no SyncWrites. The log is mapped, so a killed process loses nothing.
//
// # What it cannot do
//
// An append of more than 4 MiB, with its types and tags: a transaction has its bounds. A tag or type of more than 64,989 bytes: so has a key.
func Badger() harness.Way {
	return harness.Way{Name: "badger", What: "Badger, shared transactions, index in the same keys", Store: true, Settings: badgerSettings,
		Open: openingStore(func(dir string, flush bool) (*badgerStore, error) { return openBadger(dir, flush, true) })}
}

// BadgerPlain is [Badger] without the index.
func BadgerPlain() harness.Way {
	return harness.Way{Name: "badger-plain", What: "Badger, shared transactions, no index", Settings: badgerSettings,
		Open: opening(func(dir string, flush bool) (*badgerStore, error) { return openBadger(dir, flush, false) })}
}

const (
	badgerSettings = "SyncWrites, no DetectConflicts, no metrics; appends that wait share a transaction"
	badgerMaxKey   = 65_000
)

type badgerStore struct {
	db        *badger.DB
	indexed   bool
	committer committer
	last      atomic.Uint64
}

func openBadger(dir string, flush, indexed bool) (*badgerStore, error) {
	db, err := badger.Open(badger.DefaultOptions(dir).WithSyncWrites(flush).WithDetectConflicts(false).WithMetricsEnabled(false).WithLogger(nil))
	if err != nil {
		return nil, err
	}
	s := &badgerStore{db: db, indexed: indexed}
	s.committer.commit = s.commit
	err = db.View(func(txn *badger.Txn) error {
		last, err := newest(badgerView{txn})
		s.last.Store(uint64(last))
		return err
	})
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return s, nil
}

func (s *badgerStore) append(_ context.Context, a *attempt) error {
	if a.size > maxGroupBytes {
		return fmt.Errorf("an append of %d bytes: %w", a.size, opossum.ErrTooLarge)
	}
	if err := a.keysFit(badgerMaxKey); err != nil && s.indexed {
		return err
	}
	return s.committer.do(a)
}

func (s *badgerStore) commit(group []*attempt) {
	before := s.db.NewTransaction(false)
	defer before.Discard()
	txn := s.db.NewTransaction(true)
	defer txn.Discard()
	head := opossum.Position(s.last.Load())
	var staged []opossum.SequencedEvent
	for _, a := range group {
		a.err = judge(a.cond, func(q opossum.Query, after opossum.Position) (bool, error) {
			if slices.ContainsFunc(staged, func(e opossum.SequencedEvent) bool { return e.Position > after && q.Matches(e.Event) }) {
				return true, nil
			}
			return matchesIn(badgerView{before}, q, after)
		})
		if a.err != nil {
			continue
		}
		for i := range a.events {
			head++
			if err := s.put(txn, head, &a.events[i], a.records[i]); err != nil {
				settle(group, err)
				return
			}
			if s.indexed {
				staged = append(staged, opossum.SequencedEvent{Position: head, Event: a.events[i]})
			}
		}
	}
	if head == opossum.Position(s.last.Load()) {
		return
	}
	err := txn.Commit()
	if err == nil {
		s.last.Store(uint64(head))
	}
	settle(group, err)
}

func (s *badgerStore) put(txn *badger.Txn, p opossum.Position, e *opossum.Event, record []byte) error {
	if err := txn.Set(eventKey(p), record); err != nil || !s.indexed {
		return err
	}
	return eachKey(e, p, func(key []byte) error { return txn.Set(key, nil) })
}

func (s *badgerStore) read(_ context.Context, q opossum.Query, newest int, yield func(opossum.SequencedEvent)) error {
	head := s.head()
	return s.db.View(func(txn *badger.Txn) error { return readKeys(badgerView{txn}, head, q, newest, yield) })
}

func (s *badgerStore) head() opossum.Position { return opossum.Position(s.last.Load()) }

func (s *badgerStore) close() error { return s.db.Close() }

// badgerView is a transaction that only reads: it may have several iterators.
type badgerView struct{ *badger.Txn }

func (v badgerView) record(p opossum.Position) ([]byte, error) {
	found, err := v.Get(eventKey(p))
	if err != nil {
		return nil, err
	}
	return found.ValueCopy(nil)
}

func (v badgerView) list(prefix []byte, backwards bool) list {
	return &badgerList{v.NewIterator(badger.IteratorOptions{Prefix: prefix, Reverse: backwards}), prefix}
}

type badgerList struct {
	*badger.Iterator
	prefix []byte
}

func (l *badgerList) seek(p opossum.Position) (opossum.Position, bool) {
	l.Seek(appendPosition(l.prefix[:len(l.prefix):len(l.prefix)], p))
	return l.at()
}

func (l *badgerList) step() (opossum.Position, bool) {
	l.Next()
	return l.at()
}

func (l *badgerList) at() (opossum.Position, bool) {
	if !l.Valid() {
		return 0, false
	}
	return within(l.prefix, l.Item().Key())
}

func (l *badgerList) value() ([]byte, error) { return l.Item().ValueCopy(nil) }

func (l *badgerList) close() error {
	l.Close()
	return nil
}

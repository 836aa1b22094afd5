package peers

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"sync/atomic"

	"go.etcd.io/bbolt"

	"opossum"
	"opossum/bench/harness"
)

// Bbolt is a B+ tree in one file, with one bucket for the events and one for the index.
//
// # How it is used
//
// Concurrent appends share a transaction by the [committer], each checked against what the one before it in the transaction has put. db.Batch, which the
// documentation has for this, was slower at 1, 16 and 64 writers with every delay from 0 to its 10 ms: it waits by the clock even for a lone writer.
//
// # Settings
//
// NoFreelistSync and the freelist as a map, as etcd has them: less to write in each commit. InitialMmapSize 1 GiB: writers do not wait for readers until the
// file is that large. NoStatistics. FillPercent 1 for the events, because their keys only grow, as the documentation advises. All else is the default:
// memory is the page cache, which bbolt maps.
//
// Without flush: NoSync.
//
// # What it cannot do
//
// A tag or type of more than 32,757 bytes: a key has 32 KiB at most.
func Bbolt() harness.Way {
	return harness.Way{Name: "bbolt", What: "bbolt, shared transactions, index in a bucket", Store: true, Settings: boltSettings, Open: openingStore(func(dir string, flush bool) (*bolt, error) {
		return openBolt(dir, flush, true)
	})}
}

// BboltPlain is [Bbolt] without the index.
func BboltPlain() harness.Way {
	return harness.Way{Name: "bbolt-plain", What: "bbolt, shared transactions, no index", Settings: boltSettings, Open: opening(func(dir string, flush bool) (*bolt, error) {
		return openBolt(dir, flush, false)
	})}
}

const boltSettings = "NoFreelistSync, FreelistMapType, InitialMmapSize 1 GiB, NoStatistics, FillPercent 1 for events; appends that wait share a transaction"

var (
	boltEvents = []byte("events")
	boltIndex  = []byte("index")
)

type bolt struct {
	db        *bbolt.DB
	indexed   bool
	committer committer
	last      atomic.Uint64
}

func openBolt(dir string, flush, indexed bool) (*bolt, error) {
	db, err := bbolt.Open(filepath.Join(dir, "events.bolt"), 0o644, &bbolt.Options{
		NoSync: !flush, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType, InitialMmapSize: 1 << 30, NoStatistics: true,
	})
	if err != nil {
		return nil, err
	}
	b := &bolt{db: db, indexed: indexed}
	b.committer.commit = b.commit
	err = db.Update(func(tx *bbolt.Tx) error {
		events, err := tx.CreateBucketIfNotExists(boltEvents)
		if err != nil {
			return err
		}
		if key, _ := events.Cursor().Last(); key != nil {
			b.last.Store(uint64(positionOf(key)))
		}
		_, err = tx.CreateBucketIfNotExists(boltIndex)
		return err
	})
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return b, nil
}

func (b *bolt) append(_ context.Context, a *attempt) error {
	if err := a.keysFit(bbolt.MaxKeySize); err != nil && b.indexed {
		return err
	}
	return b.committer.do(a)
}

// errRejected rolls back a transaction in which nothing was put, so that it syncs nothing.
var errRejected = errors.New("every append of the group was rejected")

func (b *bolt) commit(group []*attempt) {
	before := b.head()
	head := before
	err := b.db.Update(func(tx *bbolt.Tx) error {
		v := boltView{tx.Bucket(boltEvents), tx.Bucket(boltIndex)}
		v.events.FillPercent = 1
		for _, a := range group {
			a.err = judge(a.cond, func(q opossum.Query, after opossum.Position) (bool, error) { return matchesIn(v, q, after) })
			if a.err != nil {
				continue
			}
			for i := range a.events {
				head++
				if err := b.put(v, head, &a.events[i], a.records[i]); err != nil {
					return err
				}
			}
		}
		if head == before {
			return errRejected
		}
		return nil
	})
	if err == nil {
		b.last.Store(uint64(head))
	}
	settle(group, err)
}

func (b *bolt) put(v boltView, p opossum.Position, e *opossum.Event, record []byte) error {
	if err := v.events.Put(eventKey(p), record); err != nil || !b.indexed {
		return err
	}
	return eachKey(e, p, func(key []byte) error { return v.index.Put(key, nil) })
}

func (b *bolt) read(_ context.Context, q opossum.Query, newest int, yield func(opossum.SequencedEvent)) error {
	head := b.head()
	return b.db.View(func(tx *bbolt.Tx) error {
		return readKeys(boltView{tx.Bucket(boltEvents), tx.Bucket(boltIndex)}, head, q, newest, yield)
	})
}

func (b *bolt) head() opossum.Position { return opossum.Position(b.last.Load()) }

func (b *bolt) close() error { return b.db.Close() }

// boltView is a transaction.
type boltView struct{ events, index *bbolt.Bucket }

func (v boltView) record(p opossum.Position) ([]byte, error) {
	return bytes.Clone(v.events.Get(eventKey(p))), nil
}

func (v boltView) list(prefix []byte, backwards bool) list {
	bucket := v.index
	if prefix[0] == kindEvent {
		bucket = v.events
	}
	return &boltList{cursor: bucket.Cursor(), prefix: prefix, backwards: backwards}
}

type boltList struct {
	cursor    *bbolt.Cursor
	prefix    []byte
	backwards bool
	body      []byte
}

func (l *boltList) seek(p opossum.Position) (opossum.Position, bool) {
	target := appendPosition(l.prefix[:len(l.prefix):len(l.prefix)], p)
	key, body := l.cursor.Seek(target)
	switch {
	case l.backwards && key == nil:
		key, body = l.cursor.Last()
	case l.backwards && !bytes.Equal(key, target):
		key, body = l.cursor.Prev()
	}
	return l.at(key, body)
}

func (l *boltList) step() (opossum.Position, bool) {
	if l.backwards {
		return l.at(l.cursor.Prev())
	}
	return l.at(l.cursor.Next())
}

func (l *boltList) at(key, body []byte) (opossum.Position, bool) {
	l.body = body
	return within(l.prefix, key)
}

func (l *boltList) value() ([]byte, error) { return bytes.Clone(l.body), nil }

func (l *boltList) close() error { return nil }

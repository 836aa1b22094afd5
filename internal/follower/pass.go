package follower

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"opossum/dcb"
	"opossum/internal/index"
	"opossum/internal/segment"
	"opossum/ledger"
	"opossum/wal"
)

// pass is one refresh. The order is that of the package comment.
func (f *Follower) pass() error {
	state, err := f.load()
	if err != nil {
		return err
	}
	if _, err := f.adopt(); err != nil {
		return err
	}
	known := wal.Known{Durable: max(state.Materialized, f.proven), Relaxed: state.Relaxed}
	if state.Clean != nil {
		known.Durable = max(known.Durable, state.Clean.Head)
	}
	before := f.log.Next()
	err = f.log.Refresh(known, wal.Sink{Filed: f.filed, Frame: f.frame})
	if errors.Is(err, wal.ErrRewound) {
		return fmt.Errorf("%w: %w", dcb.ErrReopen, err)
	}
	if err != nil {
		return err
	}
	if f.log.Next() > before {
		// A recovery that raises the epoch publishes the log first. What it did not lose was read; but before anything is shown
		// that came after it, it must be known that nothing was lost.
		if state, err = f.load(); err != nil {
			return err
		}
	}
	f.advance(state.Materialized)
	if err := f.log.Trim(f.ledger.Get(ledger.Materialized)); err != nil {
		return err
	}
	first, _ := f.log.Live()
	f.places.Trim(first)
	return nil
}

// load reads ledger.json, which must be that of the store that is shown, in the same epoch.
func (f *Follower) load() (ledger.State, error) {
	state, err := ledger.Load(f.cfg.Dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return state, fmt.Errorf("%w: it is gone: %w", dcb.ErrReopen, err)
	case err != nil:
		return state, err
	case state.Store != f.opened.Store:
		return state, fmt.Errorf("%w: it is another store now, %v and not %v", dcb.ErrReopen, state.Store, f.opened.Store)
	case state.Epoch != f.opened.Epoch:
		return state, fmt.Errorf("%w: its epoch went from %d to %d: events that were shown may be lost", dcb.ErrReopen, f.opened.Epoch, state.Epoch)
	}
	return state, nil
}

// adopt takes over the segments that the owner has written since the last time, and lets go of the memory that they replace. changed
// says that there were other ones than before. One that vanishes meanwhile was merged: the next time finds what replaced it.
func (f *Follower) adopt() (changed bool, err error) {
	list, err := segment.ListDir(f.cfg.IndexDir)
	if err != nil {
		return false, err
	}
	if slices.Equal(list.Ranges, f.listed) && !f.tail.InDoubt() {
		return false, nil
	}
	found, err := index.Find(f.cfg.IndexDir, wal.StoreID(f.opened.Store).Seed())
	if err != nil {
		return false, err
	}
	ranges, _ := index.Leading(found.Ranges)
	err = f.tail.Adopt(ranges)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, dcb.ErrCorrupt) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	if f.listed = list.Ranges; len(found.Damaged) > 0 {
		f.listed = nil // an owner builds it anew under the same name
	}
	if n := len(found.Ranges); n > 0 {
		f.proven = max(f.proven, found.Ranges[n-1].Last)
	}
	return true, nil
}

// looks is how often the segments are listed before some are taken to be missing: an owner who merges them replaces what was
// listed before it is opened.
const looks = 32

// cover makes the index answer for everything up to p, which is filed. What segments lack (an owner builds that when it opens the store) is
// indexed in memory, from the events.
func (f *Follower) cover(p dcb.Position) error {
	for look := 0; f.index.Base() < p && look < looks; look++ {
		changed, err := f.adopt()
		if err != nil {
			return err
		}
		if !changed {
			break
		}
	}
	if base := f.index.Base(); base < p {
		f.cfg.Logger.Warn("opossum: index segments are missing or damaged, their events are indexed in memory", "first", base+1, "last", p)
	}
	return f.tail.Skip(p, f.cfg.Fetch)
}

// filed is told that the log has lost what comes up to p: all of that must be below the checkpoint, which the owner wrote before.
func (f *Follower) filed(p dcb.Position) error {
	state, err := f.load()
	if err != nil {
		return err
	}
	if state.Materialized < p {
		return &dcb.CorruptError{File: f.cfg.WALDir, Reason: fmt.Sprintf("the generation with positions %d to %d is missing", state.Materialized+1, p)}
	}
	return f.cover(p)
}

func (f *Follower) frame(gen uint64, c wal.Frame) error {
	if at, err := f.tail.Take(gen, c.BodyOffset, c.Body, c.First, c.Last()); err != nil {
		return &dcb.CorruptError{File: wal.GenerationPath(f.cfg.WALDir, gen), Offset: at, Reason: err.Error()}
	}
	f.index.Staged(c.Last())
	return nil
}

// advance shows what was read: everything that makes it readable is in place.
func (f *Follower) advance(materialized dcb.Position) {
	head := f.log.Next() - 1
	raise := func(n ledger.Number, p dcb.Position) {
		if p > f.ledger.Get(n) {
			f.ledger.Advance(n, p)
		}
	}
	raise(ledger.Assigned, head)
	raise(ledger.Visible, head)
	raise(ledger.Durable, min(f.log.Durable(), head))
	raise(ledger.Indexed, min(max(f.index.Base(), materialized), f.ledger.Get(ledger.Durable)))
	raise(ledger.Materialized, min(materialized, f.ledger.Get(ledger.Indexed)))
}

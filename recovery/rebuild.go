package recovery

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"opossum/dcb"
	"opossum/internal/eventfile"
	"opossum/internal/index"
	"opossum/internal/segment"
	"opossum/internal/step"
	"opossum/ledger"
	"opossum/wal"
)

// RebuildOptions of RebuildIndex; the zero value is the default.
type RebuildOptions struct {
	// Progress is as in VerifyOptions.
	Progress func(done, total uint64)
}

// RebuildReport says what RebuildIndex did.
type RebuildReport struct {
	Dir       string        `json:"dir"`
	Positions uint64        `json:"positions"` // up to which the index was built
	Segments  int           `json:"segments"`  // that were written
	Took      time.Duration `json:"tookNs"`
}

// RebuildIndex builds the segments of the index up to the checkpoint anew, from event files and packs, and removes all others. What is above
// the checkpoint the next Open reads from the log. Whatever was there before, it is not looked at.
//
// The error Is ErrCorrupt if the ledger or an event is damaged or missing (then Repair has to come first), ErrNotExist if there is no ledger, or
// that of ctx or the file system. After an error the store has the index that it had, or parts of the new one, and the next call begins anew.
// REQUIRES: no owner is running; the caller has seen to that.
func RebuildIndex(ctx context.Context, dir string, o RebuildOptions) (RebuildReport, error) {
	r, start := RebuildReport{Dir: dir}, time.Now()
	err := r.rebuild(ctx, newMeter(o.Progress))
	if err != nil {
		err = fmt.Errorf("rebuild the index: %w", full(err))
	}
	r.Took = time.Since(start)
	return r, err
}

func (r *RebuildReport) rebuild(ctx context.Context, m *meter) (err error) {
	led, err := ledger.Load(r.Dir)
	if err != nil {
		return err
	}
	dir := filepath.Join(r.Dir, IndexDir)
	old, err := segment.ListDir(dir)
	if err != nil {
		return err
	}
	var built []segment.Range
	if led.Materialized > 0 {
		files, err := openFiled(r.Dir, wal.StoreID(led.Store))
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, files.Close()) }()
		m.move(0, uint64(led.Materialized))
		all := segment.Range{First: 1, Last: led.Materialized}
		built, err = index.Build(ctx, dir, wal.StoreID(led.Store).Seed(), all, fetchFiled(files, m))
		if err != nil {
			return err
		}
	}
	r.Positions, r.Segments = uint64(led.Materialized), len(built)
	remove := slices.DeleteFunc(old.Ranges, func(x segment.Range) bool { return slices.Contains(built, x) })
	if err := removeSegments(dir, remove, nil, old.Temps); err != nil {
		return err
	}
	if len(remove) == 0 {
		return nil
	}
	return step.SyncDir(dir)
}

// openFiled opens what is filed in the directory of a store; the caller closes it.
func openFiled(dir string, id wal.StoreID) (*eventfile.Store, error) {
	files, err := eventfile.Open(filepath.Join(dir, EventsDir)) // there may be packs alone, and no directory of files
	if err != nil {
		return nil, err
	}
	if err := files.Bind(id.Seed()); err != nil {
		return nil, errors.Join(err, files.Close())
	}
	return files, nil
}

// fetchFiled is FromFiles, and tells how far it has come.
func fetchFiled(files *eventfile.Store, m *meter) index.Fetch {
	fetch := FromFiles(files)
	return func(p dcb.Position) (dcb.Event, error) {
		e, err := fetch(p)
		if err == nil {
			m.move(1, 0)
		}
		return e, err
	}
}

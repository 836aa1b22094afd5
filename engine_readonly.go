package opossum

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"opossum/internal/eventfile"
	"opossum/internal/follower"
	"opossum/internal/storage"
	"opossum/ledger"
	"opossum/query"
	"opossum/recovery"
	"opossum/wal"
)

var errOpenedReadOnly = fmt.Errorf("%w: it was opened read-only", ErrReadOnly)

// openReadOnly opens a store that somebody else may own.
func (e *Engine) openReadOnly() (err error) {
	start := time.Now()
	if _, err := os.Stat(filepath.Join(e.dir, ledger.FileName)); errors.Is(err, fs.ErrNotExist) {
		return e.noStore(err)
	}
	events := filepath.Join(e.dir, recovery.EventsDir)
	if e.files, err = eventfile.OpenExisting(events); errors.Is(err, fs.ErrNotExist) {
		return &CorruptError{File: events, Reason: "the directory of the event files is missing"}
	} else if err != nil {
		return err
	}
	e.files.BoundCache(e.opts.CacheBytes)
	e.follow, err = follower.Open(follower.Config{
		Dir: e.dir, WALDir: filepath.Join(e.dir, recovery.WALDir), IndexDir: filepath.Join(e.dir, recovery.IndexDir),
		Files: e.files, Fetch: recovery.FromFiles(e.files), RecentBytes: e.opts.RecentBytes, Logger: e.logger,
	})
	if err != nil {
		return errors.Join(err, e.files.Close())
	}
	e.disk.state = e.follow.State()
	e.index, e.places, e.ledger = e.follow.Index(), e.follow.Places(), e.follow.Ledger()
	e.reads = query.New(query.Config{
		Ledger: e.ledger, Index: e.index, Places: e.places, Log: e.follow.Log(), Files: e.files,
		Seed: wal.StoreID(e.disk.state.Store).Seed(), Failed: e.follow.Err, Trace: e.traceReads(),
	})
	filed, head := e.Materialized(), e.Head() // in this order: both may grow
	e.report = RecoveryReport{
		Outcome: "read-only", Head: head, Materialized: filed, Replayed: uint64(head - filed),
		Epoch: e.disk.state.Epoch, Took: time.Since(start),
	}
	if m, known := storage.Load(e.dir); known {
		e.storage = &m
	}
	e.logger.Info("opossum: opened", "dir", e.dir, "report", e.report.String())
	return nil
}

// noStore says why a directory without ledger.json cannot be read; missing is the error of looking for it.
func (e *Engine) noStore(missing error) error {
	entries, err := os.ReadDir(e.dir)
	if err != nil {
		return err
	}
	if err := recovery.CheckNames(e.dir, entries); err != nil {
		return err
	}
	if files, err := eventfile.OpenExisting(filepath.Join(e.dir, recovery.EventsDir)); err == nil {
		_, err := recovery.Inspect(e.dir, files, false)
		if err := errors.Join(err, files.Close()); err != nil { // say, events whose ledger is lost
			return err
		}
	}
	return fmt.Errorf("%w: %w", ErrNotStore, missing)
}

// Refresh returns when this engine shows everything that was acknowledged before the call. An owner always does: for it there is
// nothing to do. A read-only engine refreshes every 50 ms by itself.
//
// Errors: ctx's; ErrClosed; ErrReopen if what was shown may have ceased to be true, and ErrCorrupt, both of which are final, for
// reads as well; those of the file system.
func (e *Engine) Refresh(ctx context.Context) error {
	err := ctx.Err()
	switch {
	case e.closed.Load():
		err = ErrClosed
	case err == nil && e.follow != nil:
		err = e.follow.Refresh(ctx)
	}
	if err != nil {
		return fmt.Errorf("opossum: refresh: %w", err)
	}
	return nil
}

// waitForOwner waits for the owner's checkpoint of p.
func (e *Engine) waitForOwner(ctx context.Context, p Position) error {
	return e.ledger.Wait(ctx, ledger.Materialized, p)
}

// closeReadOnly goes from the top of the house to the bottom.
func (e *Engine) closeReadOnly() error {
	e.follow.Stop()
	e.reads.Close()
	return errors.Join(e.follow.Close(), e.files.Close())
}

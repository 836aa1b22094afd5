package opossum

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/gofrs/flock"

	"opossum/internal/lock"
	"opossum/recovery"
)

// What verify and repair work with; see package recovery.
type (
	VerifyOptions  = recovery.VerifyOptions
	VerifyReport   = recovery.VerifyReport
	RepairOptions  = recovery.RepairOptions
	RepairReport   = recovery.RepairReport
	RebuildOptions = recovery.RebuildOptions
	RebuildReport  = recovery.RebuildReport
	Finding        = recovery.Finding
	FindingKind    = recovery.Kind
	Loss           = recovery.Loss
)

// Verify checks everything in the directory of a store that no owner has open: ledger, log, event files, packs, witnesses and names. It changes
// nothing and needs no permission to write. Damage is in the report, each piece named with file, offset and positions; a store of which
// nothing that matters is damaged is VerifyReport.Sound. nil options are the defaults.
//
// The error is what kept it from looking: ctx's, ErrLocked while an owner is running, ErrNotStore, ErrVersion, fs.ErrNotExist and
// fs.ErrPermission. It works on all cores, in memory that grows with what the log holds and with the number of findings, not with the events that are filed.
func Verify(ctx context.Context, dir string, o *VerifyOptions) (VerifyReport, error) {
	if o == nil {
		o = new(VerifyOptions)
	}
	var r VerifyReport
	err := atRest(dir, lockShared, func(dir string) (err error) {
		r, err = recovery.Verify(ctx, dir, *o)
		return err
	})
	return r, wrapDir(err, dir)
}

// Repair brings a damaged store that no owner has open back into a state that verifies and opens. It does by itself what loses nothing that is
// still intact somewhere; where acknowledged events are intact nowhere it returns an error that Is ErrCorrupt, and discards them only with
// RepairOptions.AcceptLoss. What it replaces or removes it keeps in quarantine/. With RepairOptions.DryRun it only plans. nil options are
// the defaults. After a bad day it should be the first thing that is run on a store: Open removes parts of the log that a sound store does not need.
//
// Errors beside ErrCorrupt: ctx's, between steps; ErrLocked while an owner is running; ErrNotStore; ErrVersion; ErrDiskFull; ErrReadOnly; those of the file
// system. Whatever the error, nothing is half done that the next Repair does not finish.
func Repair(ctx context.Context, dir string, o *RepairOptions) (RepairReport, error) {
	if o == nil {
		o = new(RepairOptions)
	}
	take := lock.Take
	if o.DryRun {
		take = lockShared
	}
	var r RepairReport
	err := atRest(dir, take, func(dir string) (err error) {
		r, err = recovery.Repair(ctx, dir, *o)
		return err
	})
	return r, wrapDir(asReadOnly(err), dir)
}

// RebuildIndex writes the index segments of a store that no owner has open anew, from its event files and packs, for
// whoever does not trust the index. nil options are the defaults.
//
// The error Is ErrCorrupt if the ledger or an event is damaged (then Repair comes first); else ctx's, ErrLocked while an owner is running,
// ErrNotStore, ErrVersion, ErrDiskFull, or that of the file system. After an error, call it again: the store works with whatever index there is.
func RebuildIndex(ctx context.Context, dir string, o *RebuildOptions) (RebuildReport, error) {
	if o == nil {
		o = new(RebuildOptions)
	}
	var r RebuildReport
	err := atRest(dir, lock.Take, func(dir string) (err error) {
		r, err = recovery.RebuildIndex(ctx, dir, *o)
		return err
	})
	return r, wrapDir(asReadOnly(err), dir)
}

// atRest does something with the directory of a store under its lock.
func atRest(dir string, take func(path string) (*flock.Flock, error), do func(dir string) error) error {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if err := recovery.CheckStore(abs); err != nil { // before a lock is put into a foreign directory
		return err
	}
	l, err := take(filepath.Join(abs, recovery.LockFile))
	if err != nil {
		return err
	}
	return errors.Join(do(abs), l.Unlock())
}

// lockShared takes the lock beside other readers, without writing. A store that has no lock file has no owner.
func lockShared(path string) (*flock.Flock, error) {
	l := flock.New(path, flock.SetFlag(os.O_RDONLY))
	ok, err := l.TryRLock()
	if errors.Is(err, fs.ErrNotExist) {
		return l, nil
	}
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, lock.Held(path)
	}
	return l, nil
}

// asReadOnly marks errors for want of the right to write.
func asReadOnly(err error) error {
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
		return fmt.Errorf("%w: %w", ErrReadOnly, err)
	}
	return err
}

func wrapDir(err error, dir string) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("opossum: %s: %w", dir, err)
}

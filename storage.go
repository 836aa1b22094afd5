package opossum

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"opossum/internal/storage"
)

// What the disk under a store is like; see package internal/storage. All of it is advice: no promise of the engine rests on a measurement.
type (
	Storage      = storage.Measurement
	StorageClass = storage.Class
)

// The classes of storage; docs/flush.md says what tells them apart, and what FlushAuto makes of each.
const (
	StorageUnknown = storage.Unknown
	StorageNVMe    = storage.NVMe
	StorageSSD     = storage.SSD
	StorageHDD     = storage.HDD
	StorageNetwork = storage.Network
)

// MeasureStorage measures what it takes to make a few bytes durable in dir, a directory that exists, be it a store's or one where a store shall
// be, and tells what the system says of the disk. It needs no store, takes no lock and may be called beside an owner, who shares the disk with it
// meanwhile. It changes nothing but a file of its own, which it removes. It takes up to a second, longer only if a single flush does.
//
// Errors: ctx's, between two flushes; fs.ErrNotExist; ErrReadOnly; ErrDiskFull; those of the file system.
func MeasureStorage(ctx context.Context, dir string) (Storage, error) {
	m, err := storage.Probe(ctx, dir, time.Now)
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		err = fmt.Errorf("%w: %w", ErrDiskFull, err)
	}
	return m, wrapDir(asReadOnly(err), dir)
}

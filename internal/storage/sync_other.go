//go:build !linux

package storage

import (
	"os"

	"opossum/internal/step"
)

// fdatasync is the call of the log, which is what is measured here.
func fdatasync(f *os.File) error { return step.Sync(f) }

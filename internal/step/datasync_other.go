//go:build !linux

package step

import "os"

// Datasync is a full sync where there is no cheaper call that keeps the promise (on macOS Go asks for F_FULLFSYNC).
func Datasync(f *os.File) error { return Sync(f) }

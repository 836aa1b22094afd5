package opossum

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"github.com/gofrs/flock"
)

// lock takes the store's lock for the life of the engine and writes down who holds it. The file stays when the lock is
// released: removing it would let two owners lock two files of one name.
func lock(path string) (*flock.Flock, error) {
	l := flock.New(path, flock.SetFlag(os.O_CREATE|os.O_RDWR), flock.SetPermissions(0o644))
	ok, err := l.TryLock()
	if err != nil {
		return nil, err
	}
	if !ok {
		owner, err := os.ReadFile(path)
		if err != nil || len(owner) == 0 {
			owner = []byte("another process")
		}
		return nil, fmt.Errorf("%w: %s is held by %s", ErrLocked, path, strings.TrimSpace(string(owner)))
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown host"
	}
	// Only for the message above; where a locked file cannot be written by another descriptor (Windows), it stays empty.
	if err := os.WriteFile(path, fmt.Appendf(nil, "pid %d on %s\n", os.Getpid(), host), 0o644); err != nil && !errors.Is(err, fs.ErrPermission) && !windowsLockViolation(err) {
		return nil, errors.Join(err, l.Unlock())
	}
	return l, nil
}

// windowsLockViolation recognises ERROR_LOCK_VIOLATION, which no other system has.
func windowsLockViolation(err error) bool {
	var no syscall.Errno
	return errors.As(err, &no) && no == 33 && os.PathSeparator == '\\'
}

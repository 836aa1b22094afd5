// Package lock is the lock of a directory: one owner at a time, on every platform.
package lock

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/gofrs/flock"

	"opossum/dcb"
)

// Take takes the lock that the file at path is, until Unlock, and writes down who holds it. The file stays when the lock is
// released: removing it would let two owners lock two files of one name. The error Is dcb.ErrLocked if somebody else holds it.
func Take(path string) (*flock.Flock, error) {
	return acquire(flock.New(path, flock.SetFlag(os.O_CREATE|os.O_RDWR), flock.SetPermissions(0o644)))
}

func acquire(l *flock.Flock) (*flock.Flock, error) {
	path := l.Path()
	ok, err := l.TryLock()
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, Held(path)
	}
	if err := inPlace(l); err != nil {
		return nil, errors.Join(err, l.Unlock())
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown host"
	}
	// Only for the message above: a full disk, or a system where another descriptor cannot write a locked file, must not keep
	// the store from being opened.
	_ = os.WriteFile(path, fmt.Appendf(nil, "pid %d on %s\n", os.Getpid(), host), 0o644)
	return l, nil
}

// inPlace returns an error if the file that l locks is no longer the one at its path. Root.Delete renames a store under its lock: who opened the
// file before that and got the lock after it would own nothing, beside the owner of a new store of that name.
func inPlace(l *flock.Flock) error {
	mine, err := l.Stat()
	if err != nil {
		return err
	}
	there, err := os.Stat(l.Path())
	if err != nil {
		return err
	}
	if !os.SameFile(mine, there) {
		return fmt.Errorf("%w: %s was replaced in this moment", dcb.ErrLocked, l.Path())
	}
	return nil
}

// Held is the error for a lock that somebody else holds.
func Held(path string) error {
	owner, err := os.ReadFile(path)
	if err != nil || len(owner) == 0 {
		owner = []byte("another process")
	}
	return fmt.Errorf("%w: %s is held by %s", dcb.ErrLocked, path, strings.TrimSpace(string(owner)))
}

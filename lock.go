package opossum

import (
	"fmt"
	"os"
	"strings"

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
		return nil, locked(path)
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

// locked is the error for a lock that somebody else holds.
func locked(path string) error {
	owner, err := os.ReadFile(path)
	if err != nil || len(owner) == 0 {
		owner = []byte("another process")
	}
	return fmt.Errorf("%w: %s is held by %s", ErrLocked, path, strings.TrimSpace(string(owner)))
}

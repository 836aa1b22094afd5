package powercut

import (
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// onTrim calls do when a generation of the log has been deleted, unless stop is called before. REQUIRES: the store is open.
func onTrim(store string, do func()) (stop func() error, err error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("inotify_init1", err)
	}
	events := os.NewFile(uintptr(fd), "inotify")
	if _, err := unix.InotifyAddWatch(fd, filepath.Join(store, "wal"), unix.IN_DELETE); err != nil {
		return nil, errors.Join(os.NewSyscallError("inotify_add_watch", err), events.Close())
	}
	go func() {
		if _, err := events.Read(make([]byte, 4096)); err == nil {
			do()
		}
	}()
	return events.Close, nil
}

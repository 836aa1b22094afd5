package eventfile

import (
	"io/fs"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"opossum/internal/step"
)

// syncfsReports tells whether syncfs returns the errors of write-back, which it does since Linux 5.8. Before, it returned
// success whatever had happened.
var syncfsReports = sync.OnceValue(func() bool {
	var u unix.Utsname
	return unix.Uname(&u) == nil && atLeast(unix.ByteSliceToString(u.Release[:]), 5, 8)
})

// atLeast compares the release of a kernel, such as "5.15.0-91-generic"; one that it does not understand is too old.
func atLeast(release string, major, minor int) bool {
	first, rest, _ := strings.Cut(release, ".")
	digits := strings.IndexFunc(rest+".", func(r rune) bool { return r < '0' || r > '9' })
	maj, err1 := strconv.Atoi(first)
	mnr, err2 := strconv.Atoi(rest[:digits])
	return err1 == nil && err2 == nil && (maj > major || maj == major && mnr >= minor)
}

// syncfs uses the descriptor that was opened before the first write: a newer one would not be told of older errors.
func (s *Store) syncfs() error {
	conn, err := s.root.SyscallConn()
	if err != nil {
		return err
	}
	var syncErr error
	err = conn.Control(func(fd uintptr) {
		syncErr = step.Do(step.KindSync, s.dir, func() error {
			return uninterrupted(func() error { return unix.Syncfs(int(fd)) })
		})
	})
	if err == nil {
		err = syncErr
	}
	if err != nil {
		return &fs.PathError{Op: "syncfs", Path: s.dir, Err: err}
	}
	return nil
}

package harness

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// createIn makes a file in the directory: written without a name and linked when it is complete, or where that cannot be, under its name.
func createIn(dir *os.File, name string, text []byte) error {
	fd, err := unix.Openat(int(dir.Fd()), ".", unix.O_TMPFILE|unix.O_WRONLY|unix.O_CLOEXEC, 0o644)
	if err == unix.EOPNOTSUPP || err == unix.EISDIR {
		return writeFile(filepath.Join(dir.Name(), name), text, false)
	}
	if err != nil {
		return os.NewSyscallError("openat", err)
	}
	n, err := unix.Write(fd, text)
	switch {
	case err != nil:
		err = os.NewSyscallError("write", err)
	case n < len(text):
		err = io.ErrShortWrite
	default:
		err = os.NewSyscallError("linkat", unix.Linkat(unix.AT_FDCWD, "/proc/self/fd/"+strconv.Itoa(fd), int(dir.Fd()), name, unix.AT_SYMLINK_FOLLOW))
	}
	return errors.Join(err, unix.Close(fd))
}

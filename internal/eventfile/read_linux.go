package eventfile

import (
	"io/fs"

	"golang.org/x/sys/unix"

	"opossum/dcb"
)

// readPosition returns the content of the file of p. The name is looked up from the directory that is held, which takes a tenth off
// the time where the path is long. It goes through Control, so that a Close meanwhile does not give the directory's
// descriptor to something else.
func (s *Store) readPosition(p dcb.Position, buf []byte) (text []byte, err error) {
	root, err := s.root.SyscallConn()
	if err != nil {
		return nil, err
	}
	name := digits(ShardOf(p)) + "/" + fileName(p)
	if root.Control(func(dir uintptr) { text, err = readAt(int(dir), name, s.Path(p), buf) }) != nil {
		return nil, &fs.PathError{Op: "open", Path: s.Path(p), Err: fs.ErrClosed}
	}
	return text, err
}

// readRegular returns the content of the regular file at path, in buf if that has room.
func readRegular(path string, buf []byte) ([]byte, error) {
	return readAt(unix.AT_FDCWD, path, path, buf)
}

// readAt reads a regular file by its name in a directory. It follows no link and does not wait for the other end of a pipe. Plain
// system calls take a quarter off the time of package os, which makes more of them.
func readAt(dir int, name, path string, buf []byte) ([]byte, error) {
	var fd int
	err := uninterrupted(func() (err error) {
		fd, err = unix.Openat(dir, name, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
		return err
	})
	switch {
	case err == unix.ELOOP || err == unix.ENXIO: // a link; a socket or a device without a driver
		return nil, errNotRegular
	case err != nil:
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd) // nothing was written: there is no error to report
	text, err := readDescriptor(fd, buf)
	if err != nil && err != errNotRegular && err != errTooLong {
		err = &fs.PathError{Op: "read", Path: path, Err: err}
	}
	return text, err
}

func readDescriptor(fd int, buf []byte) ([]byte, error) {
	var st unix.Stat_t
	if err := uninterrupted(func() error { return unix.Fstat(fd, &st) }); err != nil {
		return nil, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, errNotRegular
	}
	buf, err := room(buf, st.Size)
	if err != nil {
		return nil, err
	}
	return fill(fd, buf)
}

// fill reads until the end of the file or of buf, which has one byte to spare. A file that grows meanwhile fails its checksum.
func fill(fd int, buf []byte) ([]byte, error) {
	for n := 0; ; {
		got, err := unix.Read(fd, buf[n:])
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return nil, err
		}
		n += got
		if got == 0 || n == len(buf) || n == len(buf)-1 {
			return buf[:n], nil
		}
	}
}

package projection

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"opossum/internal/step"
)

// exchange lets next and live change places, in one step where the file system can do that.
func exchange(next, live, gone string) (away string, err error) {
	err = step.Do(step.KindRename, live, func() error {
		return unix.Renameat2(unix.AT_FDCWD, next, unix.AT_FDCWD, live, unix.RENAME_EXCHANGE)
	})
	switch err {
	case nil:
		return next, nil
	case unix.EINVAL, unix.ENOSYS:
		return exchangeInTwo(next, live, gone)
	}
	return "", &os.LinkError{Op: "exchange", Old: next, New: live, Err: err}
}

// sessionOf returns what stays the same only as long as the page cache vouches for what was written to a file: the start of the system, the mount, and the file itself, which
// is another one in a copy. "": it is not known.
func sessionOf(path string) string {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	var st unix.Statx_t
	const want = unix.STATX_INO | unix.STATX_MNT_ID_UNIQUE // a mount gets a number that none had before; old systems have none, and give one that comes again
	if unix.Statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW, want, &st) != nil {
		return ""
	}
	mount := uint64(0)
	if st.Mask&(unix.STATX_MNT_ID_UNIQUE|unix.STATX_MNT_ID) != 0 {
		mount = st.Mnt_id
	}
	return fmt.Sprintf("%s %d:%d %d %d", strings.TrimSpace(string(boot)), st.Dev_major, st.Dev_minor, mount, st.Ino)
}

// folder is an open directory of state files. Names are looked up from its descriptor, so that it may be moved.
type folder struct {
	fd      int
	temps   tempNames
	renamed bool   // nameless files do not work here; only who saves looks at it
	scratch string // see swap; "": there is none
}

func openFolder(path string) (*folder, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return &folder{fd: fd, temps: newTempNames()}, nil
}

func (d *folder) close() error { return unix.Close(d.fd) }

// moved is told that the directory is at another path.
func (d *folder) moved(string) {}

// read returns what is in a file. It follows no link.
func (d *folder) read(name string) ([]byte, error) {
	var fd int
	err := uninterrupted(func() (err error) {
		fd, err = unix.Openat(d.fd, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	defer unix.Close(fd) // nothing was written: there is no error to report
	buf := make([]byte, 0, 2048)
	for {
		n, err := unix.Read(fd, buf[len(buf):cap(buf)])
		switch {
		case err == unix.EINTR:
		case err != nil:
			return nil, &os.PathError{Op: "read", Path: name, Err: err}
		case n == 0:
			return buf, nil
		default:
			if buf = buf[:len(buf)+n]; len(buf) == cap(buf) {
				buf = append(buf, 0)[:len(buf)]
			}
		}
	}
}

// uninterrupted repeats a system call that a signal has interrupted.
func uninterrupted(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}

// put writes a file: whoever looks sees the old text, or none if there is no old one, or the new one, whole.
func (d *folder) put(name string, text []byte, isNew bool) error {
	if isNew && !d.renamed {
		err := d.putNameless(name, text)
		switch err {
		case nil:
			return nil
		case unix.EOPNOTSUPP, unix.EISDIR, unix.EPERM, unix.ENOENT: // the file system has no nameless files or no links, or there is no /proc
			d.renamed = true
		case unix.EEXIST: // left by a deletion, or by a Save that failed
		default:
			return &os.PathError{Op: "write", Path: name, Err: err}
		}
	}
	temp := d.temps.next()
	if err := d.putPlain(temp, text); err != nil {
		return err
	}
	err := step.Do(step.KindRename, name, func() error {
		return uninterrupted(func() error { return unix.Renameat(d.fd, temp, d.fd, name) })
	})
	if err != nil {
		return errors.Join(&os.PathError{Op: "rename", Path: name, Err: err}, d.remove(temp))
	}
	return nil
}

// swap replaces a file where nobody else looks, and who reads waits: it writes over the file that the last swap has replaced, and lets the two change names. That makes no
// new file and removes none, which takes the time of a put down to a sixth.
func (d *folder) swap(name string, text []byte) error {
	if d.scratch == "" {
		d.scratch = d.temps.next()
	}
	fd, err := d.create(d.scratch, d.scratch, unix.O_CREAT)
	if err != nil {
		return &os.PathError{Op: "create", Path: d.scratch, Err: err}
	}
	if err = writeAll(fd, d.scratch, text); err == nil {
		err = step.Do(step.KindWrite, d.scratch, func() error {
			return uninterrupted(func() error { return unix.Ftruncate(fd, int64(len(text))) })
		})
	}
	if closed := unix.Close(fd); err == nil {
		err = closed
	}
	if err != nil {
		return &os.PathError{Op: "write", Path: d.scratch, Err: err}
	}
	err = step.Do(step.KindRename, name, func() error {
		return uninterrupted(func() error { return unix.Renameat2(d.fd, d.scratch, d.fd, name, unix.RENAME_EXCHANGE) })
	})
	switch err {
	case nil:
		return nil
	case unix.EINVAL, unix.ENOSYS, unix.ENOENT: // the file system cannot do that, or the file is gone
		return d.put(name, text, false)
	}
	return &os.PathError{Op: "exchange", Path: name, Err: err}
}

// dropScratch removes what the last swap has left.
func (d *folder) dropScratch() error {
	if d.scratch == "" {
		return nil
	}
	name := d.scratch
	d.scratch = ""
	return d.remove(name)
}

func (d *folder) putNameless(name string, text []byte) error {
	fd, err := d.create(".", name, unix.O_TMPFILE)
	if err != nil {
		return err
	}
	err = writeAll(fd, name, text)
	if err == nil {
		from := "/proc/self/fd/" + strconv.Itoa(fd)
		err = step.Do(step.KindLink, name, func() error {
			return uninterrupted(func() error { return unix.Linkat(unix.AT_FDCWD, from, d.fd, name, unix.AT_SYMLINK_FOLLOW) })
		})
	}
	if closed := unix.Close(fd); err == nil {
		err = closed
	}
	return err
}

// putPlain writes a file that may be seen half-written. What is there of it after an error is removed, if that can be done.
func (d *folder) putPlain(name string, text []byte) error {
	fd, err := d.create(name, name, unix.O_CREAT|unix.O_EXCL)
	if err != nil {
		return &os.PathError{Op: "create", Path: name, Err: err}
	}
	return d.fill(fd, name, text)
}

// putBuilt writes a file where nobody else looks, into the one that makeEmpty has made, if it has. errOccupied: somebody else has put something there. It may be called beside
// everything else.
func (d *folder) putBuilt(name string, text []byte) error {
	fd, err := d.create(name, name, unix.O_CREAT|unix.O_NOFOLLOW)
	if err == unix.ELOOP {
		return errOccupied
	}
	if err != nil {
		return &os.PathError{Op: "create", Path: name, Err: err}
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Size > 0 {
		return cmp.Or(unix.Close(fd), errOccupied)
	}
	return d.fill(fd, name, text)
}

func (d *folder) fill(fd int, name string, text []byte) error {
	err := writeAll(fd, name, text)
	if closed := unix.Close(fd); err == nil {
		err = closed
	}
	if err != nil {
		return errors.Join(&os.PathError{Op: "write", Path: name, Err: err}, d.remove(name))
	}
	return nil
}

// makeEmpty makes an empty file, without opening it. It may be called beside everything else.
func (d *folder) makeEmpty(name string) error {
	return step.Do(step.KindCreate, name, func() error {
		return uninterrupted(func() error { return unix.Mknodat(d.fd, name, unix.S_IFREG|0o644, 0) })
	})
}

// create makes a file at a path that is to be called name, in the end.
func (d *folder) create(path, name string, flags int) (fd int, err error) {
	err = step.Do(step.KindCreate, name, func() error {
		return uninterrupted(func() (err error) {
			fd, err = unix.Openat(d.fd, path, unix.O_WRONLY|unix.O_CLOEXEC|flags, 0o644)
			return err
		})
	})
	return fd, err
}

// writeAll goes on after a short write until the kernel gives the reason, such as ENOSPC.
func writeAll(fd int, name string, b []byte) error {
	for len(b) > 0 {
		n := 0
		err := step.Do(step.KindWrite, name, func() error {
			return uninterrupted(func() (err error) {
				n, err = unix.Write(fd, b)
				return err
			})
		})
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

func (d *folder) remove(name string) error {
	err := step.Do(step.KindRemove, name, func() error {
		return uninterrupted(func() error { return unix.Unlinkat(d.fd, name, 0) })
	})
	if err != nil {
		return &os.PathError{Op: "remove", Path: name, Err: err}
	}
	return nil
}

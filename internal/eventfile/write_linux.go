package eventfile

import (
	"errors"
	"io"
	"io/fs"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"opossum/dcb"
	"opossum/internal/step"
)

// writer holds what Linux needs to write a file under no name at all and link it when it is complete. That saves a third of
// the time of a temporary name, and a killed process leaves nothing behind.
type writer struct {
	temp    tempNames
	shards  shardDirs
	renamed atomic.Bool // nameless files do not work here: write temporary names from now on
}

func newWriter() writer { return writer{temp: newTempNames()} }

func (w *writer) close() { w.shards.close() }

// forgetShard lets go of a shard that is about to be removed.
func (w *writer) forgetShard(first dcb.Position) { w.shards.forget(first) }

// errNameless: the file system or kernel cannot write a nameless file or link it.
var errNameless = errors.New("no nameless files")

func (s *Store) writeFile(p dcb.Position, text []byte) error {
	if s.writer.renamed.Load() {
		return s.writeRenamed(p, text)
	}
	err := s.writeNameless(p, text)
	if err == unix.ENOENT || err == unix.EPERM {
		// Somebody removed the shard whose descriptor is kept (ext4 says EPERM then). Otherwise it happens again: ENOENT
		// because there is no /proc, EPERM for a reason of its own.
		s.writer.shards.forget(ShardOf(p))
		err = s.writeNameless(p, text)
	}
	switch err {
	case nil:
		return nil
	case errNameless, unix.ENOENT:
		s.writer.renamed.Store(true)
		return s.writeRenamed(p, text)
	default:
		return &fs.PathError{Op: "write", Path: s.Path(p), Err: err}
	}
}

func (s *Store) writeNameless(p dcb.Position, text []byte) error {
	shard, err := s.writer.shards.acquire(s, ShardOf(p))
	if err != nil {
		return err
	}
	defer s.writer.shards.release(shard)
	name := fileName(p)
	fd, err := openNameless(shard.fd, name)
	if err != nil {
		return err
	}
	if err = writeAll(fd, name, text); err == nil {
		err = s.link(fd, shard.fd, name)
	}
	if closeErr := unix.Close(fd); err == nil {
		err = closeErr
	}
	return err
}

// openNameless makes a file that is to be called name, in the end.
func openNameless(dir int, name string) (fd int, err error) {
	err = step.Do(step.KindCreate, name, func() error {
		return uninterrupted(func() error {
			fd, err = unix.Openat(dir, ".", unix.O_TMPFILE|unix.O_WRONLY|unix.O_CLOEXEC, fileMode)
			return err
		})
	})
	if err == unix.EOPNOTSUPP || err == unix.EISDIR { // EISDIR: a kernel that does not know the flag
		err = errNameless
	}
	return fd, err
}

// writeAll goes on after a short write until the kernel gives the reason, such as ENOSPC.
func writeAll(fd int, name string, b []byte) error {
	for len(b) > 0 {
		n := 0
		err := step.Do(step.KindWrite, name, func() (err error) {
			n, err = unix.Write(fd, b)
			return err
		})
		switch {
		case err == unix.EINTR:
		case err != nil:
			return err
		case n == 0:
			return io.ErrShortWrite
		default:
			b = b[n:]
		}
	}
	return nil
}

// link gives the nameless file fd its name. A link never replaces, so where the name is taken the file first gets a temporary
// name, and a rename replaces.
func (s *Store) link(fd, dir int, name string) error {
	from := "/proc/self/fd/" + strconv.Itoa(fd)
	err := linkAt(from, dir, name)
	if err != unix.EEXIST {
		return err
	}
	temp := s.writer.temp.next()
	if err := linkAt(from, dir, temp); err != nil {
		return err
	}
	err = step.Do(step.KindRename, name, func() error {
		return uninterrupted(func() error { return unix.Renameat(dir, temp, dir, name) })
	})
	if err != nil {
		return errors.Join(err, step.Do(step.KindRemove, temp, func() error { return unix.Unlinkat(dir, temp, 0) }))
	}
	return nil
}

func linkAt(from string, dir int, name string) error {
	err := step.Do(step.KindLink, name, func() error {
		return uninterrupted(func() error { return unix.Linkat(unix.AT_FDCWD, from, dir, name, unix.AT_SYMLINK_FOLLOW) })
	})
	if err == unix.EPERM || err == unix.EOPNOTSUPP { // a file system without hard links
		return errNameless
	}
	return err
}

// maxShardDirs is how many shard descriptors are kept. Writers work in ascending order, so two are busy at a time at most;
// the rest is for readers of this line who have other plans.
const maxShardDirs = 8

// shardDirs keeps the descriptors of the shards written to last: resolving the path anew for each file is measurable.
type shardDirs struct {
	sync.Mutex
	recent []*shardDir // last used first
	closed bool
}

// shardDir is an open shard. INVARIANT: fd is closed exactly when it is neither in recent nor in use.
type shardDir struct {
	first  dcb.Position
	fd     int
	users  int
	recent bool
}

// acquire returns the open shard that starts at first, creating it if need be. The lock is held while a directory is opened,
// once in 10,000 files, so that two writers do not open it twice.
func (d *shardDirs) acquire(s *Store, first dcb.Position) (*shardDir, error) {
	d.Lock()
	defer d.Unlock()
	if d.closed {
		return nil, fs.ErrClosed
	}
	i := d.find(first)
	if i < 0 {
		fd, err := openShard(int(s.root.Fd()), digits(first))
		if err != nil {
			return nil, err
		}
		d.recent = append(d.recent, &shardDir{first: first, fd: fd, recent: true})
		i = len(d.recent) - 1
	}
	dir := d.recent[i]
	copy(d.recent[1:], d.recent[:i])
	d.recent[0] = dir
	dir.users++
	if len(d.recent) > maxShardDirs {
		d.drop(maxShardDirs)
	}
	return dir, nil
}

// find returns the index in recent, -1 if the shard is not there. REQUIRES: d is locked.
func (d *shardDirs) find(first dcb.Position) int {
	return slices.IndexFunc(d.recent, func(dir *shardDir) bool { return dir.first == first })
}

// drop takes the i-th shard out of recent. REQUIRES: d is locked.
func (d *shardDirs) drop(i int) {
	dir := d.recent[i]
	d.recent = slices.Delete(d.recent, i, i+1)
	dir.recent = false
	dir.closeUnused()
}

// closeUnused closes dir if nothing holds it. Nothing is written through the descriptor of a directory, so the kernel has
// no error to report that would matter. REQUIRES: its shardDirs is locked.
func (dir *shardDir) closeUnused() {
	if !dir.recent && dir.users == 0 {
		_ = unix.Close(dir.fd)
	}
}

func (d *shardDirs) release(dir *shardDir) {
	d.Lock()
	defer d.Unlock()
	dir.users--
	dir.closeUnused()
}

// forget makes the next acquire of the shard open it anew.
func (d *shardDirs) forget(first dcb.Position) {
	d.Lock()
	defer d.Unlock()
	if i := d.find(first); i >= 0 {
		d.drop(i)
	}
}

func (d *shardDirs) close() {
	d.Lock()
	defer d.Unlock()
	d.closed = true
	for len(d.recent) > 0 {
		d.drop(0)
	}
}

// openShard does not follow links: a shard elsewhere would be outside the file system that Sync syncs.
func openShard(root int, name string) (fd int, err error) {
	open := func() error {
		fd, err = unix.Openat(root, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		return err
	}
	if err = uninterrupted(open); err != unix.ENOENT {
		return fd, err
	}
	err = step.Do(step.KindMkdir, name, func() error {
		return uninterrupted(func() error { return unix.Mkdirat(root, name, dirMode) })
	})
	if err != nil && err != unix.EEXIST {
		return -1, err
	}
	err = uninterrupted(open)
	return fd, err
}

package eventfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"opossum/dcb"
)

// ways are the ways of writing that this system has.
var ways = map[string]func(*Store){
	"nameless": func(s *Store) { s.writer.renamed.Store(false) },
	"renamed":  func(s *Store) { s.writer.renamed.Store(true) },
}

func init() {
	children["file size limit"] = childFileSizeLimit
	children["full disk"] = childFullDisk
	children["no proc"] = childNoProc
	children["permissions"] = childPermissions
}

// requireUnread expects that the files of first to last were not read since their access time was set to old.
func requireUnread(t *testing.T, s *Store, old time.Time, first, last dcb.Position) {
	t.Helper()
	for p := first; p <= last; p++ {
		var st unix.Stat_t
		require.NoError(t, unix.Stat(s.Path(p), &st))
		require.Equal(t, old.Unix(), st.Atim.Sec, "position %d was read", p)
	}
}

func child(t *testing.T, name string, dir string, attr *syscall.SysProcAttr) (string, error) {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(exe, dir)
	cmd.Env = append(os.Environ(), childVariable+"="+name)
	cmd.SysProcAttr = attr
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func requireChild(t *testing.T, name string, attr *syscall.SysProcAttr) {
	t.Helper()
	out, err := child(t, name, t.TempDir(), attr)
	require.NoError(t, err, out)
}

// inEachWayIn is inEachWay for a child, which has no testing.T.
func inEachWayIn(dir string, f func(s *Store) error) error {
	for name, force := range ways {
		s, err := Open(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		force(s)
		if err := errors.Join(f(s), s.Close()); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// expectFailure judges a failed write: the cause, the path, and that no temporary file is left.
func expectFailure(s *Store, p dcb.Position, err, cause error) error {
	if !errors.Is(err, cause) || !strings.Contains(err.Error(), s.Path(p)) {
		return fmt.Errorf("error of the write: %v", err)
	}
	return expectNoTemp(s)
}

func expectNoTemp(s *Store) error {
	if removed, err := s.RemoveTemp(); len(removed) > 0 || err != nil {
		return fmt.Errorf("left behind %q, %w", removed, err)
	}
	return nil
}

// A write that the kernel cuts short, then refuses. Any user may set this limit, so this runs everywhere.
func TestWriteBeyondFileSizeLimit(t *testing.T) { requireChild(t, "file size limit", nil) }

func childFileSizeLimit(dir string) error {
	limit := unix.Rlimit{Cur: 1000, Max: 1000}
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	return inEachWayIn(dir, func(s *Store) error {
		if err := s.Write(1, text(1)); err != nil {
			return err
		}
		for _, p := range []dcb.Position{1, 2, 10_001} {
			if err := expectFailure(s, p, s.Write(p, make([]byte, 1001)), syscall.EFBIG); err != nil {
				return err
			}
		}
		if _, err := s.Read(2); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("a failed write left a file: %v", err)
		}
		_, err := s.Read(1)
		return errors.Join(err, s.Write(2, text(2)))
	})
}

// A file system of its own needs the right to mount, which containers often withhold even from root. The paths after a failed
// write are the same as in TestWriteBeyondFileSizeLimit, so where it is withheld nothing but the number of the error is lost.
func TestWriteToFullDisk(t *testing.T) { requireChildWithMounts(t, "full disk") }

func TestWriteWithoutProc(t *testing.T) { requireChildWithMounts(t, "no proc") }

const mountRefused = "mount refused"

func requireChildWithMounts(t *testing.T, name string) {
	t.Helper()
	attr := &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if os.Geteuid() != 0 {
		attr.Cloneflags |= syscall.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	out, err := child(t, name, t.TempDir(), attr)
	if errors.Is(err, syscall.EPERM) || strings.Contains(out, mountRefused) {
		t.Logf("not proved here, this user may not mount: %v %s", err, out)
		return
	}
	require.NoError(t, err, out)
}

func mountTmpfs(dir, options string) error {
	err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
	if err == nil {
		err = unix.Mount("tmpfs", dir, "tmpfs", 0, options)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", mountRefused, err)
	}
	return nil
}

func childFullDisk(dir string) error {
	if err := mountTmpfs(dir, "size=256k"); err != nil {
		return err
	}
	return inEachWayIn(dir, func(s *Store) error {
		p := dcb.Position(1)
		var err error
		for ; err == nil && p < 1000; p++ {
			err = s.Write(p, text(p))
		}
		if err := expectFailure(s, p-1, err, syscall.ENOSPC); err != nil {
			return err
		}
		for q := dcb.Position(1); q < p-1; q++ {
			if _, err := s.Read(q); err != nil {
				return err
			}
		}
		if _, err := s.Read(p - 1); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("a failed write left a file: %v", err)
		}
		return os.RemoveAll(s.shardPath(1)) // room for the next way, and for this write
	})
}

// childNoProc hides /proc, without which a nameless file cannot be linked.
func childNoProc(dir string) error {
	if err := mountTmpfs("/proc", ""); err != nil {
		return err
	}
	return inEachWayIn(dir, func(s *Store) error {
		for p := dcb.Position(1); p <= 3; p++ {
			if err := s.Write(p, text(p)); err != nil {
				return err
			}
			if _, err := s.Read(p); err != nil {
				return err
			}
			if !s.writer.renamed.Load() {
				return errors.New("did not fall back for good")
			}
		}
		return expectNoTemp(s)
	})
}

func TestPermissions(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Chmod(filepath.Dir(dir), 0o755)) // another user must get as far as to what the test forbids
	require.NoError(t, os.Chmod(dir, 0o755))
	out, err := child(t, "permissions", dir, nil)
	for way := range ways { // so that an ordinary user can remove them
		shard := filepath.Join(dir, way, digits(1))
		require.NoError(t, errors.Join(os.Chmod(shard, 0o755), os.Chmod(filepath.Dir(shard), 0o755)), out)
	}
	require.NoError(t, err, out)
}

func childPermissions(dir string) error {
	var stores []*Store
	for name, force := range ways {
		s, err := Open(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		force(s)
		stores = append(stores, s)
		err = errors.Join(s.Write(1, text(1)), s.Write(2, text(2)), os.Chmod(s.Path(2), 0), os.Chmod(s.shardPath(1), 0o555), os.Chmod(s.dir, 0o555))
		if err != nil {
			return err
		}
	}
	if os.Geteuid() == 0 { // root may do anything
		if err := syscall.Setuid(65534); err != nil {
			return err
		}
	}
	for _, s := range stores {
		for _, p := range []dcb.Position{1, 3, 10_001} { // replace, create, create a shard
			if err := expectFailure(s, p, s.Write(p, text(p)), fs.ErrPermission); err != nil {
				return err
			}
		}
		_, err := s.Read(2)
		if !errors.Is(err, fs.ErrPermission) || errors.Is(err, dcb.ErrCorrupt) {
			return fmt.Errorf("read of a forbidden file: %v", err)
		}
		if p, _, err := s.HighestValid(0); p != 0 || !errors.Is(err, fs.ErrPermission) {
			return fmt.Errorf("a forbidden file was passed over: %d, %v", p, err)
		}
		if _, err := s.Read(1); err != nil {
			return err
		}
	}
	return nil
}

func TestReadOfPipeOrSocketDoesNotWait(t *testing.T) {
	s := openStore(t)
	require.NoError(t, s.Write(1, text(1)))
	require.NoError(t, unix.Mkfifo(s.Path(7), 0o644))
	_, err := s.Read(7)
	requireCorrupt(t, err, s.Path(7), "not a regular file")
	require.NoError(t, os.Remove(s.Path(7)))
	require.NoError(t, unix.Mknod(s.Path(7), unix.S_IFSOCK|0o644, 0))
	_, err = s.Read(7)
	requireCorrupt(t, err, s.Path(7), "not a regular file")
}

func TestShardIsNotALink(t *testing.T) {
	inEachWay(t, func(t *testing.T, s *Store) {
		elsewhere := t.TempDir()
		require.NoError(t, os.Symlink(elsewhere, s.shardPath(1)))
		require.ErrorIs(t, s.Write(1, text(1)), syscall.ENOTDIR)
		entries, err := os.ReadDir(elsewhere)
		require.NoError(t, err)
		require.Empty(t, entries)
	})
}

// Nameless files are worth their code only while they are used: no unforeseen error may turn them off.
func TestNamelessFilesStayInUse(t *testing.T) {
	s := openStore(t)
	require.NoError(t, s.Write(1, text(1)))
	if s.writer.renamed.Load() {
		t.Log("the file system of the temporary directory has no nameless files")
		return
	}
	require.NoError(t, s.Write(1, text(1)), "rewrite")
	require.NoError(t, os.RemoveAll(s.shardPath(1)))
	require.NoError(t, s.Write(1, text(1)), "shard removed")
	require.NoError(t, os.MkdirAll(s.Path(2), 0o755))
	require.Error(t, s.Write(2, text(2)))
	require.False(t, s.writer.renamed.Load())
}

func TestDescriptorsAreBoundedAndClosed(t *testing.T) {
	count := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		require.NoError(t, err)
		return len(entries)
	}
	before := count()
	s, err := Open(t.TempDir())
	require.NoError(t, err)
	for i := range 30 {
		p := dcb.Position(i*ShardPositions + 1)
		require.NoError(t, s.Write(p, text(p)))
		require.NoError(t, s.Write(p, text(p)))
		_, err := s.Read(p)
		require.NoError(t, err)
	}
	require.NoError(t, s.Sync())
	require.LessOrEqual(t, count(), before+maxShardDirs+1)
	require.NoError(t, s.Close())
	require.Equal(t, before, count())
}

// A shard that many others push out of the cache stays open for the writer that is still using it, and no longer.
func TestShardInUseStaysOpen(t *testing.T) {
	s := openStore(t)
	shards := &s.writer.shards
	used, err := shards.acquire(s, 1)
	require.NoError(t, err)
	for i := 1; i <= maxShardDirs; i++ {
		other, err := shards.acquire(s, dcb.Position(i*ShardPositions+1))
		require.NoError(t, err)
		shards.release(other)
	}
	require.Equal(t, -1, shards.find(1))
	again, err := shards.acquire(s, 1)
	require.NoError(t, err)
	require.NotEqual(t, used.fd, again.fd, "the first is still open")
	shards.release(again)
	var st unix.Stat_t
	require.NoError(t, unix.Fstat(used.fd, &st))
	shards.release(used)
	require.Equal(t, unix.EBADF, unix.Fstat(used.fd, &st))
}

func TestKernelRelease(t *testing.T) {
	for release, want := range map[string]bool{
		"5.8": true, "5.8.0": true, "5.8-rc1": true, "5.10.0-21-amd64": true, "6.0": true, "10.1": true, "6.18.44-fc-v669": true,
		"5.7.19": false, "4.19.0": false, "4.99": false, "": false, "5": false, "x.y": false, "5.x": false,
	} {
		require.Equal(t, want, atLeast(release, 5, 8), release)
	}
}

func TestReadLooksInTheDirectoryThatIsHeld(t *testing.T) {
	s := openStore(t)
	require.NoError(t, s.Write(10_001, text(10_001)))
	require.NoError(t, os.Rename(s.dir, s.dir+"-moved"))
	got, err := s.Read(10_001)
	require.NoError(t, err)
	require.Equal(t, dcb.Position(10_001), got.Position)
	_, err = s.Read(10_002)
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.ErrorContains(t, err, s.Path(10_002))
}

// A descriptor that was closed may be that of another directory by now: what is missing there is not missing here.
func TestReadBesideCloseFindsTheEventOrIsClosed(t *testing.T) {
	s, err := Open(filepath.Join(t.TempDir(), "events"))
	require.NoError(t, err)
	require.NoError(t, s.Write(1, text(1)))
	var readers sync.WaitGroup
	started := make(chan struct{}, 4)
	for range cap(started) {
		readers.Go(func() {
			for first := true; ; first = false {
				_, err := s.Read(1)
				if first {
					started <- struct{}{}
				}
				if err != nil {
					if !errors.Is(err, fs.ErrClosed) {
						t.Error(err)
					}
					return
				}
			}
		})
	}
	for range cap(started) {
		<-started
	}
	require.NoError(t, s.root.Close(), "the moment between a Read's first look and its open")
	readers.Wait()
	require.ErrorIs(t, s.Close(), fs.ErrClosed)
}

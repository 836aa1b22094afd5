//go:build linux

package host

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// FileSystem is a kind of file system that the lab crashes.
type FileSystem struct {
	Name   string
	MiB    int64    // of an image: xfs refuses less than 300
	mkfs   []string // and the image
	Mount  string   // options
	CanCut bool     // has the shutdown call
}

// The file systems.
var (
	Ext4  = FileSystem{Name: "ext4", MiB: 256, mkfs: []string{"mkfs.ext4", "-q", "-F"}, Mount: "noinit_itable", CanCut: true}
	XFS   = FileSystem{Name: "xfs", MiB: 320, mkfs: []string{"mkfs.xfs", "-q", "-f"}, Mount: "nouuid", CanCut: true} // all are copies of one template
	Btrfs = FileSystem{Name: "btrfs", MiB: 256, mkfs: []string{"mkfs.btrfs", "-q", "-f"}}
)

// Probe returns an error that names everything that is missing on this machine: devices, programs, rights.
func Probe() error {
	var errs []error
	if os.Getuid() != 0 {
		errs = append(errs, errors.New("the crash lab mounts file systems: run it as root"))
	}
	for _, dev := range []string{"/dev/loop-control", "/dev/fuse"} {
		f, err := os.OpenFile(dev, os.O_RDWR, 0)
		if err != nil {
			errs = append(errs, fmt.Errorf("the crash lab needs %s: %w", dev, err))
			continue
		}
		errs = append(errs, f.Close())
	}
	for _, fs := range []FileSystem{Ext4, XFS, Btrfs} {
		if _, err := exec.LookPath(fs.mkfs[0]); err != nil {
			errs = append(errs, fmt.Errorf("the crash lab needs %s (make crash-tools installs it): %w", fs.mkfs[0], err))
		}
	}
	return errors.Join(errs...)
}

// templates are images with a fresh file system, one of each kind, to be copied.
var templates struct {
	sync.Mutex
	path map[string]string
}

// NewImage makes an image with a fresh file system at path, on a file system in memory.
func (fs FileSystem) NewImage(path string) error {
	template, err := fs.template()
	if err != nil {
		return err
	}
	return CopyImage(template, path)
}

func (fs FileSystem) template() (string, error) {
	templates.Lock()
	defer templates.Unlock()
	if path := templates.path[fs.Name]; path != "" {
		return path, nil
	}
	path := filepath.Join(Memory, "template-"+fs.Name)
	f, err := os.Create(path)
	if err != nil {
		return "", err
	}
	if err := errors.Join(f.Truncate(fs.MiB<<20), f.Close(), fs.Format(path)); err != nil {
		return "", err
	}
	if templates.path == nil {
		templates.path = map[string]string{}
	}
	templates.path[fs.Name] = path
	return path, nil
}

// Format makes a file system on an image or a device.
func (fs FileSystem) Format(path string) error {
	out, err := exec.Command(fs.mkfs[0], append(fs.mkfs[1:], path)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", fs.mkfs[0], path, err, out)
	}
	return nil
}

// CopyImage copies an image with its holes; zeros become holes, too (mkfs.xfs writes 64 MiB of them). What was at to is replaced.
func CopyImage(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	if err := out.Truncate(info.Size()); err != nil {
		return err
	}
	buf, zeros := make([]byte, 64<<10), make([]byte, 64<<10)
	for off := int64(0); ; {
		data, err := unix.Seek(int(in.Fd()), off, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			return nil
		}
		if err != nil {
			return err
		}
		hole, err := unix.Seek(int(in.Fd()), data, unix.SEEK_HOLE)
		if err != nil {
			return err
		}
		for off = data; off < hole; {
			n, err := in.ReadAt(buf[:min(int64(len(buf)), hole-off)], off)
			if n == 0 && err != nil {
				return err
			}
			if !bytes.Equal(buf[:n], zeros[:n]) {
				if _, err := out.WriteAt(buf[:n], off); err != nil {
					return err
				}
			}
			off += int64(n)
		}
	}
}

// Attach puts a file behind a loop device, which is freed when nobody has it open or mounted any more. The caller closes the returned
// device after mounting it.
func Attach(path string) (*os.File, error) {
	back, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer back.Close()
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer control.Close()
	config := unix.LoopConfig{Fd: uint32(back.Fd())}
	config.Info.Flags = unix.LO_FLAGS_AUTOCLEAR
	for range 100 {
		n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return nil, fmt.Errorf("no free loop device: %w", err)
		}
		name := fmt.Sprintf("/dev/loop%d", n)
		if err := unix.Mknod(name, unix.S_IFBLK|0o600, int(unix.Mkdev(7, uint32(n)))); err != nil && !errors.Is(err, unix.EEXIST) {
			return nil, fmt.Errorf("make %s: %w", name, err)
		}
		dev, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			return nil, err
		}
		err = unix.IoctlLoopConfigure(int(dev.Fd()), &config)
		if err == nil {
			return dev, nil
		}
		_ = dev.Close()
		if !errors.Is(err, unix.EBUSY) { // else somebody else took it
			return nil, fmt.Errorf("configure %s: %w", name, err)
		}
	}
	return nil, errors.New("every free loop device was taken by others")
}

// Mount mounts an image at dir, which is made if need be.
func (fs FileSystem) MountImage(image, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	dev, err := Attach(image)
	if err != nil {
		return err
	}
	err = unix.Mount(dev.Name(), dir, fs.Name, unix.MS_NOATIME, fs.Mount)
	if err := errors.Join(err, dev.Close()); err != nil {
		return fmt.Errorf("mount %s of %s at %s: %w", fs.Name, image, dir, err)
	}
	return nil
}

// Unmount unmounts what is mounted at dir. REQUIRES: no process has anything open in there.
//
// It bears with references that are on their way out: a process between fork and exec has copies of all descriptors of the lab, and whoever looks at
// a killed process in /proc has its memory, with what is mapped there, until it has looked. The kernel tells nobody when the last one is gone.
func Unmount(dir string) error {
	const wait, times = 5 * time.Millisecond, 2000
	for n := 0; ; n++ {
		err := unix.Unmount(dir, 0)
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.EBUSY) || n == times {
			return fmt.Errorf("unmount %s: %w (%s)", dir, err, users(dir))
		}
		<-time.After(wait)
	}
}

// users names the processes that have something open under dir, for the error message.
func users(dir string) string {
	var who []string
	fds, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, fd := range fds {
		if target, err := os.Readlink(fd); err == nil && strings.HasPrefix(target, dir) {
			who = append(who, fd+" -> "+target)
		}
	}
	return strings.Join(who, ", ")
}

// Neighbour has another program sync a file of its own on the file system at dir. That takes the names and lengths of all files there along, and not their contents.
func Neighbour(dir string) error {
	f, err := os.Create(filepath.Join(dir, "neighbour"))
	if err != nil {
		return err
	}
	_, err = f.Write([]byte{0})
	return errors.Join(err, f.Sync(), f.Close())
}

// Cut cuts the power of the file system at dir: from now on nothing reaches its disk, be it data or journal. What is in memory is lost when it
// is unmounted. The call is EXT4_IOC_SHUTDOWN, XFS_IOC_GOINGDOWN, with NOLOGFLUSH.
func Cut(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	const goingDown, noLogFlush = 0x8004587d, 2
	flag := uint32(noLogFlush)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, d.Fd(), goingDown, uintptr(unsafe.Pointer(&flag))); errno != 0 {
		return fmt.Errorf("cut the power of %s: %w", dir, errno)
	}
	return nil
}

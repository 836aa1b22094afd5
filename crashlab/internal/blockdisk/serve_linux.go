package blockdisk

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

const (
	servingEnv = "OPOSSUM_CRASHLAB_DISK"
	imageName  = "image"
	marksName  = "marks"
)

// serving is what the process that serves a disk is told.
type serving struct{ Dir, Image, Recording string }

// Asked reports whether this process was started to serve a disk.
func Asked() bool { return os.Getenv(servingEnv) != "" }

// Serve serves a disk until standard input is closed, and returns the exit status. Each line of input is a rule, answered by what the one
// before has met.
func Serve() int {
	var s serving
	err := json.Unmarshal([]byte(os.Getenv(servingEnv)), &s)
	if err == nil {
		err = s.serve(os.Stdin, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "disk:", err)
		return 1
	}
	return 0
}

func (s serving) serve(in io.Reader, out io.Writer) (err error) {
	d := &disk{log: bufio.NewWriterSize(io.Discard, 1<<20)}
	if d.image, err = os.OpenFile(s.Image, os.O_RDWR, 0); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.image.Close()) }()
	info, err := d.image.Stat()
	if err != nil {
		return err
	}
	d.size = uint64(info.Size())
	if s.Recording != "" {
		f, err := os.Create(s.Recording)
		if err != nil {
			return err
		}
		d.log.Reset(f)
		defer func() { err = errors.Join(err, d.log.Flush(), f.Close()) }()
	}
	server, err := d.mount(s.Dir)
	if err != nil {
		return fmt.Errorf("mount FUSE at %s: %w", s.Dir, err)
	}
	if err := d.obey(in, out); err != nil {
		return err
	}
	if err := server.Unmount(); err != nil {
		return err
	}
	server.Wait()
	return nil
}

// mount serves the disk and its marks as files in dir.
func (d *disk) mount(dir string) (*fuse.Server, error) {
	root := &fs.Inode{}
	return fs.Mount(dir, root, &fs.Options{
		MountOptions: fuse.MountOptions{DirectMount: true, DirectMountStrict: true, FsName: "blockdisk", MaxWrite: 1 << 20},
		OnAdd: func(ctx context.Context) {
			file := fs.StableAttr{Mode: syscall.S_IFREG}
			root.AddChild(imageName, root.NewPersistentInode(ctx, d, file), true)
			root.AddChild(marksName, root.NewPersistentInode(ctx, &marks{disk: d}, file), true)
		},
	})
}

func (d *disk) obey(in io.Reader, out io.Writer) error {
	orders, answers := json.NewDecoder(in), json.NewEncoder(out)
	for {
		var rule *Rule
		if err := orders.Decode(&rule); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		d.mu.Lock()
		met := d.met
		d.rule, d.met = rule, Counts{}
		d.mu.Unlock()
		if err := answers.Encode(met); err != nil {
			return err
		}
	}
}

// disk is the file that a loop device makes a disk of.
type disk struct {
	fs.Inode
	size  uint64
	image *os.File

	mu   sync.Mutex
	log  *bufio.Writer
	rule *Rule
	met  Counts
}

// record appends to the recording. REQUIRES: d.mu is held.
func (d *disk) record(kind byte, off int64, data []byte) {
	var header [headerSize]byte
	_, err := d.log.Write(appendHeader(header[:0], kind, off, len(data)))
	if err == nil {
		_, err = d.log.Write(data)
	}
	if err != nil { // no more memory: the lab must not go on with a recording that has holes
		fmt.Fprintln(os.Stderr, "disk: record:", err)
		os.Exit(1)
	}
}

// refuses reports whether the rule refuses it. REQUIRES: d.mu is held.
func (d *disk) refuses(kind byte, data []byte) bool {
	return d.rule != nil && d.rule.refuses(kind, data, &d.met)
}

func (d *disk) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	out.Mode, out.Size = syscall.S_IFREG|0o600, d.size
	return fs.OK
}

func (d *disk) Setattr(ctx context.Context, f fs.FileHandle, _ *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	return d.Getattr(ctx, f, out)
}

// Open keeps the kernel from caching: what reaches the loop device is here at once.
func (d *disk) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	return nil, fuse.FOPEN_DIRECT_IO, fs.OK
}

func (d *disk) Read(_ context.Context, _ fs.FileHandle, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	n, err := d.image.ReadAt(dest, off)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, syscall.EIO
	}
	return fuse.ReadResultData(dest[:n]), fs.OK
}

func (d *disk) Write(_ context.Context, _ fs.FileHandle, data []byte, off int64) (uint32, syscall.Errno) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.refuses(Write, data) {
		return 0, syscall.EIO
	}
	if _, err := d.image.WriteAt(data, off); err != nil {
		return 0, syscall.EIO
	}
	d.record(Write, off, data)
	return uint32(len(data)), fs.OK
}

// Fsync is what a flush of the loop device becomes.
func (d *disk) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.refuses(Flush, nil) {
		return syscall.EIO
	}
	d.record(Flush, 0, nil)
	return fs.OK
}

// Flush is a close of the file, which means nothing to a disk.
func (d *disk) Flush(context.Context, fs.FileHandle) syscall.Errno { return fs.OK }

// Allocate is a discard, which the disk does not know.
func (d *disk) Allocate(context.Context, fs.FileHandle, uint64, uint64, uint32) syscall.Errno {
	return syscall.EOPNOTSUPP
}

// marks is the file of which each write is a mark.
type marks struct {
	fs.Inode
	disk *disk
}

func (m *marks) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	out.Mode = syscall.S_IFREG | 0o600
	return fs.OK
}

func (m *marks) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	return nil, fuse.FOPEN_DIRECT_IO, fs.OK
}

func (m *marks) Write(_ context.Context, _ fs.FileHandle, data []byte, _ int64) (uint32, syscall.Errno) {
	m.disk.mu.Lock()
	defer m.disk.mu.Unlock()
	m.disk.record(Mark, 0, data)
	return uint32(len(data)), fs.OK
}

package host

import (
	"errors"
	"os"
	"path/filepath"
)

// Disk is an image with a file system of its own: it is mounted, loses its power, and is mounted again. Its methods are for one goroutine, but for Cut.
type Disk struct {
	FS      FileSystem
	Image   string
	Dir     string // where it is mounted
	mounted bool
}

// NewDisk makes a fresh file system in scratch and mounts it. The caller removes it.
func NewDisk(fs FileSystem, scratch string) (*Disk, error) {
	d := &Disk{FS: fs, Image: filepath.Join(scratch, fs.Name+".img"), Dir: filepath.Join(scratch, fs.Name)}
	if err := fs.NewImage(d.Image); err != nil {
		return nil, err
	}
	return d, d.Mount()
}

// Mount mounts the disk, unless it is mounted.
func (d *Disk) Mount() error {
	if d.mounted {
		return nil
	}
	err := d.FS.MountImage(d.Image, d.Dir)
	d.mounted = err == nil
	return err
}

// Unmount unmounts the disk, unless it is not mounted. REQUIRES: no process has anything open in there.
func (d *Disk) Unmount() error {
	if !d.mounted {
		return nil
	}
	err := Unmount(d.Dir)
	d.mounted = err != nil
	return err
}

// Cut cuts the power. What is in memory is lost at the next Unmount.
func (d *Disk) Cut() error { return Cut(d.Dir) }

// Remove unmounts the disk and removes its image.
func (d *Disk) Remove() error {
	if err := d.Unmount(); err != nil {
		return err
	}
	return errors.Join(os.RemoveAll(d.Image), os.RemoveAll(d.Dir))
}

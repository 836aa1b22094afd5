// Package step is every change that the engine makes on the disk, one function for each kind: nothing else may write, sync or name a file.
//
// In a normal build a step is the plain call and nothing more. Built with the tag crashlab, steps are counted over the whole process, and the
// environment variable OPOSSUM_STEP says at which one the process dies, stops or gets an error: so the crash lab reaches every moment between two
// changes. It has to be the engine that counts: tracers count each thread by itself, and which thread makes a call is chance.
package step

import (
	"errors"
	"io/fs"
	"os"
	"runtime"
)

// Kind is the kind of a step.
type Kind string

// The kinds.
const (
	KindCreate Kind = "create" // a file, or a log generation with its directory; one that is there may be opened or emptied
	KindWrite  Kind = "write"
	KindSync   Kind = "sync" // of a file, a directory or a whole file system
	KindRename Kind = "rename"
	KindLink   Kind = "link"
	KindRemove Kind = "remove"
	KindMkdir  Kind = "mkdir"
)

// OpenFile opens a file with flags that may create or empty it.
func OpenFile(path string, flag int, perm fs.FileMode) (f *os.File, err error) {
	err = Do(KindCreate, path, func() error {
		f, err = os.OpenFile(path, flag, perm)
		return err
	})
	return f, err
}

// Write writes b at the end of what was written.
func Write(f *os.File, b []byte) error {
	return Do(KindWrite, f.Name(), func() error {
		_, err := f.Write(b)
		return err
	})
}

// WriteAt writes b at an offset.
func WriteAt(f *os.File, b []byte, off int64) error {
	return Do(KindWrite, f.Name(), func() error {
		_, err := f.WriteAt(b, off)
		return err
	})
}

// Truncate cuts f to a length.
func Truncate(f *os.File, size int64) error {
	return Do(KindWrite, f.Name(), func() error { return f.Truncate(size) })
}

// Sync makes what was written to f durable.
func Sync(f *os.File) error { return Do(KindSync, f.Name(), f.Sync) }

// SyncDir makes the names in a directory durable: files created, renamed and removed there so far. Windows has no such call; the README says
// what is not promised there. The error names the path.
func SyncDir(path string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(Sync(d), d.Close())
}

// Rename renames; it is told by the new name.
func Rename(from, to string) error {
	return Do(KindRename, to, func() error { return os.Rename(from, to) })
}

// Remove removes a file or an empty directory.
func Remove(path string) error { return Do(KindRemove, path, func() error { return os.Remove(path) }) }

// Mkdir makes a directory.
func Mkdir(path string, perm fs.FileMode) error {
	return Do(KindMkdir, path, func() error { return os.Mkdir(path, perm) })
}

//go:build !linux

package projection

import (
	"errors"
	"os"
	"path/filepath"
	"sync"

	"opossum/internal/step"
)

func exchange(next, live, gone string) (away string, err error) {
	return exchangeInTwo(next, live, gone)
}

// sessionOf: nothing says whether the system was started anew.
func sessionOf(string) string { return "" }

// folder is a directory of state files. Nothing in it is open between two calls, so that it can be moved.
type folder struct {
	path  string
	temps tempNames
	mu    sync.RWMutex // a file that is being read cannot be replaced on Windows
}

func openFolder(path string) (*folder, error) {
	return &folder{path: path, temps: newTempNames()}, nil
}

func (d *folder) close() error { return nil }

// moved is told that the directory is at another path. REQUIRES: nobody uses d.
func (d *folder) moved(path string) { d.path = path }

// read returns what is in a file.
func (d *folder) read(name string) ([]byte, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return os.ReadFile(filepath.Join(d.path, name))
}

// put writes a file: whoever looks sees the old text, or none if there is no old one, or the new one, whole.
func (d *folder) put(name string, text []byte, _ bool) error {
	temp := d.temps.next()
	if err := d.putPlain(temp, text); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := step.Rename(filepath.Join(d.path, temp), filepath.Join(d.path, name)); err != nil {
		return errors.Join(err, step.Remove(filepath.Join(d.path, temp)))
	}
	return nil
}

// swap replaces a file where nobody else looks.
func (d *folder) swap(name string, text []byte) error { return d.put(name, text, false) }

// dropScratch removes what the last swap has left: nothing.
func (d *folder) dropScratch() error { return nil }

// putPlain writes a file that may be seen half-written. What is there of it after an error is removed, if that can be done.
func (d *folder) putPlain(name string, text []byte) error {
	f, err := step.OpenFile(filepath.Join(d.path, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	if err := errors.Join(step.Write(f, text), f.Close()); err != nil {
		return errors.Join(err, step.Remove(f.Name()))
	}
	return nil
}

// putBuilt writes a file where nobody else looks, into the one that makeEmpty has made, if it has. errOccupied: somebody else has put something there. It may be called beside
// everything else.
func (d *folder) putBuilt(name string, text []byte) error {
	if info, err := os.Lstat(filepath.Join(d.path, name)); err == nil && (!info.Mode().IsRegular() || info.Size() > 0) {
		return errOccupied
	}
	f, err := step.OpenFile(filepath.Join(d.path, name), os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	if err := errors.Join(step.Write(f, text), f.Close()); err != nil {
		return errors.Join(err, step.Remove(f.Name()))
	}
	return nil
}

// makeEmpty makes an empty file. It may be called beside everything else.
func (d *folder) makeEmpty(name string) error {
	f, err := step.OpenFile(filepath.Join(d.path, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	return f.Close()
}

func (d *folder) remove(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return step.Remove(filepath.Join(d.path, name))
}

package recovery

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"opossum/internal/step"
)

// quarantine is where a repair puts what it replaces and removes, in the same tree as in the store.
type quarantine struct {
	store string
	dir   string            // of the repair that goes on
	kept  map[string]string // path of a file to that of its copy, or to where it is now
}

func newQuarantine(store string) quarantine {
	return quarantine{store: store, dir: filepath.Join(store, QuarantineDir, unfinishedDir), kept: make(map[string]string)}
}

// halfCopied ends the name of a copy until it is whole and durable. If the repair dies before that, the next one makes the copy again, and must not
// take this one for a source: what it is a copy of still stands in its place.
const halfCopied = ".half-copied"

// room returns a free name for path in quarantine, whose directory exists, durably.
func (q quarantine) room(path string) (string, error) {
	rel, err := filepath.Rel(q.store, path)
	if err != nil {
		return "", err
	}
	to := filepath.Join(q.dir, rel)
	if err := mkdirDurably(filepath.Dir(to), q.store); err != nil {
		return "", err
	}
	for n := 2; ; n++ {
		_, err := os.Lstat(to)
		if absent(err) {
			return to, nil
		}
		if err != nil {
			return "", err
		}
		to = fmt.Sprintf("%s.%d", filepath.Join(q.dir, rel), n)
	}
}

// mkdirDurably makes path and its parents below base.
func mkdirDurably(path, base string) error {
	if path == base {
		return nil
	}
	if err := mkdirDurably(filepath.Dir(path), base); err != nil {
		return err
	}
	if err := step.Mkdir(path, 0o755); errors.Is(err, fs.ErrExist) {
		return nil
	} else if err != nil {
		return err
	}
	return step.SyncDir(filepath.Dir(path))
}

// keep copies a file, durably, unless an equal copy is there from a repair that was interrupted. What is no regular file is moved.
func (q quarantine) keep(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return ifPresent(err)
	}
	if !info.Mode().IsRegular() {
		return q.move(path)
	}
	if rel, err := filepath.Rel(q.store, path); err == nil && sameContent(path, filepath.Join(q.dir, rel)) {
		q.kept[path] = filepath.Join(q.dir, rel)
		return nil
	}
	to, err := q.room(path)
	if err != nil {
		return err
	}
	temp := to + halfCopied
	if err := copyDurably(path, temp); err != nil {
		return errors.Join(err, ifPresent(step.Remove(temp)))
	}
	if err := step.Rename(temp, to); err != nil {
		return err
	}
	q.kept[path] = to
	return step.SyncDir(filepath.Dir(to))
}

// move moves a file or directory, durably. One that is not there has been moved before.
func (q quarantine) move(path string) error {
	if _, err := os.Lstat(path); err != nil {
		return ifPresent(err)
	}
	to, err := q.room(path)
	if err != nil {
		return err
	}
	if err := step.Rename(path, to); err != nil {
		return err
	}
	q.kept[path] = to
	return errors.Join(step.SyncDir(filepath.Dir(to)), step.SyncDir(filepath.Dir(path)))
}

// finish gives what was put aside its final name, by the time, and returns it; empty if nothing was put aside.
func (q quarantine) finish(now time.Time) (string, error) {
	if _, err := os.Lstat(q.dir); err != nil {
		return "", ifPresent(err)
	}
	base := filepath.Join(filepath.Dir(q.dir), "repair-"+now.UTC().Format("20060102T150405Z"))
	to := base
	for n := 2; ; n++ {
		if _, err := os.Lstat(to); absent(err) {
			break
		} else if err != nil {
			return "", err
		}
		to = fmt.Sprintf("%s-%d", base, n)
	}
	if err := step.Rename(q.dir, to); err != nil {
		return "", err
	}
	return to, step.SyncDir(filepath.Dir(to))
}

// ifPresent drops the error that there is no such file.
func ifPresent(err error) error {
	if absent(err) {
		return nil
	}
	return err
}

func copyDurably(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close() // nothing was written: there is no error to report
	out, err := step.OpenFile(to, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o666)
	if err != nil {
		return err
	}
	err = step.Do(step.KindWrite, to, func() error {
		_, err := io.Copy(out, in)
		return err
	})
	return errors.Join(err, step.Sync(out), out.Close())
}

// sameContent reports whether both files can be read and are equal.
func sameContent(a, b string) bool {
	x, err := os.ReadFile(a)
	if err != nil {
		return false
	}
	y, err := os.ReadFile(b)
	return err == nil && bytes.Equal(x, y)
}

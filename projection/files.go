package projection

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/gofrs/flock"

	"opossum/dcb"
	"opossum/internal/lock"
	"opossum/internal/name"
	"opossum/internal/step"
)

// Beside the directories of the read models, whose names cannot begin with a dot:
const (
	lockName = ".lock"
	buildDir = ".build" // <name>: replacements that are being built
	nextDir  = ".next"  // <name>-<number>: what is about to become a live one, or was one
	goneDir  = ".gone"  // <name>-<number>: to be removed
)

// Files returns Stores that keep each state in a readable file, dir/<name>/<key>.json; docs/format/readmodel.md describes them. It makes dir and takes its lock, so that
// there is one owner: the error Is dcb.ErrLocked if there is another. What a replacement that was cut short has left is put right first: what was live, or what was to replace
// it, is live. Nothing is synced. logger hears of what is repaired or put off; it is not nil.
func Files(dir string, logger *slog.Logger) (Stores, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if err := makeDirs(dir); err != nil {
		return nil, err
	}
	l, err := lock.Take(filepath.Join(dir, lockName))
	if err != nil {
		return nil, err
	}
	f := &files{dir: dir, logger: logger, lock: l, session: sessionOf, busy: map[string]*sync.Mutex{}, live: map[string]*fileStore{}, builds: map[string]*fileStore{}, open: map[*fileStore]struct{}{}}
	if err := f.tidy(); err != nil {
		return nil, errors.Join(err, l.Unlock())
	}
	return f, nil
}

// files are the stores in a directory.
type files struct {
	dir    string
	logger *slog.Logger
	lock   *flock.Flock
	moved  atomic.Uint64 // the last number of a directory in nextDir or goneDir

	session func(path string) string // sessionOf, or what a test puts there

	life   sync.RWMutex // is held for reading by what Close waits for
	closed bool

	mu           sync.Mutex
	busy         map[string]*sync.Mutex  // by name: is held while one is opened or replaced
	live, builds map[string]*fileStore   // that are open
	open         map[*fileStore]struct{} // those, and replaced ones
}

func (f *files) livePath(name string) string  { return filepath.Join(f.dir, name) }
func (f *files) buildPath(name string) string { return filepath.Join(f.dir, buildDir, name) }

// numbered returns a path in nextDir or goneDir that nothing has.
func (f *files) numbered(dir, name string) (string, error) {
	return filepath.Join(f.dir, dir, fmt.Sprintf("%s-%d", name, f.moved.Add(1))), makeDirs(filepath.Join(f.dir, dir))
}

// enter begins something with a read model, and returns what ends it, if there is no error.
func (f *files) enter(id Identity) (leave func(), err error) {
	if err := checkIdentity(id); err != nil {
		return nil, err
	}
	f.life.RLock()
	if f.closed {
		f.life.RUnlock()
		return nil, dcb.ErrClosed
	}
	f.mu.Lock()
	if f.busy[id.Name] == nil {
		f.busy[id.Name] = new(sync.Mutex)
	}
	busy := f.busy[id.Name]
	f.mu.Unlock()
	busy.Lock()
	return func() {
		busy.Unlock()
		f.life.RUnlock()
	}, nil
}

// opened takes in a store that was opened.
func (f *files) opened(in map[string]*fileStore, s *fileStore) {
	f.mu.Lock()
	defer f.mu.Unlock()
	in[s.id.Name] = s
	f.open[s] = struct{}{}
}

// find returns one that is open, or nil.
func (f *files) find(in map[string]*fileStore, name string) *fileStore {
	f.mu.Lock()
	defer f.mu.Unlock()
	return in[name]
}

// tidy finishes replacements that were cut short, and removes what they left.
func (f *files) tidy() error {
	entries, err := readDir(filepath.Join(f.dir, nextDir))
	if err != nil {
		return err
	}
	latest := map[string]uint64{}
	for _, e := range entries {
		if n, number, ok := parseNumbered(e.Name()); ok {
			latest[n] = max(latest[n], number)
		}
	}
	for n, number := range latest {
		// Without a live one the replacement has lost its place half-way. With one, it is not known which of the two is the older, and either is good.
		if _, err := os.Lstat(f.livePath(n)); errors.Is(err, fs.ErrNotExist) {
			if err := step.Rename(filepath.Join(f.dir, nextDir, fmt.Sprintf("%s-%d", n, number)), f.livePath(n)); err != nil {
				return err
			}
			f.logger.Warn("opossum: the replacement of a read model was cut short, and is finished", "name", n)
		} else if err != nil {
			return err
		}
	}
	return errors.Join(removeStore(filepath.Join(f.dir, nextDir)), removeStore(filepath.Join(f.dir, goneDir)))
}

func parseNumbered(entry string) (n string, number uint64, ok bool) {
	i := strings.LastIndexByte(entry, '-')
	if i < 0 || name.Check("read model", entry[:i]) != nil {
		return "", 0, false
	}
	number, err := strconv.ParseUint(entry[i+1:], 10, 64)
	return entry[:i], number, err == nil
}

func (f *files) Live(id Identity) (Store, error) {
	leave, err := f.enter(id)
	if err != nil {
		return nil, err
	}
	defer leave()
	if f.find(f.live, id.Name) != nil {
		return nil, isOpenAlready(id.Name)
	}
	s, err := f.openStore(f.livePath(id.Name), id)
	if err != nil {
		return nil, err
	}
	f.opened(f.live, s)
	return s, nil
}

func (f *files) Build(id Identity, fresh bool) (Store, error) {
	leave, err := f.enter(id)
	if err != nil {
		return nil, err
	}
	defer leave()
	if f.find(f.builds, id.Name) != nil {
		return nil, isOpenAlready(id.Name)
	}
	path := f.buildPath(id.Name)
	var s *fileStore
	err = ErrUnfit
	if !fresh {
		s, err = f.openStore(path, id)
	}
	if errors.Is(err, ErrUnfit) {
		if err = f.putAway(path, id.Name); err == nil {
			err = f.createStore(path, id)
		}
		if err == nil {
			s, err = f.openStore(path, id)
		}
	}
	if err != nil {
		return nil, err
	}
	s.building = true
	f.opened(f.builds, s)
	return s, nil
}

// putAway removes a directory, if there is one, so that nothing of it can turn up in a new one of the same name, whatever a power cut brings back.
func (f *files) putAway(path, name string) error {
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	gone, err := f.numbered(goneDir, name)
	if err != nil {
		return err
	}
	if err := step.Rename(path, gone); err != nil {
		return err
	}
	return removeStore(gone)
}

func (f *files) Interrupted(id Identity) bool {
	leave, err := f.enter(id)
	if err != nil {
		return false
	}
	defer leave()
	if f.find(f.builds, id.Name) != nil {
		return false
	}
	l, _, err := loadLog(f.buildPath(id.Name))
	return err == nil && l.id.fits(id) == nil
}

func (f *files) Replace(id Identity) error {
	leave, err := f.enter(id)
	if err != nil {
		return err
	}
	defer leave()
	b, old := f.find(f.builds, id.Name), f.find(f.live, id.Name)
	if b == nil {
		return notBuilt(id.Name)
	}
	if err := b.id.fits(id); err != nil {
		return err
	}
	if err := b.endAhead(); err != nil {
		return err
	}
	left, err := f.replace(b, old)
	if err != nil {
		return err
	}
	f.mu.Lock()
	f.live[id.Name] = b
	delete(f.builds, id.Name)
	f.mu.Unlock()
	if left != "" {
		f.removeLater(left)
	}
	return nil
}

// replace takes the build out of its place first, so that what is found there is never what was live. Then the two change places, in one step where the system has such a
// step. Whatever fails or is killed in between, tidy knows what to do; after an error it may be called again. It returns what has to be removed: a live one that is not open.
func (f *files) replace(b, old *fileStore) (left string, err error) {
	name := b.id.Name
	live := f.livePath(name)
	b.mu.Lock() // whoever reads by path waits
	defer b.mu.Unlock()
	if old != nil {
		old.mu.Lock()
		defer old.mu.Unlock()
	}
	if _, err := os.Lstat(live); errors.Is(err, fs.ErrNotExist) {
		if err := step.Rename(b.path, live); err != nil {
			return "", err
		}
	} else {
		next, err := f.numbered(nextDir, name)
		if err != nil {
			return "", err
		}
		gone, err := f.numbered(goneDir, name)
		if err != nil {
			return "", err
		}
		if err := step.Rename(b.path, next); err != nil {
			return "", err
		}
		b.move(next)
		if left, err = exchange(next, live, gone); err != nil {
			if step.Rename(next, f.buildPath(name)) == nil { // where it is gone on with, should this be the end
				b.move(f.buildPath(name))
			}
			return "", err
		}
	}
	b.move(live)
	b.building = false
	if err := b.folder.dropScratch(); err != nil { // as the next opening does
		f.logger.Warn("opossum: a temporary file of a read model could not be removed yet", "path", live, "error", err)
	}
	if old == nil {
		return left, nil
	}
	old.move(left)
	old.replaced = true
	return "", nil
}

// exchangeInTwo puts what is at next to live, and what was there to gone. Between its two steps there is no live one; tidy makes the second one then.
func exchangeInTwo(next, live, gone string) (away string, err error) {
	if err := step.Rename(live, gone); err != nil {
		return "", err
	}
	if err := step.Rename(next, live); err != nil {
		return "", errors.Join(err, step.Rename(gone, live))
	}
	return gone, nil
}

// removeLater removes what nobody needs. If that fails, the next opening does.
func (f *files) removeLater(path string) {
	if err := removeStore(path); err != nil {
		f.logger.Warn("opossum: what is left of a read model could not be removed yet", "path", path, "error", err)
	}
}

// Close ends all that are open, and gives the lock back. It is idempotent.
func (f *files) Close() error {
	f.life.Lock()
	defer f.life.Unlock()
	if f.closed {
		return nil
	}
	f.closed = true
	f.mu.Lock()
	open := slices.Collect(maps.Keys(f.open))
	f.mu.Unlock()
	var errs []error
	for _, s := range open {
		errs = append(errs, s.Close())
	}
	return errors.Join(append(errs, f.lock.Unlock())...)
}

// forget is told of a store that was closed.
func (f *files) forget(s *fileStore) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.open, s)
	for _, in := range []map[string]*fileStore{f.live, f.builds} {
		if in[s.id.Name] == s {
			delete(in, s.id.Name)
		}
	}
}

// removeStore removes a directory and what is in it, the index log first: without it the rest is nothing, even to somebody who finds it half removed.
func removeStore(path string) error {
	if err := step.Remove(filepath.Join(path, logName)); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) {
		return err
	}
	return step.RemoveAll(path)
}

// makeDirs makes a directory and those above it, where they are missing.
func makeDirs(path string) error {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return nil
	}
	err := step.Mkdir(path, 0o755)
	if errors.Is(err, fs.ErrNotExist) && filepath.Dir(path) != path {
		if err = makeDirs(filepath.Dir(path)); err == nil {
			err = step.Mkdir(path, 0o755)
		}
	}
	return err
}

// readDir returns what is in a directory; of one that is missing, nothing.
func readDir(path string) ([]fs.DirEntry, error) {
	d, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	entries, err := d.ReadDir(-1)
	return entries, errors.Join(err, d.Close())
}

package projection

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sync/errgroup"

	"opossum/dcb"
	"opossum/internal/step"
)

// fileStore is one read model in files.
//
// # Why what opens is right
//
// Let the log say: at checkpoint C there are the states I. RIGHT, of a key, is a file with the state as of C, or as of a position above C, or none if there is no state as of C.
// A fold that goes on from C, and passes over the events that a state includes, makes of right files what a fold from the first event makes: for each key it starts with the
// outcome of some of its events, in order, and applies exactly the ones after these.
//
// While the system runs, every file is right at every moment. Save announces in the log the keys that it is about to change, then puts the files in place, each in one step,
// then writes the checkpoint, then removes the files of states that are deleted as of it. Before the checkpoint line, the files are those of the old checkpoint or of
// positions above it, because no event up to the old checkpoint is left to be applied; after it, those of the new one. So a killed process leaves right files and an index
// that is right but for the keys that were announced. These are looked at, and the result is written down before anything else is. The same holds for a Save that fails.
//
// A power cut may leave each file, independently, as it was at any time, or missing, or damaged, and may bring back removed ones; and of the log what was written at any time,
// cut anywhere, or rubbish. A log that a checksum vouches for up to a checkpoint has been the log of this directory at some time: so (C, I) was true, if not lately. A file that
// is intact has been right at some time, so it is the state as of its position. If that is above C, it is right. If it is not, and I has the key, it is right if and only if it
// is of the very position that I says: that of the last event of the key up to C. If I does not have the key, there is no state as of C; then the file is right if it is
// missing, and is removed if it is damaged or of a position up to C. Everything else is ErrUnfit. This needs nothing of the order in which the disk took what was written.
// It needs that no file gets into a directory from another one: a new directory is made for each build, and states of different read models never share one.
//
// Which of the two it was is told by the session: nothing of the first paragraph is believed unless the last one that wrote to the log was in the same run of the system.
type fileStore struct {
	stores   *files
	id       Identity
	building bool // nobody else looks at it: files need not appear in one step; only who saves looks at this, and at ahead
	ahead    *ahead

	saving sync.Mutex // is held by Save and Close

	mu       sync.RWMutex // is held, for reading, while a file is read; for writing, when the index changes, or one of these
	path     string
	replaced bool // it is removed when it is closed
	closed   bool
	folder   *folder
	at       Checkpoint
	tombs    map[string]dcb.Position // deletions above the checkpoint; their files say so

	index   *Index
	log     extent
	session string
	cut     bool                // something may stand in the log behind its extent
	torn    []string            // keys that a failed Save has announced
	zombies map[string]struct{} // keys whose files could not be removed
	damaged atomic.Bool         // somebody has met a file that is
	again   int                 // lines of the log below which compacting it is not tried again, after it failed
}

// tempPrefix begins the names of temporary files.
const tempPrefix = ".tmp-"

// tempNames makes names that never meet those that a killed process has left.
type tempNames struct{ store, last uint64 }

func newTempNames() tempNames { return tempNames{store: rand.Uint64()} }

func (n *tempNames) next() string {
	n.last++
	return tempPrefix + strconv.FormatUint(n.store, 16) + "-" + strconv.FormatUint(n.last, 16)
}

// createStore makes the directory of an empty one.
func (f *files) createStore(path string, id Identity) error {
	if err := makeDirs(path); err != nil {
		return err
	}
	log, err := step.OpenFile(filepath.Join(path, logName), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	text := compact(id, NewIndex(), nil, Checkpoint{})
	if session := f.session(log.Name()); session != "" {
		text = appendSession(text, session)
	}
	return errors.Join(step.Write(log, text), log.Close())
}

// Compacted returns the index log of a read model in a directory as compacting would write it, but for the session: read models that were folded from the same events, by the
// same definition, have equal ones, as they have equal state files. Errors: ErrUnfit.
func Compacted(dir string) ([]byte, error) {
	l, _, err := loadLog(dir)
	if err != nil {
		return nil, err
	}
	return compact(l.id, l.index, l.tombs, l.at), nil
}

// loadLog reads the log in a directory. The error Is ErrUnfit and names the file, unless it is the system's; without a directory it Is dcb.ErrNotFound as well.
func loadLog(path string) (l logged, size int64, err error) {
	path = filepath.Join(path, logName)
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !isThere(filepath.Dir(path)):
		return l, 0, fmt.Errorf("%w: %w: %w", ErrUnfit, dcb.ErrNotFound, err)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.EISDIR), errors.Is(err, syscall.EIO):
		return l, 0, fmt.Errorf("%w: %w", ErrUnfit, err)
	case err != nil:
		return l, 0, err
	}
	if l, err = readLog(text); err != nil {
		return l, 0, fmt.Errorf("%w: %s: %w", ErrUnfit, path, err)
	}
	return l, int64(len(text)), nil
}

func isThere(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// openStore opens what is in a directory, and puts it right if somebody was killed there.
func (f *files) openStore(path string, id Identity) (*fileStore, error) {
	l, size, err := loadLog(path)
	if err == nil {
		err = l.id.fits(id)
	}
	if err != nil {
		return nil, err
	}
	folder, err := openFolder(path)
	if err != nil {
		return nil, err
	}
	s := &fileStore{stores: f, id: id, path: path, folder: folder, index: l.index, at: l.at, tombs: l.tombs, zombies: map[string]struct{}{},
		session: f.session(filepath.Join(path, logName))}
	if err := s.recover(l, size); err != nil {
		return nil, errors.Join(err, folder.close())
	}
	return s, nil
}

// recover makes index and files agree, see [fileStore].
func (s *fileStore) recover(l logged, size int64) error {
	names, err := s.list()
	if err != nil {
		return err
	}
	trusted := s.session != "" && l.session == s.session && l.rot == ""
	announced := map[string]bool{}
	if s.log = l.sound; trusted {
		s.log = l.whole
		for _, ch := range l.tail {
			announced[ch.info.Key] = true
		}
	}
	s.cut = size > s.log.size

	var doubtful []string
	for _, key := range s.keys() {
		file := fileName(key)
		if _, ok := names[file]; !ok {
			return fmt.Errorf("%w: %s is missing", ErrUnfit, filepath.Join(s.path, file))
		}
		delete(names, file)
		if !trusted || announced[key] {
			doubtful = append(doubtful, key)
		}
	}
	extra, err := s.identify(names)
	if err != nil {
		return err
	}
	for key := range announced { // and no file of it
		if !s.known(key).there() {
			extra[key] = struct{}{}
		}
	}
	for key := range extra {
		doubtful = append(doubtful, key)
	}
	lines, err := s.settle(doubtful, func(key string) bool { return announced[key] })
	if err != nil {
		return err
	}
	if s.session != "" && l.session != s.session {
		lines = appendSession(lines, s.session)
	}
	if len(lines) > 0 || s.cut {
		if err := s.append(appendCheckpoint(s.log.sum, lines, s.at)); err != nil {
			return err
		}
	}
	s.removeZombies()
	return nil
}

// list returns the names of the state files, and removes what is left of writes that were cut short.
func (s *fileStore) list() (map[string]struct{}, error) {
	entries, err := readDir(s.path)
	if err != nil {
		return nil, err
	}
	names := make(map[string]struct{}, len(entries))
	for _, e := range entries {
		switch n := e.Name(); {
		case strings.HasPrefix(n, tempPrefix):
			if err := s.folder.remove(n); err != nil {
				return nil, err
			}
		case strings.HasSuffix(n, extension) && !e.IsDir():
			names[n] = struct{}{}
		}
	}
	return names, nil
}

// identify returns the keys of files that the index does not know; those that are no states are removed.
func (s *fileStore) identify(names map[string]struct{}) (map[string]struct{}, error) {
	keys := map[string]struct{}{}
	for n := range names {
		r, err := s.readFile(n)
		switch {
		case errors.Is(err, dcb.ErrCorrupt):
			if err := s.folder.remove(n); err != nil {
				return nil, err
			}
		case err != nil:
			return nil, err
		default:
			keys[r.Key] = struct{}{}
		}
	}
	return keys, nil
}

// keys returns those of which the index knows something.
func (s *fileStore) keys() []string {
	keys := make([]string, 0, s.index.Len()+len(s.tombs))
	s.index.Where(func(i Info) bool {
		keys = append(keys, i.Key)
		return false
	})
	for key := range s.tombs {
		keys = append(keys, key)
	}
	return keys
}

func (s *fileStore) known(key string) known {
	if i, ok := s.index.Get(key); ok {
		return known{info: i}
	}
	if p, ok := s.tombs[key]; ok {
		return known{info: Info{Key: key, Position: p}, tomb: true}
	}
	return known{}
}

func (k known) there() bool { return k.info.Key != "" }

// settle looks at the files of keys, and makes the index say what they are. It returns the lines that the log needs for that: of the keys that are always to be said, and of
// those that were not what the index knew. REQUIRES: saving is held, or s is not shared yet.
func (s *fileStore) settle(keys []string, always func(key string) bool) (lines []byte, err error) {
	type verdict struct {
		is     known
		remove bool
	}
	verdicts := make([]verdict, len(keys))
	var g errgroup.Group
	workers := min(runtime.GOMAXPROCS(0), 1+len(keys)/100)
	for w := range workers {
		g.Go(func() error {
			for i := w; i < len(keys); i += workers {
				r, err := s.readFile(fileName(keys[i]))
				if err == nil && r.Key != keys[i] { // two keys of one name: nobody has seen that
					err = s.corrupt(fileName(keys[i]), fmt.Sprintf("is of the state %.80q", r.Key))
				}
				if verdicts[i].is, verdicts[i].remove, err = judge(s.known(keys[i]), s.at.Position, r, err); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, key := range keys {
		was, is := s.known(key), verdicts[i].is
		if verdicts[i].remove {
			s.zombies[key] = struct{}{}
		}
		if is.tomb == was.tomb && is.info.equal(was.info) && !always(key) {
			continue
		}
		delete(s.tombs, key)
		switch {
		case !is.there():
			s.index.Remove(key)
			lines = appendDeletion(lines, key, s.at.Position)
		case is.tomb:
			s.index.Remove(key)
			s.tombs[key] = is.info.Position
			lines = appendDeletion(lines, key, is.info.Position)
		default:
			s.index.Put(is.info)
			lines = appendInfo(lines, is.info)
		}
	}
	return lines, nil
}

// append appends whole lines to the log. After an error, what it wrote of them is cut off by the next one.
func (s *fileStore) append(lines []byte) error {
	f, err := os.OpenFile(filepath.Join(s.path, logName), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	if s.cut {
		err = step.Truncate(f, s.log.size)
	}
	s.cut = true
	if err == nil {
		err = step.WriteAt(f, lines, s.log.size)
	}
	if err = errors.Join(err, f.Close()); err == nil {
		s.cut = false
		s.log.add(lines)
	}
	return err
}

// readFile returns the record in a file. What is no record Is dcb.ErrCorrupt.
func (s *fileStore) readFile(file string) (Record, error) {
	text, err := s.folder.read(file)
	if errors.Is(err, syscall.EIO) || errors.Is(err, syscall.ELOOP) {
		return Record{}, s.corrupt(file, err.Error())
	}
	if err != nil {
		return Record{}, err
	}
	r, err := decodeRecord(text)
	if err != nil {
		return Record{}, s.corrupt(file, err.Error())
	}
	if fileName(r.Key) != file {
		return Record{}, s.corrupt(file, fmt.Sprintf("is of the state %.80q", r.Key))
	}
	return r, nil
}

func (s *fileStore) corrupt(file, reason string) error {
	return &dcb.CorruptError{File: filepath.Join(s.path, file), Reason: reason}
}

func (s *fileStore) Checkpoint() Checkpoint {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.at
}

func (s *fileStore) Index() *Index { return s.index }

func (s *fileStore) Get(key string) (Record, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return Record{}, dcb.ErrClosed
	}
	was := s.known(key) // it stays so while mu is held
	switch {
	case !was.there():
		return Record{}, noState(key)
	case was.tomb:
		return Record{Key: key, Position: was.info.Position}, nil
	}
	r, err := s.readFile(fileName(key))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = s.corrupt(fileName(key), "is missing")
	case err == nil && r.Position < was.info.Position:
		r, err = Record{}, s.corrupt(fileName(key), fmt.Sprintf("is of position %d, older than the index says: %d", r.Position, was.info.Position))
	}
	if errors.Is(err, dcb.ErrCorrupt) {
		s.damaged.Store(true)
	}
	return r, err
}

// saved is what Save does with one record.
type saved struct {
	Record
	was    known
	remove bool // its file goes, after the checkpoint
	left   bool // there is a file, of a state that was deleted
}

func (s *fileStore) Save(records []Record, at Checkpoint) error {
	if err := checkRecords(records); err != nil {
		return err
	}
	s.saving.Lock()
	defer s.saving.Unlock()
	if s.closed {
		return dcb.ErrClosed
	}
	if err := s.mend(); err != nil {
		return err
	}
	todo, lines := s.plan(records, at)
	if len(todo) > 0 {
		if err := s.append(lines); err != nil {
			return err
		}
		for i := range todo {
			s.torn = append(s.torn, todo[i].Key)
		}
		if err := s.writeAll(todo); err != nil {
			return errors.Join(err, s.mend())
		}
	}
	if err := s.append(appendCheckpoint(s.log.sum, nil, at)); err != nil {
		return errors.Join(err, s.mend())
	}
	s.torn = nil
	s.publish(todo, at)
	s.removeZombies()
	if s.log.lines > 2*s.index.Len()+slackLines && s.log.lines > s.again {
		s.compact()
	}
	return nil
}

// plan returns what has to be done for records that have not been kept yet, and the lines that announce it.
func (s *fileStore) plan(records []Record, at Checkpoint) (todo []saved, lines []byte) {
	for _, r := range records {
		d := saved{Record: r, was: s.known(r.Key)}
		switch {
		case d.was.there() && d.was.info.Position == r.Position:
			continue
		case r.Deleted() && r.Position <= at.Position:
			// No tombstone: until the checkpoint is written, the old state is there; then no event of it comes again.
			if d.remove = true; !d.was.there() {
				continue
			}
		}
		if r.Deleted() {
			lines = appendDeletion(lines, r.Key, r.Position)
		} else {
			lines = appendInfo(lines, InfoOf(r))
		}
		todo = append(todo, d)
	}
	return todo, lines
}

// writeAll puts the files of records in their places, in any order: all of them are announced. A build has nothing else to do meanwhile, and does it on all processors.
func (s *fileStore) writeAll(todo []saved) error {
	for i := range todo {
		_, todo[i].left = s.zombies[todo[i].Key]
		delete(s.zombies, todo[i].Key)
	}
	workers := 1
	if s.building {
		workers = min(runtime.GOMAXPROCS(0), 1+len(todo)/filesPerWorker)
	}
	g, ctx := errgroup.WithContext(context.Background())
	for w := range workers {
		g.Go(func() error {
			for i := w; i < len(todo) && ctx.Err() == nil; i += workers {
				if err := s.write(&todo[i]); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// errOccupied says that something is there which is no file that a build has made ahead.
var errOccupied = errors.New("occupied")

// filesPerWorker are worth a goroutine.
const filesPerWorker = 16

// write puts the file of a record in its place. It may be called for several at once where the store is a build.
func (s *fileStore) write(d *saved) error {
	if d.remove {
		return nil
	}
	text, name := encodeRecord(d.Record), fileName(d.Key)
	there := d.was.there() || d.left
	if !s.building {
		return s.folder.put(name, text, !there)
	}
	if !there {
		if err := s.folder.putBuilt(name, text); err != errOccupied {
			return err
		}
	}
	s.mu.Lock() // the old file is written over by the next swap: nobody may be reading it
	defer s.mu.Unlock()
	if !there {
		return s.folder.put(name, text, false)
	}
	return s.folder.swap(name, text)
}

// publish takes in what a checkpoint has made true.
func (s *fileStore) publish(todo []saved, at Checkpoint) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at = at
	for i := range todo {
		d := &todo[i]
		delete(s.tombs, d.Key)
		switch {
		case d.remove:
			s.index.Remove(d.Key)
			s.zombies[d.Key] = struct{}{}
		case d.Deleted():
			s.index.Remove(d.Key)
			s.tombs[d.Key] = d.Position
		default:
			s.index.Put(InfoOf(d.Record))
		}
	}
	for key, p := range s.tombs {
		if p <= at.Position {
			delete(s.tombs, key)
			s.zombies[key] = struct{}{}
		}
	}
}

// mend makes index and log agree with the files after a Save that failed. If it fails, too, the next Save tries again.
func (s *fileStore) mend() error {
	if len(s.torn) == 0 {
		return nil
	}
	lines, err := s.settle(s.torn, func(string) bool { return true })
	if err == nil {
		err = s.append(appendCheckpoint(s.log.sum, lines, s.at))
	}
	if err != nil {
		return err
	}
	s.torn = nil
	s.removeZombies()
	return nil
}

// removeZombies removes the files that mean nothing any more. Those that cannot be removed are tried again by the next Save, and by the next opening.
func (s *fileStore) removeZombies() {
	for key := range s.zombies {
		if err := s.folder.remove(fileName(key)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			s.stores.logger.Warn("opossum: the file of a deleted state could not be removed yet", "path", s.path, "key", key, "error", err)
			continue
		}
		delete(s.zombies, key)
	}
}

// slackLines is how many lines of a log may say nothing more before it is compacted, beside as many as there are states.
const slackLines = 1000

// compact replaces the log by the shortest one. It is not needed: what goes wrong is told to the logger, and tried again when the log has grown by a half.
func (s *fileStore) compact() {
	if err := s.tryCompact(); err != nil {
		s.again = s.log.lines + s.log.lines/2
		s.stores.logger.Warn("opossum: the index of a read model could not be compacted", "path", s.path, "error", err)
	}
}

func (s *fileStore) tryCompact() error {
	text := compact(s.id, s.index, s.tombs, s.at)
	path := filepath.Join(s.path, logName)
	temp := filepath.Join(s.path, s.folder.temps.next())
	f, err := step.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	session := s.stores.session(temp) // which knows the new file, whatever its name
	if session != "" {
		text = appendSession(text, session)
	}
	if err = errors.Join(step.Write(f, text), f.Close()); err == nil {
		err = step.Rename(temp, path)
	}
	if err != nil {
		return errors.Join(err, step.Remove(temp))
	}
	s.log, s.cut, s.session = newExtent(), false, session
	s.log.add(text)
	return nil
}

// move is told that the directory is at another path. REQUIRES: mu is held.
func (s *fileStore) move(path string) {
	s.path = path
	s.folder.moved(path)
}

// noSession is that of a log that nobody shall trust.
const noSession = "none: a damaged state was met"

// distrust has the next one who opens the store verify everything, and find what is damaged before anybody reads it: a program may be too short for a rebuild.
func (s *fileStore) distrust() error {
	return s.append(appendCheckpoint(s.log.sum, appendSession(nil, noSession), s.at))
}

func (s *fileStore) Close() error {
	s.saving.Lock()
	defer s.saving.Unlock()
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	path, replaced := s.path, s.replaced
	err := errors.Join(s.endAhead(), s.folder.close())
	s.mu.Unlock()
	switch lines, live := s.log.lines, s.index.Len()+len(s.tombs)+3; {
	case replaced || len(s.torn) > 0:
	case s.damaged.Load():
		err = errors.Join(err, s.distrust())
	case lines > live+live/2:
		s.compact()
	}
	if s.stores.forget(s); replaced {
		s.stores.removeLater(path)
	}
	return err
}

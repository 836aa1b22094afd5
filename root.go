package opossum

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"

	"opossum/internal/lock"
	"opossum/internal/step"
	"opossum/recovery"
)

// Root is a directory of contexts: named stores, each in a directory of its own, with an engine and options of its own. Contexts share the disk and
// nothing else: no lock, no goroutine, no memory budget, no position. One that is slow, hangs or is poisoned holds up no other.
//
// A root has no owner, its contexts have: several processes may open the same root, and each of them own other contexts. All methods are safe for
// concurrent use.
//
// A name has 1 to 64 bytes: lower-case ASCII letters, digits, '-', '_' and '.'. It begins with a letter or a digit and does not end with a dot. Names of
// devices on Windows ("con", "nul.txt", "com1") and of the parts of a store ("wal", "events") are refused.
type Root struct {
	dir  string
	opts RootOptions
	open opener

	mu      sync.Mutex         // of what follows; never held over a call that touches a disk
	engines map[string]*Engine // the last one of each context that was opened here; its user may have closed it
	tasks   map[string]*task   // the contexts that are just being opened or deleted
	closed  bool
	closing struct {
		sync.Once
		err error
	}
}

// opener is the function open, or what a test puts in its place.
type opener func(dir string, opts *Options, h hooks) (*Engine, error)

// task is the opening or the deletion of a context, one at a time for each name.
type task struct {
	done chan struct{} // closed when it is over
	err  error         // of an opening that failed; set before done
}

// RootOptions of a root. The zero value of each field is its default; nil RootOptions are all defaults.
type RootOptions struct {
	// Defaults are the options of every context that has none in Contexts.
	Defaults Options
	// Contexts are the options of single contexts, by name. They stand for Defaults as a whole: nothing of the two is mixed. That a name is here
	// does not create it.
	Contexts map[string]Options
	// Create makes Root.Context create a context that does not exist. Default: it returns ErrNoContext.
	Create bool
}

// Validate reports every name of a context that breaks the rules of [Root], and every field of any Options that is out of range, with the context that
// it is of, as an error that Is ErrInvalidOption.
func (o *RootOptions) Validate() error {
	if o == nil {
		return nil
	}
	errs := invalid("Defaults", o.Defaults)
	for _, name := range slices.Sorted(maps.Keys(o.Contexts)) {
		if err := checkName(name); err != nil {
			errs = append(errs, fmt.Errorf("in Contexts: %w", err))
		}
		errs = append(errs, invalid(fmt.Sprintf("Contexts[%.80q]", name), o.Contexts[name])...)
	}
	return errors.Join(errs...)
}

// invalid lists what is wrong with the options of a context, as Open would find it.
func invalid(of string, o Options) []error {
	filled := o.filled()
	err := filled.Validate()
	each := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		each = joined.Unwrap()
	}
	var errs []error
	for _, err := range each {
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", of, err))
		}
	}
	return errs
}

// of returns the options of a context.
func (o *RootOptions) of(name string) Options {
	own, ok := o.Contexts[name]
	if !ok {
		own = o.Defaults
	}
	if own.Logger != nil {
		own.Logger = own.Logger.With("context", name)
	}
	return own
}

// readOnly reports whether every context would be opened read-only.
func (o *RootOptions) readOnly() bool {
	for _, own := range o.Contexts {
		if !own.ReadOnly {
			return false
		}
	}
	return o.Defaults.ReadOnly
}

// Confirmation says that a deletion is meant.
type Confirmation string

// ConfirmDelete is the only [Confirmation] that Root.Delete takes.
const ConfirmDelete Confirmation = "delete the context and all of its events"

var errRootClosed = fmt.Errorf("%w, with its root", ErrClosed)

// OpenRoot opens the root of contexts in dir. It opens no context, and keeps no copy of what is on the disk. nil opts are the defaults. The directory is
// created if it is missing, and what deletions that did not finish have left is removed; if all contexts are read-only nothing is created or changed.
//
// The loggers of the contexts get the attribute "context", the name.
//
// Errors: ErrInvalidOption; ErrNotRoot if dir is a store, or what is left of one; ErrReadOnly if dir cannot be created; fs.ErrNotExist if it is missing and
// all contexts are read-only; those of the file system.
func OpenRoot(dir string, opts *RootOptions) (*Root, error) { return openRoot(dir, opts, open) }

func openRoot(dir string, opts *RootOptions, open opener) (*Root, error) {
	r := &Root{open: open, engines: map[string]*Engine{}, tasks: map[string]*task{}}
	if opts != nil {
		r.opts = *opts
		r.opts.Contexts = maps.Clone(opts.Contexts)
	}
	err := r.opts.Validate()
	if err == nil {
		r.dir, err = filepath.Abs(dir)
	}
	if err == nil {
		err = r.prepare()
	}
	if err != nil {
		return nil, fmt.Errorf("opossum: open root %s: %w", dir, asReadOnly(err))
	}
	return r, nil
}

// prepare makes the directory, and makes sure that it is one for contexts.
func (r *Root) prepare() error {
	if !r.opts.readOnly() {
		if err := makeDir(r.dir); err != nil {
			return err
		}
	}
	if err := recovery.CheckStore(r.dir); err == nil {
		return fmt.Errorf("%w: it is a store, or what is left of one, which Open opens", ErrNotRoot)
	} else if !errors.Is(err, ErrNotStore) {
		return err
	}
	if r.opts.readOnly() {
		return nil
	}
	if err := r.sweep(); err != nil { // what is left harms no context
		r.logger().Warn("opossum: what is left of deleted contexts is not removed", "dir", r.dir, "error", err)
	}
	return nil
}

func (r *Root) logger() *slog.Logger {
	filled := r.opts.Defaults.filled()
	return filled.Logger
}

func (r *Root) path(name string) string { return filepath.Join(r.dir, name) }

// Context returns the engine of a context. The first call opens it, as Open would, and later ones return the same engine; calls that come while it is being
// opened wait, and get the same engine or the same error. An error is not kept: the next call tries again.
//
// The engine may be closed like any other. The next call then waits until it is closed, and opens the context anew. A poisoned engine is returned like a
// healthy one, because its reads go on and others may be using it; Engine.Close and Context leave the poison behind.
//
// Errors: ErrInvalidOption if the name breaks the rules of [Root]; ErrNoContext if there is no such context, and RootOptions.Create is not set or
// the context is read-only; ErrNotStore if its directory holds other things; ErrClosed; fs.ErrNotExist if another process deletes it in this moment;
// else those of Open.
func (r *Root) Context(name string) (*Engine, error) {
	if err := checkName(name); err != nil {
		return nil, fmt.Errorf("opossum: context: %w", err)
	}
	for {
		r.mu.Lock()
		e, running := r.engines[name], r.tasks[name]
		switch {
		case r.closed:
			r.mu.Unlock()
			return nil, fmt.Errorf("opossum: context %q: %w", name, errRootClosed)
		case running != nil:
			r.mu.Unlock()
			<-running.done
			if running.err != nil {
				return nil, running.err
			}
		case e != nil && !e.closed.Load():
			r.mu.Unlock()
			return e, nil
		default:
			t := r.begin(name)
			r.mu.Unlock()
			return r.openContext(t, name, e)
		}
	}
}

// begin makes a task of a name that has none. REQUIRES: mu is held.
func (r *Root) begin(name string) *task {
	t := &task{done: make(chan struct{})}
	r.tasks[name] = t
	return t
}

// end ends a task and says which engine the context has now.
func (r *Root) end(t *task, name string, e *Engine) (closed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.tasks, name)
	if e == nil {
		delete(r.engines, name)
	} else {
		r.engines[name] = e
	}
	close(t.done)
	return r.closed
}

// openContext opens a context whose last engine, if it has one, is closed or being closed.
func (r *Root) openContext(t *task, name string, last *Engine) (e *Engine, err error) {
	defer func() {
		t.err = err
		if r.end(t, name, e) && err == nil {
			e, err = nil, fmt.Errorf("opossum: context %q: %w", name, errRootClosed) // Close closes the engine
		}
	}()
	if last != nil {
		_ = last.Close() // returns when it is closed; its error was told to who closed it
	}
	o, h := r.opts.of(name), hooks{}
	if o.ReadOnly || !r.opts.Create {
		exists := func() error { return r.exists(name) }
		if err := exists(); err != nil {
			return nil, fmt.Errorf("opossum: context %q: %w", name, err)
		}
		h.locked = exists // another process may have deleted it meanwhile: it is not to come back as an empty one
	}
	return r.open(r.path(name), &o, h)
}

// exists returns nil if the context exists.
func (r *Root) exists(name string) error {
	there, err := recovery.Exists(r.path(name))
	if err == nil && !there {
		err = fmt.Errorf("%w in %s", ErrNoContext, r.dir)
	}
	return err
}

// List returns the names of the contexts that exist on the disk, sorted, whether they are open or not. Damaged ones are among them. Files, directories that
// are no stores, and creations and deletions that did not finish are not: nothing of them is a context. Contexts that are open here are not
// looked into, so that one that hangs does not hold up List.
//
// With an error it returns the names that it could tell. Errors: ErrClosed; ErrInvalidOption if there is a store under a name that no context can
// have, which nothing here can open, and which must not be overlooked; those of the file system.
func (r *Root) List() ([]string, error) {
	names, err := r.list()
	if err != nil {
		return names, fmt.Errorf("opossum: list contexts of %s: %w", r.dir, err)
	}
	return names, nil
}

func (r *Root) list() (names []string, err error) {
	r.mu.Lock()
	closed, engines := r.closed, maps.Clone(r.engines)
	r.mu.Unlock()
	if closed {
		return nil, errRootClosed
	}
	entries, err := os.ReadDir(r.dir) // sorted
	errs := []error{err}
	for _, entry := range entries {
		name := entry.Name()
		if isDeletedName(name) {
			continue
		}
		if e := engines[name]; e != nil && !e.closed.Load() {
			names = append(names, name)
			continue
		}
		there, err := recovery.Exists(r.path(name))
		unfit := checkName(name)
		switch {
		case there && unfit == nil:
			names = append(names, name)
		case there:
			errs = append(errs, fmt.Errorf("%s is a store, and no context: %w", r.path(name), unfit))
		case err != nil && unfit == nil && !errors.Is(err, ErrNotStore):
			errs = append(errs, err)
		}
	}
	return names, errors.Join(errs...)
}

// Opened yields the names and engines of the contexts that are open here when the loop begins, in the order of their names. It opens nothing: what looks at contexts, say to
// scrape their metrics, must not bring them to life. The sequence can be used any number of times.
func (r *Root) Opened() iter.Seq2[string, *Engine] {
	return func(yield func(string, *Engine) bool) {
		r.mu.Lock()
		engines := maps.Clone(r.engines)
		r.mu.Unlock()
		for _, name := range slices.Sorted(maps.Keys(engines)) {
			if e := engines[name]; !e.closed.Load() && !yield(name, e) {
				return
			}
		}
	}
}

// Delete deletes a context and all of its events, for ever. confirm must be ConfirmDelete. An engine of it that is open here is closed first; what it
// could not write is deleted with the rest. The context is gone at once and as a whole: after a crash in the middle it is either there, complete, or not there,
// and what is left of it, under a name that begins with ".deleted-", is removed by the next OpenRoot or Delete. After Delete returned nil it is durably gone.
//
// Errors: ErrInvalidOption if confirm is anything else, or the name breaks the rules of [Root]; ErrNoContext; ErrNotStore if the directory holds other
// things; ErrLocked if somebody else owns it; ErrReadOnly if its options or the file system say so; ErrClosed; those of the file system, also for a context that is
// a link or a mount point: what that leads to is not for Delete to remove. After an error nothing was removed that the next Context could miss; an engine may have
// been closed. Read-only engines elsewhere are not asked: they end with ErrReopen.
func (r *Root) Delete(name string, confirm Confirmation) error {
	if err := r.delete(name, confirm); err != nil {
		return fmt.Errorf("opossum: delete context %.80q: %w", name, asReadOnly(err))
	}
	return nil
}

func (r *Root) delete(name string, confirm Confirmation) error {
	if err := checkName(name); err != nil {
		return err
	}
	if confirm != ConfirmDelete {
		return fmt.Errorf("%w: confirm is %.80q, want ConfirmDelete: all events of the context would be lost", ErrInvalidOption, string(confirm))
	}
	o := r.opts.of(name)
	if o.ReadOnly {
		return errOpenedReadOnly
	}
	t, e, err := r.claim(name)
	if err != nil {
		return err
	}
	defer func() { r.end(t, name, e) }()
	if err := r.remove(name, e); err != nil {
		return err
	}
	e = nil
	logger := o.filled().Logger
	logger.Info("opossum: context deleted", "dir", r.path(name))
	if err := r.sweep(); err != nil {
		return fmt.Errorf("it is gone, but its files are not all removed, or the disk may not know it yet; the next OpenRoot or Delete goes on: %w", err)
	}
	return nil
}

// claim begins a task of a name as soon as it has none, and returns its last engine.
func (r *Root) claim(name string) (*task, *Engine, error) {
	for {
		r.mu.Lock()
		running := r.tasks[name]
		switch {
		case r.closed:
			r.mu.Unlock()
			return nil, nil, errRootClosed
		case running == nil:
			defer r.mu.Unlock()
			return r.begin(name), r.engines[name], nil
		}
		r.mu.Unlock()
		<-running.done
	}
}

// remove takes its name from a context: the files lie under the name of a deleted one then, which is not yet durable.
func (r *Root) remove(name string, e *Engine) error {
	dir := r.path(name)
	if err := r.exists(name); err != nil {
		return err
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return &fs.PathError{Op: "remove", Path: dir, Err: errors.New("it is a link to a directory elsewhere")}
	}
	if e != nil {
		_ = e.Close() // see Delete
	}
	l, err := lock.Take(filepath.Join(dir, recovery.LockFile))
	if err != nil {
		return err
	}
	if runtime.GOOS == "windows" {
		err = l.Unlock() // no directory with an open file is renamed there, ours or that of a new owner
	}
	if err == nil {
		err = step.Rename(dir, r.path(deletedName(name, rand.Uint64())))
	}
	return errors.Join(err, l.Unlock())
}

// sweep removes what is left of deleted contexts, after it has made sure that a power cut does not give one its name back.
func (r *Root) sweep() error {
	entries, err := os.ReadDir(r.dir)
	if err != nil {
		return err
	}
	entries = slices.DeleteFunc(entries, func(e fs.DirEntry) bool { return !e.IsDir() || !isDeletedName(e.Name()) })
	if len(entries) == 0 {
		return nil
	}
	if err := step.SyncDir(r.dir); err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		errs = append(errs, step.RemoveAll(r.path(e.Name())))
	}
	return errors.Join(errs...)
}

// Close closes the engines of all contexts, at the same time, and returns when they are closed, with the errors of them all. Openings and deletions in
// progress are waited for; an engine that is just opened is closed. Everything but Close gets ErrClosed from now on. Close is idempotent.
func (r *Root) Close() error {
	r.closing.Do(func() {
		r.mu.Lock()
		r.closed = true
		tasks := maps.Clone(r.tasks)
		names := maps.Clone(r.engines)
		for name := range tasks {
			names[name] = nil
		}
		r.mu.Unlock()

		sorted := slices.Sorted(maps.Keys(names))
		errs := make([]error, len(sorted))
		var all sync.WaitGroup
		for i, name := range sorted {
			all.Go(func() { errs[i] = r.closeContext(name, tasks[name]) })
		}
		all.Wait()
		r.closing.err = errors.Join(errs...)
	})
	return r.closing.err
}

// closeContext closes what a context has open when a task, if there is one, is over.
func (r *Root) closeContext(name string, running *task) error {
	if running != nil {
		<-running.done
	}
	r.mu.Lock()
	e := r.engines[name]
	r.mu.Unlock()
	if e == nil {
		return nil
	}
	if err := e.Close(); err != nil {
		return fmt.Errorf("context %q: %w", name, err)
	}
	return nil
}

package opossum

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gofrs/flock"

	"opossum/internal/eventfile"
	"opossum/internal/follower"
	"opossum/internal/index"
	"opossum/internal/lock"
	"opossum/internal/sequencer"
	"opossum/internal/step"
	"opossum/internal/storage"
	"opossum/ledger"
	"opossum/materializer"
	"opossum/query"
	"opossum/recovery"
	"opossum/wal"
)

// Engine is an open event store. It owns its directory until Close. All methods are safe for concurrent use.
type Engine struct {
	dir    string
	opts   Options
	logger *slog.Logger

	storage  *Storage              // what the disk was found to be like; nil: it could not be measured
	strategy Flush                 // what Options.Flush comes to there
	flush    sequencer.FlushPolicy // and what that means

	lock   *flock.Flock
	files  *eventfile.Store
	log    *wal.Log
	index  *index.Index
	places *index.Places
	ledger *ledger.Ledger
	seq    *sequencer.Sequencer
	mat    *materializer.Materializer
	follow *follower.Follower // of a read-only engine, which has no lock, log, seq and mat
	reads  *query.Executor
	report RecoveryReport

	poison atomic.Pointer[error]
	disk   struct { // what ledger.json says; the materializer writes it while the engine is open, Close at the end
		sync.Mutex
		state ledger.State
	}
	closing struct {
		sync.Once
		err error
	}
	closed   atomic.Bool
	watchdog sync.WaitGroup
	quit     chan struct{}
}

// hooks are where tests reach into an engine, and a Root by locked.
type hooks struct {
	locked      func() error // the lock is taken, and nothing else changed; an error ends the opening
	wal         wal.Options
	snapshotted func()
	free        func() (uint64, error)
	measure     func(dir string, now func() time.Time) (Storage, error)
}

// Open opens the store in dir, which is created if it does not exist, and takes its lock. nil opts are safe defaults. After a crash it
// recovers first: Recovery tells what it found.
//
// With Options.ReadOnly it creates, changes and locks nothing, and shows everything that was acknowledged before the call.
//
// Errors: ErrInvalidOption; ErrLocked (names the owner's pid); ErrNotStore if dir holds other things; ErrVersion if a newer version
// wrote it; ErrReadOnly if it cannot be written to; ErrCorrupt if acknowledged events are damaged or missing, naming file and offset.
// Read-only: fs.ErrNotExist and ErrNotStore if there is no store; never ErrLocked or ErrReadOnly.
func Open(dir string, opts *Options) (*Engine, error) { return open(dir, opts, hooks{}) }

func open(dir string, opts *Options, h hooks) (*Engine, error) {
	o := opts.filled()
	if err := o.Validate(); err != nil {
		return nil, fmt.Errorf("opossum: open: %w", err)
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("opossum: open: %w", err)
	}
	e := &Engine{dir: abs, opts: o, logger: o.Logger, quit: make(chan struct{})}
	if o.ReadOnly {
		if err := e.openReadOnly(); err != nil {
			return nil, fmt.Errorf("opossum: open %s read-only: %w", abs, err)
		}
		return e, nil
	}
	if err := e.open(h); err != nil {
		return nil, fmt.Errorf("opossum: open %s: %w", abs, asReadOnly(err))
	}
	return e, nil
}

// open goes from the bottom of the house to the top: lock, files, recovery, log, index, sequencer, materializer. What was opened is
// closed again if a later step fails.
func (e *Engine) open(h hooks) (err error) {
	start := time.Now()
	var undo []func() error
	defer func() {
		if err != nil {
			for i := len(undo) - 1; i >= 0; i-- {
				err = errors.Join(err, undo[i]())
			}
		}
	}()
	if err := makeDir(e.dir); err != nil {
		return err
	}
	if err := checkForeign(e.dir); err != nil {
		return err
	}
	if e.lock, err = lock.Take(filepath.Join(e.dir, recovery.LockFile)); err != nil {
		return err
	}
	undo = append(undo, e.lock.Unlock)
	if h.locked != nil {
		if err := h.locked(); err != nil {
			return err
		}
	}
	e.chooseFlush()
	if e.files, err = eventfile.Open(filepath.Join(e.dir, recovery.EventsDir)); err != nil {
		return err
	}
	undo = append(undo, e.files.Close)
	e.files.BoundCache(e.opts.CacheBytes)
	opened, found, err := e.recover()
	if err != nil {
		return err
	}
	e.disk.state = opened.Ledger

	for _, damage := range found.Damaged {
		e.logger.Warn("opossum: a damaged index segment is dropped, what it held is indexed anew", "error", damage)
	}
	id := wal.StoreID(opened.Ledger.Store)
	e.places = index.NewPlaces(opened.Report.Materialized)
	loaded, err := recovery.Load(opened, found, e.files, index.Config{
		Dir: filepath.Join(e.dir, recovery.IndexDir), Seed: id.Seed(), RecentBytes: e.opts.RecentBytes,
		Damaged: func() { e.mat.Mend() }, Spare: func() (uint64, error) { return e.seq.Spare() },
	}, e.places)
	if err != nil {
		return err
	}
	e.index = loaded.Index
	undo = append(undo, func() error { e.index.Close(); return nil })
	h.wal.Logger, h.wal.Spare = e.logger, func() (uint64, error) { return e.spare(h) }
	if e.log, err = wal.Open(filepath.Join(e.dir, recovery.WALDir), id, opened.Live, opened.Tail, opened.TailNo, h.wal); err != nil {
		return err
	}
	e.report = opened.Report
	for _, r := range loaded.Built {
		e.report.IndexBuilt += uint64(r.Last-r.First) + 1
	}
	e.report.Took = time.Since(start)
	e.ledger = ledger.New(e.report.Materialized, e.index.Base(), e.report.Head)
	e.learnStorage(h.measure)
	e.start(id.Seed(), loaded.Backlog, h)
	e.logger.Info("opossum: opened", "dir", e.dir, "report", e.report.String(),
		"flush", e.strategy, "group_wait", e.flush.GroupWait, "storage", e.storageClass())
	return nil
}

// chooseFlush settles what Options.Flush comes to, as far as the storage has no say in it: recovery must know whether the engine is relaxed.
func (e *Engine) chooseFlush() {
	e.strategy = e.opts.Flush
	if e.strategy == FlushAuto {
		e.strategy = FlushBatch
	}
	e.flush = e.opts.policy()
}

// learnStorage recalls what the disk is like, or measures it if nobody has: a new store, one that was copied to another disk. That nothing can be measured
// stops nobody. FlushAuto gets the group wait that suits the disk, unless the options have one.
func (e *Engine) learnStorage(measure func(dir string, now func() time.Time) (Storage, error)) {
	if measure == nil {
		measure = storage.Measure
	}
	m, known := storage.Load(e.dir)
	if !known {
		var err error
		if m, err = measure(e.dir, time.Now); err == nil {
			known, err = true, storage.Store(e.dir, m)
		}
		if err != nil {
			e.logger.Warn("opossum: the storage is not measured, or that is not kept", "dir", e.dir, "error", err)
		}
		if reason := m.Unfit(); reason != "" {
			e.logger.Warn("opossum: the storage is none for what must last", "dir", e.dir, "reason", reason)
		}
	}
	if !known {
		return
	}
	e.storage = &m
	if e.opts.Flush == FlushAuto && e.opts.GroupWait == 0 {
		e.flush.GroupWait = m.Class.GroupWait()
	}
}

// Storage returns what the disk was found to be like when the store was first opened on it. false: it could not be measured, or, of a read-only engine, nobody
// has.
func (e *Engine) Storage() (Storage, bool) {
	if e.storage == nil {
		return Storage{}, false
	}
	return *e.storage, true
}

func (e *Engine) storageClass() StorageClass {
	m, _ := e.Storage()
	return m.Class
}

// spare returns the bytes of free space that the log may write beforehand, which nobody else lays claim to: none where that would save nothing. Without a floor it is
// all there is: appends may take the last of it, but not what the log can do without.
func (e *Engine) spare(h hooks) (uint64, error) {
	if m, known := e.Storage(); known && m.CopiesOnWrite() {
		return 0, nil
	}
	if e.opts.MinFreeBytes < 0 {
		return e.freeSpace(h)
	}
	return e.seq.Spare()
}

func (e *Engine) freeSpace(h hooks) (uint64, error) {
	if h.free != nil {
		return h.free()
	}
	return freeBytes(e.dir)
}

// start sets the parts in motion. From here on nothing fails.
func (e *Engine) start(seed, backlog uint64, h hooks) {
	free := func() (uint64, error) { return e.freeSpace(h) }
	if e.opts.MinFreeBytes < 0 {
		free = func() (uint64, error) { return 1 << 62, nil }
	}
	e.seq = sequencer.New(sequencer.Config{
		Log: e.log, Ledger: e.ledger, Index: e.index, Places: e.places, Seed: seed,
		Flush: e.flush, Limits: e.opts.limits(), Backlog: backlog, Free: free,
		Hurry: func() { e.mat.Hurry() }, Full: func() { e.mat.Tend() }, Clock: e.opts.Clock, Logger: e.logger,
		ID: e.idOf, Poisoned: e.poisoned, Snapshotted: h.snapshotted,
	})
	e.reads = query.New(query.Config{
		Ledger: e.ledger, Index: e.index, Places: e.places, Log: e.log, Files: e.files, Seed: seed, Trace: e.traceReads(),
	})
	e.mat = materializer.New(materializer.Config{
		Ledger: e.ledger, Log: e.log, Index: e.index, Places: e.places, Files: e.files, Seed: seed, Logger: e.logger,
		Checkpoint: e.checkpoint, Filed: e.seq.Filed, Sealed: e.seq.Sealed, NoSpace: e.seq.NoSpace,
		Sync: e.seq.Sync, Fetch: e.eventAt,
		Busy: e.seq.Busy, Held: e.seq.Held, Lag: e.seq.Lag, Failed: e.seq.Poison,
		LooseEvents: e.opts.LooseEvents, Spare: e.seq.Spare,
	})
	e.mat.Start()
	e.watchdog.Go(e.watch)
}

// recover inspects and decides twice if need be: what looks like a clean close may be read from the page cache, but where
// anything has to be judged, the disk is asked.
func (e *Engine) recover() (recovery.Opened, index.Found, error) {
	var state recovery.State
	var plan recovery.Plan
	for _, fromDisk := range []bool{false, true} {
		var err error
		if state, err = recovery.Inspect(e.dir, e.files, fromDisk); err != nil {
			return recovery.Opened{}, index.Found{}, err
		}
		if plan, err = recovery.Decide(state); err != nil {
			return recovery.Opened{}, index.Found{}, err
		}
		if plan.Outcome != recovery.Recovered {
			break
		}
	}
	if plan.Outcome == recovery.Recovered {
		e.logger.Warn("opossum: recovering", "dir", e.dir, "plan", plan.String())
	}
	opened, err := recovery.Apply(e.dir, state, plan, e.files, e.flush.Relaxed(), time.Now())
	return opened, state.Index, err
}

// makeDir creates dir with its parents, and makes the new names durable: an event is no safer than the directory that it is in.
func makeDir(dir string) error {
	if info, err := os.Stat(dir); err == nil {
		if !info.IsDir() {
			return &fs.PathError{Op: "open", Path: dir, Err: syscall.ENOTDIR}
		}
		return nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	parent := filepath.Dir(dir)
	if err := makeDir(parent); err != nil {
		return err
	}
	if err := step.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return step.SyncDir(parent)
}

// checkForeign refuses a directory of other things before anything is put into it.
func checkForeign(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	return recovery.CheckNames(dir, entries)
}

// Append appends the events atomically: all of them, at adjacent positions, or none. It returns the position of the last one, when
// they are durable (see Flush and WhenDurable). With a condition it appends only if the condition holds at that very moment.
//
// It keeps no reference to its arguments. Encoded, the events of one append may have 16 MiB.
//
// Repeating an append is safe if its events have IDs and its condition matches one of them: an append that is found to have
// happened before returns its position again. (A condition that does not match its own events cannot tell; put a tag for
// the purpose into the events and into FailIfExists.)
//
// The end of ctx before the append is staged means "not written"; after that the error Is both ctx's and ErrOutcomeUnknown.
//
// Errors: ErrNoEvents, ErrInvalidEvent, ErrTooLarge, ErrInvalidQuery: the input; ErrConditionFailed, ErrAlreadyExists: the
// condition, with a *ConditionFailedError; ErrDiskFull, ErrPoisoned, ErrClosed, ErrReadOnly: certainly not written; ErrOutcomeUnknown.
func (e *Engine) Append(ctx context.Context, events []Event, cond *Condition, opts ...AppendOption) (Position, error) {
	if e.follow != nil {
		return 0, fmt.Errorf("opossum: append: %w", errOpenedReadOnly)
	}
	var o appendOptions
	for _, opt := range opts {
		opt.apply(&o)
	}
	if e.opts.Tracer == nil {
		return e.seq.Append(ctx, events, cond, o.whenDurable)
	}
	end := e.opts.Tracer.Start(ctx, Operation{Name: OperationAppend, Store: e.dir, Events: len(events)})
	p, err := e.seq.Append(ctx, events, cond, o.whenDurable)
	out := Outcome{Events: len(events), Position: p, Err: err}
	if err != nil {
		out.Events = 0
	}
	end(out)
	return p, err
}

// Read returns a view of the events that match q, within o, pinned at the present head: whatever is appended while it is
// iterated, and however many items the query has, it shows one moment. Its Head is a safe After for a condition.
// Errors: ErrInvalidQuery, ErrClosed, ctx's.
func (e *Engine) Read(ctx context.Context, q Query, o ReadOptions) (*View, error) {
	return e.reads.Read(ctx, q, o)
}

// ReadLast returns the newest event that matches q. The error Is ErrNotFound if there is none.
func (e *Engine) ReadLast(ctx context.Context, q Query) (SequencedEvent, error) {
	return e.reads.ReadLast(ctx, q)
}

// Subscribe returns the events that match q after a position: first those that exist, then those that come, without gap,
// duplicate or polling. Errors: ErrInvalidQuery, ErrClosed, ctx's.
func (e *Engine) Subscribe(ctx context.Context, q Query, after Position) (*Subscription, error) {
	return e.reads.Subscribe(ctx, q, after)
}

// Head returns the highest readable position, 0 when the store is empty.
func (e *Engine) Head() Position { return e.ledger.Get(ledger.Visible) }

// Durable returns the highest position that is durable: no power cut takes back anything up to here. In a strict strategy it is Head.
// A read-only engine shows only what is durable, except beside a relaxed owner.
func (e *Engine) Durable() Position { return e.ledger.Get(ledger.Durable) }

// WaitDurable returns when everything up to p is durable. It prompts a sync if p is readable already, and else waits until it is. A read-only engine
// prompts nothing, and waits until its owner has come so far. Errors: ctx's, ErrClosed, ErrPoisoned; read-only: ErrReopen, ErrCorrupt.
func (e *Engine) WaitDurable(ctx context.Context, p Position) error {
	if e.Durable() >= p {
		return nil
	}
	if err := e.ledger.Wait(ctx, ledger.Visible, p); err != nil {
		return fmt.Errorf("opossum: wait durable: %w", err)
	}
	if err := e.Sync(ctx); err != nil {
		return err
	}
	if err := e.ledger.Wait(ctx, ledger.Durable, p); err != nil {
		return fmt.Errorf("opossum: wait durable: %w", err)
	}
	return nil
}

// Materialized returns the highest checkpointed position: up to here every event is durably in its file.
func (e *Engine) Materialized() Position { return e.ledger.Get(ledger.Materialized) }

// WaitMaterialized returns when everything up to p is filed and checkpointed. It prompts both: filing then goes ahead of appends.
// A read-only engine prompts nothing, and waits until its owner has come so far. Errors: ctx's, ErrClosed, ErrPoisoned; read-only: ErrReopen, ErrCorrupt.
func (e *Engine) WaitMaterialized(ctx context.Context, p Position) error {
	if e.ledger.Get(ledger.Materialized) >= p {
		return nil
	}
	if err := e.ledger.Wait(ctx, ledger.Visible, p); err != nil {
		return fmt.Errorf("opossum: wait materialized: %w", err)
	}
	if err := e.Sync(ctx); err != nil { // only what is durable is filed
		return err
	}
	wait := e.waitForOwner
	if e.follow == nil {
		wait = e.mat.Wait
	}
	if err := wait(ctx, p); err != nil {
		return fmt.Errorf("opossum: wait materialized: %w", err)
	}
	return nil
}

// Sync returns when everything acknowledged before the call is durable. By default that is so already; a read-only engine syncs
// nothing and returns nil.
// Errors: ctx's, ErrClosed, ErrPoisoned.
func (e *Engine) Sync(ctx context.Context) error {
	if e.closed.Load() {
		return fmt.Errorf("opossum: sync: %w", ErrClosed)
	}
	if e.follow != nil {
		return nil
	}
	return e.seq.Sync(ctx)
}

// Recovery returns what Open found and did.
func (e *Engine) Recovery() RecoveryReport { return e.report }

// StoreID returns the identity of the store, made when it was created, as text.
func (e *Engine) StoreID() string {
	e.disk.Lock()
	defer e.disk.Unlock()
	return e.disk.state.Store.String()
}

// Dir returns the absolute path of the store's directory.
func (e *Engine) Dir() string { return e.dir }

// PauseFiling returns when no event file is being written, and none will be until resume is called, any number of times, or the
// engine is closed: for measurements, and for tools that copy the files. Appends go on until MaxLag.
// Errors: ctx's; ErrReadOnly of a read-only engine.
func (e *Engine) PauseFiling(ctx context.Context) (resume func(), err error) {
	if e.follow != nil {
		return nil, fmt.Errorf("opossum: pause filing: %w", errOpenedReadOnly)
	}
	return e.mat.Pause(ctx)
}

// Pack packs every whole shard of 10,000 events that is materialized, whatever Options.LooseEvents says, and does not step aside for appends. progress, if not nil, is
// called now and then with how many events of how many are done. What was packed before an error stays packed.
// Errors: ErrInvalidOption if Options.LooseEvents is KeepLoose; ErrDiskFull; ErrCorrupt; ErrReadOnly; ErrClosed; ctx's.
func (e *Engine) Pack(ctx context.Context, progress func(done, total uint64)) error {
	if e.follow == nil && e.opts.LooseEvents == KeepLoose {
		return fmt.Errorf("opossum: pack: %w: LooseEvents is KeepLoose, which never packs", ErrInvalidOption)
	}
	return e.repack("pack", func() error { return e.mat.Pack(ctx, progress) })
}

// Unpack turns all packs back into event files: one for each event. It is for an engine with LooseEvents KeepLoose; any other would pack them again.
// progress is as in Pack. What was unpacked before an error stays so.
// Errors: ErrInvalidOption if Options.LooseEvents is not KeepLoose; ErrDiskFull; ErrCorrupt; ErrReadOnly; ErrClosed; ctx's.
func (e *Engine) Unpack(ctx context.Context, progress func(done, total uint64)) error {
	if e.follow == nil && e.opts.LooseEvents != KeepLoose {
		return fmt.Errorf("opossum: unpack: %w: LooseEvents is %d, and has to be KeepLoose: else they would be packed again", ErrInvalidOption, e.opts.LooseEvents)
	}
	return e.repack("unpack", func() error { return e.mat.Unpack(ctx, progress) })
}

func (e *Engine) repack(what string, do func() error) error {
	err := error(nil)
	switch {
	case e.follow != nil:
		err = errOpenedReadOnly
	case e.closed.Load():
		err = ErrClosed
	default:
		err = do()
	}
	if err != nil {
		return fmt.Errorf("opossum: %s: %w", what, err)
	}
	return nil
}

// Close commits what is staged, checkpoints what is filed, seals the index, records the clean end, and releases the directory. It does
// not wait for the backlog: the next Open goes on with it. Iterators yield ErrClosed from now on. Close is idempotent; a poisoned
// engine closes without a checkpoint, and recovers at the next Open.
func (e *Engine) Close() error {
	e.closing.Do(func() {
		e.closed.Store(true)
		end := e.close
		if e.follow != nil {
			end = e.closeReadOnly
		}
		if err := end(); err != nil {
			e.closing.err = fmt.Errorf("opossum: close: %w", err)
			e.logger.Error("opossum: closed, with an error", "dir", e.dir, "error", err)
			return
		}
		e.logger.Info("opossum: closed", "dir", e.dir)
	})
	return e.closing.err
}

// close goes from the top of the house to the bottom.
func (e *Engine) close() error {
	e.seq.Close()
	close(e.quit)
	e.watchdog.Wait()
	errs := []error{e.cleanEnd()}
	e.ledger.Fail(ErrClosed) // no number moves any more
	e.reads.Close()
	e.index.Close()
	return errors.Join(append(errs, e.log.Close(), e.files.Close(), e.lock.Unlock())...)
}

// cleanEnd stops filing and writes the witness of a clean close, unless something failed before: then nothing is
// promised that recovery has not looked at.
func (e *Engine) cleanEnd() error {
	if e.poison.Load() != nil {
		e.mat.Abort()
		_ = e.mat.Stop() // the error is the poison, which was reported when it happened
		return nil
	}
	syncErr := error(nil)
	if e.flush.Relaxed() {
		if syncErr = e.log.Sync(); syncErr == nil {
			e.ledger.Advance(ledger.Durable, e.log.Durable())
		}
	}
	if err := errors.Join(syncErr, e.mat.Stop()); err != nil || e.poison.Load() != nil {
		return err
	}
	if err := e.log.Finish(); err != nil { // a witness must never speak for what is not on the disk
		return err
	}
	// The next Open is quicker by what needs not be indexed again. It could do without.
	if err := e.sealIndex(); err != nil {
		e.logger.Warn("opossum: the index is not sealed or not merged at the end", "error", err)
	}
	e.disk.Lock()
	defer e.disk.Unlock()
	e.disk.state.Clean = recovery.EndOf(e.log.Witness())
	return ledger.Store(e.dir, e.disk.state)
}

// sealIndex seals the index at the end. It merges what is small, too: each program that opens the store to append an event leaves a
// segment more, and has gone before merging in the background comes to it.
func (e *Engine) sealIndex() error {
	err := e.index.Seal(e.log.Durable())
	for merged := err == nil; merged && err == nil; {
		merged, err = e.index.MergeSmall(context.Background())
	}
	return err
}

// checkpoint makes s durable as Materialized.
func (e *Engine) checkpoint(s Position) error {
	e.disk.Lock()
	defer e.disk.Unlock()
	next := e.disk.state
	next.Materialized = s
	if err := ledger.Store(e.dir, next); err != nil {
		return err
	}
	e.disk.state = next
	return nil
}

// poisoned is called once, with the first error after which nothing more may be written.
func (e *Engine) poisoned(err error) {
	e.poison.Store(&err)
	e.mat.Abort()
	e.logger.Error("opossum: poisoned, no append succeeds until the store is opened again", "error", err)
}

// idOf returns the ID of the event at p.
func (e *Engine) idOf(p Position) ([16]byte, error) {
	ev, err := e.reads.At(p)
	return ev.Event.ID, err
}

// eventAt returns the event at p, to build its index anew.
func (e *Engine) eventAt(p Position) (Event, error) {
	ev, err := e.reads.At(p)
	return ev.Event, err
}

package materializer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"opossum/dcb"
	"opossum/internal/eventfile"
	"opossum/internal/index"
	"opossum/ledger"
	"opossum/wal"
)

const (
	// checkpointEvery and checkpointEvents bound what a crash leaves to be filed again, and how long WaitMaterialized
	// waits unprompted.
	checkpointEvery  = time.Second
	checkpointEvents = 8192

	// heldEvents is after how many a checkpoint gives room to appends that are held back by lag: often enough that they move,
	// seldom enough that its three syncs are shared.
	heldEvents = 1024

	// retryEvery is how often a write that met a full disk is tried again.
	retryEvery = 200 * time.Millisecond
)

// KeepLoose, as Config.LooseEvents, keeps every event in a file of its own.
const KeepLoose = -1

// Config is what a materializer works on. All fields are required.
type Config struct {
	Ledger *ledger.Ledger
	Log    *wal.Log
	Index  *index.Index
	Places *index.Places
	Files  *eventfile.Store
	Seed   uint64
	Logger *slog.Logger

	// Checkpoint makes s durable as the new Materialized, in ledger.json.
	Checkpoint func(s dcb.Position) error
	// Filed is told, after a checkpoint, how many bytes of the log it covers.
	Filed func(bytes uint64)
	// Sealed is told that the index has moved from memory into segments.
	Sealed func()
	// Sync makes everything acknowledged durable, if flushing is relaxed: only what is durable is sealed.
	Sync func(context.Context) error
	// Fetch returns a filed event, to rebuild what turns out to be damaged.
	Fetch index.Fetch
	// NoSpace is told when filing stops for want of space, and when it goes on.
	NoSpace func(stopped bool)
	// Busy returns how long the committer has had something to do so far; Held whether appends wait for filing; Lag how much of what the backlog may be it is, from 0 to 1.
	Busy func() time.Duration
	Held func() bool
	Lag  func() float64
	// LooseEvents is how many of the newest events stay in files of their own when there is time to pack; KeepLoose packs none.
	LooseEvents int
	// Spare returns the bytes of disk that nobody lays claim to. Packing in idle time, which can do without, takes of those alone.
	Spare func() (uint64, error)
	// Failed is called once with the error that ended filing for good.
	Failed func(error)
}

// Materializer is a running pipeline. Its methods are safe for concurrent use.
type Materializer struct {
	cfg    Config
	every  uint64 // checkpointEvents; fewer in tests
	pacer  pacer
	ctx    context.Context
	cancel context.CancelFunc // ends all stages at once
	stop   chan struct{}      // closed: file no more, checkpoint what is filed, end
	once   sync.Once
	ended  chan struct{}
	err    error // valid once ended is closed

	turn   chan struct{} // held by pace while a burst is filed, and by Pause
	prompt chan struct{} // wakes the checkpoint stage
	hurry  chan struct{} // wakes pace
	tend   chan struct{} // wakes the index stage: something is full
	sealed chan struct{} // wakes the upkeep stage: there may be segments to be merged
	mend   chan struct{} // wakes it to rebuild damaged segments
	tidy   chan struct{} // wakes the packing stage: there may be shards to be packed
	base   sync.Mutex    // one at a time advances Indexed
	shards chan struct{} // held by who packs or unpacks a shard that is filed
	asked  atomic.Int32  // how many wait for Pack or Unpack: packing in idle time is in their way, and makes haste
	wants  wants
	stalls stalls

	stats struct{ files, packs, packed, checkpoints, trimmed atomic.Uint64 }
}

// New prepares a materializer that goes on from the ledger's Materialized; Start sets it in motion.
func New(cfg Config) *Materializer {
	ctx, cancel := context.WithCancel(context.Background())
	return &Materializer{
		cfg: cfg, every: checkpointEvents, ctx: ctx, cancel: cancel,
		pacer: newPacer(cfg.Busy),
		stop:  make(chan struct{}), ended: make(chan struct{}),
		turn: make(chan struct{}, 1), prompt: make(chan struct{}, 1), hurry: make(chan struct{}, 1),
		tend: make(chan struct{}, 1), sealed: make(chan struct{}, 1), mend: make(chan struct{}, 1), tidy: make(chan struct{}, 1),
		shards: make(chan struct{}, 1),
	}
}

// Start runs the stages until Stop or Abort. It is called once.
func (m *Materializer) Start() {
	m.Tend() // what Open read may have filled memory, and appends would wait for ever
	g, ctx := errgroup.WithContext(m.ctx)
	// The buffer lets filing go on while a checkpoint syncs.
	bursts, done := make(chan burst), make(chan filed, 16)
	g.Go(func() error { defer close(bursts); return m.pace(ctx, bursts) })
	g.Go(func() error { defer close(done); return m.file(ctx, bursts, done) })
	g.Go(func() error { return m.checkpoint(ctx, done) })
	g.Go(func() error { return m.index(ctx) })
	g.Go(func() error { return m.upkeep(ctx) })
	g.Go(func() error { return m.pack(ctx) })
	go func() {
		defer close(m.ended)
		if err := g.Wait(); err != nil && !errors.Is(err, context.Canceled) {
			m.err = err
			m.cfg.Failed(err)
		}
		m.cancel()
	}()
}

// Stop files no more, checkpoints what is filed, and waits for the end. It returns the error that ended filing, if any.
func (m *Materializer) Stop() error {
	m.once.Do(func() { close(m.stop) })
	<-m.ended
	m.shards <- struct{}{} // Pack and Unpack have noticed, too
	<-m.shards
	return m.err
}

// Abort ends filing without a checkpoint and does not wait: for an engine that is poisoned.
func (m *Materializer) Abort() { m.cancel() }

// Hurry lets filing go ahead of appends, and checkpoints, for as long as someone waits (Config.Held, Wait).
func (m *Materializer) Hurry() {
	poke(m.hurry)
	poke(m.prompt)
}

// Wait returns when everything up to p is filed and checkpointed, and prompts both: filing goes ahead of appends and
// the checkpoint does not wait for its time.
func (m *Materializer) Wait(ctx context.Context, p dcb.Position) error {
	defer m.wants.add(p)()
	m.Hurry()
	return m.cfg.Ledger.Wait(ctx, ledger.Materialized, p)
}

// Pause returns when no file is being written, and none will be until resume is called (any number of times) or the
// materializer ends. A checkpoint of what was filed before may still follow.
func (m *Materializer) Pause(ctx context.Context) (resume func(), err error) {
	select {
	case m.turn <- struct{}{}:
		var once sync.Once
		return func() { once.Do(func() { <-m.turn }) }, nil
	case <-m.ended:
		return func() {}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// wants are the positions that callers of Wait are waiting for.
type wants struct {
	mu  sync.Mutex
	all []dcb.Position
	top atomic.Uint64
}

// add notes p until the returned function is called.
func (w *wants) add(p dcb.Position) (remove func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, p)
	w.top.Store(uint64(slices.Max(w.all)))
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		i := slices.Index(w.all, p)
		w.all = slices.Delete(w.all, i, i+1)
		w.top.Store(uint64(slices.Max(append(w.all, 0))))
	}
}

// highest returns the highest position that is wanted, 0 if none is.
func (w *wants) highest() dcb.Position { return dcb.Position(w.top.Load()) }

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// pace is the first stage.
func (m *Materializer) pace(ctx context.Context, out chan<- burst) error {
	ctx, cancel := m.untilStop(ctx)
	defer cancel()
	at := filingAt{next: m.cfg.Ledger.Get(ledger.Materialized) + 1}
	for {
		if err := m.cfg.Ledger.Wait(ctx, ledger.Durable, at.next); err != nil {
			return m.unlessStopped(err)
		}
		select {
		case m.turn <- struct{}{}:
		case <-ctx.Done():
			return m.unlessStopped(ctx.Err())
		}
		b := planBurst(at, m.cfg.Ledger.Get(ledger.Durable), m.cfg.LooseEvents != KeepLoose, m.pacer.most())
		b.urgent, b.done = m.urgent(), make(chan outcome, 1)
		var how outcome
		select {
		case out <- b:
			how = <-b.done
		case <-ctx.Done():
		}
		<-m.turn
		if ctx.Err() != nil {
			return m.unlessStopped(ctx.Err())
		}
		at = at.after(b, how.unfit)
		m.rest(ctx, m.pacer.rest(b.packed, how.took, m.urgent(), m.cfg.Lag()))
	}
}

// untilStop returns a context that ends with Stop as well as with ctx.
func (m *Materializer) untilStop(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-m.stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// unlessStopped drops the error of a context that ended because of Stop.
func (m *Materializer) unlessStopped(err error) error {
	select {
	case <-m.stop:
		return nil
	default:
		return err
	}
}

// urgent reports whether someone waits for files.
func (m *Materializer) urgent() bool {
	return m.cfg.Held() || m.wants.highest() > m.cfg.Ledger.Get(ledger.Materialized)
}

// rest leaves the machine to the appends for a while. This is not waiting for something: it is the share that they get.
func (m *Materializer) rest(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-m.hurry:
	case <-ctx.Done():
	}
}

// stage names a stage that errors can hold up.
type stage uint8

const (
	filing stage = 1 << iota
	indexing
	checkpointing
	packing
)

// stalls are the stages that an error holds up: one that goes on does not speak for the other.
type stalls struct {
	mu   sync.Mutex
	held stage
	full stage // for want of space
}

func outOfSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// stall waits a while after an error, and says so once. It returns an error only when the materializer ends.
func (m *Materializer) stall(ctx context.Context, who stage, err error) error {
	m.stalls.mu.Lock()
	if m.stalls.held&who == 0 {
		m.stalls.held |= who
		m.cfg.Logger.Warn("opossum: filing is stalled", "error", err, "appends_refused", outOfSpace(err))
	}
	if m.stalls.full &^= who; outOfSpace(err) {
		m.stalls.full |= who
	}
	m.cfg.NoSpace(m.stalls.full != 0)
	m.stalls.mu.Unlock()

	t := time.NewTimer(retryEvery)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-m.stop:
		return context.Canceled
	case <-ctx.Done():
		return ctx.Err()
	}
}

// goOn ends a stall.
func (m *Materializer) goOn(who stage) {
	m.stalls.mu.Lock()
	defer m.stalls.mu.Unlock()
	m.stalls.held &^= who
	m.stalls.full &^= who
	m.cfg.NoSpace(m.stalls.full != 0)
	if m.stalls.held == 0 {
		m.cfg.Logger.Info("opossum: filing goes on")
	}
}

// checkpoint is the third stage.
func (m *Materializer) checkpoint(ctx context.Context, in <-chan filed) error {
	var (
		s     dcb.Position // filed up to here
		count uint64       // weight and bytes since the last checkpoint
		bytes uint64
		timer = time.NewTimer(checkpointEvery)
	)
	defer timer.Stop()
	for open := true; open; {
		due := false
		select {
		case f, ok := <-in:
			if open = ok; !ok {
				due = true
				break
			}
			if count == 0 {
				timer.Reset(checkpointEvery)
			}
			s, count, bytes = f.to, count+f.weight, bytes+f.bytes
			due = count >= m.every || m.awaited(s, count)
		case <-m.prompt:
			due = m.awaited(s, count)
		case <-timer.C:
			due = true
		case <-ctx.Done():
			return ctx.Err()
		}
		if !due || count == 0 {
			continue
		}
		if err := m.commit(ctx, s, bytes); err != nil {
			return err
		}
		count, bytes = 0, 0
	}
	return nil
}

// awaited reports whether someone waits for a checkpoint at s: a caller of Wait whose position it reaches, or an append that is held
// back and gets room from a weight of count. Either takes what there is when there is no more to be had.
func (m *Materializer) awaited(s dcb.Position, count uint64) bool {
	durable := m.cfg.Ledger.Get(ledger.Durable)
	if wanted := m.wants.highest(); wanted > m.cfg.Ledger.Get(ledger.Materialized) && s >= min(wanted, durable) {
		return true
	}
	return m.cfg.Held() && (s >= durable || count >= heldEvents)
}

// commit makes a checkpoint at s: index, syncfs, ledger, delete. The files up to s were written before it is called.
func (m *Materializer) commit(ctx context.Context, s dcb.Position, bytes uint64) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	start := time.Now()
	if err := m.seal(ctx, s, checkpointing); err != nil {
		return m.unlessStopped(err)
	}
	if err := m.cfg.Files.Sync(); err != nil {
		return fmt.Errorf("materializer: sync event files: %w", err)
	}
	if ctx.Err() != nil { // poisoned meanwhile
		return ctx.Err()
	}
	for stalled := false; ; stalled = true {
		err := m.cfg.Checkpoint(s)
		if err == nil {
			if stalled {
				m.goOn(checkpointing)
			}
			break
		}
		// What failed before the new state was synced can be tried again: no space, no descriptors, a directory that somebody
		// made read-only. A failed sync cannot: a second one would mean nothing.
		if !errors.Is(err, ledger.ErrUnsynced) && !outOfSpace(err) {
			return fmt.Errorf("materializer: checkpoint at %d: %w", s, err)
		}
		if err := m.stall(ctx, checkpointing, err); err != nil {
			return m.unlessStopped(err)
		}
	}
	m.stats.checkpoints.Add(1) // before anyone who waited for it may ask how many there were
	m.cfg.Ledger.Advance(ledger.Materialized, s)
	m.trim(s)
	m.cfg.Filed(bytes)
	m.pacer.spent(time.Since(start))
	poke(m.tidy)
	return nil
}

// trim deletes what the log no longer needs. A failure costs space, not safety: it is logged, and recovery removes the rest.
func (m *Materializer) trim(s dcb.Position) {
	n, err := m.cfg.Log.Trim(s)
	m.stats.trimmed.Add(uint64(n))
	m.cfg.Places.Trim(m.cfg.Log.FirstGeneration())
	if err != nil {
		m.cfg.Logger.Warn("opossum: cannot delete a log generation", "error", err)
	}
}

// Stats counts since Start.
type Stats struct {
	Files       uint64 // written
	Packs       uint64 // written
	Packed      uint64 // events in them
	Checkpoints uint64
	Trimmed     uint64 // log generations deleted
	Stalled     bool   // an error holds filing up; it is in the log
}

// Stats may be called at any time.
func (m *Materializer) Stats() Stats {
	m.stalls.mu.Lock()
	stalled := m.stalls.held != 0
	m.stalls.mu.Unlock()
	return Stats{
		Files: m.stats.files.Load(), Packs: m.stats.packs.Load(), Packed: m.stats.packed.Load(), Checkpoints: m.stats.checkpoints.Load(),
		Trimmed: m.stats.trimmed.Load(), Stalled: stalled,
	}
}

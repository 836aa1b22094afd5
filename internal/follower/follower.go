package follower

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"syscall"
	"time"

	"opossum/dcb"
	"opossum/internal/eventfile"
	"opossum/internal/index"
	"opossum/internal/segment"
	"opossum/ledger"
	"opossum/wal"
)

// Every is how often a follower refreshes by itself. An idle refresh costs some 0.1 ms.
const Every = 50 * time.Millisecond

// Config is what a follower reads. All fields are required.
type Config struct {
	Dir      string // of ledger.json
	WALDir   string
	IndexDir string
	Files    *eventfile.Store
	Fetch    index.Fetch // from the event files
	// RecentBytes is as in index.Config, but what the owner has not yet sealed must be in memory.
	RecentBytes int64
	Logger      *slog.Logger
}

// Follower shows a store at its last refresh. All methods are safe for concurrent use.
type Follower struct {
	cfg    Config
	opened ledger.State // the store and the epoch that it shows
	log    *wal.Reader
	index  *index.Index
	places *index.Places
	tail   *index.Tail
	ledger *ledger.Ledger

	listed  []segment.Range // as they were when segments were last adopted
	proven  dcb.Position    // positions up to here were acknowledged, say event files and segments
	stalled bool            // by an error that may pass, which was logged

	mu struct {
		sync.Mutex
		coming *refresh // the next one to begin
		failed error    // why there will be none any more
	}
	kick  chan struct{}
	quit  chan struct{}
	ended chan struct{}
}

// refresh is one that somebody may wait for.
type refresh struct {
	done chan struct{}
	err  error // valid once done is closed
}

// Open reads the store and goes on following it until Close. It shows everything that was acknowledged before the call.
//
// Errors: fs.ErrNotExist if there is no ledger.json; ErrVersion; ErrCorrupt if acknowledged events are damaged or missing; ErrReopen
// if a recovery raised the epoch at that very moment.
func Open(cfg Config) (*Follower, error) {
	f, err := open(cfg)
	if err != nil {
		return nil, err
	}
	go f.run()
	return f, nil
}

// open is Open without following.
func open(cfg Config) (*Follower, error) {
	state, err := ledger.Load(cfg.Dir)
	if err != nil {
		return nil, err
	}
	f := &Follower{
		cfg: cfg, opened: state, ledger: ledger.New(0, 0, 0),
		kick: make(chan struct{}, 1), quit: make(chan struct{}), ended: make(chan struct{}),
	}
	f.mu.coming = &refresh{done: make(chan struct{})}
	if err := f.prepare(state.Materialized); err != nil {
		return nil, err
	}
	if err := f.pass(); err != nil {
		return nil, errors.Join(err, f.release())
	}
	return f, nil
}

// prepare makes the index ready up to the checkpoint s.
func (f *Follower) prepare(s dcb.Position) (err error) {
	id := wal.StoreID(f.opened.Store)
	if err := f.cfg.Files.Bind(id.Seed()); err != nil {
		return err
	}
	if f.proven, _, err = f.cfg.Files.HighestValid(s); err != nil {
		return err
	}
	f.index, err = index.Open(index.Config{
		Dir: f.cfg.IndexDir, Seed: id.Seed(), RecentBytes: f.cfg.RecentBytes,
		Damaged: func() {}, // see Tail.InDoubt
	}, nil)
	if err != nil {
		return err
	}
	f.places = index.NewPlaces(s)
	f.tail = index.NewTail(f.index, f.places, id.Seed(), s)
	f.log = wal.NewReader(f.cfg.WALDir, id, s+1)
	if err := f.cover(s); err != nil {
		f.index.Close()
		return err
	}
	return nil
}

// run refreshes until Close, or an error that does not pass.
func (f *Follower) run() {
	defer close(f.ended)
	tick := time.NewTicker(Every)
	defer tick.Stop()
	for {
		select {
		case <-f.quit:
			f.fail(dcb.ErrClosed)
			return
		case <-tick.C:
		case <-f.kick:
		}
		if err := f.turn(); err != nil && !passing(err) {
			return
		}
	}
}

// turn is one refresh, for all who asked for one before it begins. An error that does not pass is final.
func (f *Follower) turn() error {
	f.mu.Lock()
	r := f.mu.coming
	f.mu.coming = &refresh{done: make(chan struct{})}
	f.mu.Unlock()
	r.err = f.pass()
	if r.err != nil && !f.stalled {
		f.cfg.Logger.Warn("opossum: cannot follow the store", "dir", f.cfg.Dir, "error", r.err, "tried_again", passing(r.err))
	}
	f.stalled = r.err != nil
	if r.err != nil && !passing(r.err) {
		f.fail(r.err) // before anyone is answered: what is read after a refresh that failed for good must fail, too
	}
	close(r.done)
	return r.err
}

// passing reports whether err may be gone at the next refresh, because it is about this process and not about the store.
func passing(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ENOMEM)
}

func (f *Follower) fail(err error) {
	f.mu.Lock()
	f.mu.failed = err
	f.mu.Unlock()
	f.ledger.Fail(err)
}

// Refresh returns when everything that was acknowledged before the call is shown.
// Errors: ctx's; ErrClosed; what Err returns; those that pass, such as too many open files.
func (f *Follower) Refresh(ctx context.Context) error {
	f.mu.Lock()
	r := f.mu.coming
	f.mu.Unlock()
	select {
	case f.kick <- struct{}{}:
	default: // somebody else's, which is not yet taken either
	}
	select {
	case <-r.done:
		return r.err
	case <-f.ended:
		return f.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Err returns why nothing is refreshed any more: ErrClosed after Close; ErrReopen if what was shown may have ceased to be true;
// ErrCorrupt; an error of the file system. nil while all is well.
func (f *Follower) Err() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mu.failed
}

// Ledger holds the numbers of what is shown. They are raised by refreshes, and end with Err.
func (f *Follower) Ledger() *ledger.Ledger { return f.ledger }

// Index returns the index of what is shown.
func (f *Follower) Index() *index.Index { return f.index }

// Places returns the places of events that may have no file yet.
func (f *Follower) Places() *index.Places { return f.places }

// Log returns the log, to read bodies from.
func (f *Follower) Log() *wal.Reader { return f.log }

// State returns ledger.json as it was when the store was opened.
func (f *Follower) State() ledger.State { return f.opened }

// Stop ends the refreshing: those who wait get ErrClosed. It is called once, before Close.
func (f *Follower) Stop() {
	close(f.quit)
	<-f.ended
}

// Close releases the files. REQUIRES: Stop was called, and nobody reads any more.
func (f *Follower) Close() error { return f.release() }

func (f *Follower) release() error {
	f.index.Close()
	return f.log.Close()
}

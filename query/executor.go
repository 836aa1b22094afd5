package query

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"opossum/dcb"
	"opossum/internal/eventfile"
	"opossum/internal/index"
	"opossum/ledger"
	"opossum/wal"
)

// Log is where the bodies of events are read that may have no file yet: a *wal.Log or a *wal.Reader.
type Log interface {
	ReadAt(p wal.Place, b []byte) error // Is wal.ErrTrimmed if everything there is filed
	Path(p wal.Place) string
}

// Config is what an executor reads from. All fields without a remark are required.
type Config struct {
	Ledger *ledger.Ledger
	Index  *index.Index
	Places *index.Places
	Log    Log
	Files  *eventfile.Store
	Seed   uint64
	// Failed, if set, returns why nothing may be read any more.
	Failed func() error
	// Trace, if set, is called when the events of a read, or of ReadLast, begin to be yielded, and what it returns when that ends.
	Trace func(ctx context.Context, last bool) func(events int, err error)
}

// Executor runs reads and subscriptions. All methods are safe for concurrent use.
type Executor struct {
	cfg Config
	// open is held for reading while files are accessed, and for writing by Close: when Close returns, no iterator touches
	// a file any more.
	open struct {
		sync.RWMutex
		closed atomic.Bool
	}
	stats struct {
		fromLog, fromFiles atomic.Uint64
		subscriptions      atomic.Int64
	}
}

// New returns an executor over cfg.
func New(cfg Config) *Executor { return &Executor{cfg: cfg} }

// Close makes every iterator yield ErrClosed from now on and waits for accesses in progress.
func (x *Executor) Close() {
	x.open.Lock()
	defer x.open.Unlock()
	x.open.closed.Store(true)
}

// Read pins the present head and returns a view of the events that match q, within o.
// Errors: ErrInvalidQuery, ErrClosed, ctx's.
func (x *Executor) Read(ctx context.Context, q dcb.Query, o dcb.ReadOptions) (*View, error) {
	if err := cmp.Or(ctx.Err(), q.Validate(), o.Validate(), x.closed()); err != nil {
		return nil, fmt.Errorf("opossum: read: %w", err)
	}
	return &View{x: x, ctx: ctx, q: q, o: o, head: x.cfg.Ledger.Get(ledger.Visible)}, nil
}

// ReadLast returns the newest event that matches q, by walking the index backwards. The error Is ErrNotFound if there is none.
func (x *Executor) ReadLast(ctx context.Context, q dcb.Query) (dcb.SequencedEvent, error) {
	v, err := x.Read(ctx, q, dcb.ReadOptions{Backwards: true, Limit: 1})
	if err != nil {
		return dcb.SequencedEvent{}, err
	}
	v.last = true
	for e, err := range v.All() {
		return e, err
	}
	return dcb.SequencedEvent{}, fmt.Errorf("opossum: read last: %w", dcb.ErrNotFound)
}

// At returns the event at p. The error Is ErrNotFound if p is 0 or beyond the head.
func (x *Executor) At(p dcb.Position) (dcb.SequencedEvent, error) {
	if p == 0 || p > x.cfg.Ledger.Get(ledger.Visible) {
		return dcb.SequencedEvent{}, fmt.Errorf("position %d: %w", p, dcb.ErrNotFound)
	}
	return x.fetch(p)
}

func (x *Executor) closed() error {
	x.open.RLock()
	defer x.open.RUnlock()
	if x.open.closed.Load() {
		return dcb.ErrClosed
	}
	if x.cfg.Failed != nil {
		return x.cfg.Failed()
	}
	return nil
}

// Stats counts since New.
type Stats struct {
	FromLog, FromFiles uint64 // events that were read there, also those that nobody took any more
	Subscriptions      int    // whose events are being yielded or waited for
}

// Stats may be called at any time.
func (x *Executor) Stats() Stats {
	return Stats{
		FromLog: x.stats.fromLog.Load(), FromFiles: x.stats.fromFiles.Load(), Subscriptions: int(x.stats.subscriptions.Load()),
	}
}

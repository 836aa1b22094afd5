package projection

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"opossum/dcb"
)

// Defaults of Options.
const (
	DefaultParallel    = 2
	DefaultAttempts    = 5
	DefaultMinDelay    = 50 * time.Millisecond
	DefaultMaxDelay    = 10 * time.Second
	DefaultBudgetBytes = 96 << 20
)

// AtStart says what is rebuilt when a read model is added.
type AtStart int

// What is rebuilt at the start. A rebuild that was interrupted is gone on with in any case.
const (
	RebuildUnfit AtStart = iota // what is missing, of another version or query, or damaged: the default
	RebuildAll                  // everything
	RebuildNone                 // nothing: what is unfit, or found damaged later, waits for Runner.Rebuild
)

// Options of a runner. The zero value of each field is its default.
type Options struct {
	// Stores keeps the states. Default: files, in the directory projections of the store that the events are from. It is closed with the runner.
	Stores Stores
	// AtStart says what is rebuilt when a read model is added. Default: RebuildUnfit.
	AtStart AtStart
	// Parallel is how many read models are rebuilt at a time. Default DefaultParallel.
	Parallel int
	// BudgetBytes is about how much memory states take, of each read model that follows or is rebuilt: those that are folded and not yet kept, and those that are kept for
	// the next events. It is judged by their JSON when they were looked at last, and the data of their events since. A rebuild that has room for all states writes each file once. Default
	// DefaultBudgetBytes.
	BudgetBytes int64
	// Attempts is how often an event that cannot be applied is tried in a row before the read model is parked. Default DefaultAttempts.
	Attempts int
	// MinDelay and MaxDelay bound the pause before another attempt: it is drawn from the upper half of a bound that begins with MinDelay and doubles until it is
	// MaxDelay. What is not the fault of an event, a full disk say, is tried again for ever. Defaults DefaultMinDelay, DefaultMaxDelay; if only one is set and the other's
	// default is on the wrong side of it, both are that one.
	MinDelay, MaxDelay time.Duration
	// Rand returns a number from 0 to less than 1, for the jitter. Default: that of math/rand/v2.
	Rand func() float64
	// Clock gives the time. Default: time.Now.
	Clock func() time.Time
	// Logger receives a line at each change of state. Default: none.
	Logger *slog.Logger
	// Tracer is told of rebuilds. Default: none. Package opossum/tracing has one for OpenTelemetry.
	Tracer Tracer
}

// Tracer is told of rebuilds. Its methods may be called by several goroutines at once.
type Tracer interface {
	// StartRebuild is called when a read model begins to be rebuilt, from a position. What it returns is called once, when that ends.
	StartRebuild(ctx context.Context, id Identity, from dcb.Position) (end func(Progress, error))
}

// Validate reports every field that is out of range, as an error that Is dcb.ErrInvalidOption.
func (o Options) Validate() error {
	var errs []error
	bad := func(field string, value any, want string) {
		errs = append(errs, fmt.Errorf("%w: %s is %v, want %s", dcb.ErrInvalidOption, field, value, want))
	}
	if o.AtStart < RebuildUnfit || o.AtStart > RebuildNone {
		bad("AtStart", o.AtStart, "RebuildUnfit, RebuildAll or RebuildNone")
	}
	if o.Parallel < 0 {
		bad("Parallel", o.Parallel, "at least 1, or 0 for the default")
	}
	if o.BudgetBytes < 0 {
		bad("BudgetBytes", o.BudgetBytes, "at least 1, or 0 for the default")
	}
	if o.Attempts < 0 {
		bad("Attempts", o.Attempts, "at least 1, or 0 for the default")
	}
	if f := o.filled(); o.MinDelay < 0 || o.MaxDelay < 0 || f.MinDelay > f.MaxDelay {
		bad("MinDelay and MaxDelay", []time.Duration{f.MinDelay, f.MaxDelay}, "0 <= MinDelay <= MaxDelay")
	}
	return errors.Join(errs...)
}

func (o Options) filled() Options {
	o.Parallel = cmp.Or(o.Parallel, DefaultParallel)
	o.BudgetBytes = cmp.Or(o.BudgetBytes, DefaultBudgetBytes)
	o.Attempts = cmp.Or(o.Attempts, DefaultAttempts)
	switch { // one that is set draws the other's default to its side
	case o.MinDelay == 0 && o.MaxDelay > 0:
		o.MinDelay = min(DefaultMinDelay, o.MaxDelay)
	case o.MinDelay == 0:
		o.MinDelay = DefaultMinDelay
	}
	o.MaxDelay = cmp.Or(o.MaxDelay, max(DefaultMaxDelay, o.MinDelay))
	if o.Rand == nil {
		o.Rand = rand.Float64
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// delay is the pause after so many failures in a row. REQUIRES: o is filled.
func (o Options) delay(failures int) time.Duration {
	bound := o.MinDelay
	for ; failures > 1 && bound < o.MaxDelay; failures-- {
		bound *= 2
	}
	bound = min(bound, o.MaxDelay)
	return bound/2 + time.Duration(o.Rand()*float64(bound/2))
}

// Runner keeps read models up to date: each follows for itself, so none that fails or is slow holds up another. Its methods are safe for concurrent use.
type Runner struct {
	src    Source
	o      Options
	ctx    context.Context
	cancel context.CancelFunc
	places chan struct{} // of those that are rebuilt at the same time

	adding sync.Mutex // held by Add, which may take a while, and by Close
	mu     sync.Mutex
	models map[string]*follower // nil: closed
}

// New returns a runner without read models; see [Add]. Options.Stores is required. Errors: dcb.ErrInvalidOption.
func New(src Source, o Options) (*Runner, error) {
	err := o.Validate()
	if o.Stores == nil {
		err = errors.Join(err, fmt.Errorf("%w: Stores is missing", dcb.ErrInvalidOption))
	}
	if err != nil {
		return nil, fmt.Errorf("opossum: projections: %w", err)
	}
	o = o.filled()
	ctx, cancel := context.WithCancel(context.Background())
	return &Runner{src: src, o: o, ctx: ctx, cancel: cancel, places: make(chan struct{}, o.Parallel), models: map[string]*follower{}}, nil
}

// Add has r keep a read model, which follows from now on, and returns what reads it. What is kept of it is gone on with, or rebuilt (Options.AtStart).
// Errors: ErrInvalidDefinition, also of a name that is taken; dcb.ErrClosed; those of Stores.
func Add[S any](r *Runner, d Definition[S]) (*Model[S], error) {
	if err := d.Validate(); err != nil {
		return nil, fmt.Errorf("opossum: projections: %w", err)
	}
	f := &follower{
		r: r, id: d.identity(r.src.StoreID()), query: d.Query,
		fold: func(s Store) fold { return newFolding(d, s) }, changed: make(chan struct{}),
	}
	if err := r.add(f); err != nil {
		return nil, fmt.Errorf("opossum: projections: add %q: %w", d.Name, err)
	}
	return &Model[S]{f: f}, nil
}

func (r *Runner) add(f *follower) error {
	r.adding.Lock()
	defer r.adding.Unlock()
	switch _, err := r.find(f.id.Name); {
	case err == nil:
		return fmt.Errorf("%w: the name is taken", ErrInvalidDefinition)
	case !errors.Is(err, ErrUnknown):
		return err
	}
	if err := f.open(); err != nil {
		return err
	}
	r.mu.Lock()
	r.models[f.id.Name] = f
	r.mu.Unlock()
	f.start()
	return nil
}

// Names returns those of the read models, sorted.
func (r *Runner) Names() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var names []string
	for name := range r.models {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (r *Runner) isClosed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.models == nil
}

func (r *Runner) find(name string) (*follower, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.models == nil {
		return nil, errClosed
	}
	f := r.models[name]
	if f == nil {
		return nil, fmt.Errorf("opossum: projections: %w: %q", ErrUnknown, name)
	}
	return f, nil
}

// Status returns how each read model is, by name.
func (r *Runner) Status() []Status {
	var all []Status
	for _, name := range r.Names() {
		if f, err := r.find(name); err == nil {
			all = append(all, f.status())
		}
	}
	return all
}

// Pause stops a read model, and returns when it is quiet, which an Apply that waits delays: nothing of it is written until Resume. It can be read meanwhile. A rebuild goes on; when it ends, the read model is still paused.
// Errors: ErrUnknown, dcb.ErrClosed.
func (r *Runner) Pause(name string) error {
	f, err := r.find(name)
	if err == nil {
		f.pause()
	}
	return err
}

// Resume has a read model go on that is paused or parked; what has no states that it could go on with is rebuilt, unless AtStart is RebuildNone. Of another one it does
// nothing. Errors: ErrUnknown, dcb.ErrClosed.
func (r *Runner) Resume(name string) error {
	f, err := r.find(name)
	if err == nil {
		f.resume()
	}
	return err
}

// Rebuilding says what is rebuilt.
type Rebuilding struct {
	Names []string // none: all
	Unfit bool     // of these only what is missing, of another version or query, or damaged
	// Report is told how each of them comes along, by several goroutines at once; nothing of one that somebody else rebuilds already. May be nil.
	Report func(Progress)
}

// Rebuild folds read models anew, Options.Parallel at a time, and returns when they are in their place. Until then the old states are followed and read. What is being
// rebuilt already is waited for, and gone on with if its caller gives it up. When ctx ends, what was not finished stays as it is, and a rebuild at the next start, or RebuildUnfit, goes on with it.
// Errors: ErrUnknown, dcb.ErrClosed, ctx's, and what each of them failed with, joined.
func (r *Runner) Rebuild(ctx context.Context, what Rebuilding) error {
	names := what.Names
	if len(names) == 0 {
		names = r.Names()
	}
	if r.isClosed() {
		return errClosed
	}
	var all []*follower
	for _, name := range names {
		f, err := r.find(name)
		if err != nil {
			return err
		}
		if !what.Unfit || f.isUnfit() {
			all = append(all, f)
		}
	}
	errs := make([]error, len(all))
	var g errgroup.Group
	for i, f := range all {
		g.Go(func() error {
			err := errLeft
			defer func() {
				if err != nil {
					errs[i] = fmt.Errorf("opossum: projections: rebuild %q: %w", f.id.Name, err)
				}
			}()
			err = f.rebuild(ctx, !what.Unfit, what.Report)
			return nil
		})
	}
	_ = g.Wait() // each has its own error
	return errors.Join(errs...)
}

var errClosed = fmt.Errorf("opossum: projections: %w", dcb.ErrClosed)

// Close stops all read models where they are, rebuilds included, and closes Options.Stores. What is kept is gone on with by the next runner. It is idempotent; later calls of
// other methods, and of the models, get dcb.ErrClosed.
func (r *Runner) Close() error {
	r.adding.Lock()
	defer r.adding.Unlock()
	r.mu.Lock()
	models := r.models
	r.models = nil
	r.mu.Unlock()
	if models == nil {
		return nil
	}
	r.cancel()
	var err error
	for _, f := range models {
		err = errors.Join(err, f.close())
	}
	return errors.Join(err, r.o.Stores.Close())
}

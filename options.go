package opossum

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"opossum/internal/eventfile"
	"opossum/internal/sequencer"
)

// Defaults of Options.
const (
	DefaultMaxLagEvents = 1_000_000
	DefaultMaxLagBytes  = 512 << 20
	DefaultMinFreeBytes = 128 << 20
	DefaultRecentBytes  = 64 << 20
	DefaultCacheBytes   = 32 << 20
	DefaultLooseEvents  = 100_000

	DefaultFlushInterval = 100 * time.Millisecond
	DefaultFlushEvery    = 10
)

// KeepLoose, as [Options].LooseEvents, keeps every event in a file of its own.
const KeepLoose = -1

// MinRecentBytes is the least that [Options].RecentBytes may be: a few events.
const MinRecentBytes = 4096

// Bounds of the options of flushing.
const (
	MinFlushInterval = time.Millisecond // less than most syncs take: FlushBatch is what such a user wants
	MaxFlushInterval = time.Hour
	MaxFlushEvery    = 1_000_000
	MaxGroupWait     = 20 * time.Millisecond // more than pays on any disk: FlushAuto takes 1 and 2 ms
)

// Options of an engine. The zero value of each field is its default; nil Options are all defaults.
type Options struct {
	// Flush says when an append is acknowledged. Default: FlushBatch.
	Flush Flush
	// FlushInterval is how long an acknowledged event may be without a sync, in FlushPeriodic and FlushCount; others do not look at it.
	// From MinFlushInterval to MaxFlushInterval; default DefaultFlushInterval.
	FlushInterval time.Duration
	// FlushEvery is the number of acknowledged events before which there is a sync, in FlushCount: always fewer are without one. From 1, which is as safe as
	// FlushBatch, to MaxFlushEvery; default DefaultFlushEvery.
	FlushEvery int
	// GroupWait is how long a commit may wait for the appends of those who were answered with the commit before it, in FlushBatch and FlushAuto: where syncs are
	// slow, larger groups are worth it. A writer who is alone does not wait, but once when others have just gone; beside one who comes seldom he waits each time
	// that they meet. Up to MaxGroupWait; default none, or in FlushAuto what the storage asks for.
	GroupWait time.Duration

	// MaxLagEvents bounds how many events may be acknowledged and not yet filed and checkpointed; at the bound appends wait,
	// in the order of their arrival. At least 1; default DefaultMaxLagEvents. The log and the memory that places in it cost
	// (12 bytes an event) grow with the lag.
	MaxLagEvents int
	// MaxLagBytes bounds the same in bytes of the log. At least 1; default DefaultMaxLagBytes.
	MaxLagBytes int64

	// LooseEvents is about how many of the newest events stay in files of their own; older ones are packed in idle time, 10,000 at a time, into one file of
	// compressed blocks. A backlog of that many is packed at once, and has no files of its own meanwhile: so filing keeps up with appends that are faster than files can be
	// created. KeepLoose never packs. Default DefaultLooseEvents.
	LooseEvents int

	// MinFreeBytes is the free space that appends leave on the disk, beside what the event files of the backlog will need; below
	// it they get ErrDiskFull. Default DefaultMinFreeBytes; -1: no floor.
	MinFreeBytes int64

	// RecentBytes is the memory, in bytes, that the index of the newest events should take before it goes to the disk. If that
	// cannot keep up, appends wait. At least MinRecentBytes; default DefaultRecentBytes.
	RecentBytes int64

	// CacheBytes is the memory, in bytes, that decompressed blocks of packs may take; they are kept for those who ask again for an event nearby. At least 1;
	// default DefaultCacheBytes.
	CacheBytes int64

	// ReadOnly opens a store without owning it: no lock is taken, nothing is created or changed, and an owner may be running beside
	// it, here or in another process. The engine shows what was acknowledged at its last refresh; it refreshes itself
	// every 50 ms and when [Engine.Refresh] asks for it. Of the other options only RecentBytes, CacheBytes, Tracer and Logger have a meaning then.
	ReadOnly bool

	// Tracer is told of appends and reads. Default: none. Package opossum/tracing has one for OpenTelemetry.
	Tracer Tracer
	// Logger receives a line at each change of state: opened, recovering, poisoned, filing stalled, closed and so on. Default: none.
	// docs/metrics.md lists them.
	Logger *slog.Logger
	// Clock gives the time of events that have none. Default: time.Now.
	Clock func() time.Time
}

// Validate reports every field that is out of range, as an error that Is ErrInvalidOption.
func (o *Options) Validate() error {
	var errs []error
	bad := func(field string, value any, want string) {
		errs = append(errs, fmt.Errorf("%w: %s is %v, want %s", ErrInvalidOption, field, value, want))
	}
	if !o.Flush.Valid() {
		bad("Flush", o.Flush, "FlushBatch, FlushImmediate, FlushPeriodic, FlushCount, FlushDisabled or FlushAuto")
	}
	if o.FlushInterval != 0 && (o.FlushInterval < MinFlushInterval || o.FlushInterval > MaxFlushInterval) {
		bad("FlushInterval", o.FlushInterval, fmt.Sprintf("from %v to %v, or 0 for the default", MinFlushInterval, MaxFlushInterval))
	}
	if o.FlushEvery < 0 || o.FlushEvery > MaxFlushEvery {
		bad("FlushEvery", o.FlushEvery, fmt.Sprintf("from 1 to %d, or 0 for the default", MaxFlushEvery))
	}
	if o.GroupWait < 0 || o.GroupWait > MaxGroupWait {
		bad("GroupWait", o.GroupWait, fmt.Sprintf("from 0 to %v", MaxGroupWait))
	}
	if o.MaxLagEvents < 0 {
		bad("MaxLagEvents", o.MaxLagEvents, "at least 1, or 0 for the default")
	}
	if o.MaxLagBytes < 0 {
		bad("MaxLagBytes", o.MaxLagBytes, "at least 1, or 0 for the default")
	}
	if o.LooseEvents < KeepLoose {
		bad("LooseEvents", o.LooseEvents, "at least 1, KeepLoose, or 0 for the default")
	}
	if o.CacheBytes < 0 {
		bad("CacheBytes", o.CacheBytes, "at least 1, or 0 for the default")
	}
	if o.MinFreeBytes < -1 {
		bad("MinFreeBytes", o.MinFreeBytes, "at least 1, -1 for no floor, or 0 for the default")
	}
	if o.RecentBytes != 0 && o.RecentBytes < MinRecentBytes {
		bad("RecentBytes", o.RecentBytes, fmt.Sprintf("at least %d, or 0 for the default", MinRecentBytes))
	}
	return errors.Join(errs...)
}

// filled returns a copy with the defaults in place.
func (o *Options) filled() Options {
	var f Options
	if o != nil {
		f = *o
	}
	setDefault(&f.FlushInterval, DefaultFlushInterval)
	setDefault(&f.FlushEvery, DefaultFlushEvery)
	setDefault(&f.MaxLagEvents, DefaultMaxLagEvents)
	setDefault(&f.MaxLagBytes, DefaultMaxLagBytes)
	setDefault(&f.MinFreeBytes, DefaultMinFreeBytes)
	setDefault(&f.RecentBytes, DefaultRecentBytes)
	setDefault(&f.CacheBytes, DefaultCacheBytes)
	setDefault(&f.LooseEvents, DefaultLooseEvents)
	if f.Logger == nil {
		f.Logger = slog.New(slog.DiscardHandler)
	}
	if f.Clock == nil {
		f.Clock = time.Now
	}
	return f
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// limits puts the options into the sequencer's words.
func (o Options) limits() sequencer.Limits {
	l := sequencer.Limits{
		LagEvents:  uint64(o.MaxLagEvents),
		LagBytes:   uint64(o.MaxLagBytes),
		FloorBytes: uint64(max(o.MinFreeBytes, 0)),
	}
	if o.LooseEvents != KeepLoose {
		l.LooseFiles = 2 * eventfile.ShardPositions // a backlog as long as a shard is packed, and its beginning may be loose
	}
	return l
}

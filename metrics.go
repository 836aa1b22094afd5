package opossum

import (
	"time"

	"opossum/internal/histogram"
	"opossum/internal/index"
	"opossum/ledger"
)

// Latencies are how long something took, each time.
type Latencies = histogram.Snapshot[time.Duration]

// Sizes are how large something was, each time.
type Sizes = histogram.Snapshot[int64]

// SegmentTier tells of the index segments of about one size, of which eight are merged into one of the next tier.
type SegmentTier = index.TierStats

// Metrics is a snapshot of what an engine has done since Open. The figures need not be of one instant. docs/metrics.md lists them with their names in
// Prometheus; package opossum/metrics exports them.
type Metrics struct {
	// The numbers that divide history: Materialized <= Indexed <= Durable <= Visible <= Assigned.
	Assigned, Visible, Durable, Indexed, Materialized Position

	Flush     Flush         // the strategy in force: where Options say FlushAuto, what that came to
	GroupWait time.Duration // and its group wait

	Appends, Events, Bytes uint64 // committed; bytes as encoded in the log
	Rejected               uint64 // appends whose condition failed
	Repeated               uint64 // appends found to be written before, by the IDs of their events
	Returned               uint64 // condition checks taken again because their snapshot was too old

	Groups     Sizes         // commits, by how many appends shared one: a write, and by default an fsync, each
	CommitTime time.Duration // spent in writes and fsyncs of the log, also those that failed
	Stalled    time.Duration // for how long the commit in progress has not returned, 0 below a second

	Flushes        Latencies // fsyncs of the log that succeeded, by how long they took
	FlushedEvents  uint64    // made durable by them
	FlushedBytes   uint64    // in the log, with the frames around the events
	LastFlush      time.Time // when the last of them ended; zero: there was none
	FlushFailures  uint64    // writes and fsyncs of the log that failed; the first one poisons
	LastFlushError error     // the newest of them, nil: none failed

	LagEvents, LagBytes uint64        // acknowledged and not yet checkpointed
	LagTime             time.Duration // for how long the oldest of them has been acknowledged, or the store open; up to 1 % or 10 ms too much; 0 if there is none
	Held                uint64        // appends that had to wait, for filing at MaxLag or for the index to give memory back

	RecentBytes  int64  // memory that the index of the newest events takes, about
	RecentBudget int64  // and should take: Options.RecentBytes
	PlacesBytes  int64  // memory that the places in the log take of events that are not yet filed, and of those that the log still holds
	CacheBytes   int64  // memory that decompressed blocks of packs take
	CacheBudget  int64  // and may take: Options.CacheBytes
	CacheHits    uint64 // blocks that were found there
	CacheMisses  uint64 // and those that were not
	OpenPacks    int    // packs that are kept open, each with a descriptor and some 8 KiB for its table
	Segments     int    // of the index, on the disk
	SegmentBytes int64  // in them
	SegmentTiers []SegmentTier
	Seals        uint64 // segments written from memory
	Merges       uint64 // of segments
	Rebuilt      uint64 // segments that were damaged, and built anew

	Files         uint64 // event files written
	Packs         uint64 // packs written
	PackedEvents  uint64 // events in them
	Checkpoints   uint64
	Generations   int    // of the log, on the disk
	Rotations     uint64 // of the log
	Trimmed       uint64 // generations deleted
	FilingStalled bool   // an error of the file system holds up filing

	// Events read, also ahead in vain, by where their bodies were found: in the log, which holds the newest, mostly in the page cache, or in files and packs.
	LogReads, FileReads uint64
	Subscriptions       int // whose events are being yielded or waited for

	Poisoned bool // a write or sync failed: no append succeeds until the store is opened again
	DiskFull bool // free space is below the floor
}

// stallAfter is when a sync is said to hang.
const stallAfter = time.Second

// Metrics returns a snapshot. It may be called at any time, also after Close. Those of a read-only engine tell of what it shows, and nothing of
// what its owner does.
func (e *Engine) Metrics() Metrics {
	ix := e.index.Stats()
	m := Metrics{
		Assigned: e.ledger.Get(ledger.Assigned), Visible: e.ledger.Get(ledger.Visible),
		Durable: e.ledger.Get(ledger.Durable), Indexed: e.ledger.Get(ledger.Indexed), Materialized: e.ledger.Get(ledger.Materialized),
		RecentBytes: ix.RecentBytes, Segments: ix.Segments, SegmentBytes: ix.SegmentBytes, SegmentTiers: ix.Tiers,
		Seals: ix.Seals, Merges: ix.Merges, Rebuilt: ix.Rebuilt,
	}
	cache := e.files.CacheStats()
	m.CacheBytes, m.CacheBudget, m.CacheHits, m.CacheMisses, m.OpenPacks = cache.Bytes, cache.Budget, cache.Hits, cache.Misses, cache.OpenPacks
	m.RecentBudget, m.PlacesBytes = e.opts.RecentBytes, e.places.Bytes()
	r := e.reads.Stats()
	m.LogReads, m.FileReads, m.Subscriptions = r.FromLog, r.FromFiles, r.Subscriptions
	if e.follow != nil {
		m.LagEvents = uint64(max(m.Visible, m.Materialized) - m.Materialized) // the latter was read later
		_, m.Generations = e.follow.Log().Live()
		return m
	}
	s, f, l := e.seq.Stats(), e.mat.Stats(), e.log.Stats()
	m.Appends, m.Events, m.Bytes = s.Appends, s.Events, s.Bytes
	m.Rejected, m.Repeated, m.Returned = s.Rejected, s.Repeated, s.Returned
	m.Flush, m.GroupWait = e.strategy, e.flush.GroupWait
	m.Groups, m.CommitTime = s.Groups, s.CommitTime
	m.Flushes, m.FlushedEvents, m.FlushedBytes = l.Flushes, l.FlushedEvents, l.FlushedBytes
	m.LastFlush, m.FlushFailures, m.LastFlushError = l.LastFlush, l.Failures, l.LastError
	m.LagEvents, m.LagBytes, m.LagTime, m.Held = s.LagEvents, s.LagBytes, s.LagTime, s.Held
	m.Files, m.Packs, m.PackedEvents = f.Files, f.Packs, f.Packed
	m.Checkpoints, m.FilingStalled = f.Checkpoints, f.Stalled
	m.Generations, m.Rotations, m.Trimmed = l.Live, l.Rotations, f.Trimmed
	m.Poisoned, m.DiskFull = e.poison.Load() != nil, s.DiskFull
	if d := e.seq.Stalled(time.Now()); d >= stallAfter {
		m.Stalled = d
	}
	return m
}

package opossum

import (
	"time"

	"opossum/ledger"
)

// Metrics is a snapshot of what an engine has done since Open. The figures need not be of one instant.
type Metrics struct {
	// The numbers that divide history: Materialized <= Indexed <= Durable <= Visible <= Assigned.
	Assigned, Visible, Durable, Indexed, Materialized Position

	Appends, Events, Bytes uint64 // committed; bytes as encoded in the log
	Rejected               uint64 // appends whose condition failed
	Repeated               uint64 // appends found to be written before, by the IDs of their events
	Returned               uint64 // condition checks taken again because their snapshot was too old

	Groups     uint64        // commits: one write, and by default one fsync, each
	GroupMost  uint64        // appends in the largest
	CommitTime time.Duration // spent in writes and fsyncs, all groups together
	Syncs      uint64        // fsyncs of the log
	Stalled    time.Duration // for how long the commit in progress has not returned, 0 below a second

	LagEvents, LagBytes uint64 // acknowledged and not yet checkpointed
	Held                uint64 // appends that had to wait for filing at MaxLag

	RecentBytes  int64  // memory that the index of the newest events takes, about
	Segments     int    // of the index, on the disk
	SegmentBytes int64  // in them
	Seals        uint64 // segments written from memory
	Merges       uint64 // of segments
	Rebuilt      uint64 // segments that were damaged, and built anew

	Files         uint64 // event files written
	Checkpoints   uint64
	Generations   int    // of the log, on the disk
	Rotations     uint64 // of the log
	Trimmed       uint64 // generations deleted
	FilingStalled bool   // an error of the file system holds up filing

	Poisoned bool // a write or sync failed: no append succeeds until the store is opened again
	DiskFull bool // free space is below the floor
}

// stallAfter is when a sync is said to hang.
const stallAfter = time.Second

// Metrics returns a snapshot. It may be called at any time, also after Close.
func (e *Engine) Metrics() Metrics {
	s, f, l, ix := e.seq.Stats(), e.mat.Stats(), e.log.Stats(), e.index.Stats()
	m := Metrics{
		Assigned: e.ledger.Get(ledger.Assigned), Visible: e.ledger.Get(ledger.Visible),
		Durable: e.ledger.Get(ledger.Durable), Indexed: e.ledger.Get(ledger.Indexed), Materialized: e.ledger.Get(ledger.Materialized),
		Appends: s.Appends, Events: s.Events, Bytes: s.Bytes,
		Rejected: s.Rejected, Repeated: s.Repeated, Returned: s.Returned,
		Groups: s.Groups, GroupMost: s.GroupMost, CommitTime: s.CommitTime, Syncs: l.Syncs,
		LagEvents: s.LagEvents, LagBytes: s.LagBytes, Held: s.Held,
		RecentBytes: ix.RecentBytes, Segments: ix.Segments, SegmentBytes: ix.SegmentBytes,
		Seals: ix.Seals, Merges: ix.Merges, Rebuilt: ix.Rebuilt,
		Files: f.Files, Checkpoints: f.Checkpoints, FilingStalled: f.Stalled,
		Generations: l.Live, Rotations: l.Rotations, Trimmed: f.Trimmed,
		Poisoned: e.poison.Load() != nil, DiskFull: s.DiskFull,
	}
	if d := e.seq.Stalled(time.Now()); d >= stallAfter {
		m.Stalled = d
	}
	return m
}

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

// Metrics returns a snapshot. It may be called at any time, also after Close. Those of a read-only engine tell of what it shows, and nothing of
// what its owner does.
func (e *Engine) Metrics() Metrics {
	ix := e.index.Stats()
	m := Metrics{
		Assigned: e.ledger.Get(ledger.Assigned), Visible: e.ledger.Get(ledger.Visible),
		Durable: e.ledger.Get(ledger.Durable), Indexed: e.ledger.Get(ledger.Indexed), Materialized: e.ledger.Get(ledger.Materialized),
		RecentBytes: ix.RecentBytes, Segments: ix.Segments, SegmentBytes: ix.SegmentBytes,
		Seals: ix.Seals, Merges: ix.Merges, Rebuilt: ix.Rebuilt,
	}
	if e.follow != nil {
		m.LagEvents = uint64(max(m.Visible, m.Materialized) - m.Materialized) // the latter was read later
		_, m.Generations = e.follow.Log().Live()
		return m
	}
	s, f, l := e.seq.Stats(), e.mat.Stats(), e.log.Stats()
	m.Appends, m.Events, m.Bytes = s.Appends, s.Events, s.Bytes
	m.Rejected, m.Repeated, m.Returned = s.Rejected, s.Repeated, s.Returned
	m.Groups, m.GroupMost, m.CommitTime, m.Syncs = s.Groups, s.GroupMost, s.CommitTime, l.Syncs
	m.LagEvents, m.LagBytes, m.Held = s.LagEvents, s.LagBytes, s.Held
	m.Files, m.Checkpoints, m.FilingStalled = f.Files, f.Checkpoints, f.Stalled
	m.Generations, m.Rotations, m.Trimmed = l.Live, l.Rotations, f.Trimmed
	m.Poisoned, m.DiskFull = e.poison.Load() != nil, s.DiskFull
	if d := e.seq.Stalled(time.Now()); d >= stallAfter {
		m.Stalled = d
	}
	return m
}

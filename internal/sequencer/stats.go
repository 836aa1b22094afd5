package sequencer

import (
	"sync/atomic"
	"time"

	"opossum/internal/histogram"
	"opossum/ledger"
)

// counters are written by the committer and by callers, and read at any time.
type counters struct {
	appends, events, bytes atomic.Uint64
	groups                 *histogram.Histogram[int64]
	rejected, repeated     atomic.Uint64
	returned               atomic.Uint64
}

// groupMost is beyond any group there is: an append has 20 bytes at least, a frame 16 MiB.
const groupMost = 1 << 20

func (c *counters) init() {
	c.groups = histogram.New[int64](1, groupMost, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
}

func (c *counters) committed(g *group) {
	c.appends.Add(uint64(len(g.bodies)))
	c.events.Add(uint64(g.count))
	c.bytes.Add(uint64(g.bytes))
	c.groups.Record(int64(len(g.bodies)))
}

// Stats is a snapshot of what the sequencer counted since it started.
type Stats struct {
	Appends, Events, Bytes uint64                    // committed
	Groups                 histogram.Snapshot[int64] // commits, by how many appends shared one
	CommitTime             time.Duration             // in writes and syncs, also those that failed
	Rejected               uint64                    // by a condition
	Repeated               uint64                    // found to be written before, by their IDs
	Returned               uint64                    // sent back for a newer snapshot
	Held                   uint64                    // made to wait by the lag limit
	LagEvents, LagBytes    uint64
	LagTime                time.Duration // for how long the oldest event that is not checkpointed has been visible
	DiskFull               bool
}

// Stats may be called at any time; the figures need not be of one instant. It measures free space anew.
func (s *Sequencer) Stats() Stats {
	_, _, _ = s.gate.look() // without an answer, the last one stands
	c := &s.stats
	return Stats{
		Appends: c.appends.Load(), Events: c.events.Load(), Bytes: c.bytes.Load(),
		Groups:     c.groups.Snapshot(),
		CommitTime: time.Duration(s.busy.Load()),
		Rejected:   c.rejected.Load(), Repeated: c.repeated.Load(), Returned: c.returned.Load(),
		Held:      s.gate.holds.Load(),
		LagEvents: s.gate.lagEvents(), LagBytes: s.gate.lagBytes.Load(),
		LagTime:  s.ages.of(s.cfg.Ledger.Get(ledger.Materialized), time.Now()),
		DiskFull: s.DiskFull(),
	}
}

// Spare returns how much of the free space appends and the files of the backlog do not lay claim to, in bytes.
func (s *Sequencer) Spare() (uint64, error) {
	free, floor, err := s.gate.look()
	return free - min(free, floor), err
}

// Filed tells the sequencer that a checkpoint has taken events of so many bytes off the backlog.
func (s *Sequencer) Filed(bytes uint64) {
	s.gate.lagBytes.Add(-bytes)
	s.gate.next()
}

// Sealed tells the sequencer that the index has given memory back.
func (s *Sequencer) Sealed() { s.gate.next() }

// DiskFull reports whether appends were refused for want of space when it was last looked at, which every append does as long as they are.
func (s *Sequencer) DiskFull() bool { return s.gate.full.Load() || s.gate.blocked.Load() }

// Held reports whether appends are waiting for filing to catch up.
func (s *Sequencer) Held() bool { return s.gate.held.Load() > 0 && s.gate.behind() }

// Lag returns how much of what the lag of filing may be it is, from 0 to about 1.
func (s *Sequencer) Lag() float64 { return s.gate.lag() }

// NoSpace says whether filing is stopped for want of space; appends, also those that wait for filing, get
// ErrDiskFull until it is told otherwise.
func (s *Sequencer) NoSpace(stopped bool) { s.gate.noSpace(stopped) }

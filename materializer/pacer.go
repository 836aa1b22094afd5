package materializer

import (
	"sync/atomic"
	"time"
)

const (
	// At most burstEvents files are written without a pause, and under load no more than take burstTime: that is what an
	// append may wait for. Files can be a hundred times dearer than usual (ext4 steps over every inode that was deleted in
	// the last minutes), so the number alone would be no bound. Of records that are packed there are more.
	burstEvents  = 64
	burstRecords = 1024
	burstTime    = 2 * time.Millisecond

	// leastShare of the time goes to filing even when appends would take all of it, so that the backlog of a steady load
	// is seen to move; greedy load therefore slows by about this much and no more. The share rises with the lag, up to all of the time at pressing of
	// what the lag may be: an append that would wait at the bound waits a little all the time instead.
	leastShare = 0.03
	pressing   = 0.25

	// quiet is the share of time taken by appends below which filing need not step aside.
	quiet = 0.25

	restLeast = 5 * time.Millisecond  // so that bursts are worth waking up for
	restMost  = 80 * time.Millisecond // so that files appear in time once the load has passed
)

// burstSize is how much may be filed in one go.
type burstSize struct{ files, packed int }

// pacer decides how long filing rests between bursts. There is no priority to lower: a thread that is scheduled out
// inside a file-system transaction would stall the log behind it. So filing takes what the appends leave, measured by the
// share of time in which the committer has something to do.
type pacer struct {
	busy func() time.Duration
	cost atomic.Int64 // nanoseconds spent filing and checkpointing since the last begin

	then     time.Time // when the last cycle of burst and rest ended, and how busy commits had been by then
	busyThen time.Duration
	owed     time.Duration // rest that did not fit into one
	next     burstSize     // of the next burst
}

func newPacer(busy func() time.Duration) pacer {
	return pacer{busy: busy, then: time.Now(), busyThen: busy(), next: burstSize{burstEvents, burstRecords}}
}

// most returns how many events the next burst may file. REQUIRES: the goroutine that calls rest.
func (p *pacer) most() burstSize { return p.next }

// spent adds to the cost of filing. Safe for concurrent use.
func (p *pacer) spent(d time.Duration) { p.cost.Add(int64(d)) }

// load returns the share of the time since the last call in which the committer had something to do.
func (p *pacer) load() float64 {
	now, busy := time.Now(), p.busy()
	load := float64(busy-p.busyThen) / float64(max(now.Sub(p.then), 1))
	p.then, p.busyThen = now, busy
	return load
}

// rest returns how long to rest after a burst that took filing. REQUIRES: one goroutine calls it, once a burst.
func (p *pacer) rest(packed bool, filing time.Duration, urgent bool, lag float64) time.Duration {
	cost := time.Duration(p.cost.Swap(0))
	load := p.load()
	if urgent || load < quiet {
		p.owed, p.next = 0, burstSize{burstEvents, burstRecords}
		return 0
	}
	if packed {
		p.next.packed = nextBurst(p.next.packed, burstRecords, filing)
	} else {
		p.next.files = nextBurst(p.next.files, burstEvents, filing)
	}
	p.owed += restFor(cost, load, lag)
	rest := min(p.owed, restMost)
	p.owed -= rest
	return rest
}

// nextBurst is the decision how many events come next, when so many took the time filing.
func nextBurst(events, most int, filing time.Duration) int {
	fit := float64(events) * float64(burstTime) / float64(max(filing, 1))
	return int(min(max(fit, 1), float64(2*events), float64(most))) // it grows by doubling: one cheap burst proves little
}

// restFor is the decision: how long to rest for a cost, when commits take the share load of the time, and the lag is such a part of what it may be.
func restFor(cost time.Duration, load, lag float64) time.Duration {
	share := max(1-load, leastShare, lag/pressing)
	if share >= 1 {
		return 0
	}
	return max(time.Duration(float64(cost)*(1-share)/share), restLeast)
}

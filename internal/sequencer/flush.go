package sequencer

import (
	"math"
	"time"
)

// FlushPolicy says when a group is synced. It is what a flush strategy comes to: each is a point in these few numbers.
type FlushPolicy struct {
	// Every is how many acknowledged events may never be without a sync: fewer may. 1: each group is synced before it is acknowledged.
	Every uint64
	// Interval is how long an acknowledged event may be without a sync being begun, if Every is more than 1.
	Interval time.Duration
	// Alone says that every append is a group of its own.
	Alone bool
	// GroupWait is how long a group may wait for those to come back who were answered with the group before it. Only for Every 1: what is
	// acknowledged before the sync gains nothing by it.
	GroupWait time.Duration
}

// Never is an interval that does not end.
const Never = time.Duration(math.MaxInt64)

// Relaxed reports whether appends may be acknowledged before they are durable.
func (p FlushPolicy) Relaxed() bool { return p.Every > 1 }

// due reports whether a sync must come before anything more is acknowledged, given how many events, written and to be acknowledged, are not synced,
// and for how long the oldest of them has been so.
func (p FlushPolicy) due(unsynced uint64, age time.Duration) bool {
	return unsynced >= p.Every || age >= p.Interval && p.Relaxed()
}

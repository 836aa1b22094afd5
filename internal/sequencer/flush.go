package sequencer

import (
	"fmt"
	"math"
	"time"
)

// Flush names when an append is acknowledged, and what syncs.
type Flush uint8

// The strategies. Root's documentation of the same names is their contract.
const (
	FlushBatch     Flush = iota // after a sync that concurrent appends share
	FlushImmediate              // after a sync of its own
	FlushPeriodic               // after the write; a sync at least every interval
	FlushCount                  // after the write; a sync every so many events, and at least every interval
	FlushDisabled               // after the write; a sync only where something forces one
	FlushAuto                   // as the storage asks for: FlushBatch, with a group wait where syncs are slow
	flushes
)

var flushNames = [flushes]string{"batch", "immediate", "periodic", "count", "disabled", "auto"}

// Valid reports whether f is one of the strategies.
func (f Flush) Valid() bool { return f < flushes }

// String returns the name, as UnmarshalText takes it.
func (f Flush) String() string {
	if !f.Valid() {
		return fmt.Sprintf("Flush(%d)", uint8(f))
	}
	return flushNames[f]
}

// MarshalText returns the name.
func (f Flush) MarshalText() ([]byte, error) {
	if !f.Valid() {
		return nil, fmt.Errorf("no flush strategy has the number %d", uint8(f))
	}
	return []byte(f.String()), nil
}

// UnmarshalText takes a name: batch, immediate, periodic, count, disabled or auto.
func (f *Flush) UnmarshalText(text []byte) error {
	for i, name := range flushNames {
		if string(text) == name {
			*f = Flush(i)
			return nil
		}
	}
	return fmt.Errorf("no flush strategy is called %q: batch, immediate, periodic, count, disabled and auto are", text)
}

// FlushPolicy says when a group is synced. It is what a strategy comes to: each is a point in the same few numbers.
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

// never is an interval that does not end.
const never = time.Duration(math.MaxInt64)

// Policy returns what f comes to. interval is of FlushPeriodic and FlushCount, every of FlushCount, wait of FlushBatch and FlushAuto.
func (f Flush) Policy(interval time.Duration, every uint64, wait time.Duration) FlushPolicy {
	switch f {
	case FlushImmediate:
		return FlushPolicy{Every: 1, Alone: true}
	case FlushPeriodic:
		return FlushPolicy{Every: math.MaxUint64, Interval: interval}
	case FlushCount:
		return FlushPolicy{Every: every, Interval: interval}
	case FlushDisabled:
		return FlushPolicy{Every: math.MaxUint64, Interval: never}
	}
	return FlushPolicy{Every: 1, GroupWait: wait}
}

// Relaxed reports whether appends may be acknowledged before they are durable.
func (p FlushPolicy) Relaxed() bool { return p.Every > 1 }

// due reports whether a sync must come before anything more is acknowledged, given how many events, written and to be acknowledged, are not synced,
// and for how long the oldest of them has been so.
func (p FlushPolicy) due(unsynced uint64, age time.Duration) bool {
	return unsynced >= p.Every || age >= p.Interval && p.Relaxed()
}

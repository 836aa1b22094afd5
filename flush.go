package opossum

import (
	"fmt"
	"math"

	"opossum/internal/sequencer"
)

// Flush says when an append is acknowledged, and so what it costs and what a power cut may take back. In every strategy a killed process loses nothing, what is
// there is unaltered and dense, an append is whole or absent, and conditions are exact. docs/flush.md has them side by side. As text it is the name:
// batch, immediate, periodic, count, disabled, auto.
type Flush uint8

// The flush strategies.
const (
	// FlushBatch, the default, acknowledges an append after the fsync that it shares with the appends beside it. Nothing
	// acknowledged is lost, be it by a killed process or a power cut.
	FlushBatch Flush = iota
	// FlushImmediate acknowledges an append after an fsync of its own, shared with nobody. It is as safe as FlushBatch, as quick for a lonely writer,
	// and slower for many.
	FlushImmediate
	// FlushPeriodic acknowledges an append after the write, and syncs at least every Options.FlushInterval. A power cut may take back what was acknowledged
	// within that interval before it. A write or sync that does not return makes the interval longer; nothing is acknowledged meanwhile.
	FlushPeriodic
	// FlushCount acknowledges an append after the write, and syncs before Options.FlushEvery acknowledged events would be without a sync, and at least every
	// Options.FlushInterval. A power cut may take back fewer than FlushEvery acknowledged events.
	FlushCount
	// FlushDisabled acknowledges an append after the write, for tests: a power cut may lose what
	// was not yet synced. Syncs happen only where something forces one: Sync, WaitDurable, WhenDurable, WaitMaterialized, a rotation of the log, a full
	// memory part of the index, MaxLag, Close. What is not durable is not filed.
	FlushDisabled
	// FlushAuto is FlushBatch, with the GroupWait that suits the storage, as it was measured when the store was first opened. It never acknowledges before the sync.
	FlushAuto
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

// MarshalText returns the name. It is an error that f is none of the strategies.
func (f Flush) MarshalText() ([]byte, error) {
	if !f.Valid() {
		return nil, fmt.Errorf("no flush strategy has the number %d", uint8(f))
	}
	return []byte(f.String()), nil
}

// UnmarshalText takes a name. An error names those that there are.
func (f *Flush) UnmarshalText(text []byte) error {
	for i, name := range flushNames {
		if string(text) == name {
			*f = Flush(i)
			return nil
		}
	}
	return fmt.Errorf("no flush strategy is called %q: batch, immediate, periodic, count, disabled and auto are", text)
}

// policy returns what the options come to: each strategy is a point in the same few numbers.
func (o Options) policy() sequencer.FlushPolicy {
	switch o.Flush {
	case FlushImmediate:
		return sequencer.FlushPolicy{Every: 1, Alone: true}
	case FlushPeriodic:
		return sequencer.FlushPolicy{Every: math.MaxUint64, Interval: o.FlushInterval}
	case FlushCount:
		return sequencer.FlushPolicy{Every: uint64(o.FlushEvery), Interval: o.FlushInterval}
	case FlushDisabled:
		return sequencer.FlushPolicy{Every: math.MaxUint64, Interval: sequencer.Never}
	}
	return sequencer.FlushPolicy{Every: 1, GroupWait: o.GroupWait}
}

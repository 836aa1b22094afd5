package opossum

import (
	"opossum/dcb"
	"opossum/internal/sequencer"
	"opossum/query"
	"opossum/recovery"
)

// The vocabulary; see package dcb.
type (
	Event          = dcb.Event
	SequencedEvent = dcb.SequencedEvent
	Position       = dcb.Position
	Tag            = dcb.Tag
	Query          = dcb.Query
	QueryItem      = dcb.QueryItem
	Condition      = dcb.Condition
	ReadOptions    = dcb.ReadOptions
)

// What reads return; see package query. And what opening a store found; see package recovery.
type (
	View           = query.View
	Subscription   = query.Subscription
	RecoveryReport = recovery.Report
)

// Flush says when an append is acknowledged, and so what it costs and what a power cut may take back. In every strategy a killed process loses nothing, what is
// there is unaltered and dense, an append is whole or absent, and conditions are exact. docs/flush.md has them side by side. As text it is the name:
// batch, immediate, periodic, count, disabled, auto.
type Flush = sequencer.Flush

// The flush strategies.
const (
	// FlushBatch, the default, acknowledges an append after the fsync that it shares with the appends beside it. Nothing
	// acknowledged is lost, be it by a killed process or a power cut.
	FlushBatch = sequencer.FlushBatch
	// FlushImmediate acknowledges an append after an fsync of its own, shared with nobody. It is as safe as FlushBatch, as quick for a lonely writer,
	// and slower for many.
	FlushImmediate = sequencer.FlushImmediate
	// FlushPeriodic acknowledges an append after the write, and syncs at least every Options.FlushInterval. A power cut may take back what was acknowledged
	// within that interval before it, or while the sync that ends the interval was running.
	FlushPeriodic = sequencer.FlushPeriodic
	// FlushCount acknowledges an append after the write, and syncs before Options.FlushEvery acknowledged events would be without a sync, and at least every
	// Options.FlushInterval. A power cut may take back fewer than FlushEvery acknowledged events.
	FlushCount = sequencer.FlushCount
	// FlushDisabled acknowledges an append after the write, for tests: a power cut may lose what
	// was not yet synced. Syncs happen only where something forces one: Sync, WaitDurable, WaitMaterialized, a rotation of the log,
	// MaxLag, Close. What is not durable is not filed.
	FlushDisabled = sequencer.FlushDisabled
	// FlushAuto is FlushBatch, with the GroupWait that suits the storage, as it was measured when the store was first opened. It never acknowledges before the sync.
	FlushAuto = sequencer.FlushAuto
)

// AllEvents matches every event.
func AllEvents() Query { return dcb.AllEvents() }

// Match matches what any of the items matches. The arguments are copied. Without items the query is invalid.
func Match(items ...QueryItem) Query { return dcb.Match(items...) }

// ByTypes matches events of any of the types: one item.
func ByTypes(types ...string) Query { return dcb.ByTypes(types...) }

// ByTags matches events that have all of the tags: one item.
func ByTags(tags ...Tag) Query { return dcb.ByTags(tags...) }

// AppendOption changes a single append.
type AppendOption interface{ apply(*appendOptions) }

// appendOptions is what options come to.
type appendOptions struct{ whenDurable bool }

type whenDurable struct{}

func (whenDurable) apply(o *appendOptions) { o.whenDurable = true }

// WhenDurable makes Append return only when what its answer rests on is durable: the events that it appended, or repeated, or the one that its
// condition failed for. In a strict strategy that is so anyway; a relaxed one is made strict for this append. There is no option for less safety than the engine's.
func WhenDurable() AppendOption { return whenDurable{} }

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

// Flush says when an append is acknowledged: [FlushBatch] or [FlushDisabled].
type Flush = sequencer.Flush

const (
	// FlushBatch, the default, acknowledges an append after the fsync that it shares with the appends beside it. Nothing
	// acknowledged is lost, be it by a killed process or a power cut.
	FlushBatch = sequencer.FlushBatch
	// FlushDisabled acknowledges an append after the write, for tests: a killed process loses nothing, a power cut may lose what
	// was not yet synced. Syncs happen only where something forces one: Sync, WaitMaterialized, a rotation of the log,
	// MaxLag, Close. What is not durable is not filed.
	FlushDisabled = sequencer.FlushDisabled
)

// AllEvents matches every event.
func AllEvents() Query { return dcb.AllEvents() }

// Match matches what any of the items matches. The arguments are copied. Without items the query is invalid.
func Match(items ...QueryItem) Query { return dcb.Match(items...) }

// ByTypes matches events of any of the types: one item.
func ByTypes(types ...string) Query { return dcb.ByTypes(types...) }

// ByTags matches events that have all of the tags: one item.
func ByTags(tags ...Tag) Query { return dcb.ByTags(tags...) }

// AppendOption changes one append. There is none yet; the parameter keeps room for them.
type AppendOption interface{ appendOption() }

package opossum

import (
	"opossum/dcb"
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

// AllEvents matches every event.
func AllEvents() Query { return dcb.AllEvents() }

// Match matches what any of the items matches. The arguments are copied. Without items the query is invalid.
func Match(items ...QueryItem) Query { return dcb.Match(items...) }

// ByTypes matches events of any of the types: one item.
func ByTypes(types ...string) Query { return dcb.ByTypes(types...) }

// ByTags matches events that have all of the tags: one item.
func ByTags(tags ...Tag) Query { return dcb.ByTags(tags...) }

// AppendOption changes a single append. Each is a [DecideOption] as well.
type AppendOption interface {
	DecideOption
	apply(*appendOptions)
}

// appendOptions is what options come to.
type appendOptions struct{ whenDurable bool }

type whenDurable struct{}

func (whenDurable) apply(o *appendOptions) { o.whenDurable = true }

// WhenDurable makes Append return only when what its answer rests on is durable: the events that it appended, or repeated, or the one that its
// condition failed for. In a strict strategy that is so anyway; a relaxed one is made strict for this append. There is no option for less safety than the engine's.
func WhenDurable() AppendOption { return whenDurable{} }

// Package dcb is the vocabulary of a Dynamic Consistency Boundary: events, tags, queries, conditions and their errors.
//
// It holds meaning and nothing else: no I/O, no clock, no encoding. The sequencer, the index, the query executor and
// every test share the one definition of [Query.Matches], so that a read and a condition can never disagree about
// what matches. Package opossum re-exports every name by alias; import that package, and read the contracts here.
//
// The terms follow the specification at dcb.events (revision of 2026-03-31). Where it leaves a choice, the choice is
// written at the name concerned: positions start at 1 and are dense, After is exclusive, the zero Query is invalid.
package dcb

// Package decision folds what a decision rests on, and appends what was decided if nothing of that has changed.
//
// It is the pattern of Dynamic Consistency Boundaries: one query says what matters; it is read once, at a pinned head; what was decided is appended under the
// condition that nothing that matches the query came after that head. Users reach it through package opossum, whose engine is the Store.
package decision

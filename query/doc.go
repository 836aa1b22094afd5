// Package query answers reads: a snapshot of the head, a plan over the index, positions in order, bodies by place.
//
//	caller -> snapshot (the head FIRST, then the view) -> plan -> positions -> fetch -> decode -> yield
//
// The writer publishes what makes an event readable first and the number last; a reader loads the number first. So the
// view always covers the head, and no lock is held while a query is evaluated.
package query

// Package opossum is an embeddable event store with Dynamic Consistency Boundaries (DCB).
//
// Events carry a type and tags. An append may carry a condition, "nothing that matches this query has happened since
// position p", which is checked atomically with the append. Appends go to a write-ahead log and are acknowledged when one
// fsync, shared with the appends beside them, has made them durable; in the background every event becomes a
// readable JSON file.
//
//	e, err := opossum.Open("data", nil)
//	defer e.Close()
//	last, err := e.Append(ctx, []opossum.Event{{Type: "StudentRegistered", Tags: []opossum.Tag{"student:7"}}}, nil)
//	view, err := e.Read(ctx, opossum.ByTags("student:7"), opossum.ReadOptions{})
//	for ev, err := range view.All() { ... }
//
// One engine owns a store; any number of others, opened with Options.ReadOnly, show it beside that one.
// OpenRoot manages many stores by name, the contexts of an application, each with options of its own.
//
// The names of the vocabulary (Event, Query, Condition, the errors) are aliases of those in package opossum/dcb, where
// their contracts stand.
package opossum

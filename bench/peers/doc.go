// Package peers is what people would pick instead of opossum: bbolt, Pebble, Badger, SQLite and an embedded JetStream, each made to do the same work.
//
// It is a module of its own, so that nothing of the rivals reaches users of opossum. An adapter is short, uses its rival as the rival's documentation says is
// best for many concurrent, durable, small writes, and says in the comment of its way what it sets and why, what was measured against what, and what it cannot do.
//
// # The work
//
// A way with an index appends events atomically at the next dense positions, with a condition if there is one, checked atomically with the append; files
// each event under its type and each of its tags, in the rival's own terms; and reads by tags and types. An append that is rejected writes and syncs nothing.
// A way without an index ("-plain") appends and does nothing else: the least that the rival can be asked for.
//
// What the rivals are not asked for: to tell a repeated append by the events' IDs, to give back events with ID or metadata (such appends are refused with
// errors.ErrUnsupported), to check that types and tags are UTF-8.
package peers

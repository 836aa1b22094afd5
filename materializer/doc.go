// Package materializer turns the log into event files and index segments, in the background.
//
// Stages run in an errgroup. Three of them hand positions to the next, each the only writer of what it owns:
//
//	pace        wait for durable events; decide how many may be filed now, and how long to leave the disk to the appends
//	file        read each event's record from the log, write its file; a backlog as long as a shard goes into a pack
//	checkpoint  syncfs, ledger.json, advance Materialized, trim the log
//
// Three stand beside them: one seals the index's memory that is full, one merges its segments and rebuilds damaged ones, and one packs the files of
// older events in idle time.
//
// One order holds for everything derived: write, syncfs, ledger, delete.
//
//	INVARIANT: only durable events are filed, so a file's existence proves that its event was acknowledged.
//	INVARIANT: Materialized moves only after a sync that began when everything up to it was written.
//
// It never calls the sequencer's append path and is never called by it: the log is the channel, the ledger is the bell.
package materializer

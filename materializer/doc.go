// Package materializer turns the log into event files, in the background.
//
// Three stages run in an errgroup, each the only writer of what it owns, and hand positions to the next:
//
//	pace        wait for durable events; decide how many may be filed now, and how long to leave the disk to the appends
//	file        read each event's record from the log, write its file
//	checkpoint  syncfs, ledger.json, advance Materialized, trim the log
//
// One order holds for everything derived: write, syncfs, ledger, delete.
//
//	INVARIANT: only durable events are filed, so a file's existence proves that its event was acknowledged.
//	INVARIANT: Materialized moves only after a sync that began when everything up to it was written.
//
// It never calls the sequencer's append path and is never called by it: the log is the channel, the ledger is the bell.
package materializer

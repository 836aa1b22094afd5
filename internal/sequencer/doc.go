// Package sequencer is the single writer: it checks conditions, assigns positions, writes, syncs, publishes and replies.
//
// An append passes through it like this:
//
//	caller     validate, encode, checksum; admission; condition against the view at head h0; intern terms
//	           -- lock: condition against (h0, staged]; assign positions; stamp; stage into recent; join the open group --
//	committer  take the oldest group; one frame, one write, one sync; publish; wake the group
//	caller     answer
//
// The section under the lock is the sequencer proper: whatever holds it is the single writer. Callers run it themselves,
// so that both cores of a small machine check and stage while the committer sleeps in fdatasync, and an append costs two
// switches between goroutines, not four. (The first design had one goroutine drain a queue of requests; checks and
// indexing then stood in line behind the sync's wake-up.) Expensive work is kept out of it: a cold condition is answered
// against the view before, and only what was staged since is looked at under the lock.
//
//	INVARIANT: between the head h0 that a condition was checked at and its staging, nothing escapes the check: either
//	(h0, staged] is checked under the lock, or the caller goes back for a newer h0.
//	INVARIANT: the memory part of the view answers for all of (h0, staged]: its base is at most h0.
package sequencer

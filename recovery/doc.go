// Package recovery brings a store's directory into a state that can be served: inspect, plan, apply, report.
//
//	Inspect   reads: ledger.json, every generation of the log, the witnesses. Touches nothing.
//	Decide    a pure function from what was found to a Plan, or to the refusal that names the damage.
//	Apply     carries the plan out, in an order that a second crash at any point leaves for the next Inspect.
//	Load      fills the index from event files, packs and log.
//
//	Verify    looks at everything in a store at rest and names what is wrong.
//	Repair    brings back what is intact anywhere; with consent it gives up the rest.
//
// The question behind it: the log ends in bytes that are no frame. Is that a torn write, which nobody was promised, or
// damage in something acknowledged? A torn tail is cut, quarantined and reported. Where any witness says that an acknowledgement
// lies beyond the end, Decide refuses, and only explicit consent may go on. The witnesses: intact frames behind the
// damage that knew of it as durable, a later generation, ACKED, the clean-close witness, the checkpoint, event files, packs, and index segments.
//
//	INVARIANT: what Decide keeps is a prefix of the log without a gap, and contains everything a witness vouches for.
//	INVARIANT: after an unclean close the live tail is written anew before anything is served, so that pages that were
//	right in memory and never reached the disk deceive nobody.
package recovery

// Package workload holds appends that can be recomputed from their number, and the witness that knows which of them a store must still have.
//
// A crash test needs nothing else to judge a store: the number of an append says what its events are, byte for byte, so a witness keeps only
// numbers and positions. Only tests and the crash lab import it.
package workload

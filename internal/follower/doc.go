// Package follower shows a store that somebody else owns: it takes no lock, creates and changes nothing, and asks nobody.
//
// It reads what the owner leaves behind in its own order, which is what makes that possible:
//
//	ledger.json     the checkpoint and the epoch; replaced atomically
//	index segments  immutable; what replaces them is whole before they are deleted
//	the log         append-only; deleted only below the checkpoint (see wal.Reader)
//	event files     whole and durable up to the checkpoint
//
// A refresh reads them in this order, so that whatever one of them refers to is found in those that are read after it. Then it
// raises the numbers of a ledger, on which reads and subscriptions rest as they do in an owner.
package follower

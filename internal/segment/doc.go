// Package segment is the index on the disk: an immutable, checksummed file that says, for a closed range of positions,
// at which of them each type and each tag occurs. docs/format/index.md draws the bytes.
//
// A segment is built once, by [Builder] or [Merge], appears whole under its name or not at all, and never changes. It is
// opened by looking at its two ends only; everything else is verified, block by block, when it is first touched. So
// opening costs the same for any size, and what was never verified is never believed.
//
// The file is mapped into memory. A mapping turns an I/O error, or a file that is cut underneath it, into a fault of the
// process; every access here runs under a guard that makes a [dcb.CorruptError] of it, and of a decoder that trips over
// bytes that verify. Nothing that is returned shares memory with the mapping.
//
// The index is derived. Damage in it never costs an event: it is an error here, and a reason to rebuild above.
package segment

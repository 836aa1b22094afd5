// Package diskerror lets the disk below a real file system refuse writes and flushes, and judges what the store makes of what the kernel tells it.
//
// The kernel tells of a failed write once, marks the pages as clean, and shows from memory what never reached the disk. Each file system then goes
// on in its own way: it shuts down, turns read-only, or works on as if nothing had been.
package diskerror

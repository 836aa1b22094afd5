// Package blockdisk is a disk that records every block write and flush that reaches it, with marks of the caller's between them, and that can
// refuse writes and flushes with an I/O error.
//
// The disk is a file in a FUSE file system, and a loop device makes a disk of the file. It is served by a process of its own, because a
// program that waits for its own FUSE file system can wait for ever: Start runs this program again, whose main calls Serve if Asked.
package blockdisk

// Package wal is the log: checksummed frames on github.com/tidwall/wal, in generations, synced by group.
//
// One commit group is one frame, one frame is one entry of tidwall/wal, so a frame's checksum is the commit marker of
// every append in it: they are there together or not at all. The package does not know events; a body is bytes, and
// whoever wrote a body knows its inside.
//
// tidwall/wal is used for what it does well, framing and appending to one file, and kept from what it does not survive:
//
//	hazard of tidwall/wal                                     here
//	no checksum, zero bytes parse as entries                  every entry is a frame with magic, number, chain and sum; room is
//	                                                          cut off, or the generation written anew, before it is opened again
//	a torn tail makes Open fail, only the last file is read   Scan reads every generation first; Open never sees a tear
//	cycling and truncating lack directory syncs, trust names  never cycles, never truncates: whole generations come and go
//	an error leaves phantom entries; a sync error is lost     the first error is final (Log.Append), nothing is retried
//	Sync holds the write lock, Read races with itself         fdatasync and pread through an own descriptor
//	Open changes its options, creates, deletes                it gets fresh options, and a directory that was just verified
//	Open believes names (START, END, a second segment)        a generation with such a file in it is refused before
//
// Who does not own the log follows it with a Reader, which uses none of tidwall/wal.
//
// A generation is a directory <number>/ with one file. It begins with a header frame (whose store, which format) and
// a link frame (what it continues, or supersedes, and from which position); commit frames follow. The next generation is
// built beforehand with its header alone, synced and published by rename, so that a rotation costs the appends one link
// frame and no extra sync. Behind its header it is filled with zeros, its room, so that frames do not make the file longer:
// then a sync need not commit the file system's journal.
//
//	INVARIANT: no byte of a generation's link frame is written before everything in the generation before it is durable.
//	INVARIANT: a published generation's header is durable: damage in it is rot, never a tear. Names come and go by rename.
//	INVARIANT: a generation is deleted only when the link frame of the next one is durable: there is always one to go on from.
package wal

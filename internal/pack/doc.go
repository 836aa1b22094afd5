// Package pack is a range of events in one immutable file of compressed blocks.
//
// A pack holds the records of the log as they are, so each keeps the checksum that binds it to its store and position, and packing decodes nothing.
// About 8 KiB of records make a block: one event costs one small block, and a scan takes block after block. docs/format/pack.md draws the bytes.
//
// A pack is derived, like an event file: it is complete when it has its name, and durable after a sync of the file system that began later.
package pack

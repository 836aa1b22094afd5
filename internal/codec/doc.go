// Package codec turns events into bytes and back: the binary record of the log and the text of an event file.
//
// Both forms carry their own checksum and refuse, on the way back, anything but the exact bytes that were written.
package codec

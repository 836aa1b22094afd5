// Package storage measures and describes the disk under a directory.
//
// The measurement is what it costs to make a few bytes durable there, by the same call as the log uses. The description is what the system says
// of file system and device. Both serve speed and advice only: nothing that is promised rests on them.
//
// Honest limit: a device that acknowledges a flush and does not do it looks like a fast one, and nothing can tell them apart from inside.
// Measurement.Warnings says where a figure is too good for what the device is said to be.
package storage

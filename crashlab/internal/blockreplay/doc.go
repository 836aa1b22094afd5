// Package blockreplay records what a working store makes a file system write to its disk, builds the disks that a power cut could have left at any
// moment of that, and judges the store on each.
//
// A power cut by the shutdown call shows one state for each run, the one that the kernel happened to have; a recording holds thousands, and also
// those that only a disk makes, which may have written any part of what was not flushed.
package blockreplay

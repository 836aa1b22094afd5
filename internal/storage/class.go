package storage

import (
	"fmt"
	"time"
)

// Class is what a disk is like, judged by its median flush alone: one with a protected cache is as fast as a better class, and is one for
// our purposes.
type Class uint8

// The classes. Unknown is the class of what was never measured.
const (
	Unknown Class = iota
	NVMe
	SSD
	HDD
	Network
)

// classes says everything about each class, by its number.
//
// The group wait is how long a group of FlushAuto stays open for the writers who were answered with the group before. Where a sync is slow, few of them fit
// into a second, and a wait that is small beside the sync makes the groups grow: it saves a crowd whole syncs, and a writer who is alone is not waited for.
// Where a sync is fast, groups form by themselves while the one before is synced, and any wait only adds to each append. No class acknowledges
// before the sync: how slow a disk is must not decide what is safe on it.
var classes = [...]struct {
	name               string
	below              time.Duration // a lower median is of this class, unless of one before; 0: there is no bound
	usualFrom, usualTo time.Duration // what such disks usually take, as published
	groupWait          time.Duration
}{
	Unknown: {name: "unknown"},
	NVMe:    {"nvme", time.Millisecond, 500 * time.Microsecond, time.Millisecond, 0},
	SSD:     {"ssd", 5 * time.Millisecond, time.Millisecond, 3 * time.Millisecond, 0},
	HDD:     {"hdd", 20 * time.Millisecond, 8 * time.Millisecond, 12 * time.Millisecond, time.Millisecond},
	Network: {"network", 0, 10 * time.Millisecond, 50 * time.Millisecond, 2 * time.Millisecond},
}

// Classify returns the class of a disk whose median flush takes so long: below 1 ms NVMe, below 5 ms SSD, below 20 ms HDD, else Network.
func Classify(flush time.Duration) Class {
	for c := NVMe; c < Network; c++ {
		if flush < classes[c].below {
			return c
		}
	}
	return Network
}

// String returns the name of the class: "nvme", "ssd", "hdd", "network", "unknown".
func (c Class) String() string { return classes[c.known()].name }

// Usual returns what a flush usually takes on disks of this class; zeros if it is Unknown.
func (c Class) Usual() (from, to time.Duration) {
	return classes[c.known()].usualFrom, classes[c.known()].usualTo
}

// GroupWait returns how long a group of FlushAuto waits for more appends before it is synced. 0: not at all.
func (c Class) GroupWait() time.Duration { return classes[c.known()].groupWait }

// known is c, or Unknown for a number that is no class.
func (c Class) known() Class {
	if int(c) >= len(classes) {
		return Unknown
	}
	return c
}

// MarshalText returns the name.
func (c Class) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText takes a name and nothing else.
func (c *Class) UnmarshalText(text []byte) error {
	for i := range classes {
		if classes[i].name == string(text) {
			*c = Class(i)
			return nil
		}
	}
	return fmt.Errorf("storage: no class %q", text)
}

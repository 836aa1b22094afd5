package harness

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// readDevice returns the counters of the device that dir is on; false if there is no one device (btrfs, overlayfs, a network).
func readDevice(dir string) (Device, bool) {
	var s unix.Stat_t
	if err := unix.Stat(dir, &s); err != nil {
		return Device{}, false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/sys/dev/block/%d:%d/stat", unix.Major(s.Dev), unix.Minor(s.Dev)))
	if err != nil {
		return Device{}, false
	}
	return parseDevice(string(stat))
}

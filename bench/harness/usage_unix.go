//go:build unix

package harness

import (
	"time"

	"golang.org/x/sys/unix"
)

// cpuTime returns the user and system time of all threads of the process, 0 if it cannot be told.
func cpuTime() time.Duration {
	var r unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

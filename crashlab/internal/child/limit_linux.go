package child

import (
	"os/signal"

	"golang.org/x/sys/unix"
)

// limitFiles makes every write that would let a file grow beyond max bytes a short one, and the next an error.
func limitFiles(max uint64) error {
	signal.Ignore(unix.SIGXFSZ) // else it ends the process
	return unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: max, Max: max})
}

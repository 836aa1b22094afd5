// Crashlab proves that the event store loses nothing that it acknowledged: it cuts the power of real file systems, replays their disks, breaks their
// I/O, kills the process at every step, damages files at rest, and demands that known bugs, built in on purpose, are caught by all that.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"opossum/crashlab/internal/blockdisk"
	"opossum/crashlab/internal/host"
)

// Exit statuses, as `crashlab --help` lists them.
const (
	exitOK       = 0
	exitFailure  = 1 // of the lab
	exitFindings = 2
)

// errFindings says that the lab found what it looks for.
var errFindings = errors.New("there are findings")

func main() {
	if blockdisk.Asked() {
		os.Exit(blockdisk.Serve())
	}
	os.Exit(run())
}

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := newCommand().ExecuteContext(ctx)
	var isolated exitStatus
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &isolated):
		return int(isolated)
	case errors.Is(err, errFindings):
		fmt.Fprintln(os.Stderr, "crashlab:", err)
		return exitFindings
	default:
		fmt.Fprintln(os.Stderr, "crashlab:", err)
		return exitFailure
	}
}

// exitStatus is that of the isolated process, which has said everything there is to say.
type exitStatus int

func (e exitStatus) Error() string { return fmt.Sprintf("status %d", int(e)) }

// isolated runs do in namespaces of its own, where nothing is left behind.
func isolated(do func() error) error {
	if err := host.Probe(); err != nil {
		return err
	}
	inside, status, err := host.Isolate()
	switch {
	case err != nil:
		return err
	case inside:
		return do()
	case status != 0:
		return exitStatus(status)
	}
	return nil
}

// Command opossum works with event stores from the command line, and demonstrates one under load.
//
// It sees the engine's public API, like any other user, and the codec for the text of event files. Every command sits in a file of its own and says in its
// help what it promises; `opossum help` lists them.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

func main() { os.Exit(run()) }

// run executes the command line and returns the exit status. The first SIGINT or SIGTERM asks the command to end in
// good order; a second one finds the default behaviour restored and ends the process at once, which the store survives.
//
// A closed pipe is an error of the write instead of a signal that kills: the store is closed in good order.
func run() int {
	signal.Ignore(syscall.SIGPIPE)
	ctx, restore := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer restore()
	context.AfterFunc(ctx, restore)

	err := newRoot().ExecuteContext(ctx)
	status := statusOf(err)
	switch status {
	case 0, exitClosedPipe: // nobody is interested
	case exitInterrupted:
		fmt.Fprintln(os.Stderr, "opossum: interrupted:", plain(err))
	default:
		fmt.Fprintln(os.Stderr, "opossum:", plain(err))
	}
	return status
}

// plain returns the text of an error without the prefix that the engine's errors share with the program's, and without
// the line end that cobra's suggestions have.
func plain(err error) string {
	return strings.TrimRight(strings.TrimPrefix(err.Error(), "opossum: "), "\n")
}

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

// Exit statuses. Shells expect 128 plus the signal's number after an interruption.
const (
	exitError       = 1
	exitInterrupted = 130
)

func main() { os.Exit(run()) }

// run executes the command line and returns the exit status. The first SIGINT or SIGTERM asks the command to end in
// good order; a second one finds the default behaviour restored and ends the process at once, which the store survives.
func run() int {
	ctx, restore := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer restore()
	context.AfterFunc(ctx, restore)

	err := newRoot().ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	message := strings.TrimPrefix(err.Error(), "opossum: ") // the engine's errors begin as ours do
	if ctx.Err() != nil {
		fmt.Fprintln(os.Stderr, "opossum: interrupted:", message)
		return exitInterrupted
	}
	fmt.Fprintln(os.Stderr, "opossum:", message)
	return exitError
}

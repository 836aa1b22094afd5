// Command cell makes the rivals' jobs for opossum/bench, one in each process.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"opossum/bench/harness"
	"opossum/bench/peers"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if !harness.IsJob(os.Args[1:]) {
		fmt.Fprintln(os.Stderr, "cell: go run ./bench calls this program")
		os.Exit(2)
	}
	if err := harness.Serve(ctx, os.Args[1:], peers.Ways(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "cell:", err)
		os.Exit(1)
	}
}

package opossum_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"os"

	"opossum"
)

// What durability costs here: log it now and then.
func ExampleEngine_Metrics() {
	dir, err := os.MkdirTemp(".", "example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	store, err := opossum.Open(dir, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	for range 10 {
		if _, err := store.Append(context.Background(), []opossum.Event{{Type: "OrderPlaced"}, {Type: "OrderPaid"}}, nil); err != nil {
			log.Fatal(err)
		}
	}

	m := store.Metrics()
	slog.Debug("flushes", "count", m.Flushes.Count, "average", m.Flushes.Mean(), "p99", m.Flushes.P99, "max", m.Flushes.Max,
		"events", m.FlushedEvents, "bytes", m.FlushedBytes, "failures", m.FlushFailures, "last", m.LastFlush)

	fmt.Println("events flushed:", m.FlushedEvents)
	fmt.Println("flushes:", m.Flushes.Count)
	fmt.Println("average flush took some time:", m.Flushes.Mean() > 0 && m.Flushes.Mean() <= m.Flushes.Max)
	// Output:
	// events flushed: 20
	// flushes: 10
	// average flush took some time: true
}

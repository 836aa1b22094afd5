package opossum_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"opossum"
)

// Production: nothing acknowledged is ever lost, and the group wait suits the disk that the store is on.
func ExampleFlush_production() {
	dir, err := os.MkdirTemp(".", "example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()
	paid := []opossum.Event{{Type: "OrderPaid", Tags: []opossum.Tag{"order:1"}}}

	store, err := opossum.Open(dir, &opossum.Options{Flush: opossum.FlushAuto})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	position, err := store.Append(ctx, paid, nil)
	fmt.Println(store.Durable() == position, err)
	// Output: true <nil>
}

// Tests: no append waits for the disk. A test that kills its process still finds everything.
func ExampleFlush_tests() {
	dir, err := os.MkdirTemp(".", "example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()
	paid := []opossum.Event{{Type: "OrderPaid", Tags: []opossum.Tag{"order:1"}}}

	store, err := opossum.Open(dir, &opossum.Options{Flush: opossum.FlushDisabled, MinFreeBytes: -1})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	position, err := store.Append(ctx, paid, nil)
	fmt.Println(store.Head() == position, store.Durable(), err)
	// Output: true 0 <nil>
}

// Staging: quick, and a power cut costs the last tenth of a second; what matters more is appended when it is durable.
func ExampleFlush_staging() {
	dir, err := os.MkdirTemp(".", "example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()
	seen := []opossum.Event{{Type: "PageSeen"}}
	paid := []opossum.Event{{Type: "OrderPaid", Tags: []opossum.Tag{"order:1"}}}

	store, err := opossum.Open(dir, &opossum.Options{Flush: opossum.FlushPeriodic, FlushInterval: 100 * time.Millisecond})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	if _, err := store.Append(ctx, seen, nil); err != nil { // acknowledged when it is written
		log.Fatal(err)
	}
	position, err := store.Append(ctx, paid, nil, opossum.WhenDurable())
	fmt.Println(store.Durable() == position, err)
	// Output: true <nil>
}

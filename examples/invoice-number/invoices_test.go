package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"opossum"
	"opossum/examples/internal/payload"
	"opossum/examples/internal/scenario"
)

func app(store *opossum.Engine) Invoices {
	return Invoices{Store: store, Now: scenario.Clock, SnapshotEvery: 3}
}

type events = []payload.Payload

var ways = []struct {
	name      string
	create    way
	snapshots bool
}{
	{"replay", Invoices.CreateByReplay, false},
	{"snapshot", Invoices.CreateFromSnapshot, true},
	{"last", Invoices.CreateAfterLast, false},
}

func TestInvoices(t *testing.T) {
	one, two, three := InvoiceCreated{1, "o-1", 100}, InvoiceCreated{2, "o-2", 200}, InvoiceCreated{3, "o-3", 300}
	for _, w := range ways {
		for _, c := range []struct {
			name  string
			given events
			then  InvoiceCreated
			count bool // the way with snapshots makes one
		}{
			{"the first invoice", nil, InvoiceCreated{1, "o-9", 900}, false},
			{"the second invoice", events{one}, InvoiceCreated{2, "o-9", 900}, false},
			{"the third invoice", events{one, two}, InvoiceCreated{3, "o-9", 900}, true},
			{"the first invoice after a snapshot", events{one, two, three, InvoicesCounted{3}}, InvoiceCreated{4, "o-9", 900}, false},
			{"after a snapshot that was late", events{one, two, InvoicesCounted{1}, three}, InvoiceCreated{4, "o-9", 900}, true},
			{"the first invoice of many after a snapshot", events{one, InvoicesCounted{41}}, InvoiceCreated{42, "o-9", 900}, false},
		} {
			if c.then.Number == 42 && !w.snapshots {
				continue // a snapshot that contradicts the invoices shows who reads it
			}
			then := events{c.then}
			if w.snapshots && c.count {
				then = append(then, InvoicesCounted{c.then.Number})
			}
			scenario.Run(t, w.name+", "+c.name, app, c.given, func(ctx context.Context, v Invoices) error {
				number, err := w.create(v, ctx, "o-9", 900)
				require.Equal(t, c.then.Number, number)
				return err
			}, then, nil)
		}
	}
}

// Sixteen at once, on an empty store, by one way or by all of them: the numbers are 1 to 16.
func TestRaces(t *testing.T) {
	race := func(t *testing.T, way func(i int) way) {
		store := scenario.Store(t)
		require.Equal(t, 16, scenario.Race(t, 16, func(i int) error {
			_, err := way(i)(app(store), t.Context(), fmt.Sprint("o-", i), i)
			return err
		}))
		next := 1
		for _, e := range scenario.Events(t, store, created, 0) {
			require.Equal(t, next, payload.Of[InvoiceCreated](opossum.SequencedEvent{Event: e}).Number)
			next++
		}
		require.Equal(t, 17, next)
	}
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) { race(t, func(int) way { return w.create }) })
	}
	t.Run("all ways", func(t *testing.T) { race(t, func(i int) way { return ways[i%len(ways)].create }) })
}

// What is no lost race comes back, and is not tried for ever.
func TestErrorsEndTheLoop(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, w := range ways {
		_, err := w.create(app(scenario.Store(t)), ended, "o-1", 1)
		require.True(t, errors.Is(err, context.Canceled), "%s: %v", w.name, err)
	}
}

// BenchmarkWays: the next number, of 10,000.
func BenchmarkWays(b *testing.B) {
	store, err := opossum.Open(b.TempDir(), nil)
	require.NoError(b, err)
	defer store.Close()
	for n := range 10_000 {
		what := events{InvoiceCreated{n + 1, "o", 1}}
		if n == 9_900 {
			what = append(what, InvoicesCounted{n + 1})
		}
		all, err := payload.Events(scenario.Now, what...)
		require.NoError(b, err)
		_, err = store.Append(b.Context(), all, nil)
		require.NoError(b, err)
	}
	for _, w := range ways {
		b.Run(w.name, func(b *testing.B) {
			for b.Loop() {
				_, err := w.create(Invoices{Store: store, Now: scenario.Clock, SnapshotEvery: 100}, b.Context(), "o", 1)
				require.NoError(b, err)
			}
		})
	}
}

func Example() {
	fmt.Println(program.Run(context.Background(), nil, nil, os.Stdout))
	// Output:
	// # Three ways to the next number. They can be mixed: each rests on the same condition.
	// $ replay o-1 1999
	//   invoice 1
	// $ last o-2 250
	//   invoice 2
	// $ snapshot o-3 1000
	//   invoice 3
	// $ snapshot o-4 4999
	//   invoice 4
	// $ last o-5 100
	//   invoice 5
	// <nil>
}

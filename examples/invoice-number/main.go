// Command invoice-number creates invoices whose numbers have no gaps, in three ways: by reading all of them, a snapshot and what came after it, or the last one.
package main

import (
	"context"
	"fmt"
	"strconv"

	"opossum/examples/internal/shell"
)

func main() { program.Main() }

var program = shell.Program{
	Name: "invoice-number",
	Commands: []shell.Command{
		{Usage: "replay ORDER CENTS", Run: create(Invoices.CreateByReplay)},
		{Usage: "snapshot ORDER CENTS", Run: create(Invoices.CreateFromSnapshot)},
		{Usage: "last ORDER CENTS", Run: create(Invoices.CreateAfterLast)},
	},
	Story: []string{
		"# Three ways to the next number. They can be mixed: each rests on the same condition.",
		"replay o-1 1999",
		"last o-2 250",
		"snapshot o-3 1000",
		"snapshot o-4 4999",
		"last o-5 100",
	},
}

type way = func(v Invoices, ctx context.Context, order string, cents int) (number int, err error)

func create(by way) func(ctx context.Context, w shell.World, args []string) (string, error) {
	return func(ctx context.Context, w shell.World, args []string) (string, error) {
		cents, err := strconv.Atoi(args[1])
		if err != nil {
			return "", err
		}
		number, err := by(Invoices{Store: w.Store, Now: w.Now, SnapshotEvery: 100}, ctx, args[0], cents)
		return fmt.Sprintf("invoice %d", number), err
	}
}

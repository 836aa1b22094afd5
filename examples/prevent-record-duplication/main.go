// Command prevent-record-duplication places an order once, however often it is sent.
package main

import (
	"context"
	"errors"

	"opossum/examples/internal/shell"
)

func main() { program.Main() }

var program = shell.Program{
	Name: "prevent-record-duplication",
	Commands: []shell.Command{
		{Usage: "place TOKEN WHAT", Run: func(ctx context.Context, w shell.World, args []string) (string, error) {
			order, err := orders(w).Place(ctx, args[0], args[1])
			if errors.Is(err, ErrAlreadyPlaced) {
				return "order " + order + ", as before", nil
			}
			return "order " + order, err
		}},
		{Usage: "withdraw ORDER", Run: func(ctx context.Context, w shell.World, args []string) (string, error) {
			return "withdrawn", orders(w).Withdraw(ctx, args[0])
		}},
	},
	Story: []string{
		"# The answer is lost, and the client sends the order again.",
		"place t-11111 tea",
		"place t-11111 tea",
		"# Another order has another token.",
		"place t-22222 tea",
		"# What was withdrawn can be placed again.",
		"withdraw d9877ece6d368aac",
		"place t-11111 tea",
		"withdraw d9877ece6d368aac",
	},
}

func orders(w shell.World) Orders { return Orders{Store: w.Store, Now: w.Now, Rand: w.Rand} }

// Command unique-username registers accounts whose names are unique, also when they are changed, given up and kept back for a while.
package main

import (
	"context"
	"time"

	"opossum/examples/internal/shell"
)

func main() { program.Main() }

var program = shell.Program{
	Name: "unique-username",
	Commands: []shell.Command{
		{Usage: "register NAME", Run: func(ctx context.Context, w shell.World, args []string) (string, error) {
			return args[0] + " is registered", accounts(w).Register(ctx, args[0])
		}},
		{Usage: "close NAME", Run: func(ctx context.Context, w shell.World, args []string) (string, error) {
			return "the account of " + args[0] + " is closed", accounts(w).Close(ctx, args[0])
		}},
		{Usage: "rename OLD NEW", Run: func(ctx context.Context, w shell.World, args []string) (string, error) {
			return args[0] + " is now " + args[1], accounts(w).Rename(ctx, args[0], args[1])
		}},
	},
	Story: []string{
		"# There is one James Bond, however he is spelled.",
		"register jamesbond",
		"register JamesBond",
		"# He takes another name. The old one is kept back for three days.",
		"rename jamesbond 007",
		"register jamesbond",
		"later 73h",
		"register jamesbond",
		"# Nobody takes the name of another.",
		"rename jamesbond 007",
		"close 007",
		"close 007",
	},
}

func accounts(w shell.World) Accounts {
	return Accounts{Store: w.Store, Now: w.Now, Retention: 3 * 24 * time.Hour}
}

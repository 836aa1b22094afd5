// Command opt-in-token confirms addresses by tokens that can be redeemed once, revoked, and expire. The events are all that is kept of a token.
package main

import (
	"context"
	"time"

	"opossum/examples/internal/shell"
	"opossum/projection"
)

func main() { program.Main() }

// model is what the program shows; its shell opens it.
var model *projection.Model[Open]

var program = shell.Program{
	Name: "opt-in-token",
	Models: func(r *projection.Runner) (err error) {
		model, err = projection.Add(r, open)
		return err
	},
	Commands: []shell.Command{
		{Usage: "initiate EMAIL NAME", Run: func(ctx context.Context, w shell.World, args []string) (string, error) {
			token, err := signUps(w).Initiate(ctx, args[0], args[1])
			return "the token " + token + " was sent to " + args[0], err
		}},
		{Usage: "confirm EMAIL TOKEN", Run: func(ctx context.Context, w shell.World, args []string) (string, error) {
			return args[0] + " is confirmed", signUps(w).Confirm(ctx, args[0], args[1])
		}},
		{Usage: "revoke EMAIL TOKEN", Run: func(ctx context.Context, w shell.World, args []string) (string, error) {
			return "the token is revoked", signUps(w).Revoke(ctx, args[0], args[1])
		}},
		{Usage: "waiting", Run: func(ctx context.Context, w shell.World, _ []string) (string, error) {
			return waiting(ctx, signUps(w), model)
		}},
	},
	Story: []string{
		"# A token is for one address, and for one time.",
		"initiate ann@example.org Ann",
		"confirm bob@example.org 3GDX5TTNG2FKYGTPIGPMMJ6H",
		"confirm ann@example.org 3GDX5TTNG2FKYGTPIGPMMJ6H",
		"confirm ann@example.org 3GDX5TTNG2FKYGTPIGPMMJ6H",
		"initiate ann@example.org Ann",
		"# It expires, and can be revoked.",
		"initiate bob@example.org Bob",
		"later 20m",
		"waiting",
		"later 41m",
		"confirm bob@example.org SR2E2LSWN6G526HTJT2JFHXV",
		"initiate bob@example.org Bob",
		"revoke bob@example.org J5RV3K5DQQ3I3DEFILOLRKMU",
		"confirm bob@example.org J5RV3K5DQQ3I3DEFILOLRKMU",
		"waiting",
		"models",
	},
}

func signUps(w shell.World) SignUps {
	return SignUps{Store: w.Store, Now: w.Now, Rand: w.Rand, Valid: time.Hour}
}

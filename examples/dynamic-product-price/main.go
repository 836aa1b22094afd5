// Command dynamic-product-price takes orders at the prices that customers were shown, if these are valid; a price that was changed is for a while.
package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"opossum/examples/internal/shell"
)

func main() { program.Main() }

var program = shell.Program{
	Name: "dynamic-product-price",
	Commands: []shell.Command{
		{Usage: "define PRODUCT CENTS", Run: func(ctx context.Context, w shell.World, args []string) (string, error) {
			cents, err := strconv.Atoi(args[1])
			if err != nil {
				return "", err
			}
			return fmt.Sprintf("%s costs %d", args[0], cents), products(w).Define(ctx, args[0], cents)
		}},
		{Usage: "price PRODUCT CENTS", Run: func(ctx context.Context, w shell.World, args []string) (string, error) {
			cents, err := strconv.Atoi(args[1])
			if err != nil {
				return "", err
			}
			return fmt.Sprintf("%s costs %d", args[0], cents), products(w).ChangePrice(ctx, args[0], cents)
		}},
		{Usage: "order PRODUCT=CENTS...", Run: func(ctx context.Context, w shell.World, args []string) (string, error) {
			var cart []Item
			total := 0
			for _, arg := range args {
				product, price, _ := strings.Cut(arg, "=")
				cents, err := strconv.Atoi(price)
				if err != nil {
					return "", err
				}
				cart, total = append(cart, Item{product, cents}), total+cents
			}
			return fmt.Sprintf("ordered, %d in all", total), products(w).Order(ctx, cart...)
		}},
	},
	Story: []string{
		"# Customers pay what they were shown.",
		"define tea 300",
		"define cake 450",
		"order tea=300",
		"order tea=200",
		"# The old price is valid for ten minutes more.",
		"price tea 350",
		"later 9m",
		"order tea=300 cake=450",
		"order tea=350",
		"later 2m",
		"order tea=300 cake=450",
		"order tea=350 cake=450",
	},
}

func products(w shell.World) Products {
	return Products{Store: w.Store, Now: w.Now, Grace: 10 * time.Minute}
}

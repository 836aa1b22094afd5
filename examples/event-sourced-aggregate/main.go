// Command event-sourced-aggregate keeps courses as aggregates, the classic way: loaded as a whole, changed, saved if nobody else has saved them meanwhile.
package main

import (
	"context"
	"fmt"
	"strconv"

	"opossum/examples/internal/shell"
)

func main() { program.Main() }

var program = shell.Program{
	Name: "event-sourced-aggregate",
	Commands: []shell.Command{
		{Usage: "define COURSE TITLE CAPACITY", Run: func(ctx context.Context, w shell.World, args []string) (string, error) {
			seats, err := strconv.Atoi(args[2])
			if err != nil {
				return "", err
			}
			course := Define(args[0], args[1], seats)
			return fmt.Sprintf("%s, with %d seats", args[1], seats), repository(w).Save(ctx, &course)
		}},
		{Usage: "capacity COURSE CAPACITY", Run: func(ctx context.Context, w shell.World, args []string) (string, error) {
			seats, err := strconv.Atoi(args[1])
			if err != nil {
				return "", err
			}
			return fmt.Sprintf("capacity of %s: %d", args[0], seats), repository(w).Change(ctx, args[0], func(c *Course) error { return c.ChangeCapacity(seats) })
		}},
		{Usage: "subscribe STUDENT COURSE", Run: func(ctx context.Context, w shell.World, args []string) (string, error) {
			return args[0] + " has a seat in " + args[1], repository(w).Change(ctx, args[1], func(c *Course) error { return c.Subscribe(args[0]) })
		}},
		{Usage: "show COURSE", Run: func(ctx context.Context, w shell.World, args []string) (string, error) {
			c, err := repository(w).Load(ctx, args[0])
			return fmt.Sprintf("%s: %d of %d seats are taken", c.id, c.seats, c.capacity), err
		}},
	},
	Story: []string{
		"# A course is loaded as a whole, changed and saved.",
		"define go Go 2",
		"define go Go 3",
		"subscribe ann go",
		"subscribe bob go",
		"subscribe cid go",
		"capacity go 1",
		"capacity go 3",
		"subscribe cid go",
		"show go",
	},
}

func repository(w shell.World) Repository { return Repository{Store: w.Store, Now: w.Now} }

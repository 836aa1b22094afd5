// Command course-subscriptions lets students subscribe to courses, within the capacity of each course and the limit of each student: a rule about two things at once.
package main

import (
	"context"
	"fmt"
	"strconv"

	"opossum/examples/internal/shell"
)

func main() { program.Main() }

var program = shell.Program{
	Name: "course-subscriptions",
	Commands: []shell.Command{
		{Usage: "define COURSE CAPACITY", Run: func(ctx context.Context, w shell.World, args []string) (string, error) {
			seats, err := strconv.Atoi(args[1])
			if err != nil {
				return "", err
			}
			return fmt.Sprintf("capacity of %s: %d", args[0], seats), courses(w).Define(ctx, args[0], seats)
		}},
		{Usage: "capacity COURSE CAPACITY", Run: func(ctx context.Context, w shell.World, args []string) (string, error) {
			seats, err := strconv.Atoi(args[1])
			if err != nil {
				return "", err
			}
			return fmt.Sprintf("capacity of %s: %d", args[0], seats), courses(w).ChangeCapacity(ctx, args[0], seats)
		}},
		{Usage: "subscribe STUDENT COURSE", Run: func(ctx context.Context, w shell.World, args []string) (string, error) {
			return fmt.Sprintf("%s has a seat in %s", args[0], args[1]), courses(w).Subscribe(ctx, args[0], args[1])
		}},
	},
	Story: []string{
		"# A course with one seat, and two who want it.",
		"define go 1",
		"subscribe ann go",
		"subscribe bob go",
		"# A larger room; but nobody has two seats.",
		"capacity go 2",
		"subscribe ann go",
		"subscribe bob go",
		"# There is no chemistry.",
		"subscribe ann chemistry",
	},
}

func courses(w shell.World) Courses { return Courses{Store: w.Store, Now: w.Now} }

// Command course-subscriptions lets students subscribe to courses, within the capacity of each course and the limit of each student: a rule about two things at once.
package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"opossum/examples/internal/shell"
	"opossum/projection"
)

func main() { program.Main() }

// model is what the program shows; its shell opens it.
var model *projection.Model[Overview]

var program = shell.Program{
	Name: "course-subscriptions",
	Models: func(r *projection.Runner) (err error) {
		model, err = projection.Add(r, overview)
		return err
	},
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
		{Usage: "show COURSE", Run: func(ctx context.Context, w shell.World, args []string) (string, error) {
			course, err := Catalogue{w.Store, model}.Course(ctx, args[0])
			return args[0] + ": " + course.String(), err
		}},
		{Usage: "courses-of STUDENT", Run: func(ctx context.Context, w shell.World, args []string) (string, error) {
			courses, err := Catalogue{w.Store, model}.CoursesOf(ctx, args[0])
			return args[0] + ": " + strings.Join(courses, ", "), err
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
		"# What is shown is folded in the background, and can be looked after.",
		"show go",
		"courses-of ann",
		"models",
		"pause courses",
		"define art 1",
		"models",
		"resume courses",
		"show art",
		"rebuild courses",
	},
}

func courses(w shell.World) Courses { return Courses{Store: w.Store, Now: w.Now} }

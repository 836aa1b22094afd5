package main

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"opossum"
	"opossum/examples/internal/payload"
	"opossum/examples/internal/scenario"
)

func app(store *opossum.Engine) Repository { return Repository{Store: store, Now: scenario.Clock} }

type (
	events  = []payload.Payload
	command = func(ctx context.Context, r Repository) error
)

func define(id string, capacity int) command {
	return func(ctx context.Context, r Repository) error {
		c := Define(id, "Course 01", capacity)
		return r.Save(ctx, &c)
	}
}

// loading changes a course and saves it; changing lets the repository do both. They are the same but in races.
func loading(id string, change func(*Course) error) command {
	return func(ctx context.Context, r Repository) error {
		c, err := r.Load(ctx, id)
		if err != nil {
			return err
		}
		if err := change(&c); err != nil {
			return err
		}
		return r.Save(ctx, &c)
	}
}

func changing(id string, change func(*Course) error) command {
	return func(ctx context.Context, r Repository) error { return r.Change(ctx, id, change) }
}

func capacity(n int) func(*Course) error { return func(c *Course) error { return c.ChangeCapacity(n) } }

func subscribe(student string) func(*Course) error {
	return func(c *Course) error { return c.Subscribe(student) }
}

func TestCourses(t *testing.T) {
	c1 := CourseDefined{"c1", "Course 01", 10}
	for _, c := range []struct {
		name  string
		given events
		when  command
		then  events
		err   error
	}{
		{"a new course", nil, define("c1", 10), events{c1}, nil},
		{"a course that exists", events{c1}, define("c1", 11), nil, ErrCourseExists},
		{"another course", events{c1}, define("c2", 10), events{CourseDefined{"c2", "Course 01", 10}}, nil},
		{"a new course with another capacity, saved at once", nil, func(ctx context.Context, r Repository) error {
			c := Define("c1", "Course 01", 10)
			require.NoError(t, c.ChangeCapacity(15))
			return r.Save(ctx, &c)
		}, events{c1, CapacityChanged{"c1", 15}}, nil},
		{"a course saved twice", nil, func(ctx context.Context, r Repository) error {
			c := Define("c1", "Course 01", 10)
			require.NoError(t, r.Save(ctx, &c))
			require.NoError(t, c.ChangeCapacity(15))
			require.NoError(t, r.Save(ctx, &c))
			return r.Save(ctx, &c)
		}, events{c1, CapacityChanged{"c1", 15}}, ErrNothingToSave},
		{"a course that somebody else has saved meanwhile", events{c1}, func(ctx context.Context, r Repository) error {
			mine, err := r.Load(ctx, "c1")
			require.NoError(t, err)
			require.NoError(t, changing("c1", subscribe("s1"))(ctx, r))
			require.NoError(t, mine.Subscribe("s2"))
			return r.Save(ctx, &mine)
		}, events{StudentSubscribed{"c1", "s1"}}, opossum.ErrConditionFailed},
		{"a course, beside another that was saved meanwhile", events{c1, CourseDefined{"c2", "Course 02", 1}}, func(ctx context.Context, r Repository) error {
			mine, err := r.Load(ctx, "c1")
			require.NoError(t, err)
			require.NoError(t, changing("c2", subscribe("s1"))(ctx, r))
			require.NoError(t, mine.Subscribe("s2"))
			return r.Save(ctx, &mine)
		}, events{StudentSubscribed{"c2", "s1"}, StudentSubscribed{"c1", "s2"}}, nil},
		{"a change of nothing", events{c1}, changing("c1", func(*Course) error { return nil }), nil, opossum.ErrNoEvents},
	} {
		scenario.Run(t, c.name, app, c.given, c.when, c.then, c.err)
	}

	full := events{CourseDefined{"c1", "Course 01", 2}, StudentSubscribed{"c1", "s1"}, StudentSubscribed{"c1", "s2"}}
	for _, c := range []struct {
		name   string
		given  events
		change func(*Course) error
		then   events
		err    error
	}{
		{"another capacity", events{c1}, capacity(15), events{CapacityChanged{"c1", 15}}, nil},
		{"the same capacity", events{c1}, capacity(10), nil, ErrSameCapacity},
		{"the same capacity, changed before", events{c1, CapacityChanged{"c1", 15}}, capacity(15), nil, ErrSameCapacity},
		{"a capacity below the seats taken", full, capacity(1), nil, ErrBelowSeats},
		{"a capacity of the seats taken", append(full, CapacityChanged{"c1", 3}), capacity(2), events{CapacityChanged{"c1", 2}}, nil},
		{"a seat", events{c1}, subscribe("s1"), events{StudentSubscribed{"c1", "s1"}}, nil},
		{"a seat in a full course", full, subscribe("s3"), nil, ErrCourseFull},
		{"a seat that was added", append(full, CapacityChanged{"c1", 3}), subscribe("s3"), events{StudentSubscribed{"c1", "s3"}}, nil},
		{"a seat in no course", nil, subscribe("s1"), nil, ErrNoCourse},
	} {
		scenario.Run(t, c.name+", loaded and saved", app, c.given, loading("c1", c.change), c.then, c.err)
		scenario.Run(t, c.name+", changed", app, c.given, changing("c1", c.change), c.then, c.err)
	}
}

func TestRaces(t *testing.T) {
	student := func(i int) func(*Course) error { return subscribe(fmt.Sprint("s", i)) }
	for _, c := range []struct {
		name    string
		given   events
		when    func(i int) command
		won     int
		reasons []error
	}{
		{"to define", nil, func(i int) command { return define("c1", i+1) }, 1, []error{ErrCourseExists}},
		{"for the last seat", events{CourseDefined{"c1", "Course 01", 1}}, func(i int) command { return changing("c1", student(i)) }, 1, []error{ErrCourseFull}},
		{"for ten seats", events{CourseDefined{"c1", "Course 01", 10}}, func(i int) command { return changing("c1", student(i)) }, 10, []error{ErrCourseFull}},
	} {
		t.Run(c.name, func(t *testing.T) {
			store := scenario.Store(t)
			scenario.Given(t, store, c.given...)
			require.Equal(t, c.won, scenario.Race(t, 16, func(i int) error { return c.when(i)(t.Context(), app(store)) }, c.reasons...))
		})
	}

	// All have loaded the same version: there are seats for all, but one is saved.
	t.Run("to save", func(t *testing.T) {
		store := scenario.Store(t)
		scenario.Given(t, store, CourseDefined{"c1", "Course 01", 99})
		loaded, err := app(store).Load(t.Context(), "c1")
		require.NoError(t, err)
		require.Equal(t, 1, scenario.Race(t, 16, func(i int) error {
			mine := loaded
			if err := student(i)(&mine); err != nil {
				return err
			}
			return app(store).Save(t.Context(), &mine)
		}, opossum.ErrConditionFailed))
	})
}

func TestForeignEvent(t *testing.T) {
	store := scenario.Store(t)
	_, err := store.Append(t.Context(), []opossum.Event{{Type: "CourseHaunted", Tags: []opossum.Tag{"course:c1"}}}, nil)
	require.NoError(t, err)
	_, err = app(store).Load(t.Context(), "c1")
	require.ErrorIs(t, err, opossum.ErrProjectionPanicked)
}

func Example() {
	fmt.Println(program.Run(context.Background(), nil, nil, os.Stdout))
	// Output:
	// # A course is loaded as a whole, changed and saved.
	// $ define go Go 2
	//   Go, with 2 seats
	// $ define go Go 3
	//   refused: the course exists
	// $ subscribe ann go
	//   ann has a seat in go
	// $ subscribe bob go
	//   bob has a seat in go
	// $ subscribe cid go
	//   refused: the course is full
	// $ capacity go 1
	//   refused: more students than that are subscribed
	// $ capacity go 3
	//   capacity of go: 3
	// $ subscribe cid go
	//   cid has a seat in go
	// $ show go
	//   go: 3 of 3 seats are taken
	// <nil>
}

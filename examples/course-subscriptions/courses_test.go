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
	"opossum/projection"
)

func app(store *opossum.Engine) Courses { return Courses{Store: store, Now: scenario.Clock} }

type (
	events  = []payload.Payload
	command = func(ctx context.Context, c Courses) error
)

func define(course string, seats int) command {
	return func(ctx context.Context, c Courses) error { return c.Define(ctx, course, seats) }
}

func change(course string, seats int) command {
	return func(ctx context.Context, c Courses) error { return c.ChangeCapacity(ctx, course, seats) }
}

func subscribe(student, course string) command {
	return func(ctx context.Context, c Courses) error { return c.Subscribe(ctx, student, course) }
}

func TestCourses(t *testing.T) {
	hasFive := func(student string) (all events) {
		for i := range CoursesOfStudent {
			all = append(all, StudentSubscribed{student, fmt.Sprintf("c%d", i+1)})
		}
		return all
	}
	for _, c := range []struct {
		name  string
		given events
		when  command
		then  events
		err   error
	}{
		{"a new course", nil, define("c1", 15), events{CourseDefined{"c1", 15}}, nil},
		{"a course that exists", events{CourseDefined{"c1", 10}}, define("c1", 15), nil, ErrCourseExists},
		{"another course", events{CourseDefined{"c1", 10}}, define("c2", 15), events{CourseDefined{"c2", 15}}, nil},
		{"a course without seats", nil, define("c1", 0), nil, ErrCapacity},

		{"capacity of no course", nil, change("c0", 15), nil, ErrNoCourse},
		{"another capacity", events{CourseDefined{"c1", 12}}, change("c1", 15), events{CourseCapacityChanged{"c1", 15}}, nil},
		{"the same capacity", events{CourseDefined{"c1", 12}}, change("c1", 12), nil, ErrSameCapacity},
		{"the same capacity, changed", events{CourseDefined{"c1", 12}, CourseCapacityChanged{"c1", 15}}, change("c1", 15), nil, ErrSameCapacity},
		{"back to the first capacity", events{CourseDefined{"c1", 12}, CourseCapacityChanged{"c1", 15}}, change("c1", 12), events{CourseCapacityChanged{"c1", 12}}, nil},
		{"no capacity", events{CourseDefined{"c1", 12}}, change("c1", -1), nil, ErrCapacity},

		{"a seat in no course", nil, subscribe("s1", "c0"), nil, ErrNoCourse},
		{"a seat", events{CourseDefined{"c1", 10}}, subscribe("s1", "c1"), events{StudentSubscribed{"s1", "c1"}}, nil},
		{"a seat in a full course", events{CourseDefined{"c1", 3}, StudentSubscribed{"s1", "c1"}, StudentSubscribed{"s2", "c1"}, StudentSubscribed{"s3", "c1"}},
			subscribe("s4", "c1"), nil, ErrCourseFull},
		{"the last seat", events{CourseDefined{"c1", 2}, StudentSubscribed{"s1", "c1"}}, subscribe("s2", "c1"), events{StudentSubscribed{"s2", "c1"}}, nil},
		{"a seat that was added", events{CourseDefined{"c1", 1}, StudentSubscribed{"s1", "c1"}, CourseCapacityChanged{"c1", 2}},
			subscribe("s2", "c1"), events{StudentSubscribed{"s2", "c1"}}, nil},
		{"a seat that was taken away", events{CourseDefined{"c1", 2}, StudentSubscribed{"s1", "c1"}, CourseCapacityChanged{"c1", 1}},
			subscribe("s2", "c1"), nil, ErrCourseFull},
		{"the same course twice", events{CourseDefined{"c1", 10}, StudentSubscribed{"s1", "c1"}}, subscribe("s1", "c1"), nil, ErrAlreadySubscribed},
		{"a sixth course", append(hasFive("s1"), CourseDefined{"c6", 10}), subscribe("s1", "c6"), nil, ErrTooManyCourses},
		{"a fifth course", append(hasFive("s1")[1:], CourseDefined{"c6", 10}), subscribe("s1", "c6"), events{StudentSubscribed{"s1", "c6"}}, nil},
		{"five courses of another", append(hasFive("s2"), CourseDefined{"c6", 10}), subscribe("s1", "c6"), events{StudentSubscribed{"s1", "c6"}}, nil},
	} {
		scenario.Run(t, c.name, app, c.given, c.when, c.then, c.err)
	}
}

// The rules of a course and of a student hold, however many come at once.
func TestRaces(t *testing.T) {
	anybody := func(i int) command { return subscribe(fmt.Sprint("s", i), "c1") }
	hasFour := events{StudentSubscribed{"s1", "a"}, StudentSubscribed{"s1", "b"}, StudentSubscribed{"s1", "c"}, StudentSubscribed{"s1", "d"}}
	for _, c := range []struct {
		name    string
		given   events
		when    func(i int) command // 16 times, at once
		won     int
		reasons []error // of the others
	}{
		{"a new course", nil, func(i int) command { return define("c1", i+1) }, 1, []error{ErrCourseExists}},
		{"the last seat", events{CourseDefined{"c1", 2}, StudentSubscribed{"x", "c1"}}, anybody, 1, []error{ErrCourseFull}},
		{"ten seats", events{CourseDefined{"c1", 10}}, anybody, 10, []error{ErrCourseFull}},
		{"one student, one course", events{CourseDefined{"c1", 10}}, func(int) command { return subscribe("s1", "c1") }, 1, []error{ErrAlreadySubscribed}},
		{"a student's last course, of two", append(hasFour, CourseDefined{"c0", 9}, CourseDefined{"c1", 9}),
			func(i int) command { return subscribe("s1", fmt.Sprint("c", i%2)) }, 1, []error{ErrTooManyCourses, ErrAlreadySubscribed}},
		{"other courses do not meet", events{CourseDefined{"c1", 1}}, func(i int) command { return define(fmt.Sprint("d", i), 1) }, 16, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			store := scenario.Store(t)
			scenario.Given(t, store, c.given...)
			require.Equal(t, c.won, scenario.Race(t, 16, func(i int) error { return c.when(i)(t.Context(), app(store)) }, c.reasons...))
			require.Len(t, scenario.Events(t, store, opossum.AllEvents(), opossum.Position(len(c.given))), c.won)
		})
	}
}

// A read model is tested as decisions are: given what has happened, this is shown.
func TestOverview(t *testing.T) {
	for name, c := range map[string]struct {
		given events
		then  map[string]Overview
	}{
		"nothing":      {nil, map[string]Overview{}},
		"a course":     {events{CourseDefined{"c1", 10}}, map[string]Overview{"c1": {Capacity: 10}}},
		"a larger one": {events{CourseDefined{"c1", 10}, CourseCapacityChanged{"c1", 12}}, map[string]Overview{"c1": {Capacity: 12}}},
		"students": {events{CourseDefined{"c1", 10}, CourseDefined{"c2", 5}, StudentSubscribed{"s2", "c1"}, StudentSubscribed{"s1", "c1"}},
			map[string]Overview{"c1": {10, []string{"s2", "s1"}}, "c2": {Capacity: 5}}},
	} {
		t.Run(name, func(t *testing.T) {
			shown, err := projection.Fold(overview, scenario.Happened(t, c.given...)...)
			require.NoError(t, err)
			require.Equal(t, c.then, shown)
		})
	}
	require.Equal(t, 0, Overview{Capacity: 1, Students: []string{"s1", "s2"}}.Free(), "nobody is put out of a course that shrinks")
}

// Who has done something sees it, and a student is found by a tag.
func TestCatalogue(t *testing.T) {
	store := scenario.Store(t)
	runner, err := store.Projections(nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, runner.Close()) }()
	model, err := projection.Add(runner, overview)
	require.NoError(t, err)
	c := Catalogue{store, model}
	_, err = c.Course(t.Context(), "c1")
	require.ErrorIs(t, err, opossum.ErrNotFound)
	for _, course := range []string{"c2", "c1"} {
		require.NoError(t, app(store).Define(t.Context(), course, 2))
		require.NoError(t, app(store).Subscribe(t.Context(), "s1", course))
	}
	shown, err := c.Course(t.Context(), "c1")
	require.NoError(t, err)
	require.Equal(t, Overview{2, []string{"s1"}}, shown)
	courses, err := c.CoursesOf(t.Context(), "s1")
	require.NoError(t, err)
	require.Equal(t, []string{"c1", "c2"}, courses)
	courses, err = c.CoursesOf(t.Context(), "s2")
	require.NoError(t, err)
	require.Empty(t, courses)
}

// What another program has written under our types is an error, and no course with 0 seats.
func TestForeignPayload(t *testing.T) {
	store := scenario.Store(t)
	_, err := store.Append(t.Context(), []opossum.Event{{Type: courseDefined, Tags: []opossum.Tag{"course:c1"}, Data: []byte(`"ten"`)}}, nil)
	require.NoError(t, err)
	err = app(store).Subscribe(t.Context(), "s1", "c1")
	require.ErrorIs(t, err, opossum.ErrProjectionPanicked)
	require.ErrorContains(t, err, `"capacity of c1" at position 1`)
}

func Example() {
	fmt.Println(program.Run(context.Background(), nil, nil, os.Stdout))
	// Output:
	// # A course with one seat, and two who want it.
	// $ define go 1
	//   capacity of go: 1
	// $ subscribe ann go
	//   ann has a seat in go
	// $ subscribe bob go
	//   refused: the course is full
	//
	// # A larger room; but nobody has two seats.
	// $ capacity go 2
	//   capacity of go: 2
	// $ subscribe ann go
	//   refused: the student is subscribed to the course
	// $ subscribe bob go
	//   bob has a seat in go
	//
	// # There is no chemistry.
	// $ subscribe ann chemistry
	//   refused: there is no such course
	//
	// # What is shown is folded in the background, and can be looked after.
	// $ show go
	//   go: 0 of 2 seats are free; ann, bob
	// $ courses-of ann
	//   ann: go
	// $ models
	//   courses: version 1, following, at position 4, 0 behind, 1 states
	// $ pause courses
	//   courses is paused, until it is resumed or this program ends
	// $ define art 1
	//   capacity of art: 1
	// $ models
	//   courses: version 1, paused, at position 4, 1 behind, 1 states
	// $ resume courses
	//   courses goes on
	// $ show art
	//   art: 1 of 1 seats are free; nobody
	// $ rebuild courses
	//   courses: 5 events were applied, up to position 5
	// <nil>
}

package opossum_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"

	"opossum"
)

// The ten lines of the README.
func Example() {
	dir, err := os.MkdirTemp(".", "example-") // anywhere you like; Open creates what is missing
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	ctx := context.Background()
	store, err := opossum.Open(dir, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()

	ann := []opossum.Event{{Type: "StudentRegistered", Tags: []opossum.Tag{"email:ann@example.org"}, Data: []byte(`{"name":"Ann"}`)}}
	unique := &opossum.Condition{FailIfExists: opossum.ByTags("email:ann@example.org")}
	position, err := store.Append(ctx, ann, unique) // durable when it returns
	fmt.Println(position, err)
	_, err = store.Append(ctx, ann, unique) // the second Ann is refused
	fmt.Println(errors.Is(err, opossum.ErrAlreadyExists))
	// Output:
	// 1 <nil>
	// true
}

// Who does not own a store reads it beside its owner, which here is in the same process.
func ExampleOpen_readOnly() {
	dir, err := os.MkdirTemp(".", "example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()
	owner, err := opossum.Open(dir, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer owner.Close()

	reader, err := opossum.Open(dir, &opossum.Options{ReadOnly: true})
	if err != nil {
		log.Fatal(err)
	}
	defer reader.Close()

	ann := []opossum.Event{{Type: "StudentRegistered", Tags: []opossum.Tag{"email:ann@example.org"}}}
	if _, err := owner.Append(ctx, ann, nil); err != nil {
		log.Fatal(err)
	}
	err = reader.Refresh(ctx) // now it shows everything that was acknowledged before the call
	fmt.Println(reader.Head(), err)
	_, err = reader.Append(ctx, ann, nil)
	fmt.Println(errors.Is(err, opossum.ErrReadOnly))
	// Output:
	// 1 <nil>
	// true
}

// Contexts are stores side by side, each with a name, an engine and a choice between safety and speed of its own.
func ExampleOpenRoot() {
	dir, err := os.MkdirTemp(".", "example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()

	root, err := opossum.OpenRoot(dir, &opossum.RootOptions{
		Create:   true, // contexts that do not exist
		Contexts: map[string]opossum.Options{"clicks": {Flush: opossum.FlushDisabled}},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer root.Close() // and every context

	for _, name := range []string{"orders", "clicks"} {
		store, err := root.Context(name) // opened once, and the same engine ever after
		if err != nil {
			log.Fatal(err)
		}
		position, err := store.Append(ctx, []opossum.Event{{Type: "Happened"}}, nil)
		fmt.Println(name, position, err)
	}
	fmt.Println(root.List())

	fmt.Println(root.Delete("clicks", opossum.ConfirmDelete))
	fmt.Println(root.List())
	_, err = root.Context("Orders")
	fmt.Println(errors.Is(err, opossum.ErrInvalidOption)) // names are lower case
	// Output:
	// orders 1 <nil>
	// clicks 1 <nil>
	// [clicks orders] <nil>
	// <nil>
	// [orders] <nil>
	// true
}

// A decision that rests on several events: facts are folded from the history, and what is decided is appended if none of them has changed meanwhile.
func ExampleDecide() {
	dir, err := os.MkdirTemp(".", "example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()
	store, err := opossum.Open(dir, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()

	// A fact is a query and a fold.
	seatsTaken := func(course opossum.Tag) opossum.Projection[int] {
		return opossum.Projection[int]{
			Query: opossum.Match(opossum.QueryItem{Types: []string{"Enrolled"}, Tags: []opossum.Tag{course}}),
			Apply: func(taken int, _ opossum.SequencedEvent) int { return taken + 1 },
		}
	}
	isEnrolled := func(student, course opossum.Tag) opossum.Projection[bool] {
		return opossum.Projection[bool]{
			Query: opossum.Match(opossum.QueryItem{Types: []string{"Enrolled"}, Tags: []opossum.Tag{student, course}}),
			Apply: func(bool, opossum.SequencedEvent) bool { return true },
		}
	}
	// A decision is a function of facts. If one of them changes before its events are appended, it is made again.
	enrol := func(student, course opossum.Tag) error {
		facts := opossum.Join2(seatsTaken(course), isEnrolled(student, course))
		_, err := opossum.Decide(ctx, store, facts, func(f opossum.Pair[int, bool]) ([]opossum.Event, error) {
			switch taken, enrolled := f.First, f.Second; {
			case enrolled:
				return nil, errors.New("enrolled already")
			case taken >= 2:
				return nil, errors.New("the course is full")
			}
			return []opossum.Event{{Type: "Enrolled", Tags: []opossum.Tag{student, course}}}, nil
		})
		return err
	}
	for _, student := range []opossum.Tag{"student:1", "student:1", "student:2", "student:3"} {
		fmt.Println(student, enrol(student, "course:c1"))
	}
	// Output:
	// student:1 <nil>
	// student:1 enrolled already
	// student:2 <nil>
	// student:3 the course is full
}

// What Decide does, by hand: the condition makes sure that nothing relevant has happened since what the decision rests on was read.
func ExampleEngine_Append_decision() {
	dir, err := os.MkdirTemp(".", "example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()
	store, err := opossum.Open(dir, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()

	const capacity = 2
	enrol := func(student opossum.Tag) error {
		for {
			seats := opossum.Match(opossum.QueryItem{Types: []string{"Enrolled"}, Tags: []opossum.Tag{"course:c1"}})
			view, err := store.Read(ctx, seats, opossum.ReadOptions{})
			if err != nil {
				return err
			}
			taken := 0
			for _, err := range view.All() {
				if err != nil {
					return err
				}
				taken++
			}
			if taken == capacity {
				return errors.New("the course is full")
			}
			_, err = store.Append(ctx,
				[]opossum.Event{{Type: "Enrolled", Tags: []opossum.Tag{"course:c1", student}}},
				&opossum.Condition{FailIfMatch: seats, After: view.Head()})
			if !errors.Is(err, opossum.ErrConditionFailed) {
				return err
			}
			// Somebody else enrolled meanwhile: look again, decide again.
		}
	}
	for _, student := range []opossum.Tag{"student:1", "student:2", "student:3"} {
		fmt.Println(student, enrol(student))
	}
	// Output:
	// student:1 <nil>
	// student:2 <nil>
	// student:3 the course is full
}

// A subscription yields what is there, then what comes, with no seam between.
func ExampleEngine_Subscribe() {
	dir, err := os.MkdirTemp(".", "example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	store, err := opossum.Open(dir, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()

	for _, typ := range []string{"Opened", "Renamed", "Closed"} {
		if _, err := store.Append(ctx, []opossum.Event{{Type: typ, Tags: []opossum.Tag{"account:9"}}}, nil); err != nil {
			log.Fatal(err)
		}
	}
	sub, err := store.Subscribe(ctx, opossum.ByTags("account:9"), 0)
	if err != nil {
		log.Fatal(err)
	}
	for e, err := range sub.All() {
		if err != nil {
			break // ctx ended, or the engine was closed
		}
		fmt.Println(e.Position, e.Event.Type)
		if e.Event.Type == "Closed" {
			cancel()
		}
	}
	fmt.Println("position", sub.Position())
	// Output:
	// 1 Opened
	// 2 Renamed
	// 3 Closed
	// position 3
}

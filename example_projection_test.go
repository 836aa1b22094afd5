package opossum_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"opossum"
	"opossum/projection"
)

// A read model is folded from events and kept as files: here one for each course, in projections/courses/.
func ExampleEngine_Projections() {
	dir, err := os.MkdirTemp(".", "example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	store, err := opossum.Open(dir, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	ctx := context.Background()

	type course struct {
		Students int `json:"students"`
	}
	runner, err := store.Projections(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer runner.Close()
	courses, err := projection.Add(runner, projection.Definition[course]{
		Name: "courses", Version: 1, Query: opossum.ByTypes("StudentEnrolled"),
		Key: func(e opossum.SequencedEvent) string { return string(e.Event.Data) },
		Apply: func(c *course, e projection.Event) (*course, error) {
			if c == nil {
				c = &course{}
			}
			c.Students++
			return c, nil
		},
		Tags: func(c course) []opossum.Tag {
			return []opossum.Tag{opossum.Tag(fmt.Sprintf("full:%t", c.Students >= 2))}
		},
	})
	if err != nil {
		log.Fatal(err)
	}

	var last opossum.Position
	for _, c := range []string{"go", "go", "art"} {
		last, err = store.Append(ctx, []opossum.Event{{Type: "StudentEnrolled", Tags: []opossum.Tag{opossum.Tag("course:" + c)}, Data: []byte(c)}}, nil)
		if err != nil {
			log.Fatal(err)
		}
	}
	if err := courses.Wait(ctx, last); err != nil { // to read what was just written
		log.Fatal(err)
	}
	for c, err := range courses.Tagged("full:true") {
		fmt.Println(c.Key, c.State.Students, c.Version, err)
	}
	// Output: go 2 2 <nil>
}

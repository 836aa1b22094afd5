package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"opossum"
	"opossum/examples/internal/payload"
	"opossum/projection"
)

// Overview is what people are shown of a course. It may be a moment old, so no decision rests on it: that reads the events.
type Overview struct {
	Capacity int      `json:"capacity"`
	Students []string `json:"students"` // in the order of their subscriptions
}

// Free is how many more students the course takes. Where the capacity was lowered, nobody was put out.
func (o Overview) Free() int { return max(0, o.Capacity-len(o.Students)) }

// overview has a state for each course, in projections/courses/COURSE.json. Its tags say which courses a student has.
var overview = projection.Definition[Overview]{
	Name:    "courses",
	Version: 1, // to be raised with every change below: then it is rebuilt
	Query:   opossum.ByTypes(courseDefined, capacityChanged, studentSubscribed),
	Key: func(e opossum.SequencedEvent) string {
		switch e.Event.Type {
		case courseDefined:
			return payload.Of[CourseDefined](e).Course
		case capacityChanged:
			return payload.Of[CourseCapacityChanged](e).Course
		}
		return payload.Of[StudentSubscribed](e).Course
	},
	Apply: func(o *Overview, e projection.Event) (*Overview, error) {
		if o == nil {
			o = &Overview{}
		}
		switch e.Event.Type {
		case courseDefined:
			o.Capacity = payload.Of[CourseDefined](e.SequencedEvent).Capacity
		case capacityChanged:
			o.Capacity = payload.Of[CourseCapacityChanged](e.SequencedEvent).Capacity
		case studentSubscribed:
			o.Students = append(o.Students, payload.Of[StudentSubscribed](e.SequencedEvent).Student)
		}
		return o, nil
	},
	Tags: func(o Overview) (tags []opossum.Tag) {
		for _, s := range o.Students {
			tags = append(tags, studentTag(s))
		}
		return tags
	},
}

// Catalogue is what can be asked. Each answer waits until it includes what the caller has done before.
type Catalogue struct {
	Store *opossum.Engine
	Model *projection.Model[Overview]
}

// Course returns how a course is. The error Is opossum.ErrNotFound if there is none.
func (c Catalogue) Course(ctx context.Context, course string) (Overview, error) {
	if err := c.Model.Wait(ctx, c.Store.Head()); err != nil {
		return Overview{}, err
	}
	found, err := c.Model.Get(course)
	return found.State, err
}

// CoursesOf returns the courses that a student has, by name.
func (c Catalogue) CoursesOf(ctx context.Context, student string) (courses []string, err error) {
	if err := c.Model.Wait(ctx, c.Store.Head()); err != nil {
		return nil, err
	}
	for found, err := range c.Model.Tagged(studentTag(student)) {
		if err != nil {
			return nil, err
		}
		courses = append(courses, found.Key)
	}
	slices.Sort(courses)
	return courses, nil
}

func (o Overview) String() string {
	return fmt.Sprintf("%d of %d seats are free; %s", o.Free(), o.Capacity, listed(o.Students))
}

// listed is names in a sentence.
func listed(names []string) string {
	if len(names) == 0 {
		return "nobody"
	}
	return strings.Join(names, ", ")
}

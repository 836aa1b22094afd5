package main

import (
	"errors"
	"fmt"

	"opossum"
	"opossum/examples/internal/payload"
)

// Why something is refused.
var (
	ErrCourseExists  = errors.New("the course exists")
	ErrNoCourse      = errors.New("there is no such course")
	ErrSameCapacity  = errors.New("the course has that capacity")
	ErrBelowSeats    = errors.New("more students than that are subscribed")
	ErrCourseFull    = errors.New("the course is full")
	ErrNothingToSave = errors.New("nothing has happened to the course")
)

// The events. All are about one course: the student in the third has no tag, because an aggregate looks at nothing but itself.
type (
	CourseDefined struct {
		Course   string `json:"course"`
		Title    string `json:"title"`
		Capacity int    `json:"capacity"`
	}
	CapacityChanged struct {
		Course   string `json:"course"`
		Capacity int    `json:"capacity"`
	}
	StudentSubscribed struct {
		Course  string `json:"course"`
		Student string `json:"student"`
	}
)

func courseTag(id string) opossum.Tag { return opossum.Tag("course:" + id) }

const (
	courseDefined     = "CourseDefined"
	capacityChanged   = "CourseCapacityChanged"
	studentSubscribed = "StudentSubscribedToCourse"
)

func (CourseDefined) EventType() string     { return courseDefined }
func (CapacityChanged) EventType() string   { return capacityChanged }
func (StudentSubscribed) EventType() string { return studentSubscribed }

func (e CourseDefined) Tags() []opossum.Tag     { return []opossum.Tag{courseTag(e.Course)} }
func (e CapacityChanged) Tags() []opossum.Tag   { return []opossum.Tag{courseTag(e.Course)} }
func (e StudentSubscribed) Tags() []opossum.Tag { return []opossum.Tag{courseTag(e.Course)} }

// Course is an aggregate: its methods decide, what they decide is recorded, and its state is what the events have made of it. It knows no store.
type Course struct {
	id              string
	capacity, seats int // there are, and taken

	version  opossum.Position  // what it rests on
	recorded []payload.Payload // not saved yet
}

// Define makes a course.
func Define(id, title string, capacity int) Course {
	var c Course
	c.record(CourseDefined{id, title, capacity})
	return c
}

// ChangeCapacity gives the course another number of seats. Errors: ErrSameCapacity, ErrBelowSeats.
func (c *Course) ChangeCapacity(capacity int) error {
	switch {
	case capacity == c.capacity:
		return ErrSameCapacity
	case capacity < c.seats:
		return ErrBelowSeats
	}
	c.record(CapacityChanged{c.id, capacity})
	return nil
}

// Subscribe gives a student a seat. Error: ErrCourseFull.
func (c *Course) Subscribe(student string) error {
	if c.seats >= c.capacity {
		return ErrCourseFull
	}
	c.record(StudentSubscribed{c.id, student})
	return nil
}

func (c *Course) record(p payload.Payload) {
	c.recorded = append(c.recorded, p)
	c.apply(p)
}

// apply is the same for what has just been decided and for what was stored long ago.
func (c *Course) apply(p payload.Payload) {
	switch p := p.(type) {
	case CourseDefined:
		c.id, c.capacity = p.Course, p.Capacity
	case CapacityChanged:
		c.capacity = p.Capacity
	case StudentSubscribed:
		c.seats++
	}
}

// stored returns what a stored event says.
func stored(e opossum.SequencedEvent) payload.Payload {
	switch e.Event.Type {
	case courseDefined:
		return payload.Of[CourseDefined](e)
	case capacityChanged:
		return payload.Of[CapacityChanged](e)
	case studentSubscribed:
		return payload.Of[StudentSubscribed](e)
	}
	panic(fmt.Errorf("event %d is a %s, which no course has", e.Position, e.Event.Type))
}

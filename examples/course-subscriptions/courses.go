package main

import (
	"context"
	"errors"
	"slices"
	"time"

	"opossum"
	"opossum/examples/internal/payload"
)

// CoursesOfStudent is how many courses a student can be subscribed to.
const CoursesOfStudent = 5

// Why something is refused.
var (
	ErrCourseExists      = errors.New("the course exists")
	ErrNoCourse          = errors.New("there is no such course")
	ErrCapacity          = errors.New("a course has at least one seat")
	ErrSameCapacity      = errors.New("the course has that capacity")
	ErrCourseFull        = errors.New("the course is full")
	ErrAlreadySubscribed = errors.New("the student is subscribed to the course")
	ErrTooManyCourses    = errors.New("the student is subscribed to 5 courses already")
)

// The events. The third has two tags: it is about a course and about a student, and belongs to neither.
type (
	CourseDefined struct {
		Course   string `json:"course"`
		Capacity int    `json:"capacity"`
	}
	CourseCapacityChanged struct {
		Course   string `json:"course"`
		Capacity int    `json:"capacity"`
	}
	StudentSubscribed struct {
		Student string `json:"student"`
		Course  string `json:"course"`
	}
)

func courseTag(id string) opossum.Tag  { return opossum.Tag("course:" + id) }
func studentTag(id string) opossum.Tag { return opossum.Tag("student:" + id) }

const (
	courseDefined     = "CourseDefined"
	capacityChanged   = "CourseCapacityChanged"
	studentSubscribed = "StudentSubscribedToCourse"
)

func (CourseDefined) EventType() string         { return courseDefined }
func (CourseCapacityChanged) EventType() string { return capacityChanged }
func (StudentSubscribed) EventType() string     { return studentSubscribed }

func (e CourseDefined) Tags() []opossum.Tag         { return []opossum.Tag{courseTag(e.Course)} }
func (e CourseCapacityChanged) Tags() []opossum.Tag { return []opossum.Tag{courseTag(e.Course)} }
func (e StudentSubscribed) Tags() []opossum.Tag {
	return []opossum.Tag{studentTag(e.Student), courseTag(e.Course)}
}

// capacity is how many seats a course has; 0: there is no such course.
func capacity(course string) opossum.Projection[int] {
	return opossum.Projection[int]{
		Name:  "capacity of " + course,
		Query: opossum.Match(opossum.QueryItem{Types: []string{courseDefined, capacityChanged}, Tags: []opossum.Tag{courseTag(course)}}),
		Apply: func(seats int, e opossum.SequencedEvent) int {
			switch e.Event.Type {
			case courseDefined:
				return payload.Of[CourseDefined](e).Capacity
			case capacityChanged:
				return payload.Of[CourseCapacityChanged](e).Capacity
			}
			return seats
		},
	}
}

// taken is how many seats of a course are.
func taken(course string) opossum.Projection[int] {
	return opossum.Projection[int]{
		Name:  "seats taken in " + course,
		Query: opossum.Match(opossum.QueryItem{Types: []string{studentSubscribed}, Tags: []opossum.Tag{courseTag(course)}}),
		Apply: func(n int, _ opossum.SequencedEvent) int { return n + 1 },
	}
}

// coursesOf is what a student is subscribed to.
func coursesOf(student string) opossum.Projection[[]string] {
	return opossum.Projection[[]string]{
		Name:  "courses of " + student,
		Query: opossum.Match(opossum.QueryItem{Types: []string{studentSubscribed}, Tags: []opossum.Tag{studentTag(student)}}),
		Apply: func(courses []string, e opossum.SequencedEvent) []string {
			return append(courses, payload.Of[StudentSubscribed](e).Course)
		},
	}
}

// Courses is what can be done.
type Courses struct {
	Store *opossum.Engine
	Now   func() time.Time
}

// Define makes a course. Errors: ErrCapacity, ErrCourseExists.
func (c Courses) Define(ctx context.Context, course string, seats int) error {
	if seats < 1 {
		return ErrCapacity
	}
	_, err := opossum.Decide(ctx, c.Store, capacity(course), func(present int) ([]opossum.Event, error) {
		if present > 0 {
			return nil, ErrCourseExists
		}
		return payload.Events(c.Now(), CourseDefined{course, seats})
	})
	return err
}

// ChangeCapacity gives a course another number of seats; if there are fewer than students, nobody is put out. What it rests on is the capacity alone: who subscribes meanwhile does
// not disturb it. Errors: ErrCapacity, ErrNoCourse, ErrSameCapacity.
func (c Courses) ChangeCapacity(ctx context.Context, course string, seats int) error {
	if seats < 1 {
		return ErrCapacity
	}
	_, err := opossum.Decide(ctx, c.Store, capacity(course), func(present int) ([]opossum.Event, error) {
		switch present {
		case 0:
			return nil, ErrNoCourse
		case seats:
			return nil, ErrSameCapacity
		}
		return payload.Events(c.Now(), CourseCapacityChanged{course, seats})
	})
	return err
}

// Subscribe gives a student a seat. Three facts about two things, a course and a student, make one decision, under one condition: nobody can take the last seat, or the student's
// last course, at the same time. Errors: ErrNoCourse, ErrAlreadySubscribed, ErrCourseFull, ErrTooManyCourses.
func (c Courses) Subscribe(ctx context.Context, student, course string) error {
	facts := opossum.Join3(capacity(course), taken(course), coursesOf(student))
	_, err := opossum.Decide(ctx, c.Store, facts, func(known opossum.Triple[int, int, []string]) ([]opossum.Event, error) {
		seats, taken, courses := known.First, known.Second, known.Third
		switch {
		case seats == 0:
			return nil, ErrNoCourse
		case slices.Contains(courses, course):
			return nil, ErrAlreadySubscribed
		case taken >= seats:
			return nil, ErrCourseFull
		case len(courses) >= CoursesOfStudent:
			return nil, ErrTooManyCourses
		}
		return payload.Events(c.Now(), StudentSubscribed{student, course})
	})
	return err
}

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"opossum"
)

// The domain of the demo: students register, courses are created, students enrol in courses. Every rule is a pure
// function of events; nothing here knows a store.
const (
	studentRegistered = "StudentRegistered" // tags: student, email
	courseCreated     = "CourseCreated"     // tag: course
	studentEnrolled   = "StudentEnrolled"   // tags: student, course

	courseCapacity = 30 // seats of each course; stated in its event
	studentLimit   = 10 // courses that each student may take; stated in her event
)

func studentTag(id string) opossum.Tag    { return opossum.Tag("student:" + id) }
func courseTag(id string) opossum.Tag     { return opossum.Tag("course:" + id) }
func emailTag(address string) opossum.Tag { return opossum.Tag("email:" + address) }

// student is the data of a StudentRegistered event.
type student struct {
	ID    string `json:"student"`
	Name  string `json:"name"`
	Email string `json:"email"`
	Limit int    `json:"limit"`
}

// course is the data of a CourseCreated event.
type course struct {
	ID       string `json:"course"`
	Title    string `json:"title"`
	Capacity int    `json:"capacity"`
}

// enrolment is the data of a StudentEnrolled event.
type enrolment struct {
	Student string `json:"student"`
	Course  string `json:"course"`
}

// register returns the event that registers s, and the condition under which it may be appended: nobody has the e-mail
// address. No read is needed to decide that.
func register(s student, now time.Time) (opossum.Event, opossum.Condition, error) {
	ev, err := newEvent(studentRegistered, s, now, studentTag(s.ID), emailTag(s.Email))
	return ev, opossum.Condition{FailIfExists: opossum.ByTags(emailTag(s.Email))}, err
}

// create returns the event that creates c, and its condition: the course does not exist.
func create(c course, now time.Time) (opossum.Event, opossum.Condition, error) {
	ev, err := newEvent(courseCreated, c, now, courseTag(c.ID))
	return ev, opossum.Condition{FailIfExists: opossum.ByTags(courseTag(c.ID))}, err
}

func newEvent(typ string, data any, now time.Time, tags ...opossum.Tag) (opossum.Event, error) {
	text, err := json.Marshal(data)
	return opossum.Event{Type: typ, Tags: tags, Data: text, Time: now}, err
}

// Why an enrolment may be refused.
var (
	errNoStudent       = errors.New("there is no such student")
	errNoCourse        = errors.New("there is no such course")
	errAlreadyEnrolled = errors.New("the student is enrolled in the course already")
	errCourseFull      = errors.New("the course is full")
	errLimitReached    = errors.New("the student has reached her limit of courses")
)

// decision is the decision model of one enrolment: what the history of the student and that of the course say. It is
// dynamic in the sense of DCB: no aggregate owns the rule, the query draws the boundary.
type decision struct {
	student, course string

	limit, capacity int // 0: not registered, not created
	courses, seats  int // taken so far, by the student and in the course
	enrolled        bool
	damaged         error // the first event that cannot be understood
}

// enrolling is the same as a projection.
func enrolling(student, course string) opossum.Projection[decision] {
	d := decision{student: student, course: course}
	return opossum.Projection[decision]{
		Name:    "enrolment",
		Query:   d.query(),
		Initial: func() decision { return d },
		Apply: func(d decision, e opossum.SequencedEvent) decision {
			if err := d.apply(e.Event); err != nil && d.damaged == nil {
				d.damaged = fmt.Errorf("position %d: %w", e.Position, err)
			}
			return d
		},
	}
}

// query selects the history that the decision rests on: all of it, and nothing else.
func (d *decision) query() opossum.Query {
	return opossum.Match(
		opossum.QueryItem{Types: []string{courseCreated, studentEnrolled}, Tags: []opossum.Tag{courseTag(d.course)}},
		opossum.QueryItem{Types: []string{studentRegistered, studentEnrolled}, Tags: []opossum.Tag{studentTag(d.student)}},
	)
}

// apply adds one event of the history. An enrolment needs no decoding: its tags say all.
func (d *decision) apply(ev opossum.Event) error {
	switch ev.Type {
	case studentRegistered:
		var s student
		if err := json.Unmarshal(ev.Data, &s); err != nil {
			return fmt.Errorf("%s: %w", ev.Type, err)
		}
		d.limit = s.Limit
	case courseCreated:
		var c course
		if err := json.Unmarshal(ev.Data, &c); err != nil {
			return fmt.Errorf("%s: %w", ev.Type, err)
		}
		d.capacity = c.Capacity
	case studentEnrolled:
		hers := slices.Contains(ev.Tags, studentTag(d.student))
		here := slices.Contains(ev.Tags, courseTag(d.course))
		if hers {
			d.courses++
		}
		if here {
			d.seats++
		}
		d.enrolled = d.enrolled || hers && here
	}
	return nil
}

// decide returns the event to append, or why there is none.
func (d *decision) decide(now time.Time) (opossum.Event, error) {
	switch {
	case d.damaged != nil:
		return opossum.Event{}, d.damaged
	case d.limit == 0:
		return opossum.Event{}, errNoStudent
	case d.capacity == 0:
		return opossum.Event{}, errNoCourse
	case d.enrolled:
		return opossum.Event{}, errAlreadyEnrolled
	case d.seats >= d.capacity:
		return opossum.Event{}, errCourseFull
	case d.courses >= d.limit:
		return opossum.Event{}, errLimitReached
	}
	return newEvent(studentEnrolled, enrolment{d.student, d.course}, now, studentTag(d.student), courseTag(d.course))
}

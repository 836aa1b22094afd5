package main

import (
	"encoding/json"
	"fmt"

	"opossum"
)

// audit judges a whole history against the rules of the domain. It shares no code with [decision]: a mistake there
// would otherwise excuse itself here.
type audit struct {
	emails   map[string]opossum.Position
	students map[string]*auditStudent
	courses  map[string]*auditCourse

	enrolments int
	full       int // courses without a free seat
	breaches   []string
}

type auditStudent struct {
	limit   int
	courses map[string]bool
}

type auditCourse struct{ capacity, seats int }

func newAudit() *audit {
	return &audit{
		emails:   make(map[string]opossum.Position),
		students: make(map[string]*auditStudent),
		courses:  make(map[string]*auditCourse),
	}
}

// apply adds the next event of the history and notes every rule that it breaks.
func (a *audit) apply(ev opossum.SequencedEvent) {
	var err error
	switch ev.Event.Type {
	case studentRegistered:
		err = decoded(ev, a.register)
	case courseCreated:
		err = decoded(ev, a.create)
	case studentEnrolled:
		err = decoded(ev, a.enrol)
	default:
		a.breach(ev.Position, "no event of this demo: %s", ev.Event.Type)
	}
	if err != nil {
		a.breach(ev.Position, "%s: %v", ev.Event.Type, err)
	}
}

// decoded calls f with the data of ev.
func decoded[T any](ev opossum.SequencedEvent, f func(opossum.Position, T)) error {
	var data T
	if err := json.Unmarshal(ev.Event.Data, &data); err != nil {
		return err
	}
	f(ev.Position, data)
	return nil
}

func (a *audit) register(pos opossum.Position, s student) {
	if first, taken := a.emails[s.Email]; taken {
		a.breach(pos, "e-mail address %s was registered before, at position %d", s.Email, first)
	}
	if a.students[s.ID] != nil {
		a.breach(pos, "student %s registered twice", s.ID)
		return
	}
	a.emails[s.Email] = pos
	a.students[s.ID] = &auditStudent{limit: s.Limit, courses: make(map[string]bool)}
}

func (a *audit) create(pos opossum.Position, c course) {
	if a.courses[c.ID] != nil {
		a.breach(pos, "course %s created twice", c.ID)
		return
	}
	a.courses[c.ID] = &auditCourse{capacity: c.Capacity}
}

func (a *audit) enrol(pos opossum.Position, e enrolment) {
	a.enrolments++
	s, c := a.students[e.Student], a.courses[e.Course]
	if s == nil || c == nil {
		a.breach(pos, "student %s enrolled in course %s before both existed", e.Student, e.Course)
		return
	}
	if s.courses[e.Course] {
		a.breach(pos, "student %s enrolled twice in course %s", e.Student, e.Course)
	}
	s.courses[e.Course] = true
	c.seats++
	if len(s.courses) > s.limit {
		a.breach(pos, "student %s is in %d courses, her limit is %d", e.Student, len(s.courses), s.limit)
	}
	if c.seats > c.capacity {
		a.breach(pos, "course %s has %d students, its capacity is %d", e.Course, c.seats, c.capacity)
	}
	if c.seats == c.capacity {
		a.full++
	}
}

func (a *audit) breach(pos opossum.Position, format string, args ...any) {
	a.breaches = append(a.breaches, fmt.Sprintf("position %d: ", pos)+fmt.Sprintf(format, args...))
}

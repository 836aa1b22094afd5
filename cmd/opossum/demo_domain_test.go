package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"opossum"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func registered(t *testing.T, id string, limit int) opossum.Event {
	t.Helper()
	ev, _, err := register(student{ID: id, Email: id + "@example.org", Limit: limit}, noon)
	require.NoError(t, err)
	return ev
}

func created(t *testing.T, id string, capacity int) opossum.Event {
	t.Helper()
	ev, _, err := create(course{ID: id, Capacity: capacity}, noon)
	require.NoError(t, err)
	return ev
}

func enrolled(t *testing.T, student, course string) opossum.Event {
	t.Helper()
	ev, err := newEvent(studentEnrolled, enrolment{student, course}, noon, studentTag(student), courseTag(course))
	require.NoError(t, err)
	return ev
}

// decideAfter asks for an enrolment of s in c after the events that its query matches.
func decideAfter(t *testing.T, history ...opossum.Event) (opossum.Event, error) {
	t.Helper()
	d, err := opossum.Fold(enrolling("s", "c"), history...)
	require.NoError(t, err)
	return d.decide(noon)
}

func TestDecision(t *testing.T) {
	s, c := registered(t, "s", 2), created(t, "c", 2)
	for name, tc := range map[string]struct {
		history []opossum.Event
		want    error
	}{
		"both exist":                         {[]opossum.Event{s, c}, nil},
		"no student":                         {[]opossum.Event{c}, errNoStudent},
		"another student":                    {[]opossum.Event{c, registered(t, "x", 2)}, errNoStudent},
		"no course":                          {[]opossum.Event{s}, errNoCourse},
		"the last seat":                      {[]opossum.Event{s, c, enrolled(t, "x", "c")}, nil},
		"no seat":                            {[]opossum.Event{s, c, enrolled(t, "x", "c"), enrolled(t, "y", "c")}, errCourseFull},
		"seats of another course":            {[]opossum.Event{s, c, enrolled(t, "x", "d"), enrolled(t, "y", "d")}, nil},
		"her last course":                    {[]opossum.Event{s, c, enrolled(t, "s", "d")}, nil},
		"a course too many":                  {[]opossum.Event{s, c, enrolled(t, "s", "d"), enrolled(t, "s", "e")}, errLimitReached},
		"enrolled already":                   {[]opossum.Event{s, c, enrolled(t, "s", "c")}, errAlreadyEnrolled},
		"enrolled already in a full course":  {[]opossum.Event{s, c, enrolled(t, "s", "c"), enrolled(t, "x", "c")}, errAlreadyEnrolled},
		"enrolled elsewhere, another inside": {[]opossum.Event{s, c, enrolled(t, "s", "d"), enrolled(t, "x", "c")}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			ev, err := decideAfter(t, tc.history...)
			require.ErrorIs(t, err, tc.want)
			if tc.want == nil {
				assert.Equal(t, enrolled(t, "s", "c"), ev)
			}
		})
	}
}

func TestDecisionRefusesDamagedData(t *testing.T) {
	d := decision{student: "s", course: "c"}
	assert.Error(t, d.apply(opossum.Event{Type: studentRegistered, Data: []byte("{")}))
	assert.Error(t, d.apply(opossum.Event{Type: courseCreated, Data: []byte("{")}))

	c := created(t, "c", 1)
	c.Data = []byte("{")
	_, err := decideAfter(t, registered(t, "s", 1), c)
	require.EqualError(t, err, "position 2: CourseCreated: unexpected end of JSON input")
}

// What a decision appends is matched by its own condition, so that a second one like it conflicts.
func TestDecisionGuardsItself(t *testing.T) {
	d := decision{student: "s", course: "c"}
	assert.True(t, d.query().Matches(enrolled(t, "s", "c")))
	assert.True(t, d.query().Matches(enrolled(t, "x", "c")))
	assert.True(t, d.query().Matches(enrolled(t, "s", "x")))
	assert.False(t, d.query().Matches(enrolled(t, "x", "x")))
}

func TestAuditFindsEveryBreach(t *testing.T) {
	s, c := registered(t, "s", 1), created(t, "c", 1)
	for name, tc := range map[string]struct {
		history []opossum.Event
		want    string // "" for none
	}{
		"a proper history": {[]opossum.Event{s, c, enrolled(t, "s", "c")}, ""},
		"over capacity":    {[]opossum.Event{s, c, registered(t, "x", 1), enrolled(t, "s", "c"), enrolled(t, "x", "c")}, "position 5: course c has 2 students, its capacity is 1"},
		"over her limit":   {[]opossum.Event{s, c, created(t, "d", 1), enrolled(t, "s", "c"), enrolled(t, "s", "d")}, "position 5: student s is in 2 courses, her limit is 1"},
		"twice in it":      {[]opossum.Event{s, created(t, "c", 9), enrolled(t, "s", "c"), enrolled(t, "s", "c")}, "position 4: student s enrolled twice in course c"},
		"the same address": {[]opossum.Event{s, s}, "position 2: e-mail address s@example.org was registered before, at position 1"},
		"the same course":  {[]opossum.Event{c, c}, "position 2: course c created twice"},
		"too early":        {[]opossum.Event{s, enrolled(t, "s", "c"), c}, "position 2: student s enrolled in course c before both existed"},
		"foreign event":    {[]opossum.Event{{Type: "Other"}}, "position 1: no event of this demo: Other"},
		"damaged data":     {[]opossum.Event{{Type: studentRegistered, Data: []byte("{")}}, "position 1: StudentRegistered: unexpected end of JSON input"},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAudit()
			for i, ev := range tc.history {
				a.apply(opossum.SequencedEvent{Position: opossum.Position(i + 1), Event: ev})
			}
			if tc.want == "" {
				assert.Empty(t, a.breaches)
				return
			}
			require.NotEmpty(t, a.breaches)
			assert.Equal(t, tc.want, a.breaches[0])
		})
	}
}

// Students of a term are distinct; every doubleEvery-th address is claimed by two, and no other.
func TestStudentsOfATerm(t *testing.T) {
	ids, claims := map[string]bool{}, map[string]int{}
	const jobs = 100 + 100/doubleEvery
	for job := range jobs {
		s := studentFor("t1", job)
		ids[s.ID] = true
		claims[s.Email]++
	}
	assert.Len(t, ids, jobs)
	assert.Len(t, claims, 100)
}

func TestPlanLeavesRoom(t *testing.T) {
	for _, events := range []int{minEvents, 101, 199, 200, 500, 1000, 50_000, 1_000_000} {
		p := planFor(events)
		assert.Equal(t, events, p.students+p.courses+p.enrolments)
		assert.Positive(t, p.enrolments)
		assert.LessOrEqual(t, p.enrolments*10, p.students*studentLimit*9, "limits for %d", events)
		assert.LessOrEqual(t, p.enrolments*10, p.courses*courseCapacity*9, "seats for %d", events)
		assert.GreaterOrEqual(t, p.courses, 2*studentLimit, "courses to choose from for %d", events)
	}
}

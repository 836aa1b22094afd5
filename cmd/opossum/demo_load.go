package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sync/errgroup"

	"opossum"
)

// plan is how the appends of one term divide.
type plan struct{ students, courses, enrolments int }

const (
	minEvents  = 100        // the smallest load for which the plan leaves room for every enrolment
	maxEvents  = 10_000_000 // the witness remembers every acknowledgement in memory
	maxWriters = 10_000
)

// planFor makes nine in ten places taken: decisions are refused now and then, and always succeed in the end.
// With 10 courses a student and 30 seats a course, histories stay short and so do the reads that decisions need.
func planFor(events int) plan {
	const fewest = 20
	p := plan{students: max(events/10, fewest), courses: max(events/25, fewest)}
	p.enrolments = events - p.students - p.courses
	return p
}

// A second student tries to register with the same e-mail address after every so many, at the same moment.
const doubleEvery = 20

// load is one term of course enrolment, run by concurrent writers on a store.
type load struct {
	engine *opossum.Engine
	term   string // distinguishes the students and courses of this term from others
	plan   plan
	acked  func(writer int, ev opossum.SequencedEvent) error // after every acknowledged append, by its writer

	writers []*writer
	campus  campus
}

// campus is who and what there is. It grows while students register and courses are created, and is only read while
// students enrol.
type campus struct {
	mu       sync.Mutex
	students []string
	courses  []string
}

func (c *campus) addStudent(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.students = append(c.students, id)
}

func (c *campus) addCourse(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.courses = append(c.courses, id)
}

// writer is one of the concurrent writers and what it has counted.
type writer struct {
	*load
	id      int
	counted tally
	latency *hdrhistogram.Histogram // of acknowledged appends, in microseconds
}

// tally counts what happened to the appends and decisions of a load.
type tally struct {
	EmailTaken      int `json:"emailTaken"` // registrations refused
	AlreadyEnrolled int `json:"alreadyEnrolled"`
	CourseFull      int `json:"courseFull"`
	LimitReached    int `json:"limitReached"`
	Conflicts       int `json:"conflicts"`   // appends whose condition failed; each decision was made again
	MostRetries     int `json:"mostRetries"` // of one decision
}

func (t *tally) add(u tally) {
	t.EmailTaken += u.EmailTaken
	t.AlreadyEnrolled += u.AlreadyEnrolled
	t.CourseFull += u.CourseFull
	t.LimitReached += u.LimitReached
	t.Conflicts += u.Conflicts
	t.MostRetries = max(t.MostRetries, u.MostRetries)
}

// refused counts a decision not to enrol. It reports whether err is one.
func (t *tally) refused(err error) bool {
	switch {
	case errors.Is(err, errAlreadyEnrolled):
		t.AlreadyEnrolled++
	case errors.Is(err, errCourseFull):
		t.CourseFull++
	case errors.Is(err, errLimitReached):
		t.LimitReached++
	default:
		return false
	}
	return true
}

func newLoad(e *opossum.Engine, term string, events, writers int, acked func(int, opossum.SequencedEvent) error) *load {
	l := &load{engine: e, term: term, plan: planFor(events), acked: acked}
	for id := range writers {
		l.writers = append(l.writers, &writer{load: l, id: id, latency: newHistogram()})
	}
	return l
}

// newHistogram counts microseconds up to a minute, to two digits: small enough for one a writer.
func newHistogram() *hdrhistogram.Histogram {
	const slowest, digits = time.Minute, 2
	return hdrhistogram.New(1, slowest.Microseconds(), digits)
}

// loadTimes is how long the stages took.
type loadTimes struct{ registering, creating, enrolling time.Duration }

// run runs the term: register the students, create the courses, enrol. It returns when the last append is acknowledged,
// or with the first error.
func (l *load) run(ctx context.Context) (t loadTimes, err error) {
	if t.registering, err = l.stage(ctx, l.plan.students+l.plan.students/doubleEvery, l.register); err != nil {
		return t, err
	}
	if t.creating, err = l.stage(ctx, l.plan.courses, l.create); err != nil {
		return t, err
	}
	t.enrolling, err = l.stage(ctx, l.plan.enrolments, l.enrol)
	return t, err
}

// stage lets the writers share the jobs, and waits for all of them.
func (l *load) stage(ctx context.Context, jobs int, do func(context.Context, *writer, int) error) (time.Duration, error) {
	start := time.Now()
	var next atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	for _, w := range l.writers {
		g.Go(func() error {
			for job := next.Add(1) - 1; job < int64(jobs); job = next.Add(1) - 1 {
				if err := do(ctx, w, int(job)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	err := g.Wait()
	return time.Since(start), err
}

func (l *load) register(ctx context.Context, w *writer, job int) error {
	s := studentFor(l.term, job)
	ev, cond, err := register(s, time.Now())
	if err != nil {
		return err
	}
	err = w.append(ctx, ev, cond)
	if errors.Is(err, opossum.ErrAlreadyExists) {
		w.counted.EmailTaken++
		return nil
	}
	if err == nil {
		l.campus.addStudent(s.ID)
	}
	return err
}

func (l *load) create(ctx context.Context, w *writer, job int) error {
	c := courseFor(l.term, job)
	ev, cond, err := create(c, time.Now())
	if err != nil {
		return err
	}
	if err := w.append(ctx, ev, cond); err != nil {
		return err
	}
	l.campus.addCourse(c.ID)
	return nil
}

// enrol draws students and courses until one enrolment is acknowledged.
func (l *load) enrol(ctx context.Context, w *writer, _ int) error {
	const mostDraws = 100_000 // far beyond what planFor makes likely: an end instead of a search for ever
	for range mostDraws {
		err := w.enrolOne(ctx, draw(l.campus.students), draw(l.campus.courses))
		if !w.counted.refused(err) {
			return err
		}
	}
	return fmt.Errorf("no student and course found in %d draws", mostDraws)
}

func draw(ids []string) string { return ids[rand.IntN(len(ids))] }

// enrolOne is the whole of a decision: read, decide, append under the condition that what was read is still all there is, and again if it is not.
// Of the writers that conflict one always succeeds, so it ends.
func (w *writer) enrolOne(ctx context.Context, student, course string) error {
	var ev opossum.Event
	var start time.Time
	done, err := opossum.Decide(ctx, w.engine, enrolling(student, course), func(d decision) (_ []opossum.Event, err error) {
		start = time.Now()
		ev, err = d.decide(start)
		return []opossum.Event{ev}, err
	}, opossum.Retry{Attempts: math.MaxInt})
	retries := max(0, done.Attempts-1)
	w.counted.Conflicts += retries
	if err != nil {
		return err
	}
	w.counted.MostRetries = max(w.counted.MostRetries, retries)
	return w.acknowledged(start, opossum.SequencedEvent{Position: done.Position, Event: ev})
}

// append appends one event.
func (w *writer) append(ctx context.Context, ev opossum.Event, cond opossum.Condition) error {
	start := time.Now()
	pos, err := w.engine.Append(ctx, []opossum.Event{ev}, &cond)
	if err != nil {
		return err
	}
	return w.acknowledged(start, opossum.SequencedEvent{Position: pos, Event: ev})
}

// acknowledged notes how long the acknowledgement of an append took.
func (w *writer) acknowledged(start time.Time, ev opossum.SequencedEvent) error {
	if err := w.latency.RecordValue(min(time.Since(start).Microseconds(), w.latency.HighestTrackableValue())); err != nil {
		return err
	}
	return w.acked(w.id, ev)
}

var (
	givenNames  = []string{"Ada", "Barbara", "Dorothy", "Emmy", "Grace", "Hedy", "Katherine", "Lise", "Maryam", "Rosalind", "Sofia", "Vera"}
	familyNames = []string{"Bose", "Curie", "Franklin", "Germain", "Hopper", "Ito", "Kovalevskaya", "Lovelace", "Meitner", "Noether", "Okafor", "Rubin", "Vaughan"}
	subjects    = []string{"Algebra", "Botany", "Chemistry", "Drawing", "Economics", "Geology", "History", "Logic", "Music", "Optics", "Poetry", "Statistics"}
)

// studentFor returns the student of a job. Every doubleEvery-th is followed by one who claims the same address.
func studentFor(term string, job int) student {
	group, member := job/(doubleEvery+1), job%(doubleEvery+1)
	suffix := ""
	if member == doubleEvery {
		member, suffix = doubleEvery-1, "b"
	}
	n := group*doubleEvery + member
	given, family := givenNames[n%len(givenNames)], familyNames[n%len(familyNames)]
	return student{
		ID:    fmt.Sprintf("%s-%d%s", term, n, suffix),
		Name:  given + " " + family,
		Email: strings.ToLower(fmt.Sprintf("%s.%s.%s-%d@example.org", given, family, term, n)),
		Limit: studentLimit,
	}
}

func courseFor(term string, job int) course {
	return course{
		ID:       fmt.Sprintf("%s-%d", term, job),
		Title:    fmt.Sprintf("%s %d", subjects[job%len(subjects)], job/len(subjects)+1),
		Capacity: courseCapacity,
	}
}

// totals adds up what the writers counted.
func (l *load) totals() (tally, *hdrhistogram.Histogram) {
	var sum tally
	latency := newHistogram()
	for _, w := range l.writers {
		sum.add(w.counted)
		latency.Merge(w.latency)
	}
	return sum, latency
}

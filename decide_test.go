package opossum

import (
	"context"
	"errors"
	"os"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"opossum/wal"
)

var (
	errCourseFull = errors.New("the course is full")
	errEnrolled   = errors.New("enrolled already")
)

func studentTag(n int) Tag { return Tag("student:" + strconv.Itoa(n)) }

// seatsOf counts the enrolments in a course.
func seatsOf(course Tag) Projection[int] {
	return Projection[int]{
		Name:  "seats of " + string(course),
		Query: Match(QueryItem{Types: []string{"Enrolled"}, Tags: []Tag{course}}),
		Apply: func(n int, _ SequencedEvent) int { return n + 1 },
	}
}

// enrolledIn says whether a student is in a course.
func enrolledIn(student, course Tag) Projection[bool] {
	return Projection[bool]{
		Name:  "enrolled",
		Query: Match(QueryItem{Types: []string{"Enrolled"}, Tags: []Tag{student, course}}),
		Apply: func(bool, SequencedEvent) bool { return true },
	}
}

// enrol decides that a student enrols in a course of so many seats.
func enrol(ctx context.Context, e *Engine, student, course Tag, capacity int, opts ...DecideOption) (Decision, error) {
	return Decide(ctx, e, Join2(seatsOf(course), enrolledIn(student, course)), func(s Pair[int, bool]) ([]Event, error) {
		switch {
		case s.Second:
			return nil, errEnrolled
		case s.First >= capacity:
			return nil, errCourseFull
		}
		return []Event{event("Enrolled", student, course)}, nil
	}, opts...)
}

// enrolments returns how many are in a course, from a scan.
func enrolments(t *testing.T, e *Engine, course Tag) int {
	t.Helper()
	return len(readAll(t, e, ByTags(course), ReadOptions{}))
}

// tally counts answers by what they are.
type tally struct{ done, full, enrolled, other atomic.Int64 }

func (c *tally) note(err error) {
	switch {
	case err == nil:
		c.done.Add(1)
	case err == errCourseFull: // as it is, and not wrapped
		c.full.Add(1)
	case err == errEnrolled:
		c.enrolled.Add(1)
	default:
		c.other.Add(1)
	}
}

func TestTheLastSeatIsTakenOnce(t *testing.T) {
	e := newStore(t)
	for i := range 9 {
		_, err := enrol(ctxb, e, studentTag(i), "course:1", 10)
		require.NoError(t, err)
	}
	var c tally
	race(2, func(i int) {
		_, err := enrol(ctxb, e, studentTag(100+i), "course:1", 10)
		c.note(err)
	})
	require.EqualValues(t, 1, c.done.Load())
	require.EqualValues(t, 1, c.full.Load())
	require.Equal(t, 10, enrolments(t, e, "course:1"))
}

func TestACourseIsFilledAndNotMore(t *testing.T) {
	e := openStore(t, t.TempDir(), nil, hooks{})
	var c tally
	race(20, func(i int) {
		d, err := enrol(ctxb, e, studentTag(i), "course:1", 10)
		c.note(err)
		assert.Positive(t, d.Attempts)
		assert.Equal(t, err == nil, d.Position > d.Head)
	})
	require.EqualValues(t, 10, c.done.Load())
	require.EqualValues(t, 10, c.full.Load())
	require.Equal(t, 10, enrolments(t, e, "course:1"))
}

func TestAStudentEnrolsOnceInACourse(t *testing.T) {
	e := newStore(t)
	var c tally
	race(10, func(int) {
		_, err := enrol(ctxb, e, "student:1", "course:1", 10)
		c.note(err)
	})
	require.EqualValues(t, 1, c.done.Load())
	require.EqualValues(t, 9, c.enrolled.Load())
	require.Equal(t, 1, enrolments(t, e, "course:1"))
}

// 64 deciders want the same course while 64 others, each on a course of its own, go about theirs: nobody of those ever meets anybody.
func TestDisjointDecisionsNeverMeetTheHotOnes(t *testing.T) {
	e := newStore(t)
	const deciders, capacity, each = 64, 40, 8
	var hot tally
	var met atomic.Int64
	race(2*deciders, func(i int) {
		if i < deciders {
			_, err := enrol(ctxb, e, studentTag(i), "course:hot", capacity, Retry{Attempts: 1_000})
			hot.note(err)
			return
		}
		own := Tag("course:" + strconv.Itoa(i))
		for n := range each {
			d, err := enrol(ctxb, e, studentTag(n), own, each)
			assert.NoError(t, err)
			if d.Attempts != 1 {
				met.Add(1)
			}
		}
		_, err := enrol(ctxb, e, studentTag(each), own, each)
		assert.ErrorIs(t, err, errCourseFull)
	})
	require.Zero(t, met.Load())
	require.EqualValues(t, capacity, hot.done.Load())
	require.EqualValues(t, deciders-capacity, hot.full.Load())
	require.Equal(t, capacity, enrolments(t, e, "course:hot"))
	for i := deciders; i < 2*deciders; i++ {
		require.Equal(t, each, enrolments(t, e, Tag("course:"+strconv.Itoa(i))))
	}
	checkDense(t, e)
}

func TestWhatDoesNotMatterDoesNotInvalidate(t *testing.T) {
	e := newStore(t)
	appendOK(t, e, nil, event("Enrolled", "course:1", "student:1"))
	several := JoinAll(seatsOf("course:1"), seatsOf("course:2"), seatsOf("course:3"))
	for _, c := range []struct {
		name    string
		between Event
		fails   bool
	}{
		{"another course", event("Enrolled", "course:9"), false},
		{"another type", event("Renamed", "course:1"), false},
		{"no tags", event("Enrolled"), false},
		{"one of several", event("Enrolled", "course:3"), true},
		{"it", event("Enrolled", "course:2", "student:5"), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, err := Build(ctxb, e, several)
			require.NoError(t, err)
			require.Equal(t, e.Head(), m.Head())
			appendOK(t, e, nil, c.between)
			_, err = e.Append(ctxb, []Event{event("Decided")}, m.Condition())
			if !c.fails {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, ErrConditionFailed, "a stale decision")
			before := m.State()[0]
			require.NoError(t, m.Refresh(ctxb))
			require.Equal(t, before, m.State()[0])
			_, err = e.Append(ctxb, []Event{event("Decided")}, m.Condition())
			require.NoError(t, err)
		})
	}
}

// H8 of the original: on an empty store, a decision about everything was appended without a check.
func TestADecisionAboutEverythingOnNothingIsChecked(t *testing.T) {
	e := newStore(t)
	everything := Projection[int]{Query: AllEvents(), Apply: func(n int, _ SequencedEvent) int { return n + 1 }}
	m, err := Build(ctxb, e, everything)
	require.NoError(t, err)
	appendOK(t, e, nil, event("Anything"))
	_, err = e.Append(ctxb, []Event{event("Decided")}, m.Condition())
	require.ErrorIs(t, err, ErrConditionFailed)

	// So one of many is first.
	e = newStore(t)
	var first atomic.Int64
	race(16, func(int) {
		_, err := Decide(ctxb, e, everything, func(n int) ([]Event, error) {
			if n > 0 {
				return nil, errEnrolled
			}
			return []Event{event("First")}, nil
		})
		if err == nil {
			first.Add(1)
		} else {
			assert.Equal(t, errEnrolled, err)
		}
	})
	require.EqualValues(t, 1, first.Load())
	require.EqualValues(t, 1, e.Head())
}

// H5 of the original: items of a query were read at different moments, so that a batch was seen in part, and its rest was thought to be known. Here each batch books the
// same amount in and out; whoever decides sees them equal.
func TestADecisionSeesBatchesWholly(t *testing.T) {
	e := newStore(t)
	const writers, deciders, each = 4, 4, 60
	sum := func(tag Tag) Projection[int] {
		return Projection[int]{Query: ByTags(tag), Apply: func(n int, _ SequencedEvent) int { return n + 1 }}
	}
	both := Join3(sum("in"), sum("out"), sum("audit"))
	race(writers+deciders, func(i int) {
		for range each {
			if i < writers {
				_, err := e.Append(ctxb, []Event{event("Booked", "in"), event("Other"), event("Booked", "out")}, nil)
				assert.NoError(t, err)
				continue
			}
			_, err := Decide(ctxb, e, both, func(s Triple[int, int, int]) ([]Event, error) {
				if s.First != s.Second {
					return nil, errors.New("half of a batch")
				}
				return []Event{{Type: "Audited", Tags: []Tag{"audit"}, Data: []byte(strconv.Itoa(s.First))}}, nil
			}, Retry{Attempts: 100_000, MinDelay: 1, MaxDelay: 1})
			assert.NoError(t, err)
		}
	})
	in, audits := 0, 0
	for _, ev := range checkDense(t, e) {
		switch ev.Event.Type {
		case "Audited":
			require.Equal(t, strconv.Itoa(in), string(ev.Event.Data), "what it rests on is what lies before it: position %d", ev.Position)
			audits++
		case "Booked":
			if ev.Event.Tags[0] == "in" {
				in++
			}
		}
	}
	require.Equal(t, deciders*each, audits)
	require.Equal(t, writers*each, in)
}

func TestADecisionIsMadeAnewAgainstARealStore(t *testing.T) {
	e := newStore(t)
	attempts := 0
	d, err := Decide(ctxb, e, seatsOf("course:1"), func(n int) ([]Event, error) {
		require.Equal(t, attempts, n)
		if attempts++; attempts < 4 {
			appendOK(t, e, nil, event("Enrolled", "course:1"), event("Unrelated"))
		}
		return []Event{event("Enrolled", "course:1"), event("Noted")}, nil
	}, Retry{MinDelay: 1, MaxDelay: 1}, WhenDurable())
	require.NoError(t, err)
	require.Equal(t, Decision{Position: 8, Head: 6, Attempts: 4}, d)
	require.Equal(t, e.Durable(), d.Position, "WhenDurable reaches the append")
	_, err = Decide(ctxb, e, seatsOf("course:1"), func(int) ([]Event, error) {
		appendOK(t, e, nil, event("Enrolled", "course:1"))
		return []Event{event("Enrolled", "course:1")}, nil
	}, Retry{Attempts: 9}, Retry{Attempts: 1})
	require.ErrorIs(t, err, ErrConditionFailed)
	require.EqualError(t, err, "opossum: append: append condition failed: event 9 matches (attempts: 1)", "the last Retry counts")
}

func TestAPanickingProjectionLeavesTheEngineWhole(t *testing.T) {
	e := newStore(t)
	appendOK(t, e, nil, numbered(500, "A")...)
	p := Projection[int]{Name: "bad", Query: ByTypes("A"), Apply: func(n int, ev SequencedEvent) int {
		if ev.Position == 300 {
			panic("boom")
		}
		return n
	}}
	for _, bad := range []func() error{
		func() error { _, err := Build(ctxb, e, p); return err },
		func() error {
			_, err := Decide(ctxb, e, Join2(seatsOf("course:1"), JoinAll(p)), func(Pair[int, []int]) ([]Event, error) { panic("not reached") })
			return err
		},
	} {
		err := bad()
		require.ErrorIs(t, err, ErrProjectionPanicked)
		var at *PanicError
		require.ErrorAs(t, err, &at)
		require.EqualValues(t, 300, at.Position)
		require.Equal(t, "bad", at.Projection)
	}
	appendOK(t, e, nil, event("A"))
	within(t, "Close after a panic in the middle of a read", func() { require.NoError(t, e.Close()) })
}

func TestDecisionsOnAnEngineThatCannotAppend(t *testing.T) {
	one := func(int) ([]Event, error) { return []Event{event("Enrolled", "course:1")}, nil }
	all := seatsOf("course:1")

	t.Run("ctx has ended", func(t *testing.T) {
		ctx, cancel := context.WithCancel(ctxb)
		cancel()
		_, err := Decide(ctx, newStore(t), all, one)
		require.ErrorIs(t, err, context.Canceled)
		require.NotErrorIs(t, err, ErrOutcomeUnknown)
	})
	t.Run("ctx ends while it is decided", func(t *testing.T) {
		e := newStore(t)
		ctx, cancel := context.WithCancel(ctxb)
		d, err := Decide(ctx, e, all, func(int) ([]Event, error) { cancel(); return one(0) })
		require.ErrorIs(t, err, context.Canceled)
		require.NotErrorIs(t, err, ErrOutcomeUnknown, "certainly not written")
		require.Equal(t, 1, d.Attempts)
		require.Zero(t, e.Head())
	})
	t.Run("ctx ends while it is folded", func(t *testing.T) {
		e := newStore(t)
		appendOK(t, e, nil, numbered(2_000, "A")...)
		ctx, cancel := context.WithCancel(ctxb)
		_, err := Decide(ctx, e, Projection[int]{Query: AllEvents(), Apply: func(n int, _ SequencedEvent) int { cancel(); return n + 1 }},
			func(int) ([]Event, error) { return []Event{event("A")}, nil })
		require.ErrorIs(t, err, context.Canceled)
		require.EqualValues(t, 2_000, e.Head())
	})
	t.Run("ctx ends in the pause", func(t *testing.T) {
		e := newStore(t)
		ctx, cancel := context.WithCancel(ctxb)
		_, err := Decide(ctx, e, all, func(int) ([]Event, error) {
			appendOK(t, e, nil, event("Enrolled", "course:1"))
			return one(0)
		}, Retry{Wait: func(ctx context.Context, _ time.Duration) error { cancel(); return ctx.Err() }})
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorIs(t, err, ErrConditionFailed)
		require.EqualValues(t, 1, e.Head())
	})
	t.Run("ctx ends while it is synced", func(t *testing.T) {
		var v valve
		e := openStore(t, t.TempDir(), nil, hooks{wal: wal.Options{Fdatasync: v.fdatasync}})
		entered, open := v.shut()
		defer open()
		ctx, cancel := context.WithCancel(ctxb)
		type outcome struct {
			d   Decision
			err error
		}
		answer := make(chan outcome, 1)
		go func() {
			d, err := Decide(ctx, e, all, one)
			answer <- outcome{d, err}
		}()
		await(t, entered)
		cancel()
		o := await(t, answer)
		require.ErrorIs(t, o.err, ErrOutcomeUnknown)
		require.ErrorIs(t, o.err, context.Canceled)
		require.Equal(t, Decision{Attempts: 1}, o.d, "not retried")
		open()
	})
	t.Run("poisoned", func(t *testing.T) {
		var v valve
		e := openStore(t, t.TempDir(), nil, hooks{wal: wal.Options{Fdatasync: v.fdatasync}})
		v.fail(os.ErrDeadlineExceeded)
		_, err := Decide(ctxb, e, all, one)
		require.ErrorIs(t, err, ErrOutcomeUnknown)
		_, err = Decide(ctxb, e, all, one)
		require.ErrorIs(t, err, ErrPoisoned)
		_, err = Build(ctxb, e, all)
		require.NoError(t, err, "reads go on")
	})
	t.Run("read-only", func(t *testing.T) {
		e := newStore(t)
		appendOK(t, e, nil, event("Enrolled", "course:1"))
		require.NoError(t, e.Close())
		r := openStore(t, e.Dir(), &Options{ReadOnly: true}, hooks{})
		m, err := Build(ctxb, r, all)
		require.NoError(t, err)
		require.Equal(t, 1, m.State())
		d, err := Decide(ctxb, r, all, one)
		require.ErrorIs(t, err, ErrReadOnly)
		require.Equal(t, Decision{Head: 1, Attempts: 1}, d)
	})
	t.Run("closed", func(t *testing.T) {
		e := newStore(t)
		m, err := Build(ctxb, e, all)
		require.NoError(t, err)
		require.NoError(t, e.Close())
		require.ErrorIs(t, m.Refresh(ctxb), ErrClosed)
		_, err = Decide(ctxb, e, all, one)
		require.ErrorIs(t, err, ErrClosed)
		_, err = Decide(ctxb, newStore(t), all, func(int) ([]Event, error) { return []Event{{}}, nil })
		require.ErrorIs(t, err, ErrInvalidEvent)
	})
}

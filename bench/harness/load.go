package harness

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"opossum"
)

// Load is what each writer does, step after step.
type Load struct {
	Name string // short, for benchmark names: no spaces
	What string // one line for people
	// Store says that the target must be a [Store]; else it may also be one that checks conditions only, or none.
	Store bool
	// step appends the events, which s has made, or reads.
	step func(ctx context.Context, t Target, s *Stream, events []opossum.Event) (stepped, error)
}

// stepped is what one step did.
type stepped struct {
	events    int // appended
	conflicts int // appends refused and tried again
}

// Loads returns all of them.
func Loads() []Load {
	return []Load{Append, AppendUnique, AppendNew, DecideUniform, DecideHot, SeatsOwn, SeatsHot, Mixed}
}

var (
	// Append appends without condition.
	Append = Load{Name: "append", What: "no condition", step: func(ctx context.Context, t Target, _ *Stream, events []opossum.Event) (stepped, error) {
		return stepped{events: len(events)}, t.Append(ctx, events, nil)
	}}

	// AppendUnique appends under a condition that holds always and must be checked all the same: "no event at all has the tag that only mine has".
	AppendUnique = Load{Name: "unique", What: "condition after 0", step: func(ctx context.Context, t Target, _ *Stream, events []opossum.Event) (stepped, error) {
		return stepped{events: len(events)}, t.Append(ctx, events, &opossum.Condition{FailIfMatch: uniqueTag(events)})
	}}

	// AppendNew is the same, for what was appended since the writer looked, which it does just before.
	AppendNew = Load{Name: "after-head", What: "condition after head", Store: true, step: func(ctx context.Context, t Target, _ *Stream, events []opossum.Event) (stepped, error) {
		head := t.(Store).Head()
		return stepped{events: len(events)}, t.Append(ctx, events, &opossum.Condition{FailIfMatch: uniqueTag(events), After: head})
	}}

	// DecideUniform reads before it appends: the newest event of a customer, one of 1,000, then "nothing new of this customer since". Refused, it decides anew.
	DecideUniform = Load{Name: "decide", What: "read and decide, 1,000 tags", Store: true, step: func(ctx context.Context, t Target, _ *Stream, events []opossum.Event) (stepped, error) {
		return decide(ctx, t.(Store), events, opossum.ByTags(events[0].Tags[1]))
	}}

	// DecideHot is the same with one tag for all writers: of those who decide at once, one wins.
	DecideHot = Load{Name: "decide-hot", What: "read and decide, one tag for all", Store: true, step: func(ctx context.Context, t Target, _ *Stream, events []opossum.Event) (stepped, error) {
		for i := range events {
			events[i].Tags[2] = regionTags[0]
		}
		return decide(ctx, t.(Store), events, opossum.ByTags(regionTags[0]))
	}}

	// SeatsOwn is opossum.Decide: a writer takes the seats of courses of its own, one course after the other.
	SeatsOwn = Load{Name: "seats", What: "opossum.Decide, each writer on a course of its own", Store: true, step: func(ctx context.Context, t Target, s *Stream, events []opossum.Event) (stepped, error) {
		return takeSeats(ctx, t, s, "course:"+s.prefix, events)
	}}

	// SeatsHot is the same with one course for all: all of them want its seats, and when it is full those of the next.
	SeatsHot = Load{Name: "seats-hot", What: "opossum.Decide, all writers on the same course", Store: true, step: func(ctx context.Context, t Target, s *Stream, events []opossum.Event) (stepped, error) {
		return takeSeats(ctx, t, s, "course:hot-", events)
	}}

	// Mixed is nine reads of a customer's newest event to one append under [AppendUnique]'s condition.
	Mixed = Load{Name: "mixed", What: "90 % reads, 10 % appends", Store: true, step: func(ctx context.Context, t Target, s *Stream, events []opossum.Event) (stepped, error) {
		if s.steps++; s.steps%10 == 0 {
			return stepped{events: len(events)}, t.Append(ctx, events, &opossum.Condition{FailIfMatch: uniqueTag(events)})
		}
		_, err := t.(Store).Last(ctx, opossum.ByTags(events[0].Tags[1]))
		if errors.Is(err, opossum.ErrNotFound) { // nobody has appended for this customer yet
			err = nil
		}
		return stepped{}, err
	}}
)

// uniqueTag asks for the tag of the first event that no other event has.
func uniqueTag(events []opossum.Event) opossum.Query { return opossum.ByTags(events[0].Tags[0]) }

// decide appends events if nothing that matches q has been appended since it looked, and looks again if something has.
func decide(ctx context.Context, t Store, events []opossum.Event, q opossum.Query) (done stepped, err error) {
	for {
		head := t.Head()
		if _, err := t.Last(ctx, q); err != nil && !errors.Is(err, opossum.ErrNotFound) {
			return done, err
		}
		err := t.Append(ctx, events, &opossum.Condition{FailIfMatch: q, After: head})
		if !errors.Is(err, opossum.ErrConditionFailed) {
			done.events = len(events)
			return done, err
		}
		done.conflicts++
	}
}

// seats are those of a course: as many events may have its tag.
const seats = 30

var errFull = errors.New("the course is full")

// takeSeats decides to append events to a course of the given prefix, the first that s knows a seat of. One who gives up appends nothing.
func takeSeats(ctx context.Context, t Target, s *Stream, prefix string, events []opossum.Event) (done stepped, err error) {
	store, ok := t.(*engine)
	if !ok {
		return done, fmt.Errorf("opossum.Decide: %w", errors.ErrUnsupported)
	}
	for ; ; s.steps++ {
		course := opossum.Tag(prefix + strconv.FormatUint(s.steps, 10))
		for i := range events {
			events[i].Tags[1] = course
		}
		taken := opossum.Projection[int]{
			Query: opossum.ByTags(course),
			Apply: func(n int, _ opossum.SequencedEvent) int { return n + 1 },
		}
		decided, err := opossum.Decide(ctx, store.Engine, taken, func(n int) ([]opossum.Event, error) {
			if n+len(events) > seats {
				return nil, errFull
			}
			return events, nil
		})
		done.conflicts += max(0, decided.Attempts-1)
		switch {
		case err == nil:
			done.events = len(events)
			return done, nil
		case errors.Is(err, opossum.ErrConditionFailed) && ctx.Err() == nil:
			done.conflicts++
			return done, nil
		case !errors.Is(err, errFull):
			return done, err
		}
	}
}

// unconditional refuses what a target that only writes cannot check.
func unconditional(cond *opossum.Condition) error {
	if cond != nil {
		return fmt.Errorf("append under a condition: %w", errors.ErrUnsupported)
	}
	return nil
}

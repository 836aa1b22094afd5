package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"opossum"
)

// proof is what comparing the recovered store with the witness and with the rules of the domain found.
type proof struct {
	Events         int      `json:"events"`
	Acknowledged   int      `json:"acknowledged"`
	Unacknowledged int      `json:"unacknowledged"` // on their way when the process was killed, and found
	Students       int      `json:"students"`
	Courses        int      `json:"courses"`
	FullCourses    int      `json:"fullCourses"`
	Enrolments     int      `json:"enrolments"`
	RefusedEmails  int      `json:"refusedEmails"` // known addresses that were tried again
	Violations     []string `json:"violations"`
}

func (p *proof) violated(format string, args ...any) {
	p.Violations = append(p.Violations, fmt.Sprintf(format, args...))
}

// prove compares. The error says that comparing failed; what it found wrong is in Violations.
//
//  1. every acknowledged event is there, at its position, byte for byte; positions have no gaps
//  2. what each writer was told is in the order in which it was told
//  3. no more than inFlight events are there that nobody was told of
//  4. no rule of the domain is broken
//  5. registering known e-mail addresses again is refused
func prove(ctx context.Context, e *opossum.Engine, acks []ack, inFlight int) (proof, error) {
	p := proof{Acknowledged: len(acks), Violations: []string{}}
	rules := newAudit()
	if err := p.compare(ctx, e, acks, rules); err != nil {
		return p, err
	}
	p.checkOrder(acks)
	if p.Unacknowledged > inFlight {
		p.violated("%d events that were not acknowledged, with %d in flight at most", p.Unacknowledged, inFlight)
	}
	p.Students, p.Courses, p.FullCourses, p.Enrolments = len(rules.students), len(rules.courses), rules.full, rules.enrolments
	p.Violations = append(p.Violations, rules.breaches...)
	return p, p.tryKnownEmails(ctx, e, rules.emails)
}

// compare walks over the whole store once, with the acks at hand by position.
func (p *proof) compare(ctx context.Context, e *opossum.Engine, acks []ack, rules *audit) error {
	want := make(map[opossum.Position]string, len(acks))
	for _, a := range acks {
		if _, twice := want[a.pos]; twice {
			p.violated("position %d was acknowledged twice", a.pos)
		}
		want[a.pos] = a.line
	}
	view, err := e.Read(ctx, opossum.AllEvents(), opossum.ReadOptions{})
	if err != nil {
		return err
	}
	var line []byte
	for ev, err := range view.All() {
		if err != nil {
			return err
		}
		p.Events++
		if ev.Position != opossum.Position(p.Events) {
			return fmt.Errorf("event number %d has position %d", p.Events, ev.Position)
		}
		rules.apply(ev)
		if line, err = appendLine(line[:0], ev); err != nil {
			return err
		}
		told, acknowledged := want[ev.Position]
		switch {
		case !acknowledged:
			p.Unacknowledged++
		case told != string(line):
			p.violated("position %d was acknowledged as %s and holds %s", ev.Position, told, line)
		}
		delete(want, ev.Position)
	}
	for _, pos := range slices.Sorted(maps.Keys(want)) {
		p.violated("position %d was acknowledged and is not there: %s", pos, want[pos])
	}
	return nil
}

// checkOrder checks that the positions of each writer ascend, in the order of its acks.
func (p *proof) checkOrder(acks []ack) {
	last := make(map[int]opossum.Position)
	for _, a := range acks {
		if a.pos <= last[a.writer] {
			p.violated("writer %d was told position %d after position %d", a.writer, a.pos, last[a.writer])
		}
		last[a.writer] = a.pos
	}
}

// tryKnownEmails registers new students with the newest known addresses, which has to fail and to name their owners.
func (p *proof) tryKnownEmails(ctx context.Context, e *opossum.Engine, known map[string]opossum.Position) error {
	const tries = 100
	newest := slices.SortedFunc(maps.Keys(known), func(a, b string) int { return cmp.Compare(known[b], known[a]) })
	for i, email := range newest[:min(tries, len(newest))] {
		ev, cond, err := register(student{ID: fmt.Sprintf("impostor-%d", i), Name: "Impostor", Email: email, Limit: studentLimit}, time.Now())
		if err != nil {
			return err
		}
		pos, err := e.Append(ctx, []opossum.Event{ev}, &cond)
		var refusal *opossum.ConditionFailedError
		switch {
		case err == nil:
			p.violated("e-mail address %s, known from position %d, was registered again at position %d", email, known[email], pos)
		case !errors.Is(err, opossum.ErrAlreadyExists):
			return err
		case !errors.As(err, &refusal) || refusal.Position != known[email]:
			p.violated("registering %s again was refused with %q instead of position %d", email, err, known[email])
		default:
			p.RefusedEmails++
		}
	}
	return nil
}

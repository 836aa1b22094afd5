package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"opossum"
)

// demoReport is what the demo found out; with --json, all that it prints.
type demoReport struct {
	Dir     string      `json:"dir"`
	Writers int         `json:"writers"`
	Load    loadReport  `json:"load"`
	Crash   crashReport `json:"crash"`
	Proof   proof       `json:"proof"`
	Example exampleFile `json:"exampleFile"`
}

// loadReport is about the load that ran undisturbed.
type loadReport struct {
	Students    int              `json:"students"`
	Courses     int              `json:"courses"`
	Enrolments  int              `json:"enrolments"`
	Registering rate             `json:"registering"` // an append each
	Enrolling   rate             `json:"enrolling"`   // a read, a decision and an append each
	Total       rate             `json:"total"`
	Latency     latencies        `json:"latencyMs"`
	Groups      groupSizes       `json:"groups"`
	Counted     tally            `json:"counted"`
	Lag         opossum.Position `json:"lag"` // events not yet filed when the last append was acknowledged
	Drained     millis           `json:"drainedMs"`
	Disk        storeUse         `json:"disk"`
}

// crashReport is about the child that was killed and what came of it.
type crashReport struct {
	Acknowledged int                    `json:"acknowledged"`
	Recovery     opossum.RecoveryReport `json:"recovery"`
}

// rate is a number of appends and how long they took.
type rate struct {
	Appends int
	Took    time.Duration
}

func (r rate) perSecond() int { return int(float64(r.Appends) / max(r.Took.Seconds(), 1e-9)) }

func (r rate) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Appends   int    `json:"appends"`
		Took      millis `json:"ms"`
		PerSecond int    `json:"perSecond"`
	}{r.Appends, millis(r.Took), r.perSecond()})
}

type latencies struct {
	P50 millis `json:"p50"`
	P99 millis `json:"p99"`
	Max millis `json:"max"`
}

func latenciesOf(h *hdrhistogram.Histogram) latencies {
	at := func(us int64) millis { return millis(time.Duration(us) * time.Microsecond) }
	return latencies{P50: at(h.ValueAtQuantile(50)), P99: at(h.ValueAtQuantile(99)), Max: at(h.Max())}
}

func (r demoReport) heading() string {
	return fmt.Sprintf("Course enrolment with %s in %s\nEvery append is durable before it is acknowledged.\n\n",
		counted(r.Writers, "concurrent writer"), r.Dir)
}

func (l loadReport) text() string {
	c := l.Counted
	return "The load\n" +
		row("registered", "%s and %s; %s refused: the e-mail address was taken",
			counted(l.Students, "student"), counted(l.Courses, "course"), counted(c.EmailTaken, "student")) +
		row("enrolled", "%s; %s refused: %s course full, %s limit reached, %s enrolled already", counted(l.Enrolments, "enrolment"),
			comma(c.CourseFull+c.LimitReached+c.AlreadyEnrolled), comma(c.CourseFull), comma(c.LimitReached), comma(c.AlreadyEnrolled)) +
		row("throughput", "%s appends/s: %s registering, %s enrolling (a read and a decision each); %s in all",
			comma(l.Total.perSecond()), comma(l.Registering.perSecond()), comma(l.Enrolling.perSecond()), durationText(l.Total.Took)) +
		row("latency", "p50 %v   p99 %v   max %v", l.Latency.P50, l.Latency.P99, l.Latency.Max) +
		row("groups", "%s", l.Groups.text()) +
		row("conflicts", "%s, each decided anew; one enrolment took %s", counted(c.Conflicts, "append"), counted(c.MostRetries+1, "attempt")) +
		row("lag", "%s not yet filed when the last append was acknowledged; all filed %v later", counted(l.Lag, "event"), l.Drained) +
		l.Disk.text() + "\n"
}

func (c crashReport) text() string {
	return "The crash\n" +
		row("killed", "a second process with the same load, by SIGKILL after %s", counted(c.Acknowledged, "acknowledgement")) +
		row("reopened", "%v", c.Recovery) + "\n"
}

// mostViolations is how many are printed; their number and --json tell the rest.
const mostViolations = 20

func (p proof) text() string {
	var b strings.Builder
	b.WriteString("The proof\n")
	for i, v := range p.Violations {
		if i == mostViolations {
			b.WriteString(row("VIOLATED", "and %s more", comma(len(p.Violations)-i)))
			break
		}
		b.WriteString(row("VIOLATED", "%s", v))
	}
	if len(p.Violations) > 0 {
		return b.String() + "\n"
	}
	b.WriteString(row("kept", "all %s are there: in order, at their positions, byte for byte", counted(p.Acknowledged, "acknowledged append")))
	b.WriteString(row("whole", "positions 1 to %s without a gap, %s of them without an answer when the process died", comma(p.Events), comma(p.Unacknowledged)))
	b.WriteString(row("capacity", "no course of %s has too many students; %s full", comma(p.Courses), comma(p.FullCourses)))
	b.WriteString(row("limits", "no student of %s is in a course twice or in too many; %s in all", comma(p.Students), counted(p.Enrolments, "enrolment")))
	b.WriteString(row("unique", "registering a known e-mail address again: %s, all refused", counted(p.RefusedEmails, "attempt")))
	return b.String() + "\n"
}

func (r demoReport) ending() string {
	return fmt.Sprintf("The store is kept in %s. Its newest event file is %s:\n\n%s\nLook around:\n"+
		"  opossum stat --dir %[1]s\n  opossum read --dir %[1]s --match tag=course:t1-7\n", r.Dir, r.Example.Path, r.Example.Text)
}

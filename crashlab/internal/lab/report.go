package lab

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Report is what a run of the lab came to, made to be written as JSON and as Markdown.
type Report struct {
	Command   string        `json:"command"` // what to type to do the same
	Seed      uint64        `json:"seed"`
	Commit    string        `json:"commit"` // of the code that was crashed; "-dirty" if it was changed since
	Kernel    string        `json:"kernel"`
	CPUs      int           `json:"cpus"`
	Started   time.Time     `json:"started"`
	Took      time.Duration `json:"tookNs"`
	Outcomes  []Outcome     `json:"outcomes"`
	Sabotages []Sabotaged   `json:"sabotages,omitempty"`
	Failures  []string      `json:"failures,omitempty"` // of the lab: too few crashes, an interruption
}

// Sabotaged says what became of a bug that was built in on purpose.
type Sabotaged struct {
	Name        string        `json:"name"`
	About       string        `json:"about"`
	Caught      bool          `json:"caught"`
	By          string        `json:"by,omitempty"`          // the technique
	Crashes     uint64        `json:"crashes"`               // until it was caught, or in all
	Took        time.Duration `json:"tookNs"`                // the same
	What        string        `json:"what,omitempty"`        // the violation
	Uncatchable string        `json:"uncatchable,omitempty"` // why no technique can catch it here
}

// Merge adds an outcome to that of the same technique.
func (r *Report) Merge(o Outcome) {
	i := slices.IndexFunc(r.Outcomes, func(have Outcome) bool { return have.Technique == o.Technique })
	if i < 0 {
		r.Outcomes = append(r.Outcomes, o)
		return
	}
	r.Outcomes[i].Add(o.Tally)
	r.Outcomes[i].Took += o.Took
}

// Findings returns all findings.
func (r Report) Findings() []Finding {
	var all []Finding
	for _, o := range r.Outcomes {
		all = append(all, o.Findings...)
	}
	return all
}

// Losses adds up what the power cuts of all techniques took.
func (r Report) Losses() Losses {
	all := Losses{}
	for _, o := range r.Outcomes {
		for strategy, l := range o.Losses {
			all.Add(strategy, l)
		}
	}
	return all
}

// Escaped returns the sabotages that were not caught and should have been.
func (r Report) Escaped() []string {
	var names []string
	for _, s := range r.Sabotages {
		if !s.Caught && s.Uncatchable == "" {
			names = append(names, s.Name)
		}
	}
	return names
}

// Markdown writes the report for people.
func (r Report) Markdown() string {
	var b strings.Builder
	verdict := "**No violation was found.**"
	if n := len(r.Findings()); n > 0 {
		verdict = fmt.Sprintf("**%d violations were found.**", n)
	}
	fmt.Fprintf(&b, "# Crash report\n\n%s `%s`, seed %d, %s, %d CPUs, Linux %s, %s, took %v, commit %s.\n",
		verdict, r.Command, r.Seed, r.Started.UTC().Format(time.RFC3339), r.CPUs, r.Kernel, "disks in memory", r.Took.Round(time.Second), r.Commit)
	b.WriteString(`
A crash is a power cut, a kill, an I/O error, a replayed state of a disk, or a damage, followed by a recovery and the check of everything that must hold
(package invariant). Acks are acknowledged appends that a check found present, byte-equal and at their position, summed over all checks.

| Technique | Cases | Crashes | Acks verified | Findings | Took |
|---|---:|---:|---:|---:|---:|
`)
	var sum Tally
	for _, o := range r.Outcomes {
		fmt.Fprintf(&b, "| %s | %d | %d | %d | %d | %v |\n", o.Technique, o.Cases, o.Crashes, o.Acked, len(o.Findings), o.Took.Round(time.Second))
		sum.Cases, sum.Crashes, sum.Acked = sum.Cases+o.Cases, sum.Crashes+o.Crashes, sum.Acked+o.Acked
	}
	fmt.Fprintf(&b, "| all | %d | %d | %d | %d | |\n", sum.Cases, sum.Crashes, sum.Acked, len(r.Findings()))
	r.markdownLosses(&b)
	r.markdownSabotages(&b)
	r.markdownMet(&b)
	r.markdownFindings(&b)
	return b.String()
}

func (r Report) markdownLosses(b *strings.Builder) {
	all := r.Losses()
	if len(all) == 0 {
		return
	}
	b.WriteString(`
## What power cuts took

By flush strategy. Cuts are those that came after an acknowledgement, events those that had been acknowledged since the store was opened. The age is how long the
oldest lost event had been acknowledged when the last append was begun that was acknowledged before the cut.

| Strategy | May take | Cuts | Events acknowledged | Cuts that took some | Events lost | Most at once | Oldest |
|---|---|---:|---:|---:|---:|---:|---:|
`)
	for _, strategy := range slices.Sorted(maps.Keys(all)) {
		l := all[strategy]
		fmt.Fprintf(b, "| %s | %s | %d | %d | %d | %d | %d | %v |\n", strategy, l.Window, l.Cuts, l.Acked, l.Lossy, l.Lost, l.Most, l.Age.Round(100*time.Microsecond))
	}
}

func (r Report) markdownSabotages(b *strings.Builder) {
	if len(r.Sabotages) == 0 {
		return
	}
	b.WriteString("\n## Sabotages\n\nKnown bugs, built in on purpose: the lab must catch each.\n\n| Bug | Caught by | Crashes until then | Took |\n|---|---|---:|---:|\n")
	for _, s := range r.Sabotages {
		by := s.By
		switch {
		case !s.Caught && s.Uncatchable != "":
			by = "not caught: " + s.Uncatchable
		case !s.Caught:
			by = "**escaped**"
		}
		fmt.Fprintf(b, "| %s: %s | %s | %d | %v |\n", s.Name, s.About, by, s.Crashes, s.Took.Round(100*time.Millisecond))
	}
}

// mostMet is how many situations of a technique are named: the points at which a store is killed are hundreds.
const mostMet = 16

func (r Report) markdownMet(b *strings.Builder) {
	b.WriteString("\n## Situations that were met\n\n")
	for _, o := range r.Outcomes {
		if len(o.Met) == 0 {
			continue
		}
		names := slices.Sorted(maps.Keys(o.Met))
		var met []string
		for _, what := range names[:min(len(names), mostMet)] {
			met = append(met, fmt.Sprintf("%s %d", what, o.Met[what]))
		}
		if more := len(names) - mostMet; more > 0 {
			met = append(met, fmt.Sprintf("and %d more, which the JSON lists", more))
		}
		fmt.Fprintf(b, "- %s: %s\n", o.Technique, strings.Join(met, "; "))
	}
}

func (r Report) markdownFindings(b *strings.Builder) {
	for i, f := range r.Findings() {
		if i == 0 {
			b.WriteString("\n## Findings\n\n")
		}
		fmt.Fprintf(b, "- `%s` (%s): %s\n", f.Replay(), f.At, f.What)
	}
	for i, f := range r.Failures {
		if i == 0 {
			b.WriteString("\n## Failures of the lab\n\n")
		}
		fmt.Fprintf(b, "- %s\n", f)
	}
}

// Replay is the command that runs the case of the finding again.
func (f Finding) Replay() string {
	return fmt.Sprintf("go run ./crashlab replay %s --seed %d --index %d", f.Technique, f.Seed, f.Index)
}

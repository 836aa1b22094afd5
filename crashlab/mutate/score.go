package main

import (
	"fmt"
	"regexp"
	"strings"
)

// outcome is what became of a mutant.
type outcome struct {
	compiles bool
	reached  bool // by a test
	killed   bool
	timeout  bool // killed, by tests that did not end
	others   bool // killed, by the tests of another package
	harmless bool // judged so by a human
}

// fate names what became of a mutant that was not killed.
func (o outcome) fate() string {
	switch {
	case o.harmless:
		return "harmless:"
	case !o.reached:
		return "survives, unreached:"
	}
	return "survives:"
}

// score is the count of a package.
type score struct {
	pkg                                            string
	all                                            int // mutants there are
	counted, own, others, timeout, harmless, alive int
}

func (s *score) count(o outcome) {
	if !o.compiles {
		return
	}
	s.counted++
	switch {
	case o.killed && o.others:
		s.others++
	case o.killed:
		s.own++
	case o.harmless:
		s.harmless++
	default:
		s.alive++
	}
	if o.timeout {
		s.timeout++
	}
}

func (s *score) plus(o score) {
	s.all += o.all
	s.counted += o.counted
	s.own += o.own
	s.others += o.others
	s.timeout += o.timeout
	s.harmless += o.harmless
	s.alive += o.alive
}

// table is what is printed at the end, in Markdown.
func table(scores []score) string {
	var b strings.Builder
	b.WriteString("\n| package | mutants | tried | killed by its tests | by others' | in a time-out | harmless | survivors | killed of those not harmless |\n")
	b.WriteString("|---|---:|---:|---:|---:|---:|---:|---:|---:|\n")
	total := score{pkg: "all"}
	for _, s := range scores {
		total.plus(s)
		s.row(&b)
	}
	total.row(&b)
	return b.String()
}

func (s *score) row(b *strings.Builder) {
	share := "-"
	if n := s.counted - s.harmless; n > 0 {
		share = fmt.Sprintf("%.1f %%", 100*float64(s.own+s.others)/float64(n))
	}
	fmt.Fprintf(b, "| %s | %d | %d | %d | %d | %d | %d | %d | %s |\n", s.pkg, s.all, s.counted, s.own, s.others, s.timeout, s.harmless, s.alive, share)
}

var judgedLine = regexp.MustCompile("(?m)^- (\\S+ \\S*, [a-z ]+: `[^`]*` -> `[^`]*`(?: \\([0-9]+\\))?)")

// judgedHarmless reads the names of mutants out of the list in a document: lines that begin with "- " and a name.
func judgedHarmless(doc string) map[string]bool {
	out := map[string]bool{}
	for _, m := range judgedLine.FindAllStringSubmatch(doc, -1) {
		out[m[1]] = true
	}
	return out
}

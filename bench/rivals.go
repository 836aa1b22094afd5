package main

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"opossum/bench/chart"
	"opossum/bench/harness"
	"opossum/bench/page"
)

// rivals sets opossum beside what people would pick instead.
func rivals(r results) page.Section {
	s := page.Section{Title: "Beside other stores"}
	conditional := measured{r, r.of("conditional"), writersOf, eventRate}
	if len(conditional.cells) > 0 {
		s.Blocks = append(s.Blocks, text("The work of an event store: append an event with a type and three tags, if no event has the tag that only this one has; durable, atomic, found "+
			"again by tag and type. Each rival keeps events and a tag index in its own terms, set up as its documentation says is best for this, with group commit wherever it can be had. What a store leaves for later is not in a cell of "+
			"a second or less: opossum's event files, the compactions of Pebble and Badger. It is in what follows under Growth."))
		s.Blocks = append(s.Blocks, conditional.lines("conditional", conditional.standing("conditional appends"),
			"1 event an append, 256 bytes of data, 3 tags, condition: nothing has my tag", writersAxis, rateAxis)...)
	}
	s.Blocks = append(s.Blocks, measured{r, r.of("conditional-batches"), batchOf, eventRate}.standingBatches()...)
	plain := measured{r, r.of("plain"), writersOf, eventRate}
	if len(plain.cells) > 0 {
		s.Blocks = append(s.Blocks, text("Without any index the rivals do less than opossum, which indexes and files every event all the same: a key-value pair, a row, a message, synced."))
		s.Blocks = append(s.Blocks, plain.lines("plain", plain.standing("plain appends"),
			"1 event an append, no condition; rivals: value by position, nothing else", writersAxis, rateAxis)...)
	}
	if len(s.Blocks) == 0 {
		return s
	}
	if t := r.settings(); len(t.Rows) > 0 {
		s.Blocks = append(s.Blocks, page.Block{Table: &t})
	}
	for _, c := range r.Cells {
		if c.Failed != "" {
			s.Blocks = append(s.Blocks, note("Not measured: %s: %s", c.Job, c.Failed))
		}
	}
	return s
}

// standing says with which numbers of writers opossum leads, and by how much. To lead or to trail is to do so in every round.
func (m measured) standing(what string) string {
	var ahead, level, behind []string // numbers of writers; beside whom, and opossum's share of that one's rate
	least, most := math.Inf(1), 0.0
	for _, x := range m.xs() {
		name, _ := m.best(x)
		ratio, ok := m.ratio("opossum", name, x)
		if !ok {
			continue
		}
		beside := fmt.Sprintf("%s (%s, %.2f)", chart.Plain.Cell(x), m.r.look(name).Name, ratio.Median)
		switch {
		case ratio.Min > 1:
			ahead = append(ahead, chart.Plain.Cell(x))
		case ratio.Max < 1:
			behind = append(behind, beside)
		default:
			level = append(level, beside)
		}
		least, most = min(least, ratio.Median), max(most, ratio.Median)
	}
	switch {
	case len(ahead)+len(level)+len(behind) == 0:
		return "Only opossum was measured"
	case len(level)+len(behind) == 0:
		lead := fmt.Sprintf("%.1f", least)
		if highest := fmt.Sprintf("%.1f", most); highest != lead {
			lead += " to " + highest
		}
		return fmt.Sprintf("opossum leads in %s at every number of writers: %s times the best rival", what, lead)
	}
	var parts []string
	for _, part := range []struct {
		verdict string
		writers []string
	}{{"leads with", ahead}, {"is level with a rival with", level}, {"trails with", behind}} {
		if len(part.writers) > 0 {
			parts = append(parts, part.verdict+" "+strings.Join(part.writers, ", "))
		}
	}
	return fmt.Sprintf("%s by writers: opossum %s", strings.ToUpper(what[:1])+what[1:], strings.Join(parts, "; "))
}

func (m measured) standingBatches() []page.Block {
	xs := m.xs()
	if len(xs) == 0 {
		return nil
	}
	last := xs[len(xs)-1]
	ours, _ := m.at("opossum", last)
	title := fmt.Sprintf("%s an append: opossum %s a second", count(int(last), "event"), rate(ours))
	if name, best := m.best(last); name != "" {
		title += fmt.Sprintf(", %s %s", m.r.look(name).Name, rate(best))
	}
	return m.lines("conditional-batches", title, fmt.Sprintf("%d writers, a condition an append", fewWriters), batchAxis, rateAxis)
}

// settings say how the rivals were set up.
func (r results) settings() page.Table {
	t := page.Table{Title: "How the rivals were set up", Words: true, Head: []string{"way", "what it is", "settings"}}
	for _, w := range r.Ways {
		if isRival(w.Name) {
			t.Rows = append(t.Rows, page.Row(r.look(w.Name).Name, w.What, w.Settings))
		}
	}
	return t
}

// decisions are appends that rest on what was read just before.
func decisions(r results) page.Section {
	s := page.Section{Title: "Read, decide, append"}
	cells := r.of("decide")
	of := func(l harness.Load) measured {
		return measured{r, where(cells, func(j harness.LoadJob) bool { return j.Load == l.Name }), oneX, eventRate}
	}
	if len(cells) == 0 {
		return s
	}
	s.Blocks = append(s.Blocks, text("What a command handler does: read the newest event of a tag, decide, append under the condition that nothing with that tag was added meanwhile; if refused, read "+
		"and decide again. With 1,000 tags two writers seldom meet. With one tag for all, of those who decide at once one wins and the others have worked for nothing: what counts is how soon they know."))
	uniform, hot, mixed := of(harness.DecideUniform), of(harness.DecideHot), of(harness.Mixed)
	load := fmt.Sprintf("%d writers, 1 event an append, %s events before", fewWriters, chart.Plain.Cell(float64(cells[0].Job.Load.Prefill)))
	s.Blocks = append(s.Blocks, uniform.dots("decide", uniform.podium("decisions a second on one of 1,000 tags"), load, logRate("decisions that became durable a second"), chart.Falling)...)
	s.Blocks = append(s.Blocks, hot.dots("decide-hot", hot.podium("decisions a second when all want the same tag"), load, logRate("decisions that became durable a second"), chart.Falling)...)
	mixed.number = func(o harness.Outcome) float64 { return o.Load.StepRate() }
	s.Blocks = append(s.Blocks, mixed.dots("mixed", mixed.podium("operations a second, nine reads to one durable append"), load, logRate("operations a second"), chart.Falling)...)
	t := page.Table{Title: "Refused and decided again, for each decision that became durable", Head: []string{"way", "1,000 tags", "one tag for all"}}
	conflicts := func(o harness.Outcome) float64 { return float64(o.Load.Conflicts) / float64(o.Load.Events) }
	uniform.number, hot.number = conflicts, conflicts
	for _, name := range uniform.ways() {
		a, _ := uniform.at(name, 0)
		row := []page.Cell{{Text: r.look(name).Name, Ours: name == "opossum"}, {Text: fmt.Sprintf("%.3f", a.Median)}}
		if b, ok := hot.at(name, 0); ok {
			row = append(row, page.Cell{Text: fmt.Sprintf("%.2f", b.Median)})
		} else {
			row = append(row, page.Cell{})
		}
		t.Rows = append(t.Rows, row)
	}
	s.Blocks = append(s.Blocks, page.Block{Table: &t})
	s.Blocks = append(s.Blocks, seats(cells)...)
	return s
}

// seats shows what deciders on courses of their own have to do with those who fight for one: the jobs of seatJobs.
func seats(cells []cell) []page.Block {
	at := func(load, beside string) (cell, bool) {
		found := where(cells, func(j harness.LoadJob) bool { return j.Load == load && j.Beside == beside })
		if len(found) == 0 {
			return cell{}, false
		}
		return found[0], true
	}
	own, hot := harness.SeatsOwn.Name, harness.SeatsHot.Name
	alone, ok := at(own, "")
	if !ok {
		return nil
	}
	t := page.Table{Title: "Seats of courses, taken by opossum.Decide", Head: []string{"deciders", "decisions a second", "as a share of alone", "99 of 100 within", "conflicts a decision", "given up"}}
	row := func(what string, c cell, share string) {
		givenUp := c.spread(func(o harness.Outcome) float64 { return float64(o.Load.Steps-o.Load.Events) / float64(o.Load.Steps) })
		conflicts := c.spread(func(o harness.Outcome) float64 { return float64(o.Load.Conflicts) / float64(o.Load.Steps) })
		p99 := c.spread(func(o harness.Outcome) float64 { return o.Load.P99.Seconds() })
		t.Rows = append(t.Rows, page.Row(what, rate(c.spread(eventRate)), share, chart.Seconds.Text(p99.Median), fmt.Sprintf("%.2f", conflicts.Median), fmt.Sprintf("%.2f %%", 100*givenUp.Median)))
	}
	n := alone.Job.Load.Writers
	row(fmt.Sprintf("%d, each on a course of its own", n), alone, "1")
	for _, other := range []struct{ load, what string }{{own, fmt.Sprintf("they, beside %d more of their kind", n)}, {hot, fmt.Sprintf("they, beside %d on one course", n)}} {
		if c, ok := at(own, other.load); ok {
			ratio := harness.Ratios(c.Rounds, alone.Rounds, eventRate)
			row(other.what, c, fmt.Sprintf("%.2f (%.2f to %.2f)", ratio.Median, ratio.Min, ratio.Max))
		}
	}
	if c, ok := at(hot, ""); ok {
		row(fmt.Sprintf("%d, all on one course", n), c, "")
	}
	return []page.Block{text("Do those who decide about one thing slow down those who decide about others? A course has 30 seats; when it is full, the next one opens. Nobody on a course of his own ever has to decide " +
		"twice. Whoever works beside takes his part of the processors and of the log; more of the same kind show how much that is."), {Table: &t}}
}

func logRate(label string) chart.Axis { return chart.Axis{Label: label, Scale: chart.Log} }

// podium names the first and, beside it, opossum or the second.
func (m measured) podium(what string) string {
	names := m.ways()
	if len(names) == 0 {
		return ""
	}
	median := func(name string) float64 { s, _ := m.at(name, 0); return s.Median }
	slices.SortFunc(names, func(a, b string) int { return cmp.Compare(median(b), median(a)) })
	first := names[0]
	text := fmt.Sprintf("%s: %s %s", m.r.look(first).Name, chart.Plain.Cell(median(first)), what)
	switch {
	case len(names) == 1:
		return text
	case first == "opossum":
		return fmt.Sprintf("%s, %s %s", text, m.r.look(names[1]).Name, chart.Plain.Cell(median(names[1])))
	}
	return fmt.Sprintf("%s, opossum %s", text, chart.Plain.Cell(median("opossum")))
}

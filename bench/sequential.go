package main

import (
	"fmt"

	"opossum/bench/chart"
	"opossum/bench/harness"
	"opossum/bench/page"
)

// sequential answers the question that the project began with: the same events, made durable one file each or one after the other in a log.
func sequential(r results) page.Section {
	s := page.Section{Title: "Sequential against random"}
	writers := measured{r, r.of("writers"), writersOf, eventRate}
	if xs := writers.xs(); len(xs) > 0 {
		last := xs[len(xs)-1]
		ratio, _ := writers.ratio("opossum", "file-per-event-indexed", last)
		ours, _ := writers.at("opossum", last)
		s.Blocks = append(s.Blocks, text("A file per event pays for a new name, a new inode and a sync of its own each time, all over the disk. A log writes where it stopped and lets "+
			"all who wait share one sync. The files stay readable either way: opossum writes them in the background, from the log."))
		s.Blocks = append(s.Blocks, writers.lines("writers",
			fmt.Sprintf("With %s opossum acknowledges %s durable events a second, %s what a file per event with its index does", count(int(last), "writer"), rate(ours), times(ratio.Median)),
			"1 event an append, 256 bytes of data, 3 tags, each append durable when it is answered", writersAxis, rateAxis)...)
	}
	batches := r.of("batches")
	for _, writers := range []int{1, fewWriters} {
		m := measured{r, where(batches, func(j harness.LoadJob) bool { return j.Writers == writers }), batchOf, eventRate}
		xs := m.xs()
		if len(xs) == 0 {
			continue
		}
		last := xs[len(xs)-1]
		ours, _ := m.at("opossum", last)
		first, _ := m.at("opossum", xs[0])
		name, who := "batches", "A lone writer"
		if writers > 1 {
			name, who = "batches-shared", fmt.Sprintf("%d writers", writers)
		}
		s.Blocks = append(s.Blocks, m.lines(name,
			fmt.Sprintf("%s with %s an append: %s events a second with opossum, %s those of single events", who, count(int(last), "event"), rate(ours), times(ours.Median/first.Median)),
			fmt.Sprintf("%s, 256 bytes an event; an append is durable as a whole", count(writers, "writer")), batchAxis, rateAxis)...)
	}
	bytes := measured{r, r.of("bytes"), bytesOf, eventRate}
	if xs := bytes.xs(); len(xs) > 0 {
		big, _ := bytes.at("opossum", xs[len(xs)-1])
		s.Blocks = append(s.Blocks, bytes.lines("bytes",
			fmt.Sprintf("Large events cost bandwidth: %s a second of %s each is %s a second", rate(big), chart.Bytes.Text(xs[len(xs)-1]), chart.Bytes.Text(big.Median*xs[len(xs)-1])),
			fmt.Sprintf("%d writers, 1 event an append", fewWriters), bytesAxis, rateAxis)...)
	}
	if t, ok := flushTable(r); ok {
		s.Blocks = append(s.Blocks, page.Block{Table: &t},
			note("Without flush nothing is durable when it is acknowledged: what a sync costs, and not an offer. opossum then writes an event's file only after its log happens to be synced, at the latest when it goes on in a new file. What opossum's flush strategies promise stands in docs/flush.md."))
	}
	return s
}

// flushTable sets each way beside itself without flush.
func flushTable(r results) (t page.Table, ok bool) {
	off := measured{r, r.of("unflushed"), writersOf, eventRate}
	on := measured{r, r.of("writers"), writersOf, eventRate}
	t = page.Table{Title: "Events a second without a sync for each append, and how much slower each way is with it", Head: []string{"way"}}
	for _, x := range off.xs() {
		t.Head = append(t.Head, count(int(x), "writer")+", no flush", "flush costs")
	}
	for _, name := range off.ways() {
		row := []page.Cell{{Text: r.look(name).Name, Ours: name == "opossum"}}
		for _, x := range off.xs() {
			without, okA := off.at(name, x)
			with, okB := on.at(name, x)
			if !okA || !okB {
				row = append(row, page.Row("", "")...)
				continue
			}
			row = append(row, page.Row(spread(chart.Plain, without), times(without.Median/with.Median))...)
		}
		t.Rows = append(t.Rows, row)
	}
	return t, len(t.Rows) > 0
}

// headline is the one sentence to take along.
func (r results) headline() string {
	m := measured{r, r.of("conditional"), writersOf, eventRate}
	xs := m.xs()
	if len(xs) == 0 {
		return ""
	}
	last := xs[len(xs)-1]
	ours, ok := m.at("opossum", last)
	name, best := m.best(last)
	if !ok || name == "" {
		return ""
	}
	return fmt.Sprintf("With %s, opossum makes %s conditional appends of tagged events a second durable; the best of the others, %s, %s.",
		count(int(last), "writer"), rate(ours), r.look(name).Name, rate(best))
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return chart.Plain.Cell(float64(n)) + " " + what + "s"
}

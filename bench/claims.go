package main

import (
	"fmt"
	"time"

	"opossum/bench/chart"
	"opossum/bench/harness"
	"opossum/bench/page"
)

// claims sets what the original has published beside what this machine shows. The words and figures are those of its documents.
func claims(r results) page.Section {
	s := page.Section{Title: "What the original claims"}
	t := page.Table{Title: "Published, and measured here", Words: true, Head: []string{"benchmark", "the claim", "here", "verdict", "why"}}
	for _, claim := range []func(results) []claim{logClaim, batchClaim, attemptClaim, oneByOneClaim, hundredClaim} {
		for _, c := range claim(r) {
			t.Rows = append(t.Rows, page.Row(c.name, c.text, c.here, c.verdict, c.why))
		}
	}
	if len(t.Rows) == 0 {
		return s
	}
	s.Blocks = append(s.Blocks,
		text("opossum grew out of a .NET store that writes a file per event. Here its way of writing is rebuilt, sync for sync: the event, the index file of its type and of each of its two tags, "+
			"and the ledger, each written under another name, fsynced and renamed: five fsyncs an event. What its documents promised of a log is held against that, on one machine."),
		page.Block{Table: &t},
		note("The original's figures come from unnamed SSDs under Windows and .NET. Ratios carry over to another machine better than rates, and neither carries over well: read the verdicts as \"here\". "+
			"Reproduced is a median within the published range or a tenth beside it; where one number was published, the range is what \"about\" may mean: 8 to 12 for 10, 1.9 to 2.3 for 2."))
	return s
}

// claim is a row.
type claim struct{ name, text, here, verdict, why string }

// judge says how a measured number stands to a published range.
func judge(n, low, high float64) string {
	switch {
	case n < low*0.9:
		return "less here"
	case n > high*1.1:
		return "more here"
	}
	return "reproduced"
}

func logClaim(r results) (all []claim) {
	m := measured{r, r.of("writers"), writersOf, eventRate}
	for _, base := range []string{"file-per-event-indexed", "file-per-event"} {
		for _, x := range m.xs() {
			if x != 1 && x != 64 {
				continue
			}
			ratio, ok := m.ratio("bare-log", base, x)
			if !ok {
				continue
			}
			why := "A lone writer's append to a log is one sync; the file's way is a sync for each of its files, and each new file is an inode and a name besides."
			if x > 1 {
				why = "Writers that wait share the log's sync. Files are written one append at a time."
			}
			all = append(all, claim{
				"log-against-files/" + base + "/writers=" + chart.Plain.Cell(x),
				"an append-only log is 5 to 10 times faster than a file per event with fsync",
				spread(chart.Times, ratio), judge(ratio.Median, 5, 10), why,
			})
		}
	}
	return all
}

func batchClaim(r results) (all []claim) {
	cells := where(r.of("batches"), func(j harness.LoadJob) bool { return j.Writers == 1 })
	m := measured{r, cells, batchOf, eventRate}
	for _, x := range m.xs() {
		ratio, ok := m.ratio("file-per-batch", "file-per-event", x)
		if !ok || x < 100 {
			continue
		}
		all = append(all, claim{
			"batch-flush/events=" + chart.Plain.Cell(x),
			"one flush for a large batch of files is about 10 times faster",
			spread(chart.Times, ratio), judge(ratio.Median, 8, 12),
			"One syncfs replaces a sync for each file; creating the files remains, and soon dominates.",
		})
	}
	return all
}

func attemptClaim(r results) (all []claim) {
	m := measured{r, r.of("writers"), writersOf, eventRate}
	for _, x := range m.xs() {
		ratio, ok := m.ratio("file-per-event", "file-per-batch", x)
		if !ok || x != 16 && x != 64 {
			continue
		}
		all = append(all, claim{
			"batch-flush-concurrent/writers=" + chart.Plain.Cell(x),
			"its own attempt at batching the flushes of concurrent appends was 2 times slower than flushing each",
			spread(chart.Times, ratio) + " the batched rate", judge(ratio.Median, 1.9, 2.3),
			"It kept one fsync for each file and added the wait for a timer. Here one syncfs serves all that wait, and nobody waits for a clock.",
		})
	}
	return all
}

func oneByOneClaim(r results) (all []claim) {
	const events = 1000
	on, off, ok := claimRuns(r, events)
	if !ok {
		return nil
	}
	for _, name := range on.ways() {
		with, okA := on.at(name, events)
		without, okB := off.at(name, events)
		if !okA || !okB {
			continue
		}
		slower := slowdown(on, off, name, events)
		c := claim{
			name: fmt.Sprintf("one-by-one/events=%d/%s", events, name),
			here: fmt.Sprintf("%s a second with flush, %s without: %s slower with it", rate(with), rate(without), times(slower.Median)),
		}
		switch name {
		case "file-per-event-indexed":
			c.text = "1,000 events one by one: 667 (NVMe) or 333 (SATA) a second with flush, 2,000 or 1,250 without: 2 to 3 times slower with flush"
			c.verdict = judge(slower.Median, 2, 3) + " (the factor), " + judge(with.Median, 333, 667) + " (the rate with flush), " + judge(without.Median, 1250, 2000) + " (without)"
			c.why = "Index files are read, extended and rewritten for each event, so they cost the more the more there are; five syncs an event come on top. Without them only the system calls remain, on Linux fewer microseconds than on Windows."
		default:
			c.text, c.verdict = "(not claimed)", "for comparison"
			c.why = map[string]string{
				"file-per-event": "Two syncs an event: itself and the ledger.",
				"growing-file":   "One sync an event, no new names.",
				"bare-log":       "The same, as fdatasync, with frames and checksums.",
				"opossum":        "The same, indexed, and filed in the background.",
			}[name]
		}
		all = append(all, c)
	}
	return all
}

func hundredClaim(r results) (all []claim) {
	const events = 100
	on, off, ok := claimRuns(r, events)
	if !ok {
		return nil
	}
	took := func(o harness.Outcome) float64 { return o.Load.Elapsed.Seconds() }
	on.number, off.number = took, took
	for _, name := range []string{"file-per-event-indexed", "file-per-event", "opossum"} {
		with, okA := on.at(name, events)
		without, okB := off.at(name, events)
		if !okA || !okB {
			continue
		}
		ms := float64(time.Millisecond) / float64(time.Second)
		c := claim{
			name: fmt.Sprintf("hundred/%s", name), text: "(not claimed)", verdict: "for comparison",
			here: fmt.Sprintf("%s with flush, %s without", chart.Seconds.Text(with.Median), chart.Seconds.Text(without.Median)),
			why:  "For comparison, on an empty store.",
		}
		if name == "file-per-event-indexed" {
			c.text = "100 appends take 100 to 300 ms with flush, and 50 to 80 ms without"
			c.why = "A hundred times five syncs; without flush, five hundred files that are written under another name and renamed remain."
			c.verdict = judge(with.Median, 100*ms, 300*ms) + " (with), " + judge(without.Median, 50*ms, 80*ms) + " (without)"
		}
		all = append(all, c)
	}
	return all
}

// slowdown returns by what factor a way is slower with flush than without, of the same rounds. REQUIRES: both were measured.
func slowdown(on, off measured, way string, x float64) harness.Spread {
	with, _ := on.cell(way, x)
	without, _ := off.cell(way, x)
	return harness.Ratios(without.Rounds, with.Rounds, eventRate)
}

// claimRuns are the runs of so many appends of a lone writer, with and without flush.
func claimRuns(r results, events int) (on, off measured, ok bool) {
	of := func(noFlush bool) measured {
		cells := where(r.of("claims"), func(j harness.LoadJob) bool { return j.Events == events && j.NoFlush == noFlush })
		return measured{r, cells, func(j harness.Job) float64 { return float64(j.Load.Events) }, eventRate}
	}
	on, off = of(false), of(true)
	return on, off, len(on.cells) > 0 && len(off.cells) > 0
}

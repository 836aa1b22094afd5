package main

import (
	"fmt"
	"time"

	"opossum/bench/chart"
	"opossum/bench/harness"
	"opossum/bench/page"
)

func readJobs(s size, w ways) [][]harness.Job {
	var jobs []harness.Job
	for _, name := range w.stores {
		jobs = append(jobs, harness.Job{Way: name, Reads: &harness.ReadsJob{Bytes: eventBytes, Events: s.history, Time: s.readTime}})
	}
	return [][]harness.Job{jobs}
}

func openJobs(s size, w ways) (groups [][]harness.Job) {
	for _, kill := range []bool{false, true} {
		var jobs []harness.Job
		for _, name := range w.stores {
			jobs = append(jobs, harness.Job{Way: name, Fill: &harness.FillJob{Bytes: eventBytes, Events: s.opened, Settle: !kill, Kill: kill}})
		}
		groups = append(groups, jobs)
	}
	return groups
}

const growthAppend = 100 // events

func growthJobs(s size, w ways) [][]harness.Job {
	var jobs []harness.Job
	for _, name := range w.stores {
		jobs = append(jobs, harness.Job{Way: name, Growth: &harness.GrowthJob{
			Load: harness.AppendUnique.Name, Bytes: eventBytes, Writers: fewWriters, EventsPerAppend: growthAppend, Settle: true,
			Events: s.growth, Time: s.growTime, KeepFree: s.keepFree, Window: min(time.Second, s.growTime/30),
		}})
	}
	return [][]harness.Job{jobs}
}

func deviceJobs(s size, _ ways) [][]harness.Job {
	return [][]harness.Job{{{Device: &harness.DeviceJob{Time: s.time}}}}
}

// reads shows what it costs to find events again.
func reads(r results) page.Section {
	s := page.Section{Title: "Reading"}
	cells := r.of("reads")
	if len(cells) == 0 {
		return s
	}
	events := cells[0].Job.Reads.Events
	operations := harness.ReadOperations()
	c := chart.Chart{
		Kind: chart.Bars,
		Note: fmt.Sprintf("%s events, each of opossum's in its file; one reader, all in the page cache; median latency", chart.Plain.Cell(float64(events))),
		Y:    chart.Axis{Label: "time from the question to the last event of the answer", Unit: chart.Seconds, Scale: chart.Log},
	}
	for _, o := range operations {
		c.X.Names = append(c.X.Names, o.What)
	}
	p50 := func(i int) func(harness.Outcome) float64 {
		return func(o harness.Outcome) float64 { return o.Reads.Results[i].P50.Seconds() }
	}
	fastest := 0
	for i := range operations {
		if name, _ := quickest(cells, p50(i)); name == "opossum" {
			fastest++
		}
	}
	for _, cell := range cells {
		series := r.look(cell.Job.Way)
		for i := range operations {
			v := cell.spread(p50(i))
			series.Points = append(series.Points, chart.Point{X: float64(i), Y: v.Median, Low: v.Min, High: v.Max})
		}
		c.Series = append(c.Series, series)
	}
	c.Title = fmt.Sprintf("opossum is the quickest in %d of %d kinds of reads", fastest, len(operations))
	s.Blocks = append(s.Blocks, text("Before anything is measured all answers are compared with what the history must give. opossum answers from its index and then opens one file for each event of the answer."), figure("reads", c))
	return s
}

// quickest returns the way with the lowest number.
func quickest(cells []cell, number func(harness.Outcome) float64) (name string, best float64) {
	for _, c := range cells {
		if v := c.spread(number).Median; name == "" || v < best {
			name, best = c.Job.Way, v
		}
	}
	return name, best
}

// opens shows how long a program waits for its store when it starts.
func opens(r results) page.Section {
	s := page.Section{Title: "Opening"}
	cells := r.of("opens")
	if len(cells) == 0 {
		return s
	}
	ready := func(o harness.Outcome) float64 { return o.Open.Ready.Seconds() }
	c := chart.Chart{
		Kind: chart.Bars,
		Note: fmt.Sprintf("until a first question is answered; %s events of 256 bytes, what was written is in the page cache", chart.Plain.Cell(float64(cells[0].Job.Fill.Events))),
		X:    chart.Axis{Names: []string{"after a clean close", "after SIGKILL amid appends"}},
		Y:    chart.Axis{Label: "time to open and answer", Unit: chart.Seconds, Scale: chart.Log},
	}
	at := map[string]int{}
	var ours [2]harness.Spread
	for _, cell := range cells {
		way, group := cell.Job.Way, 0
		if cell.Job.Fill.Kill {
			group = 1
		}
		i, known := at[way]
		if !known {
			i = len(c.Series)
			at[way] = i
			c.Series = append(c.Series, r.look(way))
		}
		v := cell.spread(ready)
		c.Series[i].Points = append(c.Series[i].Points, chart.Point{X: float64(group), Y: v.Median, Low: v.Min, High: v.Max})
		if way == "opossum" {
			ours[group] = v
		}
	}
	c.Title = fmt.Sprintf("opossum answers %s after a clean close, and %s after it was killed amid appends", chart.Seconds.Text(ours[0].Median), chart.Seconds.Text(ours[1].Median))
	s.Blocks = append(s.Blocks, figure("opens", c))
	return s
}

// growth shows whether a store slows down as it fills.
func growth(r results) page.Section {
	s := page.Section{Title: "Growth"}
	cells := r.of("growth")
	if len(cells) == 0 {
		return s
	}
	job := cells[0].Job.Growth
	c := chart.Chart{
		Note: fmt.Sprintf("%d writers, %d events an append under a condition, event files written meanwhile; each point is %v long, each line ends after %v or %s events",
			job.Writers, job.EventsPerAppend, job.Window, job.Time, chart.Plain.Text(float64(job.Events))),
		X: chart.Axis{Label: "events in the store"},
		Y: chart.Axis{Label: "events a second", Scale: chart.Log},
	}
	t := page.Table{Title: "At the end", Head: []string{"way", "events", "seconds", "events a second", "bytes on disk an event", "bytes written an event", "resident memory", "ended by"}}
	left := "none"
	for _, cell := range cells {
		g := cell.Rounds[0].Growth
		if g.Lag > 0 {
			left = chart.Plain.Cell(float64(g.Lag))
		}
		series := r.look(cell.Job.Way)
		var events int
		var before time.Duration
		for _, w := range g.Windows {
			events += w.Events
			series.Points = append(series.Points, chart.Point{X: float64(events), Y: float64(w.Events) / (w.At - before).Seconds()})
			before = w.At
		}
		c.Series = append(c.Series, series)
		an := func(bytes uint64) string { return chart.Bytes.Text(float64(bytes) / float64(g.Events)) }
		t.Rows = append(t.Rows, append([]page.Cell{{Text: series.Name, Ours: series.Ours}}, page.Row(
			chart.Plain.Cell(float64(g.Events)), fmt.Sprintf("%.3g", g.Elapsed.Seconds()), chart.Plain.Cell(g.Rate()), an(g.Disk), an(g.Life.Bytes),
			chart.Bytes.Text(float64(g.Memory.Resident)), string(g.Ended))...))
		if series.Ours {
			c.Title = fmt.Sprintf("opossum took %s events in %s, and %s were then without a file", chart.Plain.Cell(float64(g.Events)), chart.Seconds.Text(g.Elapsed.Seconds()), chart.Plain.Cell(float64(g.Behind)))
		}
	}
	s.Blocks = append(s.Blocks, figure("growth", c), page.Block{Table: &t},
		note("Bytes are counted after the appends, when opossum has written its event files, or for %v at most: %s were without one then. "+
			"If a million events wait for their files, appends are held back to the pace of the files.", job.Time, left))
	return s
}

// device shows the ceilings of the disk.
func device(r results) page.Section {
	s := page.Section{Title: "The disk"}
	cells := r.of("device")
	if len(cells) == 0 {
		return s
	}
	c := cells[0]
	of := func(u chart.Unit, n func(*harness.DeviceResult) float64) string {
		return spread(u, c.spread(func(o harness.Outcome) float64 { return n(o.Device) }))
	}
	s.Blocks = append(s.Blocks, page.Block{Table: &page.Table{
		Title: "What the device allows", Head: []string{"ceiling", "measured"},
		Rows: [][]page.Cell{
			page.Row("bytes a second, one file written from start to end, one sync", of(chart.Bytes, func(d *harness.DeviceResult) float64 { return d.Sequential })),
			page.Row("syncs a second, pages of 4 KiB on space written before", of(chart.Plain, func(d *harness.DeviceResult) float64 { return d.Syncs })),
			page.Row("such a page, written and synced, p50", of(chart.Seconds, func(d *harness.DeviceResult) float64 { return d.P50.Seconds() })),
			page.Row("such a page, written and synced, p99", of(chart.Seconds, func(d *harness.DeviceResult) float64 { return d.P99.Seconds() })),
		},
	}})
	return s
}

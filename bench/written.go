package main

import (
	"fmt"
	"slices"

	"opossum/bench/chart"
	"opossum/bench/harness"
	"opossum/bench/page"
)

// written shows what the device and the processors were given for each event.
func written(r results) page.Section {
	s := page.Section{Title: "What an event costs the machine"}
	cells := r.of("written")
	if len(cells) == 0 {
		return s
	}
	lifeBytes := func(o harness.Outcome) float64 { return float64(o.Load.Life.Bytes) / float64(o.Load.LifeEvents) }
	// The ceiling writes its space beforehand, which is no cost of an event.
	isCeiling := func(c cell) bool { return c.Job.Way == ceiling }
	files := measured{r, slices.DeleteFunc(where(cells, func(j harness.LoadJob) bool { return j.Load == harness.Append.Name }), isCeiling), oneX, lifeBytes}
	stores := measured{r, where(cells, func(j harness.LoadJob) bool { return j.Load == harness.AppendUnique.Name }), oneX, lifeBytes}
	axis := chart.Axis{Label: "bytes written to the device for an event of 256 bytes of data", Unit: chart.Bytes, Scale: chart.Log}
	load := fmt.Sprintf("%d writers, 1 event an append; from opening to after closing, event files, journal and all", fewWriters)
	s.Blocks = append(s.Blocks, text("Counted by the device itself, from before the store is opened until it is closed and everything is written back: what the file system's journal costs is in it. opossum writes each event into its log, on space that was filled with zeros before, and into its "+
		"file, and a file takes 4 KiB and an inode."))
	if ours, ok := files.at("opossum", 0); ok && ours.Median > 0 {
		theirs, _ := files.at("file-per-event-indexed", 0)
		s.Blocks = append(s.Blocks, files.dots("written", fmt.Sprintf("opossum gives the device %s an event, a file per event with its index %s", chart.Bytes.Text(ours.Median), chart.Bytes.Text(theirs.Median)), load, axis, chart.Rising)...)
	}
	if ours, ok := stores.at("opossum", 0); ok && ours.Median > 0 {
		s.Blocks = append(s.Blocks, stores.dots("written-stores", fmt.Sprintf("Readable files have a price: %s an event, beside stores that keep none", chart.Bytes.Text(ours.Median)), load, axis, chart.Rising)...)
	}
	t := page.Table{Title: "The same runs, while appends were measured", Head: []string{"way", "load", "events/s", "flushes of the device a second", "events a flush", "CPU µs an event", "allocations an event"}}
	for _, c := range cells {
		number := func(u chart.Unit, n func(o harness.CellResult) float64) string {
			return spread(u, c.spread(func(o harness.Outcome) float64 { return n(*o.Load) }))
		}
		t.Rows = append(t.Rows, append([]page.Cell{{Text: r.look(c.Job.Way).Name, Ours: c.Job.Way == "opossum"}}, page.Row(
			c.Job.Load.Load,
			number(chart.Plain, func(o harness.CellResult) float64 { return o.Rate() }),
			number(chart.Plain, func(o harness.CellResult) float64 { return float64(o.Run.Flushes) / o.Elapsed.Seconds() }),
			number(chart.Plain, func(o harness.CellResult) float64 { return float64(o.Events) / float64(o.Run.Flushes) }), // a dash, if they are not counted
			number(chart.Plain, func(o harness.CellResult) float64 { return o.CPU.Seconds() * 1e6 / float64(o.Events) }),
			number(chart.Plain, func(o harness.CellResult) float64 { return float64(o.Allocs) / float64(o.Events) }),
		)...))
	}
	s.Blocks = append(s.Blocks, page.Block{Table: &t}, note("Processor time and allocations are those of the whole process: the writers, one allocation an event, and all work in the background are in it. "+
		"Allocations of C libraries are not counted."))
	return s
}

package main

import (
	"fmt"
	"time"

	"opossum/bench/chart"
	"opossum/bench/harness"
	"opossum/bench/page"
)

// modelsSize says how much of read models is measured.
type modelsSize struct {
	events int // in the store that they are folded from
	follow int // appended while the read model follows
	pause  time.Duration
}

// What must hold of read models, full size: issue 8.
const (
	rebuildFloor  = 200_000 // events a second
	modelCeiling  = 300e6   // bytes of resident memory
	followCeiling = 10 * time.Millisecond
)

const modelStore = "models" // where those who share the store meet

func modelStoreJobs(s size, _ ways) [][]harness.Job {
	return [][]harness.Job{{sustainedJob(s, packing, modelStore, s.models.events)}}
}

func modelJobs(s size, _ ways) [][]harness.Job {
	job := harness.ModelsJob{Acknowledged: s.models.events, Bytes: eventBytes, Follow: s.models.follow, Pause: s.models.pause}
	return [][]harness.Job{{{Way: packing, Shared: modelStore, Models: &job}}}
}

// models shows what it costs to fold a store into readable files, and how soon a state shows what was appended.
func models(r results) page.Section {
	s := page.Section{Title: "Read models"}
	for _, c := range r.of("models") {
		if c.Job.Models == nil {
			continue
		}
		of := func(n func(*harness.ModelsResult) float64) harness.Spread {
			return c.spread(func(o harness.Outcome) float64 { return n(o.Models) })
		}
		first := c.Rounds[0].Models
		memory := of(func(o *harness.ModelsResult) float64 { return float64(o.Most) })
		memory.Median = memory.Max // each of them must hold
		t := page.Table{Title: "What must hold", Head: []string{"what", "bound", "here", "verdict"}}
		for _, p := range []promise{
			{what: fmt.Sprintf("%s events folded into %s files: events a second", chart.Plain.Cell(float64(first.Events)), chart.Plain.Cell(float64(first.States))),
				limit: rebuildFloor, least: true, here: of((*harness.ModelsResult).RebuildRate)},
			{what: "most resident memory of the process, with the engine in it", unit: chart.Bytes, limit: modelCeiling, here: memory},
			{what: "from an acknowledgement until the state was read, median", unit: chart.Seconds, limit: followCeiling.Seconds(), here: of(func(o *harness.ModelsResult) float64 { return o.Follow.P50.Seconds() })},
		} {
			t.Rows = append(t.Rows, page.Row(p.what, p.bound(), spread(p.unit, p.here), p.verdict()))
		}
		p99 := of(func(o *harness.ModelsResult) float64 { return o.Follow.P99.Seconds() })
		s.Blocks = append(s.Blocks,
			text("The events of scale, a read model of its students: a count, a sum, where it began, the newest course. Apply does not decode the data of the events; the states are written as JSON, each in a file of its own. "+
				"A rebuild takes %.2g µs of processor time an event. Then one event at a time is appended, with a pause of %v after each: 99 of 100 states are readable within %s.",
				of(func(o *harness.ModelsResult) float64 { return float64(o.CPU.Microseconds()) / float64(o.Events) }).Median, c.Job.Models.Pause, chart.Seconds.Text(p99.Median)),
			page.Block{Table: &t})
		if r.Quick {
			s.Blocks = append(s.Blocks, note("The bounds are those of the full size."))
		}
	}
	return s
}

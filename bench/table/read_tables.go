package main

import (
	"fmt"

	"github.com/dustin/go-humanize"

	"opossum/bench/harness"
)

// tables are what people read.
func (r *reads) tables() []table { return []table{r.latencies(), r.tails(), r.rates(), r.opens()} }

// number returns one number of an operation in all rounds.
func (w readWay) number(operation int, of func(harness.ReadResult) float64) harness.Spread {
	return harness.SpreadOf(w.Rounds, func(r harness.ReadRound) float64 { return of(r.Results[operation]) })
}

func p50(r harness.ReadResult) float64 { return float64(r.P50) }

func (r *reads) head(first string, more ...string) []string {
	head := []string{first}
	for _, w := range r.Ways {
		head = append(head, w.What)
	}
	return append(head, more...)
}

func (r *reads) latencies() table {
	opossum, scan, memory := r.Ways[0], r.Ways[1], r.Ways[2]
	t := table{
		title: "Latency of a read: median (lowest-highest round)",
		head:  r.head("read", "scan / opossum", "opossum / map", "goal"),
	}
	for i, o := range harness.ReadOperations() {
		row := []string{o.What}
		for _, w := range r.Ways {
			row = append(row, durations(w.number(i, p50)))
		}
		ratio := func(a, b readWay) string {
			return times(harness.Ratios(a.Rounds, b.Rounds, func(r harness.ReadRound) float64 { return p50(r.Results[i]) }))
		}
		goal := ""
		if most, ok := readGoals[o.Name]; ok {
			goal = verdict(opossum.number(i, p50), most)
		}
		t.rows = append(t.rows, append(row, ratio(scan, opossum), ratio(opossum, memory), goal))
	}
	return t
}

func (r *reads) tails() table {
	t := table{title: "The same: p99 and allocations of a read", head: r.head("read")}
	for i, o := range harness.ReadOperations() {
		row := []string{o.What}
		for _, w := range r.Ways {
			p99 := w.number(i, func(r harness.ReadResult) float64 { return float64(r.P99) })
			allocs := w.number(i, func(r harness.ReadResult) float64 { return float64(r.Allocs) / float64(r.Reads) })
			row = append(row, fmt.Sprintf("%s / %s", duration(p99.Median), number(allocs.Median)))
		}
		t.rows = append(t.rows, row)
	}
	return t
}

// rates shows the operations whose answers are many events.
func (r *reads) rates() table {
	t := table{title: "The same: events per second, where an answer has several", head: r.head("read")}
	for i, o := range harness.ReadOperations() {
		if first := r.Ways[0].Rounds[0].Results[i]; first.Events <= first.Reads {
			continue
		}
		row := []string{o.What}
		for _, w := range r.Ways {
			row = append(row, rate(w.number(i, harness.ReadResult.Rate)))
		}
		t.rows = append(t.rows, row)
	}
	return t
}

func (r *reads) opens() table {
	t := table{
		title: "Opening, until the first ReadLast is answered: median (lowest-highest) of all times",
		head:  []string{"way", "opening", "times", "Go heap held", "goal"},
	}
	for i, w := range r.Ways {
		var opens []float64
		for _, round := range w.Rounds {
			for _, open := range round.Opens {
				opens = append(opens, float64(open))
			}
		}
		took := harness.SpreadOf(opens, func(ns float64) float64 { return ns })
		heap := harness.SpreadOf(w.Rounds, func(r harness.ReadRound) float64 { return float64(r.Heap) })
		goal := ""
		if i == 0 {
			goal = verdict(took, openGoal)
		}
		t.rows = append(t.rows, []string{w.What, durations(took), number(float64(len(opens))), humanize.IBytes(uint64(heap.Median)), goal})
	}
	return t
}

package main

import (
	"fmt"

	"opossum"
	"opossum/bench/harness"
)

// fiveRows measures what it costs to make the same events durable in five ways, and the ceiling beside them.
func (l *lab) fiveRows() error {
	return l.compare("Durable events per second", []shape{{1, 1}, {1, 100}, {64, 1}, {64, 100}}, append(harness.Ways(), ceiling))
}

// strategies measures what each flush strategy acknowledges, beside the bare file and the original's way.
func (l *lab) strategies() error {
	ways := []harness.Way{harness.FilePerEvent(), harness.BareFile()}
	for _, f := range []opossum.Flush{opossum.FlushImmediate, opossum.FlushBatch, opossum.FlushAuto, opossum.FlushCount, opossum.FlushPeriodic, opossum.FlushDisabled} {
		ways = append(ways, harness.OpossumFlushing(f))
	}
	return l.compare("Acknowledged events per second", []shape{{1, 1}, {1, 10}, {16, 1}, {16, 10}, {64, 1}, {64, 10}}, ways)
}

// compare measures ways side by side, in each shape of load.
func (l *lab) compare(what string, shapes []shape, ways []harness.Way) error {
	rates := table{title: what + ": median (lowest-highest round)", head: []string{"way"}}
	latencies := table{title: "Latency of an append: p50 / p99 / max", head: []string{"way"}}
	for _, w := range ways {
		rates.rows = append(rates.rows, []string{w.What})
		latencies.rows = append(latencies.rows, []string{w.What})
	}
	for _, s := range shapes {
		rates.head = append(rates.head, s.String())
		latencies.head = append(latencies.head, s.String())
		cells, err := l.measure(s, appending(ways...)...)
		if err != nil {
			return err
		}
		for i, c := range cells {
			rates.rows[i] = append(rates.rows[i], rate(c.Rate))
			latencies.rows[i] = append(latencies.rows[i], c.latency())
		}
	}
	l.report.tables = append(l.report.tables, rates, latencies)
	return nil
}

func (c cell) latency() string {
	return fmt.Sprintf("%s / %s / %s",
		duration(c.median(func(r harness.Result) float64 { return float64(r.P50) })),
		duration(c.median(func(r harness.Result) float64 { return float64(r.P99) })),
		duration(c.median(func(r harness.Result) float64 { return float64(r.Max) })))
}

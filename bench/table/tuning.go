package main

import "opossum/bench/harness"

// variants are the bare logs of which the best is the yardstick.
var variants = []struct {
	name     string
	grouping harness.Grouping
	rotate   int
}{
	{"adaptive, 4 MiB", harness.Adaptive, harness.RotateBytes},
	{"drain, 4 MiB", harness.Drain, harness.RotateBytes},
	{"yield once, 4 MiB", harness.YieldOnce, harness.RotateBytes},
	{"adaptive, 1 MiB", harness.Adaptive, 1 << 20},
	{"adaptive, 32 MiB", harness.Adaptive, 32 << 20},
}

// tuning measures the bare log in all variants, under every load for which there is a floor.
func (l *lab) tuning() error {
	rates := table{title: "The bare log by grouping and size of a generation: events/s", head: []string{"load"}}
	longest := table{title: "The same: latency of an append, p50 / p99 / max"}
	var ways []harness.Way
	for _, v := range variants {
		rates.head = append(rates.head, v.name)
		ways = append(ways, harness.BareLog(v.grouping, v.rotate))
	}
	longest.head = rates.head
	for _, f := range appendFloors {
		cells, err := l.measure(f.shape, appending(ways...)...)
		if err != nil {
			return err
		}
		r, p := []string{f.shape.String()}, []string{f.shape.String()}
		for _, c := range cells {
			r = append(r, rate(c.Rate))
			p = append(p, c.latency())
		}
		rates.rows = append(rates.rows, r)
		longest.rows = append(longest.rows, p)
	}
	l.report.tables = append(l.report.tables, rates, longest)
	return nil
}

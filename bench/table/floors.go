package main

import (
	"fmt"

	"opossum/bench/harness"
)

// floor is the least that a ratio should be. One run on a busy machine proves neither a pass nor a miss.
type floor struct {
	What  string         `json:"what"`
	Load  string         `json:"load"`
	Ratio harness.Spread `json:"ratio"` // of the same rounds
	Floor float64        `json:"floor"`
	Pass  bool           `json:"pass"` // the median is not below the floor
}

// appendFloors say how much of the bare log's rate opossum should reach under each load.
var appendFloors = []struct {
	shape shape
	least float64
}{
	{shape{1, 1}, 0.9}, {shape{16, 1}, 0.9}, {shape{64, 1}, 0.8}, {shape{256, 1}, 0.8}, {shape{1024, 1}, 0.6},
	{shape{1, 100}, 0.7}, {shape{16, 100}, 0.7}, {shape{64, 100}, 0.7},
}

const (
	conditionFloor = 0.9 // of appends without condition, one event each
	filingFloor    = 0.8 // of the rate of a burst with filing paused
)

var (
	ceiling = harness.Prewritten(harness.RingBytes)
	bareLog = harness.BareLog(harness.Adaptive, harness.RotateBytes)
)

// floors measures everything there is a floor for, and what explains it.
func (l *lab) floors() error {
	for _, f := range appendFloors {
		if err := l.appends(f.shape, f.least); err != nil {
			return err
		}
	}
	if err := l.bursts(); err != nil {
		return err
	}
	l.report.tables = append([]table{l.floorTable(), l.costTable()}, l.report.tables...)
	return nil
}

// appends measures one load; with one event per append, appends with conditions too.
func (l *lab) appends(s shape, least float64) error {
	contenders := []contender{{ceiling, harness.Append}, {bareLog, harness.Append}, {harness.Opossum(), harness.Append}}
	if s.events == 1 {
		contenders = append(contenders, contender{harness.Opossum(), harness.AppendUnique}, contender{harness.Opossum(), harness.AppendNew})
	}
	c, err := l.measure(s, contenders...)
	if err != nil {
		return err
	}
	bare, plain := c[1], c[2]
	l.floor("opossum / bare log", s, ratios(plain, bare), least)
	for _, guarded := range c[3:] {
		l.floor(guarded.What+" / opossum", s, ratios(guarded, plain), conditionFloor)
	}
	return nil
}

func ratios(a, b cell) harness.Spread { return harness.Ratios(a.Rounds, b.Rounds, harness.Result.Rate) }

func (l *lab) floor(what string, of shape, ratio harness.Spread, least float64) {
	l.report.Floors = append(l.report.Floors, floor{what, of.String(), ratio, least, ratio.Median >= least})
}

func (l *lab) floorTable() table {
	t := table{title: "Floors of speed: ratio of the same rounds, median (lowest-highest)", head: []string{"what", "load", "ratio", "floor", ""}}
	for _, f := range l.report.Floors {
		verdict := "pass"
		if !f.Pass {
			verdict = "MISS"
		}
		t.rows = append(t.rows, []string{f.What, f.Load, ratio(f.Ratio), fmt.Sprintf("%.2f", f.Floor), verdict})
	}
	return t
}

// costTable shows all cells, with their share of the ceiling, which is the first cell of each shape.
func (l *lab) costTable() table {
	t := table{
		title: "Rates and costs",
		head:  []string{"way", "load", "events/s", "of pre-written space", "p50 / p99 / max", "allocations/event", "CPU s per million events"},
	}
	var most cell
	for _, c := range l.report.Cells {
		if c.Way == ceiling.Name {
			most = c
		}
		t.rows = append(t.rows, []string{
			c.What, shape{c.Writers, c.EventsPerAppend}.String(), rate(c.Rate), fmt.Sprintf("%.2f", ratios(c, most).Median), c.latency(),
			fmt.Sprintf("%.1f", c.median(func(r harness.Result) float64 { return float64(r.Allocs) / float64(r.Events) })),
			fmt.Sprintf("%.2f", c.median(func(r harness.Result) float64 { return r.CPU.Seconds() / float64(r.Events) * 1e6 })),
		})
	}
	return t
}

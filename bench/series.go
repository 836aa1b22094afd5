package main

import (
	"cmp"
	"slices"

	"opossum/bench/chart"
	"opossum/bench/harness"
)

// measured is what some cells of one experiment showed, ready to be drawn: one number of each way at each x.
type measured struct {
	r      results
	cells  []cell
	x      func(harness.Job) float64
	number func(harness.Outcome) float64
}

// ways returns those that were measured, in the order of the jobs.
func (m measured) ways() (names []string) {
	for _, c := range m.cells {
		if !slices.Contains(names, c.Job.Way) {
			names = append(names, c.Job.Way)
		}
	}
	return names
}

// xs returns the values of x, rising.
func (m measured) xs() (all []float64) {
	for _, c := range m.cells {
		if x := m.x(c.Job); !slices.Contains(all, x) {
			all = append(all, x)
		}
	}
	slices.Sort(all)
	return all
}

// at returns what a way showed at x.
func (m measured) at(way string, x float64) (s harness.Spread, ok bool) {
	c, ok := m.cell(way, x)
	if !ok {
		return s, false
	}
	return c.spread(m.number), true
}

func (m measured) cell(way string, x float64) (cell, bool) {
	for _, c := range m.cells {
		if c.Job.Way == way && m.x(c.Job) == x {
			return c, true
		}
	}
	return cell{}, false
}

// ratio returns by what factor way a is above way b at x, of the same rounds.
func (m measured) ratio(a, b string, x float64) (s harness.Spread, ok bool) {
	ca, okA := m.cell(a, x)
	cb, okB := m.cell(b, x)
	if !okA || !okB {
		return s, false
	}
	return harness.Ratios(ca.Rounds, cb.Rounds, m.number), true
}

// series draws each way over x.
func (m measured) series() (all []chart.Series) {
	for _, name := range m.ways() {
		s := m.r.look(name)
		for _, x := range m.xs() {
			if v, ok := m.at(name, x); ok {
				s.Points = append(s.Points, chart.Point{X: x, Y: v.Median, Low: v.Min, High: v.Max})
			}
		}
		all = append(all, s)
	}
	return all
}

// bars draws one bar for each way.
func (m measured) bars() (all []chart.Series) {
	all = m.series()
	for i := range all {
		for j := range all[i].Points {
			all[i].Points[j].X = 0
		}
	}
	return all
}

// best returns the way with the highest number at x, of those that are not ours, or ceilings.
func (m measured) best(x float64) (name string, s harness.Spread) {
	for _, w := range m.ways() {
		if v, ok := m.at(w, x); ok && isRival(w) && v.Median > s.Median {
			name, s = w, v
		}
	}
	return name, s
}

// isRival says that a way is neither opossum nor a yardstick of ours: its failure is a result.
func isRival(way string) bool {
	return way != "" && !slices.ContainsFunc(own(), func(w harness.Way) bool { return w.Name == way })
}

const ceiling = "prewritten"

// look is a way's name, colour and shape, the same in all pictures. A rival looks the same with and without its index: the two are in no one picture.
func (r results) look(way string) chart.Series {
	var ours, rivals int
	look := 1
	for _, w := range r.Ways {
		switch {
		case w.Name == "opossum":
		case isRival(w.Name) && w.Store:
			rivals++
		case !isRival(w.Name):
			ours++
		}
		if w.Name == way {
			look = ours
			if isRival(way) {
				look = rivals
			}
		}
	}
	return chart.Series{Name: names[way].or(way), Ours: way == "opossum", Dashed: way == ceiling, Look: look}
}

// names are what people call the ways.
var names = labels{
	"file-per-event-indexed": "file per event, indexed",
	"file-per-event":         "file per event",
	"file-per-batch":         "file per event, shared sync",
	"growing-file":           "one growing file",
	"bare-log":               "bare log, group commit",
	"opossum-paused":         "opossum, filing paused",
	"opossum-loose":          "opossum, never packing",
	"prewritten":             "ceiling: pre-written space",
	"bbolt-plain":            "bbolt, no index",
	"pebble-plain":           "Pebble, no index",
	"badger-plain":           "Badger, no index",
	"sqlite-plain":           "SQLite, no index",
	"jetstream-plain":        "JetStream, plain",
	"pebble":                 "Pebble",
	"badger":                 "Badger",
	"sqlite":                 "SQLite",
	"jetstream":              "NATS JetStream",
}

type (
	labels map[string]label
	label  string
)

func (l label) or(otherwise string) string { return cmp.Or(string(l), otherwise) }

func writersOf(j harness.Job) float64 { return float64(j.Load.Writers) }
func batchOf(j harness.Job) float64   { return float64(j.Load.EventsPerAppend) }
func bytesOf(j harness.Job) float64   { return float64(j.Load.Bytes) }
func oneX(harness.Job) float64        { return 0 }

// where keeps the cells for whose job it holds.
func where(cells []cell, holds func(harness.LoadJob) bool) (kept []cell) {
	for _, c := range cells {
		if holds(*c.Job.Load) {
			kept = append(kept, c)
		}
	}
	return kept
}

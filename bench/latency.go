package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"opossum"
	"opossum/bench/chart"
	"opossum/bench/harness"
	"opossum/bench/page"
)

// latencies shows what one who comes at a moment of his own choice has to wait.
func latencies(r results) page.Section {
	s := page.Section{Title: "Latency"}
	cells := r.of("latency")
	if len(cells) == 0 {
		return s
	}
	c := chart.Chart{
		X: chart.Axis{Label: "share of the appends that were answered within the time", Scale: chart.Percentile, Max: 0.99995},
		Y: chart.Axis{Label: "time from when the append was due until it was durable", Unit: chart.Seconds, Scale: chart.Log},
	}
	type tail struct {
		name string
		p99  float64
	}
	var tails []tail
	for _, cell := range cells {
		series := r.look(cell.Job.Way)
		for i, q := range cell.Rounds[0].Load.Quantiles {
			if q.Percent == 0 || q.Percent == 100 {
				continue
			}
			v := cell.spread(func(o harness.Outcome) float64 { return o.Load.Quantiles[i].Latency.Seconds() })
			series.Points = append(series.Points, chart.Point{X: q.Percent / 100, Y: v.Median, Low: v.Min, High: v.Max})
			if q.Percent == 99 {
				tails = append(tails, tail{series.Name, v.Median})
			}
		}
		c.Series = append(c.Series, series)
	}
	slices.SortFunc(tails, func(a, b tail) int { return int(math.Copysign(1, a.p99-b.p99)) })
	c.Title = "99 of 100 conditional appends are durable within"
	for i, t := range tails {
		if i > 0 {
			c.Title += ","
		}
		c.Title += fmt.Sprintf(" %s (%s)", chart.Seconds.Text(t.p99), t.name)
	}
	job := cells[0].Job.Load
	c.Note = fmt.Sprintf("%g appends a second called for by a schedule, at most %d at once; 256 bytes, condition: nothing has my tag", job.Rate, job.Writers)
	s.Blocks = append(s.Blocks,
		text("Appends come by a schedule that does not wait for answers, and each counts from when it was due. A store that stalls for a tenth of a second so pays for all the appends that were due meanwhile, and not "+
			"for one only (coordinated omission). All stores get the same schedule."),
		figure("latency", c))
	if late := r.late(cells); len(late) > 0 {
		s.Blocks = append(s.Blocks, note("Too much for %s: it took longer than the schedule to answer, so its latencies are those of a queue that grows, and depend on how long it is let grow.", strings.Join(late, ", ")))
	}
	return s
}

// late names the ways that could not keep up with the schedule: which took a tenth longer than it.
func (r results) late(cells []cell) (names []string) {
	for _, c := range cells {
		if took := c.spread(func(o harness.Outcome) float64 { return o.Load.Elapsed.Seconds() }); took.Median > 1.1*c.Job.Load.Time.Seconds() {
			names = append(names, r.look(c.Job.Way).Name)
		}
	}
	return names
}

// sustained shows a minute of appends as fast as they go, with event files being written beside them and without.
func sustained(r results) page.Section {
	s := page.Section{}
	cells := r.of("sustained")
	m := measured{r, cells, writersOf, func(o harness.Outcome) float64 { return o.Load.P99.Seconds() }}
	if len(m.xs()) == 0 {
		return s
	}
	s.Title = fmt.Sprintf("%v at full speed", cells[0].Job.Load.Time)
	if cells[0].Job.Load.Time == time.Minute {
		s.Title = "A minute at full speed"
	}
	s.Blocks = append(s.Blocks, text("Event files are written in the background, from the log, and appends come first: filing falls behind while they press, and catches up when they leave it room. "+
		"If a million events wait for their files, appends are held back to the pace of the files."))
	t := page.Table{Title: "Latency of an append while events are filed, and with filing paused", Head: []string{
		"writers", "appends", "seconds", "events/s", "paused", "p99", "paused", "ratio", "longest", "paused"}}
	for _, x := range m.xs() {
		filing, okA := m.cell("opossum", x)
		paused, okB := m.cell("opossum-paused", x)
		if !okA || !okB {
			continue
		}
		a, b := filing.Rounds[0].Load, paused.Rounds[0].Load
		free, held := divideByLag(a.Windows)
		for _, phase := range []struct {
			what   string
			a, b   []harness.Window
			before time.Duration // where it begins
		}{
			{"free", free, b.Windows[:min(len(free), len(b.Windows))], 0},
			{"held back", held, b.Windows[min(len(free), len(b.Windows)):], endOf(free)},
		} {
			if len(phase.a) == 0 || len(phase.b) == 0 {
				continue
			}
			p, q := p99Of(phase.a), p99Of(phase.b)
			t.Rows = append(t.Rows, page.Row(chart.Plain.Cell(x), phase.what, fmt.Sprint(len(phase.a)),
				chart.Plain.Cell(rateOf(phase.a, phase.before)), chart.Plain.Cell(rateOf(phase.b, phase.before)),
				chart.Seconds.Text(p), chart.Seconds.Text(q), fmt.Sprintf("%.2f", p/q), latency(a.Max), latency(b.Max)))
		}
		s.Blocks = append(s.Blocks, figure(fmt.Sprintf("sustained-%.0f", x), overTime(r, x, a, b)))
	}
	if len(t.Rows) > 0 {
		s.Blocks = append(s.Blocks, page.Block{Table: &t}, note("p99 is the median of the seconds' own. Appends are free until %s events wait for their files; from then on they are held back to the pace of the files, "+
			"and each waits for others' files rather than for the disk. The longest append is that of the whole run.", chart.Plain.Cell(opossum.DefaultMaxLagEvents)))
	}
	return s
}

// divideByLag returns the seconds before appends were held back for the sake of filing, and those from then on.
func divideByLag(windows []harness.Window) (free, held []harness.Window) {
	const nearly = opossum.DefaultMaxLagEvents * 98 / 100 // looked at once a second, the lag is seldom seen at its bound
	at := slices.IndexFunc(windows, func(w harness.Window) bool { return w.Lag >= nearly })
	if at < 0 {
		return windows, nil
	}
	return windows[:at], windows[at:]
}

// p99Of returns the median of the windows' p99, in seconds. REQUIRES: there are windows.
func p99Of(windows []harness.Window) float64 {
	return harness.SpreadOf(windows, func(w harness.Window) float64 { return w.P99.Seconds() }).Median
}

// rateOf returns the events a second in windows, the first of which begins at began. REQUIRES: there are windows.
func rateOf(windows []harness.Window, began time.Duration) float64 {
	events := 0
	for _, w := range windows {
		events += w.Events
	}
	return float64(events) / (endOf(windows) - began).Seconds()
}

// endOf returns when the last window ends.
func endOf(windows []harness.Window) time.Duration {
	if len(windows) == 0 {
		return 0
	}
	return windows[len(windows)-1].At
}

// overTime draws one run with filing and one without, second by second.
func overTime(r results, writers float64, filing, paused *harness.CellResult) chart.Chart {
	draw := func(number func(harness.Window, time.Duration) float64) (all []chart.Series) {
		for i, run := range []*harness.CellResult{filing, paused} {
			s := r.look([]string{"opossum", "opossum-paused"}[i])
			var before time.Duration
			for _, w := range run.Windows {
				s.Points = append(s.Points, chart.Point{X: w.At.Seconds(), Y: number(w, w.At-before)})
				before = w.At
			}
			all = append(all, s)
		}
		return all
	}
	rates := draw(func(w harness.Window, length time.Duration) float64 { return float64(w.Events) / length.Seconds() })
	p99 := draw(func(w harness.Window, _ time.Duration) float64 { return w.P99.Seconds() })
	lag := draw(func(w harness.Window, _ time.Duration) float64 { return float64(w.Lag) })
	return chart.Chart{
		Title: fmt.Sprintf("%s: %s events a second while events are filed, %s with filing paused; 99 of 100 answered within %s and %s",
			count(int(writers), "writer"), chart.Plain.Cell(filing.Rate()), chart.Plain.Cell(paused.Rate()), latency(filing.P99), latency(paused.P99)),
		Note: "1 event an append, 256 bytes; each point is a second",
		X:    chart.Axis{Label: "seconds"}, Y: chart.Axis{Label: "events a second"}, Series: rates,
		Below: &chart.Chart{Y: chart.Axis{Label: "p99 of an append", Unit: chart.Seconds, Scale: chart.Log}, Series: p99,
			Below: &chart.Chart{Y: chart.Axis{Label: "events not filed yet"}, Series: lag[:1]}},
	}
}

func latency(d time.Duration) string { return chart.Seconds.Text(d.Seconds()) }

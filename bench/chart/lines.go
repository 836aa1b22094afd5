package chart

import (
	"image/color"
	"math"
	"slices"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

const (
	nameGap   = 17.0 // between the names beside the lines
	nameWidth = 210.0
	manyDots  = 30 // from here on no shape for each point, and a band instead of whiskers
)

// lines draws the panels, one under another.
func (c Chart) lines(p pen, s Size, at float64) float64 {
	panels := c.panels()
	tick := p.style(12, false, soft)
	height := map[Size]float64{Wide: 340, Narrow: 250}[s]
	if len(panels) > 1 {
		height *= 0.6
	}
	var xs []float64
	var ys []scale
	left, right, beside := 0.0, margin+10, s == Wide
	for _, panel := range panels {
		var values []float64
		beside = beside && float64(len(panel.Series))*nameGap <= height
		for i, series := range panel.Series {
			right = max(right, min(nameWidth, p.name(panel.looks()[i]).width(series.Name))+38)
			for _, point := range series.Points {
				if _, _, ok := panel.at(point); !ok {
					continue
				}
				xs, values = append(xs, point.X), append(values, point.Y)
				if point.Spread() {
					values = append(values, point.Low, point.High)
				}
			}
		}
		for _, m := range panel.Marks {
			if m.OnX {
				xs = append(xs, m.At)
			} else {
				values = append(values, m.At)
			}
		}
		y := newScale(panel.Y, values, true, 0.06)
		for _, v := range y.ticks(int(height / 36)) {
			left = max(left, margin+tick.width(y.Text(v))+8)
		}
		ys = append(ys, y)
	}
	xs = slices.DeleteFunc(xs, func(v float64) bool { _, ok := c.X.place(v); return !ok })
	if !beside {
		right = margin + 8
	}
	x := newScale(c.X, xs, false, map[bool]float64{true: 0.02, false: 0}[len(xs) < 1000])
	x.from, x.to = left, s.width()-right
	ticks := x.valuesOrTicks(xs, int((x.to-x.from)/55))
	for i, panel := range panels {
		at = p.lines(panel.Y.title(), tick, margin, at+2, s.width()-2*margin) + 10
		if slices.ContainsFunc(panel.Marks, func(m Mark) bool { return m.OnX && m.Label != "" }) {
			at += small
		}
		ys[i].from, ys[i].to = at+height, at
		panel.panel(p, x, ys[i], ticks, beside)
		at += height + 8
	}
	at = p.below(x, ticks, at-6, s.width())
	if !beside {
		at = legend(p, panels, at+6, s.width())
	}
	return at
}

func (p pen) name(l look) style {
	if l.bold {
		return p.style(13, true, dark(l.color, 0.85))
	}
	return p.style(13, false, dark(l.color, 0.62))
}

func (c Chart) panel(p pen, x, y scale, ticks []float64, beside bool) {
	tick := p.style(12, false, soft)
	for _, v := range y.ticks(int((y.from - y.to) / 36)) {
		p.stroke(grid, 1, nil, xy{x.from, y.px(v)}, xy{x.to, y.px(v)})
		p.text(y.Text(v), tick, x.from-7, y.px(v)+4, draw.XRight)
	}
	for _, v := range ticks {
		p.stroke(grid, 1, nil, xy{x.px(v), y.from}, xy{x.px(v), y.to})
		p.stroke(frame, 1, nil, xy{x.px(v), y.from}, xy{x.px(v), y.from + 4})
	}
	p.stroke(frame, 1, nil, xy{x.from, y.from}, xy{x.to, y.from})
	for _, m := range c.Marks {
		if _, ok := c.axis(m).place(m.At); !ok {
			continue
		}
		if m.OnX {
			p.stroke(soft, 1.2, []vg.Length{3, 3}, xy{x.px(m.At), y.from}, xy{x.px(m.At), y.to})
		} else {
			p.stroke(soft, 1.2, []vg.Length{3, 3}, xy{x.from, y.px(m.At)}, xy{x.to, y.px(m.At)})
		}
	}
	looks := c.looks()
	var ends []end
	for i, s := range c.Series {
		c.spreads(p, x, y, s, looks[i])
	}
	for _, ours := range []bool{false, true} { // what is ours lies on top
		for i, s := range c.Series {
			if s.Ours == ours {
				if last, ok := c.line(p, x, y, s, looks[i]); ok {
					ends = append(ends, end{s.Name, looks[i], last})
				}
			}
		}
	}
	if beside {
		names(p, ends, x, y)
	}
	p.markLabels(c, x, y)
}

// runs are the points of a series between those that have no place.
func (c Chart) runs(s Series) [][]Point {
	runs := [][]Point{nil}
	for _, point := range s.Points {
		if _, _, ok := c.at(point); ok {
			runs[len(runs)-1] = append(runs[len(runs)-1], point)
		} else if runs[len(runs)-1] != nil {
			runs = append(runs, nil)
		}
	}
	return runs
}

// spreads draws how far the points of a series scatter: a band if they are many, else whiskers.
func (c Chart) spreads(p pen, x, y scale, s Series, l look) {
	for _, run := range c.runs(s) {
		var low, high []xy
		for _, point := range run {
			if !point.Spread() {
				continue
			}
			bottom, top := xy{x.px(point.X), y.px(point.Low)}, xy{x.px(point.X), y.px(point.High)}
			low, high = append(low, bottom), append(high, top)
			if len(s.Points) < manyDots {
				p.whisker(l.color, bottom, top)
			}
		}
		if len(s.Points) >= manyDots && len(high) > 1 {
			r, g, b, _ := l.color.RGBA()
			slices.Reverse(low)
			p.fill(color.NRGBA{uint8(r >> 8), uint8(g >> 8), uint8(b >> 8), 0x2c}, append(high, low...)...)
		}
	}
}

// whisker joins two ends by a line with caps.
func (p pen) whisker(c color.Color, from, to xy) {
	p.stroke(c, 1.2, nil, from, to)
	across := xy{3.2, 0}
	if from.y == to.y {
		across = xy{0, 3.2}
	}
	for _, end := range []xy{from, to} {
		p.stroke(c, 1.2, nil, xy{end.x - across.x, end.y - across.y}, xy{end.x + across.x, end.y + across.y})
	}
}

// line draws a series and returns its last point.
func (c Chart) line(p pen, x, y scale, s Series, l look) (last xy, ok bool) {
	for _, run := range c.runs(s) {
		var line []xy
		for _, point := range run {
			last, ok = xy{x.px(point.X), y.px(point.Y)}, true
			line = append(line, last)
		}
		if l.bold {
			p.stroke(color.White, l.width+2.4, nil, line...)
		}
		p.stroke(l.color, l.width, l.dashes, line...)
		for i, at := range line {
			if every := max(1, len(line)/7); len(s.Points) < manyDots || i%every == every/2 {
				p.marker(l, at)
			}
		}
	}
	return last, ok
}

// end is where a line ends.
type end struct {
	name string
	look look
	at   xy
}

// names writes the name of each line beside its end, moved apart where they would touch.
func names(p pen, ends []end, x, y scale) {
	slices.SortStableFunc(ends, func(a, b end) int { return int(math.Copysign(1, a.at.y-b.at.y)) })
	var want []float64
	for _, e := range ends {
		want = append(want, e.at.y)
	}
	for i, at := range spread(want, nameGap, y.to, y.from) {
		e := ends[i]
		label := x.to + 26
		p.stroke(e.look.color, 0.8, []vg.Length{1, 2}, xy{e.at.x + 6, e.at.y}, xy{max(x.to+4, e.at.x+6), e.at.y}, xy{label - 4, at})
		st := p.name(e.look)
		p.text(st.fit(e.name, nameWidth), st, label, at+4.5, draw.XLeft)
	}
}

// legend names the lines of all panels, each name once.
func legend(p pen, panels []Chart, at, width float64) float64 {
	var entries []end
	column := 0.0
	for _, panel := range panels {
		for i, l := range panel.looks() {
			name := panel.Series[i].Name
			if slices.ContainsFunc(entries, func(e end) bool { return e.name == name }) {
				continue
			}
			entries = append(entries, end{name: name, look: l})
			column = max(column, p.name(l).width(name)+30+18)
		}
	}
	column = min(column, width-2*margin)
	columns := max(1, int((width-2*margin)/column))
	rows := (len(entries) + columns - 1) / columns
	for i, e := range entries {
		left, middle := margin+float64(i/rows)*column, at+float64(i%rows)*19+9
		p.stroke(e.look.color, e.look.width, e.look.dashes, xy{left, middle}, xy{left + 24, middle})
		p.marker(e.look, xy{left + 12, middle})
		st := p.name(e.look)
		p.text(st.fit(e.name, column-48), st, left+30, middle+4.5, draw.XLeft)
	}
	return at + float64(rows)*19
}

// markLabels writes what the reference lines are, over the lines but on a ground of its own.
func (p pen) markLabels(c Chart, x, y scale) {
	st := p.style(12, false, soft)
	for _, m := range c.Marks {
		if _, ok := c.axis(m).place(m.At); !ok || m.Label == "" {
			continue
		}
		left, base := x.from+6, y.px(m.At)-5
		label := st.fit(m.Label, x.to-x.from-12)
		wide := st.width(label)
		if m.OnX {
			left, base = min(max(x.px(m.At)-wide/2, x.from), x.to-wide), y.to-4
		} else if base < y.to+small {
			base += small + 7
		}
		p.fill(color.NRGBA{0xff, 0xff, 0xff, 0xd0}, xy{left - 2, base - 11}, xy{left + wide + 2, base - 11}, xy{left + wide + 2, base + 3}, xy{left - 2, base + 3})
		p.text(label, st, left, base, draw.XLeft)
	}
}

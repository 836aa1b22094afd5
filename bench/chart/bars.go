package chart

import (
	"cmp"
	"image/color"
	"slices"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

const rowHeight = 24.0

var (
	pale  = color.RGBA{0x9f, 0xb4, 0xc7, 0xff}
	paler = color.RGBA{0xd9, 0xdd, 0xe1, 0xff}
)

// bar is one row: a value, or the place of one that is missing.
type bar struct {
	series Series
	point  Point
	drawn  bool
}

// groups are the rows under each name of X.
func (c Chart) groups() [][]bar {
	groups := make([][]bar, max(1, len(c.X.Names)))
	for g := range groups {
		var rows []bar
		for _, s := range c.Series {
			for _, point := range s.Points {
				if point.X == float64(g) {
					_, _, ok := c.at(point)
					rows = append(rows, bar{s, point, ok})
				}
			}
		}
		sign := map[Order]float64{Rising: 1, Falling: -1}[c.Order]
		slices.SortStableFunc(rows, func(a, b bar) int { return cmp.Compare(sign*a.point.Y, sign*b.point.Y) })
		groups[g] = rows
	}
	return groups
}

func (c Chart) bars(p pen, s Size, at float64) float64 {
	tick, figure := p.style(12, false, soft), p.style(13, false, ink)
	name := map[bool]style{false: figure, true: p.style(13, true, dark(vermillion, 0.85))}
	var values []float64
	names, figures := 0.0, 0.0
	for _, rows := range c.groups() {
		for _, b := range rows {
			names = max(names, name[b.series.Ours].width(b.series.Name))
			figures = max(figures, figure.width(c.Y.Text(b.point.Y)))
			if b.drawn {
				values = append(values, b.point.Y)
				if b.point.Spread() {
					values = append(values, b.point.Low, b.point.High)
				}
			}
		}
	}
	for _, m := range c.Marks {
		values = append(values, m.At)
	}
	names = min(names, s.width()*0.36)
	y := newScale(c.Y, values, true, 0.02)
	y.from, y.to = margin+names+10, s.width()-margin-figures-10
	marks := at
	for _, m := range c.Marks {
		if _, ok := c.Y.place(m.At); ok && m.Label != "" {
			label := tick.fit(m.Label, s.width()-2*margin)
			half := tick.width(label) / 2
			at += small
			p.text(label, tick, min(max(y.px(m.At), margin+half), s.width()-margin-half), at, draw.XCenter)
		}
	}
	if at > marks {
		at += 5
	}
	top := at
	bottom := at + 4
	for i, rows := range c.groups() {
		if len(c.X.Names) > 0 {
			bottom += rowHeight
			if i > 0 {
				bottom += 6
			}
		}
		bottom += float64(len(rows)) * rowHeight
	}
	ticks := y.ticks(int((y.to - y.from) / 60))
	for _, v := range ticks {
		p.stroke(grid, 1, nil, xy{y.px(v), top}, xy{y.px(v), bottom})
	}
	for _, m := range c.Marks {
		if _, ok := c.Y.place(m.At); ok {
			p.stroke(soft, 1.2, []vg.Length{3, 3}, xy{y.px(m.At), top}, xy{y.px(m.At), bottom})
		}
	}
	at += 2
	for i, rows := range c.groups() {
		if len(c.X.Names) > 0 {
			if i > 0 {
				at += 6
			}
			at += rowHeight
			p.text(p.style(13, true, ink).fit(c.X.Names[i], s.width()-2*margin), p.style(13, true, ink), margin, at-7, draw.XLeft)
		}
		for _, b := range rows {
			st := name[b.series.Ours]
			p.text(st.fit(b.series.Name, names), st, margin+names, at+rowHeight/2+4.5, draw.XRight)
			end := c.bar(p, y, b, at+rowHeight/2)
			p.text(c.Y.Text(b.point.Y), figure, end+8, at+rowHeight/2+4.5, draw.XLeft)
			at += rowHeight
		}
	}
	base := y.from
	if c.Y.Scale == Linear {
		base = y.px(0)
	}
	p.stroke(frame, 1, nil, xy{base, top}, xy{base, bottom})
	return p.below(y, ticks, bottom, s.width())
}

// bar draws one value and returns its right end.
func (c Chart) bar(p pen, y scale, b bar, middle float64) float64 {
	if !b.drawn {
		return y.from
	}
	tone := pale
	switch {
	case b.series.Ours:
		tone = vermillion
	case b.series.Dashed:
		tone = paler
	}
	to, base := xy{y.px(b.point.Y), middle}, y.px(0)
	end := max(to.x, base)
	if c.Y.Scale == Linear {
		p.fill(tone, xy{base, middle - 7.5}, xy{to.x, middle - 7.5}, xy{to.x, middle + 7.5}, xy{base, middle + 7.5})
	} else {
		p.stroke(tone, 1.5, nil, xy{y.from, middle}, to)
	}
	if b.point.Spread() {
		high := xy{y.px(b.point.High), middle}
		p.whisker(soft, xy{y.px(b.point.Low), middle}, high)
		end = max(end, high.x)
	}
	if c.Y.Scale != Linear {
		p.marker(look{color: tone, shape: disc, bold: true}, to)
	}
	return end
}

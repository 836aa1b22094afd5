package chart

import (
	"bytes"
	"fmt"
	"image/color"
	"math"
	"regexp"
	"sort"
	"strings"
	"sync"
	"unicode"

	xfont "golang.org/x/image/font"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/font/liberation"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"
)

// Size is the width that a picture is made for. The height follows from what is in it.
type Size int

const (
	Wide   Size = iota // 880 pixels
	Narrow             // 380 pixels: the same size of text, fewer ticks, a legend below instead of names beside the lines
)

const (
	margin = 16.0
	small  = 15.0 // the height of a line of small text
)

func (s Size) width() float64 { return [...]float64{880, 380}[s] }

// SVG draws the chart. The same chart gives the same bytes. The error wraps ErrUndrawable.
func (c Chart) SVG(s Size) ([]byte, error) {
	canvas, err := c.draw(s, func(w, h vg.Length) vg.CanvasWriterTo { return vgsvg.New(w, h) })
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if _, err := canvas.WriteTo(&b); err != nil {
		return nil, err
	}
	out := b.Bytes()
	out = out[bytes.Index(out, []byte("<svg")):] // without the prolog it stands in HTML, too
	out = svgSize.ReplaceAll(out, []byte(`<svg width="$1" height="$2" viewBox="0 0 $1 $2" xmlns="http://www.w3.org/2000/svg">`))
	// The fonts are not in the file: the substitutes have letters of the same width.
	return bytes.ReplaceAll(out, []byte("font-family:Liberation Sans;font-variant:normal"), []byte("font-family:'Liberation Sans',Arial,Helvetica,sans-serif")), nil
}

var svgSize = regexp.MustCompile(`^<svg width="([0-9.]+)pt" height="([0-9.]+)pt"[^>]*>`)

// PNG draws the chart with two dots for each pixel of its size. The error wraps ErrUndrawable.
func (c Chart) PNG(s Size) ([]byte, error) {
	canvas, err := c.draw(s, func(w, h vg.Length) vg.CanvasWriterTo {
		return vgimg.PngCanvas{Canvas: vgimg.NewWith(vgimg.UseWH(w, h), vgimg.UseDPI(144))}
	})
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	_, err = canvas.WriteTo(&b)
	return b.Bytes(), err
}

// draw draws twice: how high the picture is shows only at its end.
func (c Chart) draw(s Size, open func(w, h vg.Length) vg.CanvasWriterTo) (vg.CanvasWriterTo, error) {
	if s != Wide && s != Narrow {
		return nil, fmt.Errorf("%w: unknown size %d", ErrUndrawable, s)
	}
	if err := c.Check(); err != nil {
		return nil, err
	}
	width := vg.Length(s.width())
	height := c.compose(pen{vgsvg.New(width, 1), 0}, s)
	canvas := open(width, vg.Length(height))
	c.compose(pen{canvas, height}, s)
	return canvas, nil
}

// compose draws from top to bottom and returns where it ends.
func (c Chart) compose(p pen, s Size) float64 {
	w := s.width()
	p.fill(color.White, xy{0, 0}, xy{w, 0}, xy{w, p.height}, xy{0, p.height})
	at := margin
	title := p.style(17, true, ink)
	if s == Narrow {
		title = p.style(15, true, ink)
	}
	even := w - 2*margin
	for most := len(title.wrap(c.Title, even)); even > 100 && len(title.wrap(c.Title, even-8)) == most; {
		even -= 8 // no line with a single word
	}
	at = p.lines(c.Title, title, margin, at, even)
	if c.Kind == Bars {
		at = c.bars(p, s, at+4)
	} else {
		at = c.lines(p, s, at+4)
	}
	note := []string{}
	if c.Note != "" {
		note = append(note, c.Note)
	}
	left := 0
	for _, panel := range c.panels() {
		_, n := panel.count()
		left += n
	}
	if left > 0 {
		note = append(note, fmt.Sprintf("Left out, for want of a place on the axes: %d.", left))
	}
	if len(note) > 0 {
		at = p.lines(strings.Join(note, " "), p.style(12, false, soft), margin, at+10, w-2*margin)
	}
	return math.Ceil(at + margin - 4)
}

var (
	ink   = color.Gray{0x1a}
	soft  = color.Gray{0x55}
	frame = color.Gray{0x88}
	grid  = color.Gray{0xe4}
)

type xy struct{ x, y float64 }

// pen draws with y growing downwards, in tenths of a pixel.
type pen struct {
	vg.Canvas
	height float64
}

type style struct {
	font.Face
	color color.Color
}

var fonts = sync.OnceValue(func() *font.Cache { return font.NewCache(liberation.Collection()) })

func (p pen) style(size float64, bold bool, c color.Color) style {
	f := font.Font{Typeface: "Liberation", Variant: "Sans", Size: vg.Length(size)}
	if bold {
		f.Weight = xfont.WeightBold
	}
	return style{fonts().Lookup(f, f.Size), c}
}

func (s style) size() float64          { return float64(s.Font.Size) }
func (s style) width(t string) float64 { return float64(s.Width(clean(t))) }

// clean takes out what has no shape, and what no XML file may hold.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) && r != '\u00a0' {
			return ' '
		}
		return r
	}, text)
}

// text writes one line; x is its left end, its middle or its right end, y its base line.
func (p pen) text(t string, s style, x, y float64, align draw.XAlignment) {
	if t == "" {
		return
	}
	p.SetColor(s.color)
	p.FillString(s.Face, p.point(xy{x + float64(align)*s.width(t), y}), clean(t))
}

// lines writes a text in as many lines as it takes, from the top, and returns where it ends.
func (p pen) lines(t string, s style, x, top, width float64) float64 {
	for _, line := range s.wrap(t, width) {
		top += s.size() * 1.3
		p.text(line, s, x, top-s.size()*0.3, draw.XLeft)
	}
	return top
}

func (s style) wrap(t string, width float64) []string {
	var out []string
	line := ""
	for _, word := range strings.FieldsFunc(t, func(r rune) bool { return r == ' ' || r == '\n' }) {
		if longer := strings.TrimPrefix(line+" "+word, " "); line == "" || s.width(longer) <= width {
			line = longer
			continue
		}
		out = append(out, s.fit(line, width))
		line = word
	}
	if line != "" {
		out = append(out, s.fit(line, width))
	}
	return out
}

// fit cuts a text that is too long.
func (s style) fit(t string, width float64) string {
	if s.width(t) <= width {
		return t
	}
	runes := []rune(t)
	cut := func(n int) string { return string(runes[:n]) + "…" }
	return cut(sort.Search(len(runes), func(n int) bool { return s.width(cut(n+1)) > width }))
}

func (p pen) point(at xy) vg.Point {
	tenth := func(v float64) vg.Length { return vg.Length(math.Round(v*10) / 10) }
	return vg.Point{X: tenth(at.x), Y: tenth(p.height - at.y)}
}

func (p pen) path(points []xy) vg.Path {
	var path vg.Path
	for i, at := range points {
		if i == 0 {
			path.Move(p.point(at))
		} else {
			path.Line(p.point(at))
		}
	}
	return path
}

func (p pen) fill(c color.Color, points ...xy) {
	path := p.path(points)
	path.Close()
	p.SetColor(c)
	p.Fill(path)
}

func (p pen) stroke(c color.Color, width float64, dashes []vg.Length, points ...xy) {
	p.SetColor(c)
	p.SetLineWidth(vg.Length(width))
	p.SetLineDash(dashes, 0)
	p.Stroke(p.path(points))
}

// look is how the points of a series are told from others, by colour and without.
type look struct {
	color  color.Color
	width  float64
	dashes []vg.Length
	shape  shape
	hollow bool
	bold   bool
}

// shape is a star of n points, the inner ones at a part of the radius; the first point is turned from the right.
type shape struct {
	n           int
	turn, inner float64
}

// The colours are those of Okabe and Ito, which the colour blind can tell apart. One belongs to what is ours; rivals have the others, paler.
var (
	vermillion = color.RGBA{0xd5, 0x5e, 0x00, 0xff}
	rivals     = []color.RGBA{
		{0x33, 0x8e, 0xc1, 0xff}, {0x33, 0xb1, 0x8f, 0xff}, {0xc7, 0x79, 0xa4, 0xff}, {0xe0, 0xa8, 0x30, 0xff}, {0x7f, 0x7f, 0x7f, 0xff}, {0x6f, 0xbf, 0xe9, 0xff},
	}
	disc   = shape{12, 0, math.Cos(math.Pi / 12)}
	shapes = []shape{{4, 45, 0.71}, {3, 90, 0.5}, {4, 0, 0.71}, {3, -90, 0.5}, {4, 45, 0.3}, {4, 0, 0.3}}
	dashes = [][]vg.Length{nil, {7, 3}, {2, 2.5}, {9, 3, 2, 3}}
)

func lookOf(n int, s Series) look {
	round := n / len(rivals)
	switch {
	case s.Ours:
		return look{vermillion, 2.8, dashes[n%len(dashes)], disc, n%2 == 1, true}
	case s.Dashed:
		return look{soft, 1.4, []vg.Length{5, 4}, shapes[n%len(shapes)], true, false}
	}
	return look{rivals[n%len(rivals)], 1.6, dashes[round%len(dashes)], shapes[n%len(shapes)], round%2 == 1, false}
}

// looks gives each series its look: the one it asks for, or the next one.
func (c Chart) looks() []look {
	var out []look
	next := map[[2]bool]int{}
	for _, s := range c.Series {
		n := s.Look - 1
		if n < 0 {
			kind := [2]bool{s.Ours, s.Dashed}
			n = next[kind]
			next[kind]++
		}
		out = append(out, lookOf(n, s))
	}
	return out
}

func (p pen) marker(l look, at xy) {
	radius := 3.6
	if l.bold {
		radius = 4.4
	}
	var points []xy
	for i := range 2 * l.shape.n {
		r := radius * 1.15
		if i%2 == 1 {
			r *= l.shape.inner
		}
		sin, cos := math.Sincos(l.shape.turn*math.Pi/180 + float64(i)*math.Pi/float64(l.shape.n))
		points = append(points, xy{at.x + r*cos, at.y - r*sin})
	}
	points = append(points, points[0], points[1])
	p.stroke(color.White, 2, nil, points...)
	if l.hollow {
		p.fill(color.White, points...)
		p.stroke(l.color, 1.3, nil, points...)
		return
	}
	p.fill(l.color, points...)
}

// dark is a colour for text, which needs more contrast than a line.
func dark(c color.Color, part float64) color.Color {
	r, g, b, _ := c.RGBA()
	less := func(v uint32) uint8 { return uint8(float64(v>>8) * part) }
	return color.RGBA{less(r), less(g), less(b), 0xff}
}

// labelled are the ticks that have room for their text: every one, every second ..., counted from the last.
func labelled(ticks []float64, s scale, st style) map[float64]bool {
	for every := 1; ; every++ {
		out := map[float64]bool{}
		var edge float64
		fits := true
		for i := len(ticks) - 1; i >= 0; i -= every {
			at, half := s.px(ticks[i]), st.width(s.Text(ticks[i]))/2
			if len(out) > 0 && at+half+8 > edge {
				fits = false
			}
			edge = at - half
			out[ticks[i]] = true
		}
		if fits {
			return out
		}
	}
}

// title is the label of the axis with what its scale is.
func (a Axis) title() string {
	if a.Scale == Log && a.Label != "" {
		return a.Label + " (log scale)"
	}
	return a.Label
}

// below draws the ticks of the axis that lies under a picture, and its title, and returns where it ends.
func (p pen) below(x scale, ticks []float64, at, width float64) float64 {
	tick := p.style(12, false, soft)
	shown := labelled(ticks, x, tick)
	for _, v := range ticks {
		if shown[v] {
			half := tick.width(x.Text(v)) / 2
			p.text(x.Text(v), tick, min(x.px(v), width-4-half), at+small+1, draw.XCenter)
		}
	}
	at += small + 4
	for _, line := range tick.wrap(x.title(), width-2*margin) {
		at += small
		half := tick.width(line) / 2
		p.text(line, tick, max(margin+half, min((x.from+x.to)/2, width-margin-half)), at, draw.XCenter)
	}
	return at + 4
}

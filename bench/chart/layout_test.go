package chart

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/vgsvg"
	"pgregory.net/rapid"
)

// spy notes where text is written.
type spy struct {
	vg.Canvas
	boxes *[]box
}

type box struct {
	text                     string
	left, right, bottom, top float64
}

func (s spy) FillString(f font.Face, at vg.Point, text string) {
	size := float64(f.Font.Size)
	*s.boxes = append(*s.boxes, box{text, float64(at.X), float64(at.X + f.Width(text)), float64(at.Y) - 0.15*size, float64(at.Y) + 0.7*size})
	s.Canvas.FillString(f, at, text)
}

// requireLegible fails if text is cut off or lies on other text.
func requireLegible(t *testing.T, c Chart) {
	require.NoError(t, c.Check())
	for _, s := range []Size{Wide, Narrow} {
		height := c.compose(pen{vgsvg.New(1000, 1), 0}, s)
		var boxes []box
		require.Equal(t, height, c.compose(pen{spy{vgsvg.New(1000, 1), &boxes}, height}, s))
		for i, b := range boxes {
			require.True(t, b.left >= 0 && b.right <= s.width() && b.bottom >= 0 && b.top <= height, "cut off: %v of %v", b, height)
			for _, other := range boxes[:i] {
				apart := b.left >= other.right || b.right <= other.left || b.bottom >= other.top || b.top <= other.bottom
				require.True(t, apart, "size %d: %q lies on %q", s, b.text, other.text)
			}
		}
	}
}

func TestTextIsLegible(t *testing.T) {
	for name, c := range Samples() {
		t.Run(name, func(t *testing.T) { requireLegible(t, c) })
	}
	var many []Series
	for i := range 40 {
		s := Series{Name: fmt.Sprintf("way number %d", i), Ours: i == 3, Dashed: i == 5}
		for _, x := range []float64{1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024} {
			s.Points = append(s.Points, Point{X: x, Y: 1000 + x*float64(i)})
		}
		many = append(many, s)
	}
	long := strings.Repeat("a very long name ", 12)
	name := func(s Series, name string) Series { s.Name = name; return s }
	x, y := Axis{Label: "writers", Scale: Log}, Axis{Label: "events per second", Scale: Log}
	for title, c := range map[string]Chart{
		"nothing special":     {X: x, Y: y, Series: many[1:8]},
		"twenty lines":        {X: x, Y: y, Series: many[:20]},
		"40 lines":            {X: x, Y: y, Series: many},
		"lines that are one":  {X: x, Y: y, Series: []Series{name(many[1], "a"), name(many[1], "b"), name(many[1], "c"), name(many[1], "d")}},
		"long names":          {X: Axis{Label: long, Scale: Log}, Y: Axis{Label: long}, Note: long, Series: []Series{name(many[3], long), name(many[5], long+"!"), many[8]}},
		"one word":            {X: x, Y: y, Note: strings.Repeat("x", 400) + " and more", Series: []Series{name(many[2], strings.Repeat("y", 400))}},
		"one point":           {X: x, Y: y, Series: []Series{{Name: "a", Points: []Point{{X: 1, Y: 5}}}}},
		"huge":                {X: Axis{}, Y: Axis{}, Series: []Series{{Name: "a", Points: []Point{{X: -1e99, Y: -1e99}, {X: 1e99, Y: 1e99}}}}},
		"across all scales":   {X: x, Y: y, Series: []Series{{Name: "a", Points: []Point{{X: 1e-90, Y: 1e-90}, {X: 1e90, Y: 1e90}}}}},
		"below zero":          {X: Axis{}, Y: Axis{Unit: Bytes}, Series: []Series{{Name: "a", Points: []Point{{X: -5, Y: -50000}, {X: 5, Y: -30000}}}}},
		"next to one another": {X: Axis{}, Y: Axis{}, Series: []Series{{Name: "a", Points: []Point{{X: 1, Y: 1e15}, {X: 1 + 1e-9, Y: 1e15 + 1}}}}},
		"bytes":               {X: Axis{Scale: Log, Unit: Bytes}, Y: Axis{Scale: Log, Unit: Bytes}, Series: many[4:6]},
		"reference lines":     {X: x, Y: y, Series: many[4:6], Marks: []Mark{{At: 1, Label: "bottom"}, {At: 1e9, Label: "top"}, {At: 1024, OnX: true, Label: "the end of it"}}},
		"many bars":           {Kind: Bars, X: Axis{Names: []string{"a", "b"}}, Y: Axis{Label: "y"}, Series: many},
		"long bars": {Kind: Bars, Y: Axis{Label: long, Scale: Log}, Marks: []Mark{{At: 1, Label: long}, {At: 2, Label: "two"}}, Series: []Series{
			{Name: long, Ours: true, Points: []Point{{Y: 3}}}, {Name: long + "!", Points: []Point{{Y: 4e12, Low: 1e12, High: 9e12}}},
		}},
		"bars below zero": {Kind: Bars, Y: Axis{Label: "y"}, Series: []Series{
			{Name: "a", Points: []Point{{Y: -3}}}, {Name: "b", Points: []Point{{Y: -4}}}, {Name: "none", Points: []Point{{Y: math.NaN()}}},
		}},
	} {
		t.Run(title, func(t *testing.T) {
			c.Title = title
			if title == "many bars" {
				for i := range many {
					many[i].Points = []Point{{X: 0, Y: float64(i)}, {X: 1, Y: 2}}
				}
			}
			requireLegible(t, c)
		})
	}
}

func TestSpreadMovesApart(t *testing.T) {
	require.Equal(t, []float64{5, 20, 30}, spread([]float64{5, 25, 25}, 10, 0, 100))
	require.Equal(t, []float64{0, 10, 50}, spread([]float64{1, 1, 50}, 10, 0, 100))
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOfN(rapid.Float64Range(0, 340), 1, 20).Draw(t, "want")
		slices.Sort(want)
		got := spread(want, 17, 0, 340)
		require.Len(t, got, len(want))
		for i, at := range got {
			require.True(t, at > -1e-9 && at < 340+1e-9)
			require.True(t, i == 0 || at >= got[i-1]+17-1e-9)
		}
	})
}

func TestTicksAreRoundAndInside(t *testing.T) {
	for _, tc := range []struct {
		axis   Axis
		values []float64
		n      int
		want   string
	}{
		{Axis{}, []float64{0, 75000}, 5, "0, 20 k, 40 k, 60 k"},
		{Axis{Unit: Seconds}, []float64{0, 60}, 6, "0 s, 10 s, 20 s, 30 s, 40 s, 50 s, 60 s"},
		{Axis{Unit: Bytes}, []float64{0, 5 << 20}, 5, "0 B, 1 MiB, 2 MiB, 3 MiB, 4 MiB, 5 MiB"},
		{Axis{Scale: Log}, []float64{480, 310000}, 8, "1,000, 10 k, 100 k"},
		{Axis{Scale: Log}, []float64{2, 60}, 5, "2, 5, 10, 20, 50"},
		{Axis{Scale: Log, Unit: Seconds}, []float64{50e-6, 2}, 5, "100 µs, 1 ms, 10 ms, 100 ms, 1 s"},
		{Axis{Scale: Log, Unit: Bytes}, []float64{100, 1 << 21}, 8, "256 B, 1 KiB, 4 KiB, 16 KiB, 64 KiB, 256 KiB, 1 MiB"},
		{Axis{Scale: Percentile}, []float64{0, 0.9999}, 6, "50 %, 90 %, 99 %, 99.9 %, 99.99 %"},
		{Axis{Names: []string{"a", "b"}}, []float64{0, 1}, 6, "a, b"},
	} {
		s := newScale(tc.axis, tc.values, true, 0)
		var got []string
		for _, v := range s.ticks(tc.n) {
			got = append(got, strings.ReplaceAll(s.Text(v), nbsp, " "))
		}
		require.Equal(t, tc.want, strings.Join(got, ", "))
	}
}

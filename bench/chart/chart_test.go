package chart_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"image/png"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"opossum/bench/chart"
)

var update = flag.Bool("update", false, "rewrite testdata; look at the pictures before committing them")

var (
	sizes  = map[string]chart.Size{"wide": chart.Wide, "narrow": chart.Narrow}
	widths = map[string]int{"wide": 880, "narrow": 380}
)

func TestGolden(t *testing.T) {
	for _, file := range []string{"growth-narrow", "latency-wide", "amplification-wide", "opens-narrow", "time-wide"} {
		t.Run(file, func(t *testing.T) {
			name, size, _ := strings.Cut(file, "-")
			got, err := chart.Samples()[name].SVG(sizes[size])
			require.NoError(t, err)
			path := filepath.Join("testdata", file+".svg")
			if *update {
				require.NoError(t, os.WriteFile(path, got, 0o644))
			}
			want, err := os.ReadFile(path)
			require.NoError(t, err)
			require.Equal(t, string(want), string(got))
		})
	}
}

// texts returns what is written in an SVG file, which must be well-formed, of the given width, and refer to nothing.
func texts(t require.TestingT, svg []byte, width int) []string {
	require.True(t, bytes.HasPrefix(svg, fmt.Appendf(nil, `<svg width="%d" height="`, width)))
	for _, never := range []string{"NaN", "Inf", "href"} {
		require.False(t, bytes.Contains(svg, []byte(never)), never)
	}
	var out []string
	in := false
	for d := xml.NewDecoder(bytes.NewReader(svg)); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return out
		}
		require.NoError(t, err)
		switch token := token.(type) {
		case xml.StartElement:
			in = token.Name.Local == "text"
		case xml.CharData:
			if in {
				out = append(out, string(token))
			}
		case xml.EndElement:
			in = false
		}
	}
}

func TestPNGHasTwoDotsForEachPixel(t *testing.T) {
	b, err := chart.Growth().PNG(chart.Narrow)
	require.NoError(t, err)
	picture, err := png.Decode(bytes.NewReader(b))
	require.NoError(t, err)
	require.Equal(t, 760, picture.Bounds().Dx())
	again, err := chart.Growth().PNG(chart.Narrow)
	require.NoError(t, err)
	require.Equal(t, b, again)
}

func lines(series ...chart.Series) chart.Chart {
	return chart.Chart{Title: "t", Series: series, X: chart.Axis{Label: "x"}, Y: chart.Axis{Label: "y"}}
}

func points(ys ...float64) (out []chart.Point) {
	for i, y := range ys {
		out = append(out, chart.Point{X: float64(i + 1), Y: y})
	}
	return out
}

func TestWhatHasNoPlaceIsLeftOutAndCounted(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	log := func(c chart.Chart) chart.Chart { c.Y.Scale = chart.Log; return c }
	marked := lines(chart.Series{Points: points(1, 2)})
	marked.Marks = []chart.Mark{{At: nan, Label: "gone"}}
	bars := lines(chart.Series{Points: []chart.Point{{Y: nan}}}, chart.Series{Points: []chart.Point{{X: 1, Y: 1}}}, chart.Series{Points: []chart.Point{{Y: 3}}})
	bars.Kind = chart.Bars
	percentiles := lines(chart.Series{Points: []chart.Point{{X: 0.5, Y: 1}, {X: 1, Y: 2}, {X: 1.5, Y: 2}, {X: -1, Y: 2}}})
	percentiles.X.Scale = chart.Percentile
	limited := lines(chart.Series{Points: points(1, 2, 3, 4)})
	limited.X.Min, limited.X.Max = 2, 3
	for name, tc := range map[string]struct {
		chart chart.Chart
		left  int
	}{
		"zero and below on a log axis": {log(lines(chart.Series{Points: points(0, -1, 5)})), 2},
		"on a linear axis":             {lines(chart.Series{Points: points(0, -1, 5)}), 0},
		"not a number":                 {lines(chart.Series{Points: points(1, nan, inf, -inf, 2)}), 3},
		"far away":                     {lines(chart.Series{Points: points(1, 1e101, -1e300)}), 2},
		"a mark":                       {marked, 1},
		"bars":                         {bars, 2},
		"limits":                       {limited, 2},
		"percentiles":                  {percentiles, 3},
	} {
		for size, s := range sizes {
			t.Run(name+" "+size, func(t *testing.T) {
				svg, err := tc.chart.SVG(s)
				require.NoError(t, err)
				all := strings.Join(texts(t, svg, widths[size]), "\n")
				if tc.left == 0 {
					require.NotContains(t, all, "Left out")
				} else {
					require.Contains(t, all, fmt.Sprintf("Left out, for want of a place on the axes: %d.", tc.left))
				}
			})
		}
	}
}

func TestAMissingValueKeepsItsRow(t *testing.T) {
	c := lines(chart.Series{Name: "none", Points: []chart.Point{{Y: math.NaN()}}}, chart.Series{Name: "good", Points: []chart.Point{{Y: 3}}})
	c.Kind = chart.Bars
	svg, err := c.SVG(chart.Wide)
	require.NoError(t, err)
	require.Subset(t, texts(t, svg, 880), []string{"none", "–", "good", "3"})
}

func TestSortedBars(t *testing.T) {
	want := map[chart.Order]string{chart.Given: "b a c", chart.Rising: "a b c", chart.Falling: "c b a"}
	for order, want := range want {
		c := chart.Chart{Kind: chart.Bars, Order: order}
		for name, v := range []float64{2, 1, 3} {
			c.Series = append(c.Series, chart.Series{Name: string("bac"[name]), Points: []chart.Point{{Y: v}}})
		}
		svg, err := c.SVG(chart.Wide)
		require.NoError(t, err)
		var got []string
		for _, text := range texts(t, svg, 880) {
			if strings.Contains("abc", text) {
				got = append(got, text)
			}
		}
		require.Equal(t, want, strings.Join(got, " "))
	}
}

func TestRefusals(t *testing.T) {
	good := chart.Series{Points: points(1, 2)}
	with := func(change func(*chart.Chart)) chart.Chart { c := lines(good); change(&c); return c }
	for want, c := range map[string]chart.Chart{
		"nothing to draw: 0 series, 0 points without a place": lines(),
		"nothing to draw: 1 series, 0 points":                 lines(chart.Series{Name: "empty"}),
		"nothing to draw: 1 series, 2 points":                 with(func(c *chart.Chart) { c.Series = []chart.Series{{Points: points(0, -4)}}; c.Y.Scale = chart.Log }),
		"unknown kind 7":                                      with(func(c *chart.Chart) { c.Kind = 7 }),
		"unknown order 3":                                     with(func(c *chart.Chart) { c.Order = 3 }),
		"x: unknown scale -1":                                 with(func(c *chart.Chart) { c.X.Scale = -1 }),
		"y: limits 2 to 1":                                    with(func(c *chart.Chart) { c.Y.Min, c.Y.Max = 2, 1 }),
		"x: limits NaN to 1":                                  with(func(c *chart.Chart) { c.X.Min, c.X.Max = math.NaN(), 1 }),
		"x: limits 0 to +Inf":                                 with(func(c *chart.Chart) { c.X.Max = math.Inf(1) }),
		"y: a log axis from 0":                                with(func(c *chart.Chart) { c.Y.Scale, c.Y.Max = chart.Log, 1 }),
		"x: percentiles from 0 to 1":                          with(func(c *chart.Chart) { c.X.Scale, c.X.Max = chart.Percentile, 1 }),
		"names on an axis that is not linear":                 with(func(c *chart.Chart) { c.X.Names, c.X.Scale = []string{"a"}, chart.Log }),
		"names on Y":                                          with(func(c *chart.Chart) { c.Y.Names = []string{"a"} }),
		"bars with a panel below":                             with(func(c *chart.Chart) { c.Kind, c.Below = chart.Bars, &chart.Chart{} }),
		"nothing to draw: 1 series, 1 points with":            with(func(c *chart.Chart) { c.Below = &chart.Chart{Series: []chart.Series{{Points: points(math.NaN())}}} }),
	} {
		_, err := c.SVG(chart.Wide)
		require.ErrorIs(t, err, chart.ErrUndrawable)
		require.ErrorContains(t, err, want)
		_, err = c.PNG(chart.Narrow)
		require.ErrorIs(t, err, chart.ErrUndrawable)
	}
	_, err := lines(good).SVG(2)
	require.ErrorIs(t, err, chart.ErrUndrawable)
}

// No value of a chart makes it panic, run on, or write a file that a browser does not take.
func TestAnyChartIsDrawnOrRefused(t *testing.T) {
	value := rapid.OneOf(rapid.Float64(), rapid.SampledFrom([]float64{0, 1, 2, 0.5, 0.9, 0.999, 1e6, -3, 1e15, 1e99, 1e-99, math.NaN(), math.Inf(-1)}), rapid.Float64Range(-10, 1e6))
	text := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"", "opossum", strings.Repeat("a very long name ", 20), strings.Repeat("x", 300), "<b>&\"'\x00\xff\u2028"}))
	axis := rapid.Custom(func(t *rapid.T) chart.Axis {
		a := chart.Axis{Label: text.Draw(t, "label"), Unit: chart.Unit(rapid.IntRange(0, 3).Draw(t, "unit")), Scale: chart.Scale(rapid.IntRange(0, 2).Draw(t, "scale"))}
		if rapid.IntRange(0, 4).Draw(t, "limited") == 0 {
			a.Min, a.Max = value.Draw(t, "min"), value.Draw(t, "max")
		}
		return a
	})
	series := rapid.Custom(func(t *rapid.T) chart.Series {
		s := chart.Series{Name: text.Draw(t, "name"), Ours: rapid.Bool().Draw(t, "ours"), Dashed: rapid.Bool().Draw(t, "dashed"), Look: rapid.IntRange(-1, 50).Draw(t, "look")}
		for range rapid.SampledFrom([]int{0, 1, 2, 5, 35}).Draw(t, "points") {
			s.Points = append(s.Points, chart.Point{X: value.Draw(t, "x"), Y: value.Draw(t, "y"), Low: value.Draw(t, "low"), High: value.Draw(t, "high")})
		}
		return s
	})
	rapid.Check(t, func(t *rapid.T) {
		c := chart.Chart{
			Title: text.Draw(t, "title"), Note: text.Draw(t, "note"), Kind: chart.Kind(rapid.IntRange(0, 1).Draw(t, "kind")), Order: chart.Order(rapid.IntRange(0, 2).Draw(t, "order")),
			X: axis.Draw(t, "x"), Y: axis.Draw(t, "y"), Series: rapid.SliceOfN(series, 0, 4).Draw(t, "series"),
		}
		if rapid.Bool().Draw(t, "names") {
			c.X.Names, c.X.Scale = rapid.SliceOfN(text, 0, 5).Draw(t, "names"), chart.Linear
		}
		for range rapid.IntRange(0, 2).Draw(t, "marks") {
			c.Marks = append(c.Marks, chart.Mark{At: value.Draw(t, "at"), OnX: rapid.Bool().Draw(t, "on x"), Label: text.Draw(t, "label")})
		}
		size := rapid.SampledFrom([]string{"wide", "narrow"}).Draw(t, "size")
		svg, err := c.SVG(sizes[size])
		if err != nil {
			require.ErrorIs(t, err, chart.ErrUndrawable)
			return
		}
		texts(t, svg, widths[size])
	})
}

func TestUnits(t *testing.T) {
	for _, tc := range []struct {
		unit       chart.Unit
		value      float64
		text, cell string
	}{
		{chart.Plain, 0, "0", "0"}, {chart.Plain, math.Copysign(0, -1), "0", "0"},
		{chart.Plain, 0.25, "0.25", "0.25"}, {chart.Plain, 999.7, "1,000", "1,000"},
		{chart.Plain, 1024, "1,024", "1,024"}, {chart.Plain, 9999.9, "10 k", "10,000"}, {chart.Plain, 32417, "32.4 k", "32,417"},
		{chart.Plain, 100000, "100 k", "100,000"}, {chart.Plain, 999999, "1 M", "999,999"},
		{chart.Plain, 3.2e9, "3.2 G", "3,200,000,000"}, {chart.Plain, -20000, "-20 k", "-20,000"},
		{chart.Plain, math.NaN(), "–", "–"}, {chart.Plain, math.Inf(1), "–", "–"}, {chart.Plain, 1e40, "1e+28 T", "1e+28 T"},
		{chart.Seconds, 0, "0 s", "0 s"}, {chart.Seconds, 50e-6, "50 µs", "50 µs"}, {chart.Seconds, 0.002, "2 ms", "2 ms"}, {chart.Seconds, 3.4, "3.4 s", "3.4 s"},
		{chart.Seconds, 999.9e-6, "1 ms", "1 ms"}, {chart.Seconds, 812e-9, "812 ns", "812 ns"},
		{chart.Seconds, 600, "600 s", "600 s"}, {chart.Seconds, 1e-12, "0.001 ns", "0.001 ns"},
		{chart.Bytes, 0, "0 B", "0 B"}, {chart.Bytes, 256, "256 B", "256 B"}, {chart.Bytes, 1024, "1 KiB", "1 KiB"},
		{chart.Bytes, 16 << 10, "16 KiB", "16 KiB"}, {chart.Bytes, 3 << 29, "1.5 GiB", "1.5 GiB"},
		{chart.Times, 2.5, "2.5×", "2.5×"}, {chart.Times, 48, "48×", "48×"},
	} {
		plain := func(s string) string { return strings.ReplaceAll(s, "\u00a0", " ") }
		require.Equal(t, tc.text, plain(tc.unit.Text(tc.value)), "%v", tc.value)
		require.Equal(t, tc.cell, plain(tc.unit.Cell(tc.value)), "%v", tc.value)
	}
	require.Equal(t, "99.99\u00a0%", chart.Axis{Scale: chart.Percentile}.Text(0.9999))
	require.Equal(t, "68.4\u00a0%", chart.Axis{Scale: chart.Percentile}.Text(0.683772))
	require.Equal(t, "b", chart.Axis{Names: []string{"a", "b"}}.Text(1))
}

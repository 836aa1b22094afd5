package page_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"opossum/bench/chart"
	"opossum/bench/page"
)

var update = flag.Bool("update", false, "rewrite testdata; look at it before committing it")

func TestMarkdown(t *testing.T) {
	got, err := sample().Markdown("benchmarks")
	require.NoError(t, err)
	if *update {
		require.NoError(t, os.WriteFile("testdata/sample.md", got, 0o644))
	}
	want, err := os.ReadFile("testdata/sample.md")
	require.NoError(t, err)
	require.Equal(t, string(want), string(got))
}

// read walks through a page, which must be well-formed even as XML, and returns its text and how often each element is in it.
func read(t *testing.T, html []byte) (text string, elements map[string]int) {
	elements = map[string]int{}
	var b strings.Builder
	for d := xml.NewDecoder(bytes.NewReader(html)); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return b.String(), elements
		}
		require.NoError(t, err)
		switch token := token.(type) {
		case xml.StartElement:
			elements[token.Name.Local]++
		case xml.CharData:
			b.Write(token)
		}
	}
}

func TestThePageNeedsNothingElse(t *testing.T) {
	html, err := sample().HTML()
	require.NoError(t, err)
	for _, reference := range []string{"http:", "https:", "url(", "src=", "@import", "<script", "<link", `href="/`, "ZgotmplZ"} {
		require.NotContains(t, string(html), reference)
	}
	again, err := sample().HTML()
	require.NoError(t, err)
	require.Equal(t, string(html), string(again))
}

func TestThePageHasEverythingInIt(t *testing.T) {
	d := sample()
	html, err := d.HTML()
	require.NoError(t, err)
	text, elements := read(t, html)
	require.Equal(t, 4, elements["svg"], "each picture for wide and for narrow windows")
	require.Equal(t, 2, elements["details"])
	require.Equal(t, 2+1+1, elements["table"], "numbers, facts and a table")
	require.Equal(t, 2, strings.Count(string(html), `aria-label="Chart: Group commit makes 256 writers 45 times as fast as one. Durable`))
	for _, want := range []string{
		d.Title, d.Lead, "go run ./bench --rounds 5", "over the whole run & <after> it.",
		"200,000 (186,000 to 212,000)", // of the picture, with its spread
		"48.2×", d.Sections[0].Blocks[3].Note,
	} {
		require.Contains(t, text, want)
	}
	require.Contains(t, string(html), `<code>/proc/self/io</code>`)
	require.Contains(t, string(html), `<a href="#s1">What the device has to write</a>`)
	require.Contains(t, string(html), `<tr class="ours"><th scope="row">opossum</th><td class="best">`)
}

func TestTextIsEscaped(t *testing.T) {
	const nasty = "</title></style><script>x</script> & \"quoted\" 'too' | *b* _i_ [l](x) `a|b<c` `\x00"
	d := page.Document{Title: nasty, Lead: nasty, Facts: []page.Fact{{nasty, nasty}}, Sections: []page.Section{{Title: nasty, Blocks: []page.Block{
		{Text: nasty}, {Note: nasty},
		{Table: &page.Table{Title: nasty, Head: []string{nasty, nasty}, Rows: [][]page.Cell{page.Row(nasty, nasty)}}},
		{Figure: &page.Figure{Name: "a", Chart: chart.Chart{Title: nasty, Note: nasty, Series: []chart.Series{{Name: nasty, Points: []chart.Point{{X: 1, Y: 1}}}}}}},
	}}, {}}}
	html, err := d.HTML()
	require.NoError(t, err)
	_, elements := read(t, html)
	require.Zero(t, elements["script"])
	require.Contains(t, string(html), "<code>a|b&lt;c</code>")
	markdown, err := d.Markdown("x")
	require.NoError(t, err)
	require.NotContains(t, string(markdown), "<script>")
	require.Contains(t, string(markdown), `\*b\* \_i\_ \[l\](x)`)
	require.Contains(t, string(markdown), "`a\\|b<c`", "in a table")
	require.Contains(t, string(markdown), "`a|b<c`", "elsewhere")
}

func TestPictures(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	require.NoError(t, sample().WritePictures(dir))
	var names []string
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	require.Equal(t, []string{"amplification-narrow.svg", "amplification.png", "amplification.svg", "writers-narrow.svg", "writers.png", "writers.svg"}, names)
	svg, err := os.ReadFile(filepath.Join(dir, "writers.svg"))
	require.NoError(t, err)
	require.Contains(t, string(svg), `xmlns="http://www.w3.org/2000/svg"`, "alone, a picture needs its name space")
}

func TestRefusals(t *testing.T) {
	good := chart.Chart{Series: []chart.Series{{Points: []chart.Point{{X: 1, Y: 1}}}}}
	for want, tc := range map[string]struct {
		blocks []page.Block
		err    error
	}{
		`a figure called "A b"`:                    {[]page.Block{{Figure: &page.Figure{Name: "A b", Chart: good}}}, page.ErrDocument},
		`a figure called "../a"`:                   {[]page.Block{{Figure: &page.Figure{Name: "../a", Chart: good}}}, page.ErrDocument},
		`a figure called "twice"`:                  {[]page.Block{{Figure: &page.Figure{Name: "twice", Chart: good}}, {Figure: &page.Figure{Name: "twice", Chart: good}}}, page.ErrDocument},
		`table "t": row 2 has 1 cells, the head 2`: {[]page.Block{{Table: &page.Table{Title: "t", Head: []string{"a", "b"}, Rows: [][]page.Cell{page.Row("1", "2"), page.Row("1")}}}}, page.ErrDocument},
		"figure empty: ":                           {[]page.Block{{Figure: &page.Figure{Name: "empty"}}}, chart.ErrUndrawable},
	} {
		d := page.Document{Sections: []page.Section{{Blocks: tc.blocks}}}
		_, errHTML := d.HTML()
		_, errMarkdown := d.Markdown("x")
		_, errPictures := d.Pictures()
		for _, err := range []error{errHTML, errMarkdown, errPictures, d.WritePictures(t.TempDir())} {
			require.ErrorIs(t, err, tc.err)
			require.ErrorContains(t, err, want)
		}
	}
}

func TestTheNumbersOfTwoPanelsAndOfGroups(t *testing.T) {
	one := func(name string, y ...float64) chart.Series {
		s := chart.Series{Name: name}
		for i, y := range y {
			s.Points = append(s.Points, chart.Point{X: float64(i), Y: y})
		}
		return s
	}
	d := page.Document{Sections: []page.Section{{Blocks: []page.Block{
		{Figure: &page.Figure{Name: "panels", Chart: chart.Chart{Y: chart.Axis{Label: "upper"}, Series: []chart.Series{one("a", 1, 2), one("b", 7)},
			Below: &chart.Chart{Y: chart.Axis{Label: "lower"}, Series: []chart.Series{one("c", 33, 44)}}}}},
		{Figure: &page.Figure{Name: "groups", Chart: chart.Chart{Kind: chart.Bars, X: chart.Axis{Names: []string{"clean", "kill"}}, Y: chart.Axis{Label: "time"}, Series: []chart.Series{one("d", 5, 6)}}}},
	}}}}
	html, err := d.HTML()
	require.NoError(t, err)
	_, elements := read(t, html)
	require.Equal(t, 3, elements["table"])
	for _, want := range []string{
		`<tr><th scope="row">1</th><td>2</td><td></td></tr>`, `<h3>lower</h3>`, `<tr><th scope="row">1</th><td>44</td></tr>`,
		`<th scope="col">clean</th><th scope="col">kill</th>`, `<tr><th scope="row">d</th><td>5</td><td>6</td></tr>`,
	} {
		require.Contains(t, string(html), want)
	}
	require.NotContains(t, string(html), "<nav", "one section needs no table of contents")
}

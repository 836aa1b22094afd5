package page

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"strings"

	"opossum/bench/chart"
)

//go:embed page.html
var layout string

var tmpl = template.Must(template.New("page").Funcs(template.FuncMap{
	"prose": func(text string) template.HTML {
		var b strings.Builder
		for _, p := range split(text) {
			if p.code {
				b.WriteString("<code>" + template.HTMLEscapeString(p.text) + "</code>")
			} else {
				b.WriteString(template.HTMLEscapeString(p.text))
			}
		}
		return template.HTML(b.String())
	},
	"wide":    func(f Figure) (template.HTML, error) { return inline(f, chart.Wide) },
	"narrow":  func(f Figure) (template.HTML, error) { return inline(f, chart.Narrow) },
	"alt":     func(f Figure) string { return strings.TrimSpace("Chart: " + f.Chart.Title + ". " + f.Chart.Note) },
	"numbers": func(f Figure) []Table { return numbers(f.Chart) },
	"ours":    func(row []Cell) bool { return len(row) > 0 && row[0].Ours },
}).Parse(layout))

// HTML renders the document as one file that needs no network and no script. Every figure is in it twice, for wide and for narrow
// windows, with its numbers in a table that unfolds.
func (d Document) HTML() ([]byte, error) {
	if err := d.check(); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := tmpl.Execute(&b, d); err != nil {
		return nil, fmt.Errorf("page: %w", err)
	}
	return b.Bytes(), nil
}

// inline is a picture as part of the page, where its name space goes without saying.
func inline(f Figure, s chart.Size) (template.HTML, error) {
	svg, err := f.Chart.SVG(s)
	if err != nil {
		return "", fmt.Errorf("figure %s: %w", f.Name, err)
	}
	return template.HTML(bytes.Replace(svg, []byte(` xmlns="http://www.w3.org/2000/svg"`), nil, 1)), nil
}

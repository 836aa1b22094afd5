// Package page turns a document with charts and tables into one HTML file, Markdown and pictures. It knows nothing of what was measured.
package page

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"opossum/bench/chart"
)

// Document is a report. In every text but names and titles, what stands between two backquotes is code.
type Document struct {
	Title, Lead string
	Facts       []Fact // the conditions under which the figures hold
	Sections    []Section
}

// Fact is a condition: "kernel", "6.1".
type Fact struct{ Name, Value string }

// Section is a part of the document that the table of contents names.
type Section struct {
	Title  string
	Blocks []Block
}

// Block is one of its fields.
type Block struct {
	Text   string // a paragraph
	Note   string // a caution, set apart
	Figure *Figure
	Table  *Table
}

// Figure is a chart. Its files are called by Name, which is unique in the document: a-z, 0-9 and hyphens.
type Figure struct {
	Name  string
	Chart chart.Chart
}

// Table has a title, which may be empty, and rows of as many cells as Head has. The first column says what the row is.
type Table struct {
	Title string
	Head  []string
	Rows  [][]Cell
	Words bool // cells hold sentences: they begin at the left and are wrapped
}

// Cell is a piece of a table. Best is bold; a row whose first cell is Ours stands out.
type Cell struct {
	Text       string
	Best, Ours bool
}

// Row is a row of cells with nothing but text.
func Row(texts ...string) []Cell {
	var row []Cell
	for _, t := range texts {
		row = append(row, Cell{Text: t})
	}
	return row
}

// ErrDocument is what the errors about a document wrap that contradicts itself. A chart without a picture is a chart.ErrUndrawable.
var ErrDocument = errors.New("page: no such document")

var names = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)

func (d Document) check() error {
	seen := map[string]bool{}
	for _, s := range d.Sections {
		for _, b := range s.Blocks {
			if f := b.Figure; f != nil {
				if !names.MatchString(f.Name) || seen[f.Name] {
					return fmt.Errorf("%w: a figure called %q", ErrDocument, f.Name)
				}
				seen[f.Name] = true
			}
			if t := b.Table; t != nil {
				if i := slices.IndexFunc(t.Rows, func(row []Cell) bool { return len(row) != len(t.Head) }); i >= 0 {
					return fmt.Errorf("%w: table %q: row %d has %d cells, the head %d", ErrDocument, t.Title, i+1, len(t.Rows[i]), len(t.Head))
				}
			}
		}
	}
	return nil
}

// Pictures are the files of all figures, by file name: NAME.svg and NAME.png are wide, NAME-narrow.svg is for small screens.
func (d Document) Pictures() (map[string][]byte, error) {
	if err := d.check(); err != nil {
		return nil, err
	}
	out := map[string][]byte{}
	for _, s := range d.Sections {
		for _, b := range s.Blocks {
			if b.Figure == nil {
				continue
			}
			wide, err := b.Figure.Chart.SVG(chart.Wide)
			if err != nil {
				return nil, fmt.Errorf("figure %s: %w", b.Figure.Name, err)
			}
			narrow, errNarrow := b.Figure.Chart.SVG(chart.Narrow)
			png, errPNG := b.Figure.Chart.PNG(chart.Wide)
			if err := errors.Join(errNarrow, errPNG); err != nil {
				return nil, fmt.Errorf("figure %s: %w", b.Figure.Name, err)
			}
			out[b.Figure.Name+".svg"], out[b.Figure.Name+"-narrow.svg"], out[b.Figure.Name+".png"] = wide, narrow, png
		}
	}
	return out, nil
}

// WritePictures writes the files of all figures to a directory, which it makes if it is missing.
func (d Document) WritePictures(dir string) error {
	files, err := d.Pictures()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for name, b := range files {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// numbers are the tables of what a chart draws, one for each panel.
func numbers(c chart.Chart) []Table {
	var out []Table
	for panel := &c; panel != nil; panel = panel.Below {
		t := Table{Title: panel.Y.Label, Head: []string{c.X.Label}}
		var xs []float64
		for _, s := range panel.Series {
			t.Head = append(t.Head, s.Name)
			for _, p := range s.Points {
				if !math.IsNaN(p.X) {
					xs = append(xs, p.X)
				}
			}
		}
		slices.Sort(xs)
		for _, x := range slices.Compact(xs) {
			row := Row(c.X.Cell(x))
			for _, s := range panel.Series {
				cell := Cell{Ours: s.Ours}
				if i := slices.IndexFunc(s.Points, func(p chart.Point) bool { return p.X == x }); i >= 0 {
					cell.Text = value(panel.Y, s.Points[i])
				}
				row = append(row, cell)
			}
			t.Rows = append(t.Rows, row)
		}
		if c.Kind == chart.Bars {
			t = t.turned()
		}
		out = append(out, t)
	}
	return out
}

// turned has the columns of a table as its rows.
func (t Table) turned() Table {
	out := Table{Title: t.Title, Head: []string{t.Head[0]}}
	for _, row := range t.Rows {
		out.Head = append(out.Head, row[0].Text)
	}
	for i, name := range t.Head[1:] {
		row := Row(name)
		for _, old := range t.Rows {
			row[0].Ours = row[0].Ours || old[i+1].Ours
			row = append(row, old[i+1])
		}
		out.Rows = append(out.Rows, row)
	}
	if len(out.Head) == 2 && out.Head[1] == "0" { // bars without groups
		out.Head[1] = t.Title
	}
	return out
}

// value is a point with its spread.
func value(y chart.Axis, p chart.Point) string {
	if !p.Spread() {
		return y.Cell(p.Y)
	}
	return fmt.Sprintf("%s (%s to %s)", y.Cell(p.Y), y.Cell(p.Low), y.Cell(p.High))
}

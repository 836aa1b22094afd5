package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"opossum/bench/chart"
	"opossum/bench/harness"
	"opossum/bench/page"
)

// pictures is the directory of the pictures beside report.md, which becomes docs/benchmarks.md.
const pictures = "benchmarks"

// write makes the directory of the report.
func write(r results, dir string, out io.Writer) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := r.save(filepath.Join(dir, "results.json")); err != nil {
		return err
	}
	d := r.document()
	html, err := d.HTML()
	if err != nil {
		return err
	}
	markdown, err := d.Markdown(pictures)
	if err != nil {
		return err
	}
	index := filepath.Join(dir, "index.html")
	if err := os.WriteFile(index, html, 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "report.md"), markdown, 0o644); err != nil {
		return err
	}
	if err := d.WritePictures(filepath.Join(dir, pictures)); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%s\n", index)
	return err
}

// document is the report on the results: a function of nothing else. A section whose experiment was not measured is left out.
func (r results) document() page.Document {
	d := page.Document{
		Title: "What durable appends cost",
		Lead: "opossum beside a file per event, the bare log and five stores that people embed in Go programs: the same events, made durable before they are " +
			"acknowledged, on the same disk, taking turns. " + r.headline(),
		Facts: r.facts(),
	}
	for _, part := range parts {
		s := part.section(r)
		if len(s.Blocks) == 0 {
			continue
		}
		if part.experiments != "" {
			s.Blocks = append(s.Blocks, text("Measured by `go run ./bench --only %s`.", part.experiments))
		}
		d.Sections = append(d.Sections, s)
	}
	return d
}

// parts are the sections, in order, and what has to be measured for each.
var parts = []struct {
	section     func(results) page.Section
	experiments string // as for --only
}{
	{sequential, "writers,batches,bytes,unflushed"},
	{claims, "writers,batches,claims"},
	{rivals, "conditional,plain,conditional-batches"},
	{decisions, "decide"},
	{latencies, "latency"},
	{sustained, "sustained"},
	{written, "written"},
	{reads, "reads"},
	{opens, "opens"},
	{growth, "growth"},
	{models, "models"},
	{scale, "scale"},
	{device, "device"},
	{cautions, ""},
}

func (r results) facts() []page.Fact {
	e := r.Environment
	size := "full"
	if r.Quick {
		size = "quick: one short round, which shows that it works and nothing about speed"
	}
	if r.Broken != "" {
		size += "; broken off: " + r.Broken
	}
	return []page.Fact{
		{Name: "Size", Value: size},
		{Name: "File system", Value: fmt.Sprintf("%s on %s", e.FileSystem, e.Device)},
		{Name: "Mounted", Value: fmt.Sprintf("at %s, %s", e.MountPoint, e.Options)},
		{Name: "Kernel", Value: e.Kernel},
		{Name: "Processors", Value: fmt.Sprintf("%d x %s", e.Processors, e.CPU)},
		{Name: "Go", Value: e.Go},
		{Name: "opossum", Value: r.Commit},
		{Name: "Measured", Value: fmt.Sprintf("%s, %v", r.Began.Format("2006-01-02 15:04 MST"), r.Took.Round(time.Second))},
		{Name: "Figures", Value: "medians; in brackets and as whiskers the lowest and the highest round"},
	}
}

// Axes that several pictures share.
var (
	writersAxis = chart.Axis{Label: "writers that append at once", Scale: chart.Log}
	batchAxis   = chart.Axis{Label: "events an append", Scale: chart.Log}
	bytesAxis   = chart.Axis{Label: "bytes of data an event", Unit: chart.Bytes, Scale: chart.Log}
	rateAxis    = chart.Axis{Label: "events a second", Scale: chart.Log}
)

func figure(name string, c chart.Chart) page.Block {
	return page.Block{Figure: &page.Figure{Name: name, Chart: c}}
}

func text(format string, args ...any) page.Block {
	return page.Block{Text: fmt.Sprintf(format, args...)}
}
func note(format string, args ...any) page.Block {
	return page.Block{Note: fmt.Sprintf(format, args...)}
}

// lines draws what was measured over x. There is no picture of nothing.
func (m measured) lines(name, title, note string, x, y chart.Axis) []page.Block {
	if len(m.cells) == 0 {
		return nil
	}
	return []page.Block{figure(name, chart.Chart{Title: title, Note: note, X: x, Y: y, Series: m.series()})}
}

// dots draws one bar, or on a log axis one dot, for each way.
func (m measured) dots(name, title, note string, y chart.Axis, order chart.Order) []page.Block {
	if len(m.cells) == 0 {
		return nil
	}
	return []page.Block{figure(name, chart.Chart{Kind: chart.Bars, Order: order, Title: title, Note: note, Y: y, Series: m.bars()})}
}

func rate(s harness.Spread) string { return chart.Plain.Cell(s.Median) }

// spread writes a median and how far the rounds went from it.
func spread(u chart.Unit, s harness.Spread) string {
	if s.Min == s.Max {
		return u.Cell(s.Median)
	}
	return fmt.Sprintf("%s (%s to %s)", u.Cell(s.Median), u.Cell(s.Min), u.Cell(s.Max))
}

// times says a factor in words: "17 times", "1.3 times".
func times(f float64) string {
	if f >= 10 {
		return fmt.Sprintf("%s times", chart.Plain.Cell(float64(int(f+0.5))))
	}
	return fmt.Sprintf("%.2g times", f)
}

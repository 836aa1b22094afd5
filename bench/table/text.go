package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"

	"opossum/bench/harness"
)

// table is what people read: a title that says what it shows, and cells of text.
type table struct {
	title string
	head  []string
	rows  [][]string
}

func (t table) text(out io.Writer) error {
	if _, err := fmt.Fprintf(out, "\n%s\n", t.title); err != nil {
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	for _, row := range append([][]string{t.head}, t.rows...) {
		fmt.Fprintln(w, "  "+strings.Join(row, "\t"))
	}
	return w.Flush()
}

func (t table) markdown(out io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "\n### %s\n\n", t.title)
	fmt.Fprintf(&b, "| %s |\n|%s\n", strings.Join(t.head, " | "), strings.Repeat("---|", len(t.head)))
	for _, row := range t.rows {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(row, " | "))
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// rate prints a median and how far the rounds went from it.
func rate(s harness.Spread) string {
	return fmt.Sprintf("%s (%s-%s)", number(s.Median), number(s.Min), number(s.Max))
}

func ratio(s harness.Spread) string { return fmt.Sprintf("%.2f (%.2f-%.2f)", s.Median, s.Min, s.Max) }

func number(n float64) string { return humanize.Comma(int64(n + 0.5)) }

// duration prints nanoseconds with about three digits.
func duration(nanoseconds float64) string {
	d := time.Duration(nanoseconds)
	for unit := time.Nanosecond; ; unit *= 10 {
		if d < 1000*unit {
			return d.Round(unit).String()
		}
	}
}

// durations prints a median in nanoseconds and how far the rounds went from it.
func durations(s harness.Spread) string {
	return fmt.Sprintf("%s (%s-%s)", duration(s.Median), duration(s.Min), duration(s.Max))
}

// times prints a ratio that may be very large or very small with about three digits.
func times(s harness.Spread) string {
	if s.Median >= 100 {
		return number(s.Median)
	}
	return fmt.Sprintf("%.3g", s.Median)
}

// verdict says whether the median is within the goal.
func verdict(s harness.Spread, goal time.Duration) string {
	if s.Median > float64(goal) {
		return fmt.Sprintf("%v MISS", goal)
	}
	return fmt.Sprintf("%v pass", goal)
}

func count(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%s %s", humanize.Comma(int64(n)), noun)
}

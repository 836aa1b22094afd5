package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/dustin/go-humanize"
)

// writeJSON prints v as one indented JSON object.
func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// labelWidth is how much room labels have in reports.
const labelWidth = 14

// row is one labelled line of a report.
func row(label, format string, args ...any) string {
	return labelled{label, fmt.Sprintf(format, args...)}.text(labelWidth)
}

// labelled is a value in a report whose labels are not known beforehand.
type labelled struct{ label, value string }

func (l labelled) text(width int) string { return fmt.Sprintf("  %-*s  %s\n", width, l.label, l.value) }

// section is a part of a report.
type section struct {
	title string
	lines []labelled
}

// aligned prints the sections with all values below each other.
func aligned(sections ...section) string {
	width := labelWidth
	for _, s := range sections {
		for _, l := range s.lines {
			width = max(width, utf8.RuneCountInString(l.label))
		}
	}
	var b strings.Builder
	for i, s := range sections {
		b.WriteString(strings.Repeat("\n", min(i, 1)) + s.title + "\n")
		for _, l := range s.lines {
			b.WriteString(l.text(width))
		}
	}
	return b.String()
}

// counted is a number with its noun in the right form: "1 event", "2,000 events".
func counted[N ~int | ~int64 | ~uint64](n N, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return comma(n) + " " + noun + "s"
}

func comma[N ~int | ~int64 | ~uint64](n N) string { return humanize.Comma(int64(n)) }

func bytesText(n int64) string { return humanize.IBytes(uint64(n)) }

// durationText rounds d to what a person compares: three digits or so.
func durationText(d time.Duration) string {
	switch {
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d >= 10*time.Millisecond:
		return d.Round(100 * time.Microsecond).String()
	default:
		return d.Round(time.Microsecond).String()
	}
}

// millis is a duration that programs read as a number of milliseconds.
type millis time.Duration

func (m millis) MarshalJSON() ([]byte, error) {
	return strconv.AppendFloat(nil, float64(time.Duration(m).Microseconds())/1000, 'f', -1, 64), nil
}

func (m millis) String() string { return durationText(time.Duration(m)) }

// word shows a type or a tag in a line of text: as it is, or quoted where it would blur the line or reach the terminal as
// a control sequence. It is a value in the syntax of queries.
func word(s string) string {
	unsafe := func(r rune) bool { return !unicode.IsPrint(r) || strings.ContainsRune(` ,"[]`, r) }
	if s == "" || !utf8.ValidString(s) || strings.ContainsFunc(s, unsafe) {
		return strconv.Quote(s)
	}
	return s
}

// excerpt shows the beginning of data in a line of text, and its size if that is not all of it or not text.
func excerpt(data []byte) string {
	const most = 120
	if len(data) == 0 {
		return ""
	}
	if !utf8.Valid(data) {
		return fmt.Sprintf("(%s of binary data)", counted(len(data), "byte"))
	}
	if len(data) <= most {
		return printable(string(data))
	}
	cut := most
	for !utf8.RuneStart(data[cut]) {
		cut--
	}
	return fmt.Sprintf("%s... (%s)", printable(string(data[:cut])), counted(len(data), "byte"))
}

// printable replaces what is not printable, line ends included, by escapes.
func printable(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if unicode.IsPrint(r) {
			b.WriteRune(r)
			continue
		}
		quoted := strconv.QuoteRune(r)
		b.WriteString(quoted[1 : len(quoted)-1])
	}
	return b.String()
}

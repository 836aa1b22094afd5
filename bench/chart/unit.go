package chart

import (
	"math"
	"strconv"

	"github.com/dustin/go-humanize"
)

// Unit says how a value is written.
type Unit int

const (
	Plain   Unit = iota // 7, 1,000, 100 k, 1 M
	Seconds             // 50 µs, 2 ms, 3.4 s
	Bytes               // 100 B, 1 KiB, 16 MiB
	Times               // 2.5×
)

// nbsp keeps a number and its unit on one line.
const nbsp = "\u00a0"

type prefix struct {
	name string
	one  float64
}

var prefixes = map[Unit][]prefix{ // from the largest
	Plain:   {{nbsp + "T", 1e12}, {nbsp + "G", 1e9}, {nbsp + "M", 1e6}, {nbsp + "k", 1e3}},
	Seconds: {{nbsp + "s", 1}, {nbsp + "ms", 1e-3}, {nbsp + "µs", 1e-6}, {nbsp + "ns", 1e-9}},
	Bytes:   {{nbsp + "TiB", 1 << 40}, {nbsp + "GiB", 1 << 30}, {nbsp + "MiB", 1 << 20}, {nbsp + "KiB", 1 << 10}, {nbsp + "B", 1}},
}

// Text writes a value with about three digits, short enough for a tick. What is not a number, or beyond 1e100, is a dash.
func (u Unit) Text(v float64) string {
	if !(math.Abs(v) <= farthest) {
		return "–"
	}
	if u == Times {
		return Plain.Text(v) + "×"
	}
	if u == Plain && math.Abs(v) < 9999.5 {
		return number(v, 3)
	}
	if u != Bytes { // whose prefixes are no powers of ten
		v, _ = strconv.ParseFloat(strconv.FormatFloat(v, 'e', 2, 64), 64) // before the prefix is chosen: 999.9 µs is 1 ms
	}
	last := prefix{"", 1}
	for _, last = range prefixes[u] {
		if math.Abs(v) >= last.one || v == 0 && last.one == 1 {
			break
		}
	}
	return number(v/last.one, 3) + last.name
}

// Cell writes a value for a table: like Text, but with all digits of a large plain number.
func (u Unit) Cell(v float64) string {
	if abs := math.Abs(v); u == Plain && abs >= 999.5 && abs < 1e15 {
		return humanize.Comma(int64(math.Round(v)))
	}
	return u.Text(v)
}

// number writes a value with at most so many digits, but never rounds the part before the point.
func number(v float64, digits int) string {
	if abs := math.Abs(v); abs >= 999.5 && abs < 1e15 {
		return humanize.Comma(int64(math.Round(v)))
	}
	return strconv.FormatFloat(v+0, 'g', digits, 64) // the sum is never -0
}

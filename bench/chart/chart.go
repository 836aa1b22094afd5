// Package chart draws a chart, given as a value, as SVG and PNG. It knows nothing of what was measured.
package chart

import (
	"errors"
	"fmt"
	"math"
)

// ErrUndrawable is what the errors of this package wrap: the chart has no picture, and the message says why.
var ErrUndrawable = errors.New("chart: cannot be drawn")

// Kind says what becomes of the points.
type Kind int

const (
	// Lines joins the points of each series, which come in the order of X.
	Lines Kind = iota
	// Bars draws one horizontal bar for each point, named by its series, in groups: Point.X is the index of the group in X.Names
	// (no names: one group). On a log axis, where a length means nothing, it draws a dot.
	Bars
)

// Order is the order of the bars in a group.
type Order int

const (
	Given Order = iota
	Rising
	Falling
)

// Chart is a picture. Title says the finding, Note what one must know to read it; both are wrapped.
type Chart struct {
	Title, Note string
	Kind        Kind
	Order       Order // of bars
	X, Y        Axis  // of bars, X are the groups and Y is the length
	Series      []Series
	Marks       []Mark
	Below       *Chart // a second panel of lines over the same X; of it, only Y, Series, Marks and Below count
}

// Series are the points of one way. A point that has no place on the axes (not a number, beyond 1e100, outside the limits, not above
// zero on a log axis) is left out and counted beneath the picture; a line is interrupted there.
type Series struct {
	Name   string
	Points []Point
	Ours   bool // drawn stronger, in one colour that nothing else has
	Dashed bool // a ceiling or a reference: grey
	Look   int  // from 1: the same colour, dashes and shape in every chart that gives the number; 0 takes one by the place in Series
}

// Point is one figure. Low to High is its spread: a whisker, or a band if the points are many. There is none unless Low <= Y <= High
// and Low < High.
type Point struct{ X, Y, Low, High float64 }

// Spread says whether there is one.
func (p Point) Spread() bool { return p.Low <= p.Y && p.Y <= p.High && p.Low < p.High }

// Mark is a reference line at a value of Y, or of X, with a short label.
type Mark struct {
	At    float64
	OnX   bool // only with lines
	Label string
}

// Scale says how far apart two values stand.
type Scale int

const (
	Linear     Scale = iota // Y starts at zero or below
	Log                     // values above zero
	Percentile              // of fractions from 0 to below 1: the distance to 1 is logarithmic, so that 0.9, 0.99 and 0.999 are equally far apart
)

// Axis is one direction. Its label says the unit in words.
type Axis struct {
	Label    string
	Unit     Unit
	Scale    Scale
	Min, Max float64  // equal: as far as the points reach
	Names    []string // of the values 0, 1, 2 ..., on a linear X
}

const farthest = 1e100

// place turns a value into a distance, if it has one.
func (a Axis) place(v float64) (float64, bool) {
	if !(math.Abs(v) <= farthest) || a.Min != a.Max && (v < a.Min || v > a.Max) {
		return 0, false
	}
	switch a.Scale {
	case Log:
		return math.Log10(v), v >= 1/farthest
	case Percentile:
		return -math.Log10(1 - v), v >= 0 && v < 1
	}
	return v, true
}

// back is the inverse of place.
func (a Axis) back(d float64) float64 {
	switch a.Scale {
	case Log:
		return math.Pow(10, d)
	case Percentile:
		return 1 - math.Pow(10, -d)
	}
	return d
}

func (a Axis) check() error {
	switch {
	case a.Scale < Linear || a.Scale > Percentile:
		return fmt.Errorf("unknown scale %d", a.Scale)
	case a.Min == a.Max:
		return nil
	case !(a.Min < a.Max) || math.Abs(a.Min) > farthest || math.Abs(a.Max) > farthest:
		return fmt.Errorf("limits %v to %v", a.Min, a.Max)
	case a.Scale == Log && a.Min <= 0:
		return fmt.Errorf("a log axis from %v", a.Min)
	case a.Scale == Percentile && (a.Min < 0 || a.Max >= 1):
		return fmt.Errorf("percentiles from %v to %v", a.Min, a.Max)
	}
	if lo, hi := a.ends(); lo == hi {
		return fmt.Errorf("limits %v to %v, which are too close to be told apart", a.Min, a.Max)
	}
	return nil
}

// ends are the distances of the limits.
func (a Axis) ends() (lo, hi float64) {
	lo, _ = a.place(a.Min)
	hi, _ = a.place(a.Max)
	return lo, hi
}

// Text says a value of the axis with about three digits (percentiles: with all their nines); a value that has a name is its name.
func (a Axis) Text(v float64) string {
	if a.Scale == Percentile && v >= 0 && v < 1 {
		return number(v*100, max(3, int(math.Ceil(-math.Log10(1-v)-1e-9)))) + nbsp + "%"
	}
	if i := int(v); float64(i) == v && i >= 0 && i < len(a.Names) {
		return a.Names[i]
	}
	return a.Unit.Text(v)
}

// Cell says a value like Text, but with all digits of a large plain number, for tables.
func (a Axis) Cell(v float64) string {
	if len(a.Names) > 0 || a.Scale == Percentile {
		return a.Text(v)
	}
	return a.Unit.Cell(v)
}

// Check says why the chart has no picture. The error wraps ErrUndrawable.
func (c Chart) Check() error {
	if err := c.check(); err != nil {
		return fmt.Errorf("%w: %q: %w", ErrUndrawable, c.Title, err)
	}
	return nil
}

func (c Chart) check() error {
	switch {
	case c.Kind != Lines && c.Kind != Bars:
		return fmt.Errorf("unknown kind %d", c.Kind)
	case c.Order < Given || c.Order > Falling:
		return fmt.Errorf("unknown order %d", c.Order)
	case c.Kind == Bars && c.Below != nil:
		return errors.New("bars with a panel below")
	case (c.Kind == Bars || len(c.X.Names) > 0) && c.X.Scale != Linear:
		return errors.New("names on an axis that is not linear")
	case len(c.Y.Names) > 0:
		return errors.New("names on Y")
	}
	if err := c.X.check(); err != nil {
		return fmt.Errorf("x: %w", err)
	}
	for _, panel := range c.panels() {
		if err := panel.Y.check(); err != nil {
			return fmt.Errorf("y: %w", err)
		}
		if drawn, left := panel.count(); drawn == 0 {
			return fmt.Errorf("nothing to draw: %d series, %d points without a place", len(panel.Series), left)
		}
	}
	return nil
}

// panels are the chart and what is below it, all over the same X.
func (c Chart) panels() []Chart {
	all := []Chart{c}
	for p := c.Below; p != nil; p = p.Below {
		panel := *p
		panel.Kind, panel.X = c.Kind, c.X
		all = append(all, panel)
	}
	return all
}

// at is where a point stands, if it has a place.
func (c Chart) at(p Point) (x, y float64, ok bool) {
	x, okX := c.X.place(p.X)
	y, okY := c.Y.place(p.Y)
	if c.Kind == Bars && (p.X != math.Trunc(p.X) || p.X < 0 || int(p.X) >= max(1, len(c.X.Names))) {
		okX = false
	}
	return x, y, okX && okY
}

// count returns how many points are drawn and how many points and marks are left out.
func (c Chart) count() (drawn, left int) {
	for _, s := range c.Series {
		for _, p := range s.Points {
			if _, _, ok := c.at(p); ok {
				drawn++
			} else {
				left++
			}
		}
	}
	for _, m := range c.Marks {
		if _, ok := c.axis(m).place(m.At); !ok {
			left++
		}
	}
	return drawn, left
}

func (c Chart) axis(m Mark) Axis {
	if m.OnX && c.Kind == Lines {
		return c.X
	}
	return c.Y
}

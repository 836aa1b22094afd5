package chart

import (
	"math"
	"slices"
)

// scale puts the values of an axis on pixels.
type scale struct {
	Axis
	lo, hi   float64 // distances
	from, to float64 // pixels
}

// newScale fits an axis to values that have a place on it. Zero is on a linear axis that must have it; air is the part of the length
// that stays free at the ends.
func newScale(a Axis, values []float64, zero bool, air float64) scale {
	s := scale{Axis: a}
	if a.Min != a.Max {
		s.lo, s.hi = a.ends()
		return s
	}
	s.lo, s.hi = math.Inf(1), math.Inf(-1)
	for _, v := range values {
		if d, ok := a.place(v); ok {
			s.lo, s.hi = min(s.lo, d), max(s.hi, d)
		}
	}
	if a.Scale == Linear && zero {
		s.lo, s.hi = min(0, s.lo), max(0, s.hi)
	}
	free := (s.hi - s.lo) * air
	if s.hi-s.lo <= 1e-9*math.Abs(s.hi) { // one value, so that the points give no length
		free = map[Scale]float64{Linear: max(1, math.Abs(s.hi)/2), Log: 0.5, Percentile: 0.3}[a.Scale]
	}
	base := zero && a.Scale == Linear // bars and lines stand on zero, without air
	if a.Scale != Percentile && !(base && s.lo == 0) {
		s.lo -= free
	}
	if !(base && s.hi == 0 && s.lo < 0) {
		s.hi += free
	}
	return s
}

// px returns the pixel of a value, at most at an end of the axis.
func (s scale) px(v float64) float64 {
	d, ok := s.place(v)
	if !ok {
		d = s.lo
		if s.Min != s.Max && v > s.Max {
			d = s.hi
		}
	}
	return s.from + (min(max(d, s.lo), s.hi)-s.lo)/(s.hi-s.lo)*(s.to-s.from)
}

// ticks are about n round values of the axis.
func (s scale) ticks(n int) []float64 {
	var out []float64
	add := func(v float64) {
		if d, ok := s.place(v); ok && d >= s.lo-1e-9*(s.hi-s.lo) && d <= s.hi+1e-9*(s.hi-s.lo) {
			out = append(out, v)
		}
	}
	steps := func(lo, hi, step float64, each func(float64)) {
		for i := math.Ceil(lo/step - 1e-9); i*step <= hi+step*1e-9 && len(out) < 100; i++ {
			each(i * step)
		}
	}
	switch {
	case len(s.Names) > 0:
		for i := range s.Names {
			add(float64(i))
		}
	case s.Scale == Percentile:
		add(0.5)
		steps(1, s.hi, max(1, round((s.hi-s.lo)/float64(n))), func(d float64) { add(s.back(d)) })
	case s.Scale == Log && s.Unit == Bytes && s.hi-s.lo > 0.6:
		steps(s.lo/math.Log10(2), s.hi/math.Log10(2), max(1, round((s.hi-s.lo)/math.Log10(2)/float64(n))), func(d float64) { add(math.Exp2(d)) })
	case s.Scale == Log && s.hi-s.lo > 0.6:
		per := []float64{1}
		if (s.hi-s.lo)*3 <= float64(n) || s.hi-s.lo < 1.7 {
			per = []float64{1, 2, 5}
		}
		steps(math.Floor(s.lo), s.hi, max(1, round((s.hi-s.lo)/float64(n))), func(d float64) {
			for _, m := range per {
				add(m * math.Pow(10, d))
			}
		})
	default:
		lo, hi := s.back(s.lo), s.back(s.hi)
		raw, unit := (hi-lo)/float64(n), 1.0
		for s.Unit == Bytes && raw/unit >= 512 {
			unit *= 1024
		}
		steps(lo, hi, round(raw/unit)*unit, add)
	}
	return out
}

// round returns the next 1, 2 or 5 times a power of ten that is not below v.
func round(v float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{1, 2, 5} {
		if m*power >= v*(1-1e-9) {
			return m * power
		}
	}
	return 10 * power
}

// valuesOrTicks are the values that the points share, if they are few, and round values otherwise.
func (s scale) valuesOrTicks(values []float64, n int) []float64 {
	few := slices.Clone(values)
	slices.Sort(few)
	few = slices.Compact(few)
	if len(s.Names) > 0 || s.Scale == Percentile || len(few) > 12 {
		return s.ticks(n)
	}
	return few
}

// spread moves positions, which rise, as little as it takes to stand gap apart, between lo and hi.
func spread(want []float64, gap, lo, hi float64) []float64 {
	type run struct { // of neighbours that touch
		sum float64
		n   int
	}
	mean := func(r run) float64 { return r.sum / float64(r.n) }
	var runs []run
	for i, w := range want {
		runs = append(runs, run{w - float64(i)*gap, 1})
		for n := len(runs); n > 1 && mean(runs[n-2]) > mean(runs[n-1]); n = len(runs) {
			runs[n-2].sum += runs[n-1].sum
			runs[n-2].n += runs[n-1].n
			runs = runs[:n-1]
		}
	}
	var out []float64
	for _, r := range runs {
		for range r.n {
			at := min(max(mean(r), lo), hi-float64(len(want)-1)*gap)
			out = append(out, at+float64(len(out))*gap)
		}
	}
	return out
}

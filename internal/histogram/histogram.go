// Package histogram counts how values are distributed, for many to look at while one counts.
package histogram

import (
	"slices"
	"sync"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Snapshot is what a histogram has counted: of durations, or of sizes.
type Snapshot[T ~int64] struct {
	Count              uint64
	Sum                T
	P50, P90, P99, Max T // Max is exact; the others are within 1 % or, if that is more, the least value. 0 if nothing was counted
	Buckets            []Bucket[T]
}

// Bucket counts the values up to a bound; those of the buckets before it are among them.
type Bucket[T ~int64] struct {
	UpTo  T // inclusive
	Count uint64
}

// Mean returns the average, rounded down, 0 if nothing was counted.
func (s Snapshot[T]) Mean() T {
	if s.Count == 0 {
		return 0
	}
	return s.Sum / T(s.Count)
}

// Histogram counts. All methods are safe for concurrent use; an uncontended Record costs some 50 ns.
//
// Quantiles come from an HDR histogram (Gil Tene), which is exact enough at every magnitude. Buckets are counted beside it: their bounds
// are round numbers that people read in graphs, and need not be its own.
type Histogram[T ~int64] struct {
	mu     sync.Mutex
	hdr    *hdrhistogram.Histogram
	least  T
	most   T
	bounds []T
	counts []uint64 // of each bound alone, and of what is beyond the last
	sum    T
	max    T
}

// digits is the precision of quantiles: 2 decimal digits cost 20 KiB for durations.
const digits = 2

// New returns a histogram of values from least to most: what lies outside is counted as these by the quantiles. bounds are ascending, of the buckets.
func New[T ~int64](least, most T, bounds ...T) *Histogram[T] {
	return &Histogram[T]{
		hdr: hdrhistogram.New(int64(least), int64(most), digits), least: least, most: most,
		bounds: bounds, counts: make([]uint64, len(bounds)+1),
	}
}

// Record counts a value.
func (h *Histogram[T]) Record(v T) {
	i, _ := slices.BinarySearch(h.bounds, v)
	h.mu.Lock()
	defer h.mu.Unlock()
	_ = h.hdr.RecordValue(int64(min(max(v, h.least), h.most))) // fails only out of range
	h.counts[i]++
	h.sum += v
	h.max = max(h.max, v)
}

// Snapshot returns what was counted so far.
func (h *Histogram[T]) Snapshot() Snapshot[T] {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := Snapshot[T]{Count: uint64(h.hdr.TotalCount()), Sum: h.sum, Max: h.max}
	quantile := func(percent float64) T { return min(T(h.hdr.ValueAtPercentile(percent)), h.max) }
	s.P50, s.P90, s.P99 = quantile(50), quantile(90), quantile(99)
	s.Buckets = make([]Bucket[T], len(h.bounds))
	below := uint64(0)
	for i, bound := range h.bounds {
		below += h.counts[i]
		s.Buckets[i] = Bucket[T]{bound, below}
	}
	return s
}

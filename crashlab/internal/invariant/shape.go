package invariant

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"opossum"
)

// Shape is a way to configure stores: each is crashed and judged in the same ways. A new one is a line in Shapes, and techniques draw it.
type Shape struct {
	Name    string
	Options opossum.Options
	Window  Window // what a power cut may take back; said here once more, and not asked of the engine
	Weight  int    // how often Draw takes it, beside the others
}

// Relaxed reports whether a power cut may take back what was acknowledged.
func (s Shape) Relaxed() bool { return s.Window != Window{} }

// Strategy names how the shape flushes.
func (s Shape) Strategy() string { return s.Options.Flush.String() }

// Shapes are the shapes there are, with every flush strategy. The lab's disks are small: none keeps space free.
var Shapes = []Shape{
	{Name: "default", Weight: 2, Options: opossum.Options{MinFreeBytes: -1}},
	{Name: "small", Weight: 3, Options: opossum.Options{MinFreeBytes: -1, RecentBytes: 16 << 10}}, // seals and merges all the time
	{Name: "immediate", Weight: 1, Options: opossum.Options{MinFreeBytes: -1, RecentBytes: 16 << 10, Flush: opossum.FlushImmediate}},
	{Name: "auto", Weight: 1, Options: opossum.Options{MinFreeBytes: -1, Flush: opossum.FlushAuto}},
	{
		Name: "periodic", Weight: 1, Options: opossum.Options{MinFreeBytes: -1, Flush: opossum.FlushPeriodic, FlushInterval: 20 * time.Millisecond},
		Window: Window{Events: Unbounded, Interval: 20 * time.Millisecond},
	},
	{
		Name: "count", Weight: 1, Options: opossum.Options{MinFreeBytes: -1, Flush: opossum.FlushCount, FlushEvery: 7, FlushInterval: opossum.MaxFlushInterval},
		Window: Window{Events: 7},
	},
	{
		Name: "disabled", Weight: 1, Options: opossum.Options{MinFreeBytes: -1, Flush: opossum.FlushDisabled},
		Window: Window{Events: Unbounded},
	},
	{ // what is sealed is synced before, whatever the strategy
		Name: "disabled-small", Weight: 1, Options: opossum.Options{MinFreeBytes: -1, RecentBytes: 16 << 10, Flush: opossum.FlushDisabled},
		Window: Window{Events: Unbounded},
	},
}

// looses are values of LooseEvents, for shards of a few dozen events: all loose, all packed at once, and what is between.
var looses = []int{0, 0, 1, 1, 40, 200, opossum.KeepLoose}

// DrawLoose returns a random value of LooseEvents. It is no part of a shape: each owner of a store may have another one.
func DrawLoose(r *rand.Rand) int { return looses[r.IntN(len(looses))] }

// Draw returns a random shape.
func Draw(r *rand.Rand) Shape { return draw(Shapes, r) }

// DrawStrict returns a random shape that loses nothing to a power cut.
func DrawStrict(r *rand.Rand) Shape {
	return draw(slices.DeleteFunc(slices.Clone(Shapes), func(s Shape) bool { return s.Relaxed() }), r)
}

func draw(shapes []Shape, r *rand.Rand) Shape {
	sum := 0
	for _, s := range shapes {
		sum += s.Weight
	}
	n := r.IntN(sum)
	return shapes[slices.IndexFunc(shapes, func(s Shape) bool { n -= s.Weight; return n < 0 })]
}

// ShapeOf returns the shape of that name, the first one for "".
func ShapeOf(name string) (Shape, error) {
	if name == "" {
		return Shapes[0], nil
	}
	i := slices.IndexFunc(Shapes, func(s Shape) bool { return s.Name == name })
	if i < 0 {
		return Shape{}, fmt.Errorf("there is no shape %q", name)
	}
	return Shapes[i], nil
}

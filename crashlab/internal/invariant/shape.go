package invariant

import (
	"fmt"
	"slices"

	"opossum"
)

// Shape is a way to configure stores: each is crashed and judged in the same ways. A new one is a line in Shapes.
type Shape struct {
	Name    string
	Options opossum.Options
	Relaxed bool // a power cut may take back what was acknowledged
}

// Shapes are the shapes there are. The lab's disks are small: none keeps space free.
var Shapes = []Shape{
	{Name: "default", Options: opossum.Options{MinFreeBytes: -1}},
	{Name: "small", Options: opossum.Options{MinFreeBytes: -1, RecentBytes: 16 << 10}}, // seals and merges all the time
	{Name: "relaxed", Options: opossum.Options{MinFreeBytes: -1, RecentBytes: 16 << 10, Flush: opossum.FlushDisabled}, Relaxed: true},
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

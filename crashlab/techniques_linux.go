package main

import (
	"fmt"
	"slices"
	"strings"

	"opossum/crashlab/internal/blockreplay"
	"opossum/crashlab/internal/diskerror"
	"opossum/crashlab/internal/ioerror"
	"opossum/crashlab/internal/killpoint"
	"opossum/crashlab/internal/lab"
	"opossum/crashlab/internal/powercut"
	"opossum/crashlab/internal/race"
	"opossum/crashlab/internal/rot"
	"opossum/crashlab/internal/story"
)

// techniques are all there are, in the order in which they run.
func techniques() []lab.Technique {
	return slices.Concat(
		powercut.Techniques(),
		killpoint.Techniques(),
		blockreplay.Techniques(),
		diskerror.Techniques(),
		ioerror.Techniques(),
		story.Techniques(),
		rot.Techniques(),
		race.Techniques(),
	)
}

// chosen returns the techniques whose names are, or begin with, one of the arguments; all of them without arguments.
func chosen(names []string) ([]lab.Technique, error) {
	if len(names) == 0 {
		return techniques(), nil
	}
	var out []lab.Technique
	for _, name := range names {
		n := len(out)
		for _, t := range techniques() {
			if t.Name == name || strings.HasPrefix(t.Name, name+"/") {
				out = append(out, t)
			}
		}
		if len(out) == n {
			return nil, fmt.Errorf("there is no technique %q; crashlab list names them", name)
		}
	}
	return out, nil
}

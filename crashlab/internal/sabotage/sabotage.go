package sabotage

import (
	"fmt"
	"slices"

	"opossum/crashlab/internal/variant"
)

// Sabotage is a bug, and who must catch it.
type Sabotage struct {
	Name  string
	About string // one sentence: what the bug is, and who had it, if somebody did
	Edits []variant.Edit
	By    []string // names of the techniques that are expected to catch it, in the order in which they try
	// Uncatchable is why no technique can catch it on these file systems; empty: one can. The techniques of By try all the same.
	Uncatchable string
}

// Chosen returns the sabotages of these names, all of them without names.
func Chosen(names []string) ([]Sabotage, error) {
	if len(names) == 0 {
		return All, nil
	}
	var out []Sabotage
	for _, name := range names {
		i := slices.IndexFunc(All, func(s Sabotage) bool { return s.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no sabotage %q", name)
		}
		out = append(out, All[i])
	}
	return out, nil
}

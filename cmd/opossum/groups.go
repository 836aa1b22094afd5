package main

import (
	"fmt"

	"opossum"
)

// groupSizes says how many appends shared a write and a sync of the log.
type groupSizes struct {
	Groups  uint64  `json:"groups"`
	Syncs   uint64  `json:"syncs"`
	Mean    float64 `json:"mean"`
	Largest uint64  `json:"largest"`
}

func groupSizesOf(m opossum.Metrics) groupSizes {
	return groupSizes{m.Groups.Count, m.Flushes.Count, float64(m.Groups.Sum) / float64(max(m.Groups.Count, 1)), uint64(m.Groups.Max)}
}

func (g groupSizes) text() string {
	return fmt.Sprintf("%.1f appends on average, %d at most; %s, %s", g.Mean, g.Largest, counted(g.Groups, "group"), counted(g.Syncs, "sync"))
}

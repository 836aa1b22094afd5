package workload

import (
	"testing"

	"github.com/stretchr/testify/require"

	"opossum/dcb"
)

// history makes the events of a store out of appends, and says where they are.
func history(ids ...uint64) (all []dcb.SequencedEvent, last map[uint64]dcb.Position) {
	last = map[uint64]dcb.Position{}
	for _, id := range ids {
		for _, e := range Events(id) {
			all = append(all, dcb.SequencedEvent{Position: dcb.Position(len(all) + 1), Event: e})
		}
		last[id] = dcb.Position(len(all))
	}
	return all, last
}

func TestContestsAreJudgedByTheWholeHistory(t *testing.T) {
	const exclusive, optimistic, other = Contested + 4, Contested + 5, Contested + IDsPerWriter
	for name, c := range map[string]struct {
		ids   []uint64
		lines func(last map[uint64]dcb.Position) []string
		wrong string
	}{
		"one has the seat": {ids: []uint64{exclusive, optimistic, 7}},
		"two have a seat that only one may": {
			ids: []uint64{exclusive, exclusive + other - Contested}, wrong: "forbids it",
		},
		"two have a seat, and the second knew": {
			ids: []uint64{optimistic, optimistic + other - Contested},
			lines: func(last map[uint64]dcb.Position) []string {
				return []string{HeadLine(optimistic, 0), HeadLine(optimistic+other-Contested, last[optimistic])}
			},
		},
		"two have a seat, and the second did not know": {
			ids: []uint64{optimistic, optimistic + other - Contested},
			lines: func(last map[uint64]dcb.Position) []string {
				return []string{HeadLine(optimistic+other-Contested, last[optimistic]-1)}
			},
			wrong: "forbids it",
		},
		"refused for who has the seat": {
			ids: []uint64{exclusive},
			lines: func(last map[uint64]dcb.Position) []string {
				return []string{BeatenLine(exclusive+other-Contested, 1)}
			},
		},
		"refused for another seat": {
			ids:   []uint64{optimistic},
			lines: func(last map[uint64]dcb.Position) []string { return []string{BeatenLine(exclusive, 1)} },
			wrong: "nothing to do with it",
		},
		"refused for what it knew": {
			ids: []uint64{optimistic},
			lines: func(last map[uint64]dcb.Position) []string {
				return []string{HeadLine(optimistic+other-Contested, 1), BeatenLine(optimistic+other-Contested, 1)}
			},
			wrong: "nothing to do with it",
		},
		"refused for what is lost": {
			ids:   []uint64{7},
			lines: func(last map[uint64]dcb.Position) []string { return []string{BeatenLine(exclusive, last[7]+1)} },
			wrong: "was refused",
		},
		"refused and there": {
			ids:   []uint64{exclusive},
			lines: func(last map[uint64]dcb.Position) []string { return []string{BeatenLine(exclusive, 1)} },
			wrong: "was refused",
		},
	} {
		t.Run(name, func(t *testing.T) {
			all, last := history(c.ids...)
			w := NewWitness()
			if c.lines != nil {
				for _, line := range c.lines(last) {
					require.True(t, w.Note(line), line)
				}
			}
			err := w.Check(all)
			if c.wrong == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.wrong)
		})
	}
}

package killpoint

import (
	"testing"

	"github.com/stretchr/testify/require"

	"opossum/crashlab/internal/host"
)

func TestThePowerGoesWithAndWithoutANeighbour(t *testing.T) {
	classes := list("sync write rename remove a")
	b := bench{scenario: &scenario{classes: classes}, fs: &host.XFS}
	for seed := range uint64(20) {
		met := map[point][]bool{}
		for i := range 4 * uint64(len(classes)) {
			p, neighbour := b.place(seed, i)
			met[p] = append(met[p], neighbour)
			require.Zero(t, p.at, "whole rounds")
		}
		require.Len(t, met, 2*len(classes))
		for _, both := range met {
			require.ElementsMatch(t, []bool{true, false}, both)
		}
	}
	b.fs = nil
	for i := range uint64(10) {
		p, neighbour := b.place(1, i)
		require.Equal(t, pointOf(classes, i), p)
		require.False(t, neighbour, "a kill leaves all of it in memory")
	}
}

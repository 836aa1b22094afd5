package invariant

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestShapesAreDrawnByTheirWeight(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	drawn := map[string]int{}
	sum := 0
	for _, s := range Shapes {
		sum += s.Weight
	}
	for range 1000 * sum {
		drawn[Draw(r).Name]++
		require.False(t, DrawStrict(r).Relaxed())
	}
	for _, s := range Shapes {
		require.InDelta(t, 1000*s.Weight, drawn[s.Name], 200, s.Name)
		named, err := ShapeOf(s.Name)
		require.NoError(t, err)
		require.Equal(t, s.Name, named.Name)
	}
	_, err := ShapeOf("round")
	require.ErrorContains(t, err, "round")
}

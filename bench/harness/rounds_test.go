package harness

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
)

func identity(v float64) float64 { return v }

func TestMedians(t *testing.T) {
	require.Equal(t, Spread{Median: 3, Min: 3, Max: 3}, SpreadOf([]float64{3}, identity))
	require.Equal(t, Spread{Median: 2, Min: 1, Max: 9}, SpreadOf([]float64{9, 1, 2}, identity))
	require.Equal(t, Spread{Median: 2.5, Min: 1, Max: 9}, SpreadOf([]float64{9, 2, 1, 3}, identity))
}

func TestRatiosCompareTheSameRounds(t *testing.T) {
	fast, slow := []float64{10, 100, 30}, []float64{5, 100, 10}
	require.Equal(t, Spread{Median: 2, Min: 1, Max: 3}, Ratios(fast, slow, identity))
}

func TestRoundsAreInterleaved(t *testing.T) {
	order := ""
	step := func(name string) func() (int, error) {
		return func() (int, error) { order += name; return len(order), nil }
	}
	results, err := Interleave(3, step("A"), step("B"), step("C"))
	require.NoError(t, err)
	require.Equal(t, "ABCABCABC", order)
	require.Equal(t, [][]int{{1, 4, 7}, {2, 5, 8}, {3, 6, 9}}, results)
}

func TestAFailedMeasureEndsTheRounds(t *testing.T) {
	broken := errors.New("broken")
	_, err := Interleave(2, func() (int, error) { return 0, broken })
	require.ErrorIs(t, err, broken)
}

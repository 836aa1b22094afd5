package harness

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestABurstIsFiledOrNot(t *testing.T) {
	burst := Burst{Workload: Default, Writers: 4, Time: 100 * time.Millisecond, Follow: 5 * time.Second}
	filing, err := burst.Measure(t.Context(), t.TempDir())
	require.NoError(t, err)
	burst.Paused = true
	paused, err := burst.Measure(t.Context(), t.TempDir())
	require.NoError(t, err)

	for _, r := range []BurstResult{filing, paused} {
		require.Positive(t, r.Events)
		require.NotEmpty(t, r.Samples)
	}
	last := paused.Samples[len(paused.Samples)-1]
	require.Zero(t, last.Filed)
	last = filing.Samples[len(filing.Samples)-1]
	require.EqualValues(t, last.Events, last.Filed)
}

func TestCellsLeaveNothingBehind(t *testing.T) {
	root := t.TempDir()
	for _, load := range Loads() {
		cell := Cell{Way: Opossum(), Load: load, Workload: Default, Writers: 4, EventsPerAppend: 2, Time: 50 * time.Millisecond, Prefill: 1_500, Settle: true}
		result, err := cell.Measure(t.Context(), root)
		require.NoError(t, err, load.What)
		require.Positive(t, result.Events)
		require.Greater(t, result.LifeEvents, 1_500+result.Events)
	}
	left, err := os.ReadDir(root)
	require.NoError(t, err)
	require.Empty(t, left)
}

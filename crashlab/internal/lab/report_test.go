package lab

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAReportSaysWhatWasFoundAndWhatEscaped(t *testing.T) {
	r := Report{Command: "crashlab ci", Seed: 7, Started: time.Unix(0, 0), Outcomes: []Outcome{{Technique: "cuts/ext4", Tally: Tally{Cases: 2, Crashes: 9, Acked: 100, Met: Counts{"torn tails": 3, "closes": 1}}}}}
	r.Sabotages = []Sabotaged{{Name: "a", Caught: true, By: "cuts/ext4"}, {Name: "b"}, {Name: "c", Uncatchable: "the reason"}}
	require.Equal(t, []string{"b"}, r.Escaped())
	require.Contains(t, r.Markdown(), "No violation was found")
	require.Contains(t, r.Markdown(), "| cuts/ext4 | 2 | 9 | 100 | 0 | 0s |")
	require.Contains(t, r.Markdown(), "closes 1; torn tails 3")
	require.Contains(t, r.Markdown(), "not caught: the reason")

	r.Merge(Outcome{Technique: "cuts/ext4", Took: time.Second, Tally: Tally{Cases: 1, Crashes: 1, Findings: []Finding{{Technique: "cuts/ext4", Seed: 7, Index: 3, At: "cycle 2", What: "lost"}}}})
	r.Merge(Outcome{Technique: "rot"})
	require.Len(t, r.Outcomes, 2)
	require.Contains(t, r.Markdown(), "| cuts/ext4 | 3 | 10 | 100 | 1 | 1s |")
	require.Contains(t, r.Markdown(), "1 violations were found")
	require.Contains(t, r.Markdown(), "`go run ./crashlab replay cuts/ext4 --seed 7 --index 3` (cycle 2): lost")
}

func TestLossesAreAddedUpByStrategy(t *testing.T) {
	var one, other Tally
	one.Lose("count", "fewer than 7 events", 40, 6, 3*time.Millisecond)
	one.Lose("count", "fewer than 7 events", 2, 0, 0)
	one.Lose("count", "fewer than 7 events", 0, 0, 0) // nothing was acknowledged: it proves nothing
	other.Lose("count", "fewer than 7 events", 8, 5, 4*time.Millisecond)
	other.Lose("batch", "nothing", 9, 0, 0)
	var r Report
	require.NotContains(t, r.Markdown(), "What power cuts took")
	r.Merge(Outcome{Technique: "cuts/ext4", Tally: one})
	r.Merge(Outcome{Technique: "cuts/xfs", Tally: other})
	r.Merge(Outcome{Technique: "cuts/xfs", Tally: other})
	require.Equal(t, Losses{
		"count": {Window: "fewer than 7 events", Cuts: 4, Acked: 58, Lossy: 3, Lost: 16, Most: 6, Age: 4 * time.Millisecond},
		"batch": {Window: "nothing", Cuts: 2, Acked: 18},
	}, r.Losses())
	require.Contains(t, r.Markdown(), "| count | fewer than 7 events | 4 | 58 | 3 | 16 | 6 | 4ms |")
}

package powercut

import (
	"maps"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"opossum"
	"opossum/crashlab/internal/lab"
)

func TestEachStrategyHasOneShape(t *testing.T) {
	met := map[string]bool{}
	for _, s := range strategies() {
		require.False(t, met[s.Strategy()])
		met[s.Strategy()] = true
	}
	for f := opossum.Flush(0); f.Valid(); f++ {
		require.True(t, met[f.String()], "%v", f)
	}
}

func TestWindowsAreCutAmongAppendsOfEveryPace(t *testing.T) {
	met := map[string]bool{}
	for index := range uint64(24) { // as many as CI runs
		l := drawWindows(lab.Rand(1, index), "count")
		require.Equal(t, drawWindows(lab.Rand(1, index), "count"), l)
		require.Equal(t, "count", l.shape)
		used := map[uint64]bool{}
		for _, c := range l.cycles {
			require.False(t, used[c.append.First])
			used[c.append.First] = true
			require.Equal(t, "ack", c.cut.report)
			require.LessOrEqual(t, c.cut.n, mostToShow)
			met["pace "+c.append.Pace.String()] = true
			met["lonely"] = met["lonely"] || c.append.Writers == 1
			met["many"] = met["many"] || c.append.Writers == maxWriters
			met["assured"], met["not"] = met["assured"] || c.append.Assure > 0, met["not"] || c.append.Assure == 0
			met["written back"] = met["written back"] || c.writeBack
			met["recovery cut"] = met["recovery cut"] || len(c.recovery) > 0
			met["at once"] = met["at once"] || c.cut.after == 0
		}
	}
	for _, what := range []string{"pace 0s", "pace 200µs", "pace 1ms", "pace 4ms", "pace 40ms", "lonely", "many", "assured", "not", "written back", "recovery cut", "at once"} {
		require.True(t, met[what], what)
	}
}

func TestARunProvesTheWindowOfEachStrategy(t *testing.T) {
	losses := lab.Losses{}
	for _, s := range strategies() {
		l := lab.Loss{Window: s.Window.String(), Cuts: least, Acked: 900}
		if s.Relaxed() {
			l.Lossy, l.Lost, l.Most, l.Age = 1, 6, 6, 1234*time.Microsecond
		}
		losses[s.Strategy()] = l
	}
	require.NoError(t, Unproved(losses))
	require.Len(t, Summary(losses), len(losses))
	require.Contains(t, Summary(losses)[2], "flush count")
	require.Contains(t, Summary(losses)[2], "1 cuts took some,     6 at most, up to 1.2ms old; it may lose fewer than 7 events")

	change := func(strategy string, how func(*lab.Loss)) error {
		changed := maps.Clone(losses)
		l := changed[strategy]
		how(&l)
		changed[strategy] = l
		return Unproved(changed)
	}
	require.ErrorContains(t, change("periodic", func(l *lab.Loss) { l.Lossy, l.Lost, l.Most = 0, 0, 0 }), "periodic lost nothing in 10 power cuts")
	require.ErrorContains(t, change("immediate", func(l *lab.Loss) { l.Cuts = least - 1 }), "immediate met 9 power cuts")
	require.ErrorContains(t, Unproved(nil), "auto met 0 power cuts")
}

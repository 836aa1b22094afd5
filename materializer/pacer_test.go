package materializer

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

const ms = time.Millisecond

func TestRestIsWhatTheAppendsAreOwed(t *testing.T) {
	for _, c := range []struct {
		cost time.Duration
		load float64
		want time.Duration
	}{
		{2 * ms, 0.25, restLeast}, // a third of the cost: not worth waking up for
		{2 * ms, 0.5, restLeast},
		{20 * ms, 0.5, 20 * ms}, // half and half
		{20 * ms, 0.75, 60 * ms},
		{2 * ms, 0.9, 18 * ms},
		{2 * ms, 0.95, 38 * ms},
		{3 * ms, 1, 97 * ms}, // filing keeps its least share
		{3 * ms, 1.7, 97 * ms},
		{0, 1, restLeast},
	} {
		t.Run(fmt.Sprintf("%v at load %v", c.cost, c.load), func(t *testing.T) {
			require.InDelta(t, float64(c.want), float64(restFor(c.cost, c.load, 0)), float64(time.Microsecond))
		})
	}
}

func TestABurstIsAsLongAsAnAppendMayWait(t *testing.T) {
	for _, c := range []struct {
		events int
		took   time.Duration
		want   int
	}{
		{64, ms, 64},
		{64, 2 * ms, 64},
		{64, 4 * ms, 32},
		{64, 2 * time.Second, 1}, // never none
		{1, ms / 100, 2},         // back by doubling
		{40, ms / 100, 64},
		{8, 0, 16},
	} {
		require.Equal(t, c.want, nextBurst(c.events, burstEvents, c.took), "%d events in %v", c.events, c.took)
	}
}

func TestThePacerRestsAsMuchAsCommitsAreBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var busy time.Duration
		p := newPacer(func() time.Duration { return busy })
		cycle := func(took, committing, cost time.Duration, urgent bool) time.Duration {
			pass(took)
			busy += committing
			p.spent(cost / 2)
			p.spent(cost / 2) // the stages add up
			return p.rest(false, cost, urgent, 0)
		}
		near := func(want, got time.Duration, why string) {
			t.Helper()
			require.InDelta(t, float64(want), float64(got), float64(10*time.Microsecond), why)
		}
		near(0, cycle(10*ms, 0, 10*ms, false), "nobody appends")
		near(0, cycle(10*ms, 2*ms, 10*ms, false), "hardly anybody appends")
		near(10*ms, cycle(10*ms, 5*ms, 10*ms, false), "commits take half")
		near(0, cycle(10*ms, 9*ms, 10*ms, true), "someone waits for files")
		near(restMost, cycle(10*ms, 10*ms, 6*ms, false), "194 ms are owed, and not given at once")
		near(restMost, cycle(80*ms, 80*ms, 0, false), "the rest of it follows")
		near(194*ms+restLeast+restLeast-2*restMost, cycle(80*ms, 80*ms, 0, false), "until nothing is owed")
		near(restMost, cycle(10*ms, 10*ms, 20*ms, false), "again")
		near(0, cycle(80*ms, ms, 0, false), "the load has passed")
		near(restLeast, cycle(10*ms, 10*ms, 0, false), "and what was owed with it")
		near(restMost, cycle(10*ms, 10*ms, 20*ms, false), "again")
		near(0, cycle(80*ms, 80*ms, 0, true), "someone waits")
		near(restLeast, cycle(10*ms, 10*ms, 0, false), "and what was owed is forgotten")
		near(restLeast, cycle(0, 0, 0, false)+restLeast, "no time has passed at all")
	})
}

// A busy log slows filing, and Wait makes it go ahead all the same.
func TestABusyLogSlowsFilingAndWaitGoesAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 0)
		begin := time.Now()
		r.Materializer.cfg.Busy = func() time.Duration { return time.Since(begin) + time.Duration(r.busy.Add(int64(ms))) } // all of the time
		r.Materializer.pacer.busy = r.Materializer.cfg.Busy
		r.start()
		r.write(10*burstEvents, true)
		synctest.Wait()
		require.Equal(t, uint64(burstEvents), r.Stats().Files, "one burst, then a rest")
		pass(2 * restLeast)
		require.Greater(t, r.Stats().Files, uint64(burstEvents), "the rest ends")
		require.Less(t, r.Stats().Files, uint64(10*burstEvents))
		start := time.Now()
		require.NoError(t, r.Wait(t.Context(), r.next-1))
		require.Less(t, time.Since(start), restLeast, "it rested all the same")
	})
}

package invariant

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"opossum"
	"opossum/internal/workload"
)

const ms = time.Millisecond

// acked is an append of one event at p that was made from begun to acked.
func acked(p opossum.Position, begun, acked time.Duration) Ack {
	return Ack{ID: uint64(p), Last: p, Events: 1, Begun: begun, Acked: acked}
}

func TestAWindowIsJudged(t *testing.T) {
	periodic, count := Window{Events: Unbounded, Interval: 20 * ms}, Window{Events: 3}
	both := Window{Events: 3, Interval: 20 * ms}
	three := []Ack{acked(1, 0, 2*ms), acked(2, 3*ms, 4*ms), acked(3, 5*ms, 6*ms)}
	assured := []Ack{acked(1, 0, ms), {ID: 2, Last: 3, Events: 2, Begun: ms, Acked: 2 * ms, Assured: true}}
	for _, c := range []struct {
		name   string
		window Window
		told   History
		head   opossum.Position
		loss   Loss
		wrong  string
	}{
		{name: "nothing was done", window: Window{}},
		{name: "strict", window: Window{}, told: History{Acks: three}, head: 3, loss: Loss{Acked: 3}},
		{name: "strict, with what nobody was promised", window: Window{}, told: History{Acks: three}, head: 5, loss: Loss{Acked: 3}},
		{name: "strict, one lost", window: Window{}, told: History{Acks: three}, head: 2, wrong: "1 events are lost; the window is nothing"},
		{name: "disabled", window: Window{Events: Unbounded}, told: History{Acks: []Ack{acked(1, 0, ms), acked(2, time.Hour, time.Hour)}},
			loss: Loss{Acked: 2, Lost: 2, Age: time.Hour - ms}},

		{name: "count, within", window: count, told: History{Acks: three}, head: 1, loss: Loss{Acked: 3, Lost: 2, Age: ms}},
		{name: "count, beyond", window: count, told: History{Acks: three}, head: 0, wrong: "3 events are lost; the window is fewer than 3 events"},
		{name: "count, of one append", window: count, told: History{Acks: []Ack{{ID: 7, Last: 4, Events: 4}}}, wrong: "4 events are lost"},
		{name: "count, by what nobody reported", window: count, told: History{Acks: []Ack{acked(4, 0, ms)}}, head: 1, wrong: "3 events are lost"},

		{name: "periodic, within", window: periodic, told: History{Acks: []Ack{acked(1, 0, 10*ms), acked(2, 29*ms+999_999, 80*ms)}},
			loss: Loss{Acked: 2, Lost: 2, Age: 19*ms + 999_999}},
		{name: "periodic, beyond", window: periodic, told: History{Acks: []Ack{acked(1, 0, 10*ms), acked(2, 30*ms, 30*ms)}}, wrong: "append 2 was begun 20ms later"},
		{name: "periodic, old and kept", window: periodic, told: History{Acks: []Ack{acked(1, 0, 10*ms), acked(2, 30*ms, 30*ms)}}, head: 1, loss: Loss{Acked: 2, Lost: 1}},
		{name: "periodic, beyond, though the later one is there", window: periodic, // it cannot be without the earlier one, but for the order of the positions
			told: History{Acks: []Ack{acked(2, 0, 10*ms), acked(1, 30*ms, 31*ms)}}, head: 1, wrong: "append 1 was begun 20ms later"},
		{name: "periodic, an append that took long", window: periodic, told: History{Acks: []Ack{acked(1, 0, ms), acked(2, 5*ms, 99*ms)}},
			loss: Loss{Acked: 2, Lost: 2, Age: 4 * ms}},
		{name: "both, too many", window: both, told: History{Acks: three}, wrong: "3 events are lost"},
		{name: "both, too old", window: both, told: History{Acks: []Ack{acked(1, 0, 0), acked(2, 20*ms, 21*ms)}}, wrong: "begun 20ms later"},

		{name: "called durable", window: periodic, told: History{Acks: three, Durable: 2}, head: 2, loss: Loss{Acked: 3, Lost: 1}},
		{name: "called durable and lost", window: periodic, told: History{Acks: three, Durable: 2}, head: 1, wrong: "everything up to 2 was called durable"},
		{name: "when durable", window: periodic, told: History{Acks: assured}, head: 3, loss: Loss{Acked: 3}},
		{name: "when durable and lost", window: periodic, told: History{Acks: assured}, head: 1, wrong: "append 2, made with WhenDurable"},
	} {
		loss, err := c.window.Judge(c.told, c.head)
		if c.wrong != "" {
			require.ErrorContains(t, err, c.wrong, c.name)
			continue
		}
		require.NoError(t, err, c.name)
		require.Equal(t, c.loss, loss, c.name)
	}
}

func TestAHistoryIsWhatWasReported(t *testing.T) {
	a := Ack{ID: 10_003, Last: 9, Events: 4, Begun: 1234567, Acked: 2345678, Durable: 5, Assured: true}
	var h History
	require.True(t, h.Note(AckLine(a)))
	require.Equal(t, History{Acks: []Ack{a}, Durable: 5}, h)
	require.True(t, h.Note(DurableLine(8)))
	require.True(t, h.Note(DurableLine(7)))
	require.EqualValues(t, 8, h.Durable)
	for _, line := range []string{"done", "open 7 1200", "read 8 10000 0", workload.AckLine(3, 10)} {
		require.False(t, h.Note(line), line)
	}

	w := workload.NewWitness()
	require.True(t, w.Note(AckLine(a)), "it is a line for a witness too")
	require.Equal(t, map[uint64]opossum.Position{10_003: 9}, w.Acked)
}

func TestAWindowInWords(t *testing.T) {
	for want, w := range map[string]Window{
		"nothing":                                      {},
		"everything since the last sync":               {Events: Unbounded},
		"what is younger than 20ms":                    {Events: Unbounded, Interval: 20 * ms},
		"fewer than 7 events":                          {Events: 7},
		"fewer than 7 events, what is younger than 1s": {Events: 7, Interval: time.Second},
	} {
		require.Equal(t, want, w.String())
	}
}

// The shapes say what the options of the engine mean; one that is changed without the other would be judged by the wrong window.
func TestTheShapesHaveTheWindowsOfTheirOptions(t *testing.T) {
	met := map[opossum.Flush]bool{}
	for _, s := range Shapes {
		require.NoError(t, s.Options.Validate(), s.Name)
		met[s.Options.Flush] = true
		want := Window{}
		switch s.Options.Flush {
		case opossum.FlushPeriodic:
			want = Window{Events: Unbounded, Interval: s.Options.FlushInterval}
		case opossum.FlushCount:
			want = Window{Events: uint64(s.Options.FlushEvery)}
		case opossum.FlushDisabled:
			want = Window{Events: Unbounded}
		}
		require.Equal(t, want, s.Window, s.Name)
		require.Equal(t, want != Window{}, s.Relaxed(), s.Name)
	}
	for f := opossum.Flush(0); f.Valid(); f++ {
		require.True(t, met[f], "%v has no shape", f)
	}
}

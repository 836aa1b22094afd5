package powercut

import (
	"testing"

	"github.com/stretchr/testify/require"

	"opossum"
	"opossum/crashlab/internal/invariant"
	"opossum/internal/workload"
)

func TestAFateIsWhatWasReported(t *testing.T) {
	w, f := workload.NewWitness(), fate{}
	for _, line := range []string{"begin", "open 7 1200", "ack 10000 9 1 100 200 8 false", "durable 9", "read 8 10000 0", "filed 9"} {
		f.note(line, w)
	}
	require.Equal(t, fate{doing: "working", opened: true, head: 7, kept: 9, told: invariant.History{
		Acks: []invariant.Ack{{ID: 10000, Last: 9, Events: 1, Begun: 100, Acked: 200, Durable: 8}}, Durable: 9,
	}}, f)
	require.Equal(t, map[uint64]opossum.Position{10000: 9}, w.Acked)
	require.Equal(t, map[opossum.Position]workload.Place{8: {ID: 10000}}, w.Read)

	f.note("closing", w)
	require.Equal(t, "closing", f.doing)
	f.note(`error "first"`, w)
	f.note(`error "second"`, w)
	f.note("done", w)
	require.Equal(t, "idle", f.doing)
	require.Contains(t, f.failed, "first")
}

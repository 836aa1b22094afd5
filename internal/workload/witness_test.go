package workload

import (
	"testing"

	"github.com/stretchr/testify/require"

	"opossum/dcb"
)

// store is a store that has these appends, in this order, and a witness to whom all were acknowledged.
func store(ids ...uint64) ([]dcb.SequencedEvent, *Witness) {
	var all []dcb.SequencedEvent
	w := NewWitness()
	for _, id := range ids {
		for _, e := range Events(id) {
			all = append(all, dcb.SequencedEvent{Position: dcb.Position(len(all) + 1), Event: e})
		}
		w.Note(AckLine(id, dcb.Position(len(all))))
	}
	return all, w
}

func TestAWitnessKnowsWhatAStoreMustHold(t *testing.T) {
	want, w := store(7, 9, 8)
	got, err := w.All()
	require.NoError(t, err)
	require.Equal(t, want, got)

	w.Note(AckLine(10, 1000))
	_, err = w.All()
	require.Error(t, err, "there is a gap before position 1000")
}

func TestWhatWasRefusedMustNotTurnUp(t *testing.T) {
	all, w := store(7, 9)
	require.True(t, w.Note(RefusedLine(8)))
	require.NoError(t, w.Check(all))
	delete(w.Acked, 9)
	require.NoError(t, w.Check(all), "an append of which nobody knows the outcome may be there")
	require.True(t, w.Note(RefusedLine(9)))
	require.ErrorContains(t, w.Check(all), "certainly not written")
}

func TestAWitnessForgetsWhatMayBeLost(t *testing.T) {
	w := NewWitness()
	require.Zero(t, w.Head())
	for _, line := range []string{"ack 1 3", "ack 2 7", "read 4 2 0", "read 9 3 1", "beaten 5 4", "beaten 6 8"} {
		require.True(t, w.Note(line), line)
	}
	require.False(t, w.Note("done"))
	require.EqualValues(t, 9, w.Head())
	require.Zero(t, w.Lost(9))
	require.Equal(t, 2, w.Lost(6), "an append and an event that was read")

	w.Forget(6)
	require.Zero(t, w.Lost(6))
	require.Equal(t, map[uint64]dcb.Position{1: 3}, w.Acked)
	require.Equal(t, map[dcb.Position]Place{4: {ID: 2}}, w.Read)
	require.Equal(t, map[uint64]dcb.Position{5: 4}, w.Beaten)
}

package blockreplay

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"opossum/crashlab/internal/blockdisk"
)

// records makes a recording of a story such as "WWFMW"; every write has two blocks and a half.
func records(story string) (out []blockdisk.Record) {
	for _, kind := range []byte(story) {
		rec := blockdisk.Record{Kind: kind}
		if kind == blockdisk.Write {
			rec.Len = 2*block + block/2
		}
		out = append(out, rec)
	}
	return out
}

func TestSurvivors(t *testing.T) {
	story := records("WFWMWW")
	whole := func(i int) piece { return piece{i, 0, 2*block + block/2} }
	at := func(cut int, l Loss) []piece {
		return State{Cut: cut, Lost: l, Seed: 1}.survivors(story, lastFlush(story, cut))
	}
	require.Equal(t, []piece{whole(0)}, at(1, Nothing), "before the first flush")
	require.Empty(t, at(2, Nothing), "all is flushed")
	require.Equal(t, []piece{whole(2), whole(4)}, at(5, Nothing))
	require.Empty(t, at(6, Everything))
	require.Equal(t, []piece{whole(5)}, at(6, ButLast))
	require.Len(t, at(6, ButOne), 1)
	require.Len(t, at(6, One), 2)
	require.Subset(t, at(6, Nothing), at(6, Half))
	for _, p := range at(6, Blocks) {
		require.Contains(t, []int{0, block, 2 * block}, p.from)
		require.LessOrEqual(t, p.to, 2*block+block/2)
	}
	require.Equal(t, at(6, Blocks), at(6, Blocks), "a state is the same each time")
}

// Every state lies in the recording, in order, and loses nothing that was flushed.
func TestChoose(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		story := records(rapid.StringMatching("[WWFM]{0,40}").Draw(t, "story"))
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		states := choose(r, story, 16)
		require.Len(t, states, 16)
		last := 0
		for _, s := range states {
			require.GreaterOrEqual(t, s.Cut, last)
			require.LessOrEqual(t, s.Cut, len(story))
			last = s.Cut
			from := lastFlush(story, s.Cut)
			for _, p := range s.survivors(story, from) {
				require.GreaterOrEqual(t, p.record, from)
				require.Less(t, p.record, s.Cut)
			}
		}
	})
}

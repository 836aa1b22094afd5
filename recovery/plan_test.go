package recovery

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"opossum/dcb"
	"opossum/ledger"
	"opossum/wal"
)

// wanted is what Decide should make of a state: parts of a plan, or the damage that it refuses for.
type wanted struct {
	outcome Outcome
	head    dcb.Position
	live    []wal.Segment
	rewrite *Rewrite
	cuts    []Cut
	remove  []uint64
	epoch   bool

	refusal string // said by the error; the rest of the plan is not looked at then
	gen     uint64 // that is named; 0: the directory of the log
	offset  int64
}

// TestDecide judges made-up states: Decide is a pure function, so no file is needed.
func TestDecide(t *testing.T) {
	one := scanned(1, 1, 3, 2)                // positions 1 to 5
	two := after(one, scanned(2, 6, 4, 1))    // positions 6 to 10
	three := after(two, scanned(3, 11, 1, 1)) // positions 11 and 12
	missing := func(gen uint64) wal.Scanned { return wal.Scanned{Gen: gen, Stop: errMissing} }

	cases := map[string]struct {
		state State
		want  wanted
	}{
		"an empty directory becomes a store": {
			State{New: true}, wanted{outcome: Created},
		},
		"a creation that did not finish is begun anew": {
			State{New: true, Generations: []wal.Scanned{{Gen: 1}}}, wanted{outcome: Created, remove: []uint64{1}},
		},
		"a log that ends as the clean close says is clean": {
			State{Ledger: ledger.State{Clean: witnessed(one)}, Generations: []wal.Scanned{one}},
			wanted{outcome: Clean, head: 5, live: []wal.Segment{{Gen: 1, Last: 5}}},
		},
		"a clean log of several generations goes on in the last": {
			State{Ledger: ledger.State{Clean: witnessed(three), Materialized: 7}, Generations: []wal.Scanned{one, two, three}},
			wanted{outcome: Clean, head: 12, live: []wal.Segment{{Gen: 2, Last: 10}, {Gen: 3, Last: 12}}, remove: []uint64{1}},
		},
		"a log without a clean close is written anew": {
			State{Generations: []wal.Scanned{one}},
			wanted{outcome: Recovered, head: 5, remove: []uint64{1},
				rewrite: &Rewrite{From: 1, Into: 2, Base: 1, Link: wal.Link{Supersedes: 1, SupersedesFrom: 1}}},
		},
		"a log that went on after the clean close is written anew": {
			State{Ledger: ledger.State{Clean: witnessed(scanned(1, 1, 3))}, Generations: []wal.Scanned{one}},
			wanted{outcome: Recovered, head: 5, remove: []uint64{1},
				rewrite: &Rewrite{From: 1, Into: 2, Base: 1, Link: wal.Link{Supersedes: 1, SupersedesFrom: 1}}},
		},
		"a log that ends as at the clean close, with room behind it, is written anew": {
			State{Ledger: ledger.State{Clean: witnessed(one)}, Generations: []wal.Scanned{func() wal.Scanned { g := one; g.Room = 100; return g }()}},
			wanted{outcome: Recovered, head: 5, remove: []uint64{1},
				rewrite: &Rewrite{From: 1, Into: 2, Base: 1, Link: wal.Link{Supersedes: 1, SupersedesFrom: 1}}},
		},
		"only what is above the checkpoint is written anew": {
			State{Ledger: ledger.State{Materialized: 3}, Generations: []wal.Scanned{one}},
			wanted{outcome: Recovered, head: 5, remove: []uint64{1},
				rewrite: &Rewrite{From: 1, Skip: 1, Into: 2, Base: 4, Link: wal.Link{Checkpoint: 3, Supersedes: 1, SupersedesFrom: 4}}},
		},
		"a frame that the checkpoint divides is kept whole": {
			State{Ledger: ledger.State{Materialized: 4}, Generations: []wal.Scanned{one}},
			wanted{outcome: Recovered, head: 5, remove: []uint64{1},
				rewrite: &Rewrite{From: 1, Skip: 1, Into: 2, Base: 4, Link: wal.Link{Checkpoint: 4, Supersedes: 1, SupersedesFrom: 4}}},
		},
		"a log that is filed up to its end is written anew without events": {
			State{Ledger: ledger.State{Materialized: 5}, Generations: []wal.Scanned{one}},
			wanted{outcome: Recovered, head: 5, remove: []uint64{1},
				rewrite: &Rewrite{From: 1, Skip: 2, Into: 2, Base: 6, Link: wal.Link{Checkpoint: 5, Supersedes: 1, SupersedesFrom: 6}}},
		},
		"a tail that is written anew goes on from the generation before it": {
			State{Ledger: ledger.State{Materialized: 4}, Generations: []wal.Scanned{one, two}},
			wanted{outcome: Recovered, head: 10, live: []wal.Segment{{Gen: 1, Last: 5}}, remove: []uint64{2},
				rewrite: &Rewrite{From: 2, Into: 3, Base: 6, Link: wal.Link{
					Prev: 1, PrevEnd: uint64(one.Size), PrevSum: one.Sum, Checkpoint: 4, Supersedes: 2, SupersedesFrom: 6}}},
		},
		"a torn tail that nobody vouches for is cut": {
			State{Generations: []wal.Scanned{torn(one, 50)}, Acked: wal.Acked{Gen: 1, Position: 5}},
			wanted{outcome: Recovered, head: 5, remove: []uint64{1},
				cuts:    []Cut{{Gen: 1, Offset: one.Valid, Bytes: 50, Reason: errTest.Error()}},
				rewrite: &Rewrite{From: 1, Into: 2, Base: 1, Link: wal.Link{Supersedes: 1, SupersedesFrom: 1}}},
		},
		"bytes behind the end of a clean close are cut as well": {
			State{Ledger: ledger.State{Clean: witnessed(one)}, Generations: []wal.Scanned{torn(one, 1)}},
			wanted{outcome: Recovered, head: 5, remove: []uint64{1},
				cuts:    []Cut{{Gen: 1, Offset: one.Valid, Bytes: 1, Reason: errTest.Error()}},
				rewrite: &Rewrite{From: 1, Into: 2, Base: 1, Link: wal.Link{Supersedes: 1, SupersedesFrom: 1}}},
		},
		"an intact frame behind the damage that knew of nothing there convicts nobody": {
			State{Generations: []wal.Scanned{func() wal.Scanned {
				g := torn(one, 400)
				g.Later = []wal.Frame{{First: 7, Count: 1, Durable: 5, DurableOff: uint64(one.Valid), Offset: one.Valid + 200}}
				return g
			}()}},
			wanted{outcome: Recovered, head: 5, remove: []uint64{1},
				cuts:    []Cut{{Gen: 1, Offset: one.Valid, Bytes: 400, Reason: errTest.Error()}},
				rewrite: &Rewrite{From: 1, Into: 2, Base: 1, Link: wal.Link{Supersedes: 1, SupersedesFrom: 1}}},
		},
		"a later frame that knew the damaged offset as durable convicts": {
			State{Generations: []wal.Scanned{func() wal.Scanned {
				g := torn(one, 400)
				g.Later = []wal.Frame{{First: 8, Count: 1, DurableOff: uint64(one.Valid) + 1, Offset: one.Valid + 200}}
				return g
			}()}},
			wanted{refusal: "positions 8 to 8 at offset", gen: 1, offset: one.Valid},
		},
		"a later frame that knew the damaged position as durable convicts": {
			State{Generations: []wal.Scanned{func() wal.Scanned {
				g := torn(one, 400)
				g.Later = []wal.Frame{{First: 8, Count: 1, Durable: 6, Offset: one.Valid + 200}}
				return g
			}()}},
			wanted{refusal: "proves that it was durable", gen: 1, offset: one.Valid},
		},
		"the second of two later frames convicts, too": {
			State{Generations: []wal.Scanned{func() wal.Scanned {
				g := torn(one, 700)
				g.Later = []wal.Frame{
					{First: 7, Count: 1, Durable: 5, DurableOff: uint64(one.Valid)},
					{First: 8, Count: 1, Durable: 7, DurableOff: uint64(one.Valid) + 300},
				}
				return g
			}()}},
			wanted{refusal: "positions 8 to 8", gen: 1, offset: one.Valid},
		},
		"ACKED convicts": {
			State{Generations: []wal.Scanned{torn(one, 50)}, Acked: wal.Acked{Gen: 1, Position: 6}},
			wanted{refusal: "ACKED proves that positions up to 6 were acknowledged", gen: 1, offset: one.Valid},
		},
		"ACKED convicts a log that was cut between two frames": {
			State{Generations: []wal.Scanned{one}, Acked: wal.Acked{Gen: 1, Position: 6}},
			wanted{refusal: "ACKED proves", gen: 1, offset: one.Valid},
		},
		"the witness of the clean close convicts": {
			State{Generations: []wal.Scanned{torn(one, 50)}, Ledger: ledger.State{Clean: &ledger.End{Head: 6}}},
			wanted{refusal: "the clean close in the ledger proves that positions up to 6", gen: 1, offset: one.Valid},
		},
		"the checkpoint convicts": {
			State{Generations: []wal.Scanned{torn(one, 50)}, Ledger: ledger.State{Materialized: 6}},
			wanted{refusal: "the checkpoint in the ledger proves that positions up to 6", gen: 1, offset: one.Valid},
		},
		"an event file above the checkpoint convicts": {
			State{Generations: []wal.Scanned{torn(one, 50)}, Filed: 6, FiledAs: "six.json"},
			wanted{refusal: "the event file six.json proves that positions up to 6", gen: 1, offset: one.Valid},
		},
		"a damaged sealed generation is refused": {
			State{Generations: []wal.Scanned{torn(one, 10), two}},
			wanted{refusal: "a later generation proves that it was durable", gen: 1, offset: one.Valid},
		},
		"a damaged generation that is wholly checkpointed is not needed": {
			State{Ledger: ledger.State{Materialized: 5, Clean: witnessed(two)}, Generations: []wal.Scanned{torn(one, 10), two}},
			wanted{outcome: Clean, head: 10, live: []wal.Segment{{Gen: 2, Last: 10}}, remove: []uint64{1}},
		},
		"a missing generation is refused": {
			State{Generations: []wal.Scanned{one, three}},
			wanted{refusal: "the generation with positions 1 to 10 is missing", gen: 2},
		},
		"the missing first of three generations is refused": {
			State{Generations: []wal.Scanned{two, three}},
			wanted{refusal: "the generation with positions 1 to 5 is missing", gen: 1},
		},
		"a generation that lost its file is refused where it is needed": {
			State{Generations: []wal.Scanned{missing(1), two}},
			wanted{refusal: "a later generation proves", gen: 1},
		},
		"a generation that lost its file is removed where it is not needed": {
			State{Ledger: ledger.State{Materialized: 5, Clean: witnessed(two)}, Generations: []wal.Scanned{missing(1), two}},
			wanted{outcome: Clean, head: 10, live: []wal.Segment{{Gen: 2, Last: 10}}, remove: []uint64{1}},
		},
		"a newest generation that lost its file is refused, even if nobody knows that it was used": {
			State{Ledger: ledger.State{Clean: witnessed(one)}, Generations: []wal.Scanned{one, missing(2)}},
			wanted{refusal: "the file is missing", gen: 2},
		},
		"an older copy of a sealed generation is refused": {
			State{Generations: []wal.Scanned{scanned(1, 1, 3), two}},
			wanted{refusal: "the generation ends at position 3", gen: 1, offset: scanned(1, 1, 3).Valid},
		},
		"a sealed generation with other bytes is refused": {
			State{Generations: []wal.Scanned{func() wal.Scanned { g := one; g.Sum++; return g }(), two}},
			wanted{refusal: "its successor continues", gen: 1, offset: one.Valid},
		},
		"a sealed generation with another end of positions is refused": {
			State{Generations: []wal.Scanned{one, after(one, scanned(2, 7, 4))}},
			wanted{refusal: "its successor continues from position 7", gen: 1, offset: one.Valid},
		},
		"an older copy of the current generation is refused": {
			State{Generations: []wal.Scanned{one, after(one, scanned(2, 6, 4))}, Acked: wal.Acked{Gen: 2, Position: 10}},
			wanted{refusal: "ACKED proves that positions up to 10", gen: 2, offset: two.Commits[0].End},
		},
		"a superseded generation that was left behind is removed": {
			State{Ledger: ledger.State{Clean: witnessed(scanned(2, 1, 3, 2))}, Generations: []wal.Scanned{torn(one, 40), scanned(2, 1, 3, 2)}},
			wanted{outcome: Clean, head: 5, live: []wal.Segment{{Gen: 2, Last: 5}}, remove: []uint64{1}},
		},
		"a recovery that died before the ledger is done again": {
			State{Generations: []wal.Scanned{torn(one, 40), scanned(2, 1, 3, 2)}},
			wanted{outcome: Recovered, head: 5, remove: []uint64{1, 2},
				rewrite: &Rewrite{From: 2, Into: 3, Base: 1, Link: wal.Link{Supersedes: 2, SupersedesFrom: 1}}},
		},
		"an unused successor is removed after a clean close": {
			State{Ledger: ledger.State{Clean: witnessed(one)}, Generations: []wal.Scanned{one, unused(2)}},
			wanted{outcome: Clean, head: 5, live: []wal.Segment{{Gen: 1, Last: 5}}, remove: []uint64{2}},
		},
		"an unused successor is removed after a crash, and its number is not used again": {
			State{Generations: []wal.Scanned{one, unused(2)}},
			wanted{outcome: Recovered, head: 5, remove: []uint64{1, 2},
				rewrite: &Rewrite{From: 1, Into: 3, Base: 1, Link: wal.Link{Supersedes: 1, SupersedesFrom: 1}}},
		},
		"a torn link frame without anything behind it is cut": {
			State{Generations: []wal.Scanned{one, torn(unused(2), 33)}, Acked: wal.Acked{Gen: 1, Position: 5}},
			wanted{outcome: Recovered, head: 5, remove: []uint64{1, 2},
				cuts:    []Cut{{Gen: 2, Offset: headerEnd, Bytes: 33, Reason: errTest.Error()}},
				rewrite: &Rewrite{From: 1, Into: 3, Base: 1, Link: wal.Link{Supersedes: 1, SupersedesFrom: 1}}},
		},
		"a torn link frame before a frame that was never synced is cut": {
			State{Generations: []wal.Scanned{one, func() wal.Scanned {
				g := torn(unused(2), 400)
				g.Later = []wal.Frame{{First: 6, Count: 1, Durable: 5, Offset: 218}}
				return g
			}()}},
			wanted{outcome: Recovered, head: 5, remove: []uint64{1, 2},
				cuts:    []Cut{{Gen: 2, Offset: headerEnd, Bytes: 400, Reason: errTest.Error()}},
				rewrite: &Rewrite{From: 1, Into: 3, Base: 1, Link: wal.Link{Supersedes: 1, SupersedesFrom: 1}}},
		},
		"a damaged link frame before frames that knew it as durable is refused": {
			State{Generations: []wal.Scanned{one, func() wal.Scanned {
				g := torn(unused(2), 800)
				g.Later = []wal.Frame{{First: 6, Count: 1, Durable: 5}, {First: 7, Count: 1, Durable: 6, DurableOff: 400}}
				return g
			}()}},
			wanted{refusal: "positions 7 to 7", gen: 2, offset: headerEnd},
		},
		"damage below a successor that was begun is refused": {
			State{Generations: []wal.Scanned{torn(one, 20), torn(unused(2), 33)}},
			wanted{refusal: "the next generation was begun, so this one was durable", gen: 1, offset: one.Valid},
		},
		"damage below a successor that was not begun is a torn tail": {
			State{Generations: []wal.Scanned{torn(one, 20), unused(2)}},
			wanted{outcome: Recovered, head: 5, remove: []uint64{1, 2},
				cuts:    []Cut{{Gen: 1, Offset: one.Valid, Bytes: 20, Reason: errTest.Error()}},
				rewrite: &Rewrite{From: 1, Into: 3, Base: 1, Link: wal.Link{Supersedes: 1, SupersedesFrom: 1}}},
		},
		"a damaged header of a published generation is refused": {
			State{Generations: []wal.Scanned{one, {Gen: 2, Size: 97, Stop: errTest}}},
			wanted{refusal: "the header of a published generation", gen: 2},
		},
		"an empty file in a published generation is refused": {
			State{Generations: []wal.Scanned{one, {Gen: 2, Stop: errEmpty}}},
			wanted{refusal: "the header of a published generation: the file is empty", gen: 2},
		},
		"a log without a generation is refused": {
			State{}, wanted{refusal: "no generation in use"},
		},
		"a log of unused generations alone is refused": {
			State{Generations: []wal.Scanned{unused(4)}}, wanted{refusal: "no generation in use"},
		},
		"an unclean end of a relaxed store raises the epoch": {
			State{Ledger: ledger.State{Relaxed: true}, Generations: []wal.Scanned{one}},
			wanted{outcome: Recovered, head: 5, epoch: true, remove: []uint64{1},
				rewrite: &Rewrite{From: 1, Into: 2, Base: 1, Link: wal.Link{Supersedes: 1, SupersedesFrom: 1}}},
		},
		"a clean end of a relaxed store does not": {
			State{Ledger: ledger.State{Relaxed: true, Clean: witnessed(one)}, Generations: []wal.Scanned{one}},
			wanted{outcome: Clean, head: 5, live: []wal.Segment{{Gen: 1, Last: 5}}},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			c.state.Dir = "store"
			p, err := Decide(c.state)
			if c.want.refusal != "" {
				file := "store/wal"
				if c.want.gen > 0 {
					file = wal.GenerationPath(file, c.want.gen)
				}
				requireCorrupt(t, err, file, c.want.offset, c.want.refusal)
				require.Zero(t, p)
				return
			}
			require.NoError(t, err)
			require.NotEmpty(t, p.String())
			want := Plan{
				Outcome: c.want.outcome, Materialized: c.state.Ledger.Materialized, Head: c.want.head, Live: c.want.live,
				Rewrite: c.want.rewrite, Cuts: c.want.cuts, RemoveGens: c.want.remove, RaiseEpoch: c.want.epoch,
			}
			if p.Outcome == Clean { // goes on where the witness says
				last := c.state.Ledger.Clean
				want.Tail = wal.Witness{Gen: last.Generation, End: last.Offset, Head: last.Head, Sum: p.Tail.Sum}
				require.Equal(t, last.Sum, sumText(p.Tail.Sum))
				want.TailNo = uint64(p.Tail.Sum & 0xff) // as sumOf makes it
			}
			require.Equal(t, want, p)
		})
	}
}

// Decide must not depend on what it is asked twice, nor change what it was given.
func TestDecideLeavesItsArgumentAlone(t *testing.T) {
	one := scanned(1, 1, 3, 2)
	s := State{Dir: "store", Temps: []string{"00000003.tmp"}, Generations: []wal.Scanned{torn(one, 9), unused(2)}}
	first, err := Decide(s)
	require.NoError(t, err)
	second, err := Decide(s)
	require.NoError(t, err)
	require.Equal(t, first, second)
	require.Equal(t, State{Dir: "store", Temps: []string{"00000003.tmp"}, Generations: []wal.Scanned{torn(scanned(1, 1, 3, 2), 9), unused(2)}}, s)
	require.Equal(t, []string{"00000003.tmp"}, first.RemoveTemps)
}

func TestRefusalsNameTheDamageAsACorruptError(t *testing.T) {
	_, err := Decide(State{Dir: "store", Generations: []wal.Scanned{scanned(1, 1, 3)}, Acked: wal.Acked{Position: 9}})
	var ce *dcb.CorruptError
	require.True(t, errors.As(err, &ce))
	require.ErrorIs(t, err, dcb.ErrCorrupt)
}

package blockreplay

import (
	"cmp"
	"math/rand/v2"
	"slices"

	"opossum/crashlab/internal/blockdisk"
)

// State is a disk that a power cut could have left.
type State struct {
	Cut  int    // so many records have happened
	Lost Loss   // which of the writes since the last flush the disk had not done
	Seed uint64 // of what is random about that
}

// Loss says which unflushed writes are lost.
type Loss string

// The kinds of loss.
const (
	Nothing    Loss = "nothing"
	Everything Loss = "everything"
	Half       Loss = "half of the writes"
	Blocks     Loss = "half of the blocks"
	ButOne     Loss = "all writes but one"
	One        Loss = "one write"
	ButLast    Loss = "all writes but the last"
)

// block is what a disk writes in one piece.
const block = 4096

// piece is a part of a write that the disk has done.
type piece struct{ record, from, to int }

// lastFlush returns how many records are on the disk for sure when cut of them have happened.
func lastFlush(records []blockdisk.Record, cut int) int {
	for cut > 0 && records[cut-1].Kind != blockdisk.Flush {
		cut--
	}
	return cut
}

// survivors returns what the disk has done of the writes of records from up to the cut. REQUIRES: there is no flush among them.
func (s State) survivors(records []blockdisk.Record, from int) []piece {
	var writes []piece
	for i := from; i < s.Cut; i++ {
		if records[i].Kind == blockdisk.Write {
			writes = append(writes, piece{i, 0, records[i].Len})
		}
	}
	if len(writes) == 0 {
		return nil
	}
	r := rand.New(rand.NewPCG(s.Seed, uint64(s.Cut)))
	coin := func(piece) bool { return r.IntN(2) == 0 }
	chosen := r.IntN(len(writes))
	switch s.Lost {
	case Everything:
		return nil
	case Half:
		return slices.DeleteFunc(writes, coin)
	case Blocks:
		var blocks []piece
		for _, w := range writes {
			for at := 0; at < w.to; at += block {
				blocks = append(blocks, piece{w.record, at, min(at+block, w.to)})
			}
		}
		return slices.DeleteFunc(blocks, coin)
	case ButOne:
		return writes[chosen : chosen+1]
	case One:
		return slices.Delete(writes, chosen, chosen+1)
	case ButLast:
		return writes[len(writes)-1:]
	}
	return writes
}

// choose returns about n states of a recording, in the order of their cuts. A quarter is spread over all flushes, when everything before was
// written; the others are just before a flush, just after a mark, or anywhere, and lose what they may.
func choose(r *rand.Rand, records []blockdisk.Record, n int) []State {
	var flushes, marks []int
	for i, rec := range records {
		switch rec.Kind {
		case blockdisk.Flush:
			flushes = append(flushes, i)
		case blockdisk.Mark:
			marks = append(marks, i)
		}
	}
	anywhere := func() int { return r.IntN(len(records) + 1) }
	of := func(among []int, after int) int {
		if len(among) == 0 {
			return anywhere()
		}
		return among[r.IntN(len(among))] + after
	}
	losses := []Loss{Everything, Half, Half, Blocks, Blocks, ButOne, One, ButLast}
	loss := func() Loss { return losses[r.IntN(len(losses))] }
	var out []State
	for i := range n {
		s := State{Seed: r.Uint64(), Lost: loss()}
		switch i % 4 {
		case 0:
			s.Cut, s.Lost = len(records), Nothing
			if len(flushes) > 0 {
				s.Cut = flushes[i*len(flushes)/n] + 1
			}
		case 1:
			s.Cut = of(flushes, 0)
		case 2:
			s.Cut = of(marks, 1)
		case 3:
			s.Cut = anywhere()
			if r.IntN(2) == 0 {
				s.Lost = Nothing
			}
		}
		out = append(out, s)
	}
	slices.SortStableFunc(out, func(a, b State) int { return cmp.Compare(a.Cut, b.Cut) })
	return out
}

package recovery

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"opossum/dcb"
	"opossum/internal/segment"
	"opossum/wal"
)

// Outcome tells how a store was found.
type Outcome uint8

// The outcomes.
const (
	Created   Outcome = iota // there was no store; there is one now
	Clean                    // the last owner closed it; nothing was done
	Recovered                // the last owner did not; the log's tail was written anew
)

func (o Outcome) String() string { return [...]string{"created", "clean", "recovered"}[o] }

// Plan is what Apply will do: a value that can be printed and compared.
type Plan struct {
	Outcome      Outcome
	Materialized dcb.Position
	Head         dcb.Position

	Live    []wal.Segment // generations that stay, the current one (if Clean) last
	Tail    wal.Witness   // if Clean: where appends go on
	TailNo  uint64        // and the number of the last frame
	Rewrite *Rewrite      // if Recovered

	Cuts        []Cut // torn bytes, kept in quarantine
	RemoveGens  []uint64
	RemoveTemps []string
	RaiseEpoch  bool // events that were visible may be gone (relaxed flushing)
}

// Rewrite writes the live part of a generation into a new one.
type Rewrite struct {
	From uint64 // generation
	Skip int    // its leading commit frames that are checkpointed
	Into uint64
	Link wal.Link
	Base dcb.Position
}

// Cut is a torn tail.
type Cut struct {
	Gen    uint64
	Offset int64
	Bytes  int64
	Reason string
}

// String lists the plan's steps, for logs and people.
func (p Plan) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v: head %d, checkpoint %d", p.Outcome, p.Head, p.Materialized)
	for _, c := range p.Cuts {
		fmt.Fprintf(&b, "; cut %d bytes of generation %d at offset %d (%s)", c.Bytes, c.Gen, c.Offset, c.Reason)
	}
	if r := p.Rewrite; r != nil {
		fmt.Fprintf(&b, "; write positions from %d of generation %d anew into %d", r.Base, r.From, r.Into)
	}
	if n := len(p.RemoveGens) + len(p.RemoveTemps); n > 0 {
		fmt.Fprintf(&b, "; remove %d generations that are not needed", n)
	}
	if p.RaiseEpoch {
		b.WriteString("; raise the epoch")
	}
	return b.String()
}

// Decide turns what was found into a plan, or refuses with an error that Is ErrCorrupt and names the damage.
// It is a pure function.
func Decide(s State) (Plan, error) {
	p := Plan{Materialized: s.Ledger.Materialized, RemoveTemps: s.Temps}
	if s.New {
		p.Outcome = Created
		for _, g := range s.Generations {
			p.RemoveGens = append(p.RemoveGens, g.Gen)
		}
		return p, nil
	}
	d := decision{State: s, walDir: filepath.Join(s.Dir, WALDir)}
	tail, err := d.tail(&p)
	if err != nil {
		return Plan{}, err
	}
	p.Head = tail.Next() - 1
	if err := d.heed(tail, p.Head); err != nil {
		return Plan{}, err
	}
	before, err := d.chain(tail)
	if err != nil {
		return Plan{}, err
	}
	d.finish(&p, tail, before)
	return p, nil
}

// decision carries the inputs of Decide through its steps.
type decision struct {
	State
	walDir string
}

// refuse makes the error that names the damage.
func (d decision) refuse(gen uint64, off int64, format string, args ...any) error {
	return &dcb.CorruptError{File: wal.GenerationPath(d.walDir, gen), Offset: off, Reason: fmt.Sprintf(format, args...)}
}

// tail finds the generation in which the log ends, and plans to drop what stands above it: successors that were built
// beforehand and never used, or whose link frame is torn.
func (d decision) tail(p *Plan) (wal.Scanned, error) {
	above := false // a generation above was written to
	for _, g := range slices.Backward(d.Generations) {
		if !g.Header {
			return g, d.refuse(g.Gen, 0, "the header of a published generation: %v", g.Stop)
		}
		if !g.Linked {
			if g.Stop != nil {
				if err := d.convict(g); err != nil {
					return g, err
				}
				p.Cuts = append(p.Cuts, cutOf(g))
				above = true
			}
			continue
		}
		if g.Stop != nil {
			if above {
				return g, d.refuse(g.Gen, g.Valid, "position %d: %v; the next generation was begun, so this one was durable", g.Next(), g.Stop)
			}
			if err := d.convict(g); err != nil {
				return g, err
			}
			p.Cuts = append(p.Cuts, cutOf(g))
		}
		return g, nil
	}
	return wal.Scanned{}, &dcb.CorruptError{File: d.walDir, Reason: "the log has no generation in use"}
}

func cutOf(g wal.Scanned) Cut {
	return Cut{Gen: g.Gen, Offset: g.Valid, Bytes: g.Size - g.Valid, Reason: g.Stop.Error()}
}

// convict refuses if an intact frame behind the damage proves that what is damaged was durable.
func (d decision) convict(g wal.Scanned) error {
	f, rotten := g.Rotten()
	if !rotten {
		return nil
	}
	return d.refuse(g.Gen, g.Valid, "position %d: %v; the intact frame of positions %d to %d at offset %d proves that it was durable",
		g.Next(), g.Stop, f.First, f.Last(), f.Offset)
}

// heed asks the witnesses outside the log whether anything acknowledged lies beyond head.
func (d decision) heed(tail wal.Scanned, head dcb.Position) error {
	missing := func(upto dcb.Position, witness string) error {
		return d.refuse(tail.Gen, tail.Valid, "the log ends at position %d, but %s proves that positions up to %d were acknowledged", head, witness, upto)
	}
	if d.Acked.Position > head {
		return missing(d.Acked.Position, "ACKED")
	}
	if c := d.Ledger.Clean; c != nil && c.Head > head {
		return missing(c.Head, "the clean close in the ledger")
	}
	if d.Ledger.Materialized > head {
		return missing(d.Ledger.Materialized, "the checkpoint in the ledger")
	}
	if d.Filed > head {
		what := "the event file "
		if filepath.Base(filepath.Dir(d.FiledAs)) == PacksDir {
			what = "the pack "
		}
		return missing(d.Filed, what+d.FiledAs)
	}
	if p, r := d.Indexed(); p > head {
		return missing(p, "the index segment "+filepath.Join(d.Dir, IndexDir, segment.Name(r)))
	}
	return nil
}

// chain returns the generations before tail that are still needed: those with events above the checkpoint. Each must be
// whole and end exactly as its successor's link says.
func (d decision) chain(tail wal.Scanned) ([]wal.Segment, error) {
	var before []wal.Segment
	for g := tail; g.Base > d.Ledger.Materialized+1; {
		i := slices.IndexFunc(d.Generations, func(o wal.Scanned) bool { return o.Gen == g.Link.Prev })
		if i < 0 {
			return nil, d.refuse(g.Link.Prev, 0, "the generation with positions %d to %d is missing", d.Ledger.Materialized+1, g.Base-1)
		}
		prev := d.Generations[i]
		if prev.Stop != nil || !prev.Linked {
			return nil, d.refuse(prev.Gen, prev.Valid, "position %d: %v; a later generation proves that it was durable", prev.Next(), prev.Stop)
		}
		if uint64(prev.Size) != g.Link.PrevEnd || prev.Sum != g.Link.PrevSum || prev.Next() != g.Base {
			return nil, d.refuse(prev.Gen, prev.Valid, "the generation ends at position %d and offset %d, where its successor continues from position %d and offset %d",
				prev.Next()-1, prev.Size, g.Base, g.Link.PrevEnd)
		}
		before = append([]wal.Segment{{Gen: prev.Gen, Last: prev.Next() - 1}}, before...)
		g = prev
	}
	return before, nil
}

// finish plans what follows from a sound log.
func (d decision) finish(p *Plan, tail wal.Scanned, before []wal.Segment) {
	p.Live = before
	if d.clean(tail, p.Head) && len(p.Cuts) == 0 {
		p.Outcome = Clean
		p.Live = append(p.Live, wal.Segment{Gen: tail.Gen, Last: p.Head})
		p.Tail = wal.Witness{Gen: tail.Gen, End: tail.Size, Sum: tail.Sum, Head: p.Head}
		p.TailNo = tail.LastNo()
	} else {
		p.Outcome = Recovered
		p.Rewrite = d.rewrite(tail, p.Head)
		p.RaiseEpoch = d.Ledger.Relaxed
	}
	for _, g := range d.Generations {
		if !slices.ContainsFunc(p.Live, func(l wal.Segment) bool { return l.Gen == g.Gen }) {
			p.RemoveGens = append(p.RemoveGens, g.Gen)
		}
	}
}

// clean reports whether the log ends exactly as the clean close recorded.
func (d decision) clean(tail wal.Scanned, head dcb.Position) bool {
	c := d.Ledger.Clean
	return c != nil && tail.Stop == nil && c.Generation == tail.Gen && c.Offset == tail.Size && tail.Room == 0 &&
		c.Sum == sumText(tail.Sum) && c.Head == head
}

func sumText(sum uint64) string { return fmt.Sprintf("%016x", sum) }

func (d decision) rewrite(tail wal.Scanned, head dcb.Position) *Rewrite {
	skip := 0
	for skip < len(tail.Commits) && tail.Commits[skip].Last() <= d.Ledger.Materialized {
		skip++
	}
	r := &Rewrite{From: tail.Gen, Skip: skip, Base: head + 1, Into: d.Generations[len(d.Generations)-1].Gen + 1}
	if skip < len(tail.Commits) {
		r.Base = tail.Commits[skip].First
	}
	r.Link = wal.Link{Checkpoint: d.Ledger.Materialized, Supersedes: tail.Gen, SupersedesFrom: r.Base}
	if r.Base > d.Ledger.Materialized+1 { // what came before is still needed
		r.Link.Prev, r.Link.PrevEnd, r.Link.PrevSum = tail.Link.Prev, tail.Link.PrevEnd, tail.Link.PrevSum
	}
	return r
}

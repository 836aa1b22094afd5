package recovery

import (
	"cmp"
	"errors"
	"maps"
	"path/filepath"
	"slices"

	"opossum/dcb"
	"opossum/ledger"
	"opossum/wal"
)

// judgement is what a survey amounts to.
type judgement struct {
	ledger  ledger.State // as it is; rebuilt if it is damaged or missing
	proven  dcb.Position // the newest checkpoint that is known to have been made
	plan    Plan         // what Open would do, unless
	refusal error        // this is why it would refuse the log
	head    dcb.Position // the last position: of the plan or, without one, the highest that anything vouches for
}

// judge is a pure function.
func (s *survey) judge() judgement {
	j := judgement{ledger: s.ledger, proven: s.ledger.Materialized}
	if s.ledgerErr != nil {
		j.ledger = ledger.State{Store: [16]byte(s.log.id)}
		j.proven = s.checkpoint()
		j.ledger.Materialized = j.proven
		if m, ok := s.settle(j.ledger); ok {
			j.ledger.Materialized = m
		}
	}
	j.plan, j.refusal = s.decide(j.ledger)
	if j.head = j.plan.Head; j.refusal != nil {
		j.head = s.witnessed(j.ledger)
	}
	return j
}

// decide is Decide, and refuses what Open refuses later on: records that do not decode in frames that are intact.
func (s *survey) decide(led ledger.State) (Plan, error) {
	p, err := Decide(s.state(led))
	if err != nil {
		return Plan{}, err
	}
	for _, b := range s.log.broken {
		if b.Last > led.Materialized && s.needs(p, b.file) {
			return Plan{}, &dcb.CorruptError{File: b.file, Offset: b.offset, Reason: b.reason}
		}
	}
	return p, nil
}

// needs reports whether p rests on a generation.
func (s *survey) needs(p Plan, file string) bool {
	is := func(gen uint64) bool { return wal.GenerationPath(s.log.dir, gen) == file }
	return p.Rewrite != nil && is(p.Rewrite.From) || slices.ContainsFunc(p.Live, func(l wal.Segment) bool { return is(l.Gen) })
}

// settle returns the lowest checkpoint, not below the ledger's, with which the log can be gone on from as it is: that, or one
// below a generation that is whole. ok is false if there is none.
func (s *survey) settle(led ledger.State) (m dcb.Position, ok bool) {
	tries := []dcb.Position{led.Materialized}
	for _, g := range s.log.gens {
		if g.Linked && g.Base-1 > led.Materialized {
			tries = append(tries, g.Base-1)
		}
	}
	slices.Sort(tries)
	for _, led.Materialized = range tries {
		if _, err := s.decide(led); err == nil {
			return led.Materialized, true
		}
	}
	return 0, false
}

// checkpoint returns the newest checkpoint that the log knows of.
func (s *survey) checkpoint() (m dcb.Position) {
	for _, g := range s.log.gens {
		if slices.Contains(s.log.live, g.Gen) {
			m = max(m, g.Link.Checkpoint)
		}
	}
	return m
}

// witnessed returns the highest position that was acknowledged, by any witness, and what goes on from there without a gap in
// frames that are intact.
func (s *survey) witnessed(led ledger.State) dcb.Position {
	indexed, _ := s.state(led).Indexed()
	top := max(led.Materialized, s.log.acked.Position, s.newest(), indexed)
	if led.Clean != nil {
		top = max(top, led.Clean.Head)
	}
	whole := s.wholeFrames()
	for _, f := range whole {
		top = max(top, f.Durable)
	}
	slices.SortFunc(whole, func(a, b wal.Frame) int { return cmp.Compare(a.First, b.First) })
	for _, f := range whole {
		if f.Kind == wal.KindCommit && f.Count > 0 && f.First-1 <= top {
			top = max(top, f.Last())
		}
	}
	return top
}

// wholeFrames lists the intact frames of the generations that the log consists of, wherever they stand.
func (s *survey) wholeFrames() []wal.Frame {
	var out []wal.Frame
	scanned := map[uint64]bool{}
	for _, g := range s.log.gens {
		scanned[g.Gen] = true
		if slices.Contains(s.log.live, g.Gen) {
			out = append(append(out, g.Commits...), g.Later...)
			if g.Linked { // everything before was durable before the link was written
				out = append(out, wal.Frame{Kind: wal.KindLink, Durable: g.Base - 1})
			}
		}
	}
	for _, f := range s.found {
		if !scanned[f.Gen] || slices.Contains(s.log.live, f.Gen) {
			out = append(out, f.Frame)
		}
	}
	return out
}

// endKnown reports whether the end of the log can be told: by ACKED, or because the last generation in use is there up to its
// end, if need be in another place. Without either nobody knows what was acknowledged last.
func (s *survey) endKnown() bool {
	if s.log.acked != (wal.Acked{}) {
		return true
	}
	ends := maps.Clone(s.ends)
	for _, g := range s.log.gens {
		switch n := len(g.Later); {
		case g.Linked || n > 0 && g.Later[n-1].End == g.Size:
			ends[g.Gen] = wal.KindCommit
		case g.Header && g.Stop == nil: // built beforehand, and not in use
			ends[g.Gen] = wal.KindHeader
		case ends[g.Gen] == 0:
			ends[g.Gen] = 0 // it was there, and says nothing
		}
	}
	for _, gen := range slices.Backward(slices.Sorted(maps.Keys(ends))) {
		if kind := ends[gen]; kind != wal.KindHeader {
			return kind != 0
		}
	}
	return false
}

// region is a stretch of a generation's file that is not what was written.
type region struct {
	offset int64
	Span   // the positions that stood there; Last 0: not known
}

// regions returns what is damaged in g. Frames behind the damage whose positions were passed already are copies in the data of
// events, and no landmarks.
func regions(g wal.Scanned) []region {
	if g.Stop == nil {
		return nil
	}
	var out []region
	at, next, sum := g.Valid, g.Next(), g.Sum
	for _, f := range g.Later {
		if f.Kind != wal.KindCommit || f.First < next {
			continue
		}
		if f.Prev != sum || len(out) == 0 {
			out = append(out, region{at, Span{next, f.First - 1}})
		}
		at, next, sum = f.End, f.Last()+1, f.Sum
	}
	if at < g.Size || len(out) == 0 {
		out = append(out, region{at, Span{next, 0}})
	}
	return out
}

// refusedAt returns the place of a refusal.
func refusedAt(err error) (file string, offset int64, reason string) {
	if ce := (*dcb.CorruptError)(nil); errors.As(err, &ce) {
		return ce.File, ce.Offset, ce.Reason
	}
	return "", 0, err.Error()
}

func (s *survey) ledgerPath() string { return filepath.Join(s.dir, ledger.FileName) }

package recovery

import (
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/google/uuid"

	"opossum/dcb"
	"opossum/internal/pack"
	"opossum/ledger"
	"opossum/wal"
)

// LostType is the type of the events that stand for lost ones.
const LostType = "opossum.lost"

// maxLost bounds how many events a repair replaces: beyond it, more likely one foreign file claims a place far behind the end.
const maxLost = 1 << 24

// Loss is a range of positions whose events are intact nowhere.
type Loss struct {
	Span
	// Cut: nothing follows them, and the store ends before them. Else each is replaced by an event of LostType, so that no position changes.
	Cut bool `json:"cut"`
	// Unknown: the end of the log is gone together with ACKED. What may have been acknowledged from First on, nobody knows; Last is 0.
	Unknown bool `json:"unknown"`
}

func (l Loss) String() string {
	switch {
	case l.Unknown:
		return fmt.Sprintf("whatever was acknowledged from position %d on: the end of the log is gone, and so is its witness", l.First)
	case l.Cut:
		return fmt.Sprintf("%v: no intact copy anywhere, and nothing behind; the store ends at position %d", l.Span, l.First-1)
	}
	return fmt.Sprintf("%v: no intact copy anywhere; events of type %s take their places", l.Span, LostType)
}

// repairPlan is what a repair will do: a value. The steps are carried out in the order of the fields.
type repairPlan struct {
	keep     []string      // files that are copied to quarantine before they are replaced or removed
	aside    []string      // what stands beyond the end, or in the place of a directory, and is moved there first
	write    spans         // positions whose event files are written, from the best intact copy
	lost     spans         // those of them that have none
	packs    []string      // that are damaged, or not known to be durable, and are moved to quarantine: their events are in files by then
	segments []string      // of the index, that are wrong, and are moved to quarantine
	index    spans         // positions of which segments are built, from event files and packs
	log      uint64        // number of the new generation in which the log goes on, behind head; 0: the log stays as it is
	ledger   *ledger.State // the new ledger
	drop     []uint64      // generations that are then removed
	temps    []string      // temporary files that are removed
	strays   []string      // what stands in the wrong place, and is moved to quarantine
	finish   bool          // a former repair did not finish
	head     dcb.Position  // the last position, afterwards
	losses   []Loss
	refused  bool // there are losses, and no consent: only files that are missing are written
}

func (p repairPlan) empty() bool {
	return len(p.keep)+len(p.aside)+len(p.write)+len(p.packs)+len(p.segments)+len(p.index)+len(p.drop)+len(p.temps)+len(p.strays)+len(p.losses) == 0 &&
		p.ledger == nil && p.log == 0 && !p.finish
}

// planRepair is a pure function. accept is the consent to lose what is lost; id the identity for a store that has lost its own.
//
// The log is never mended: it is gone on from if it can be, from a higher checkpoint if need be, whose events are filed first;
// else all events are filed, and the log begins anew behind them. So there is one way to bring events back, which is to write their files.
func (s *survey) planRepair(j judgement, accept bool, id uuid.UUID, now time.Time) (repairPlan, error) {
	p := repairPlan{head: j.head, finish: s.unfinished}
	if s.unborn {
		return p, nil
	}
	p.losses = s.losses(j)
	for _, l := range p.losses {
		if l.Cut {
			p.head = l.First - 1
		} else if !l.Unknown {
			p.lost = append(p.lost, l.Span)
		}
	}
	if n := p.lost.count(); n > maxLost {
		return p, s.tooMany(n, j)
	}
	upto, logStays := s.newCheckpoint(j, p.head)
	away := s.givenUp(j, upto, p.head)
	staying := s.packs.good.without(spansOf(away))
	filed := union(slices.Concat(s.files.good, staying))
	p.write = union(slices.Concat(filed.gaps(1, min(j.proven, upto)), spanOf(j.proven+1, upto)))
	if len(p.losses) > 0 && !accept {
		p.refused, p.head = true, j.head
		p.write, p.lost = s.restorable(min(j.proven, upto)), nil
		return p, nil
	}
	p.keep = s.replaced(p.write)
	for _, x := range away {
		p.packs = append(p.packs, s.packs.path(x))
	}
	if s.ledgerErr != nil || upto != s.ledger.Materialized || !logStays || len(p.losses) > 0 {
		s.planLedger(&p, j, upto, logStays, id, now)
	}
	s.planIndex(&p, upto)
	s.planLog(&p, logStays)
	s.planTidy(&p, staying)
	return p, nil
}

// givenUp returns the ranges of the packs that cannot stay: damaged ones that hold positions up to the new checkpoint, or beyond the end; those that the
// new checkpoint would rest on, which nobody knows to be durable; and all if the store gets a new identity. Their events are written as files. Other damaged ones
// the next Open removes.
func (s *survey) givenUp(j judgement, upto, head dcb.Position) (out []pack.Range) {
	for _, r := range s.packs.found {
		bad := slices.ContainsFunc(s.packs.bad, func(b badPack) bool { return b.Range == r })
		unproven := r.Last > j.proven && upto > j.proven
		if r.First > head || r.First <= upto && (bad || unproven) || j.ledger.Store == uuid.Nil {
			out = append(out, r)
		}
	}
	return out
}

// losses lists what is intact nowhere, ascending.
func (s *survey) losses(j judgement) []Loss {
	have := slices.Clone(s.filed)
	for _, x := range s.salvaged {
		have = append(have, x.holds...)
	}
	for p := range s.log.records {
		have = append(have, Span{p, p})
	}
	for p := range s.copies {
		have = append(have, Span{p, p})
	}
	out := []Loss{}
	for _, x := range union(have).gaps(1, j.head) {
		out = append(out, Loss{Span: x, Cut: x.Last == j.head})
	}
	if j.refusal != nil && !s.endKnown() {
		out = append(out, Loss{Span: Span{First: j.head + 1}, Unknown: true})
	}
	return out
}

func (s *survey) tooMany(n uint64, j judgement) error {
	return &dcb.CorruptError{
		File:   s.newestFile(),
		Reason: fmt.Sprintf("%d positions up to %d would be lost; if this file is not the store's, move it away", n, j.head),
	}
}

// newCheckpoint returns up to where events are filed after the repair, and whether the log can be gone on from as it is.
func (s *survey) newCheckpoint(j judgement, head dcb.Position) (upto dcb.Position, logStays bool) {
	if head < j.head {
		return head, false
	}
	if m, ok := s.settle(j.ledger); ok {
		return m, true
	}
	return head, false
}

// restorable returns the positions up to m whose files are missing, that are in no pack, and that have an intact copy: what can be written without
// replacing anything, be it the only copy of something else.
func (s *survey) restorable(m dcb.Position) spans {
	present := slices.Clone(s.filed)
	for _, b := range s.files.bad {
		present = append(present, Span{b.p, b.p})
	}
	var out []Span
	for p := range union(present).gaps(1, m).positions() {
		if _, ok := s.source(p); ok {
			out = append(out, Span{p, p})
		}
	}
	return union(out)
}

// replaced lists the damaged files of the positions, which are kept in quarantine.
func (s *survey) replaced(write spans) (keep []string) {
	for _, b := range s.files.bad {
		if write.has(b.p) {
			keep = append(keep, s.files.path(b.p))
		}
	}
	return keep
}

// planIndex plans to have right segments up to the new checkpoint, and none beyond the end.
func (s *survey) planIndex(p *repairPlan, upto dcb.Position) {
	for _, b := range s.index.bad {
		p.segments = append(p.segments, s.index.path(b.Range))
	}
	var right []Span
	for _, r := range s.index.sound() {
		if r.Last > p.head || len(p.lost.within(r.First, r.Last)) > 0 {
			p.segments = append(p.segments, s.index.path(r))
		} else {
			right = append(right, Span{r.First, r.Last})
		}
	}
	p.index = union(right).gaps(1, upto)
}

// planLedger plans the new ledger. A lost epoch is replaced by the time in seconds, which is above all that were counted.
func (s *survey) planLedger(p *repairPlan, j judgement, upto dcb.Position, logStays bool, id uuid.UUID, now time.Time) {
	led := j.ledger
	led.Materialized = upto
	if s.ledgerErr != nil {
		led.Epoch = uint64(now.Unix())
		if !absent(s.ledgerErr) {
			p.keep = append(p.keep, s.ledgerPath())
		}
	} else if len(p.losses) > 0 {
		led.Epoch++
	}
	if led.Store == uuid.Nil {
		led.Store = id
	}
	if !logStays {
		led.Clean, led.Relaxed = nil, false
	}
	p.ledger = &led
}

// planLog plans the new generation, and keeps what is damaged in the old ones. Those that are not needed any more and stay
// behind are removed by the next Open.
func (s *survey) planLog(p *repairPlan, logStays bool) {
	if p.ledger == nil {
		return
	}
	for _, g := range s.log.gens {
		if g.Stop != nil && g.Size > 0 {
			p.keep = append(p.keep, wal.GenerationPath(s.log.dir, g.Gen))
		}
		if !logStays {
			p.drop = append(p.drop, g.Gen)
			p.log = g.Gen
		}
	}
	if !logStays {
		p.log++
	}
}

// planTidy plans to clear away what nothing refers to. packed are the positions whose packs answer for their files.
func (s *survey) planTidy(p *repairPlan, packed spans) {
	p.aside = append(p.aside, s.notDirs...)
	for _, b := range s.files.bad {
		if b.p > p.head || packed.has(b.p) && !p.write.has(b.p) {
			p.aside = append(p.aside, s.files.path(b.p))
		}
	}
	p.temps = slices.Concat(s.files.temps, s.packs.temps)
	if s.ledgerTemp {
		p.temps = append(p.temps, s.ledgerPath()+".tmp")
	}
	p.temps = append(p.temps, s.probes...)
	for _, name := range s.log.temps {
		p.temps = append(p.temps, filepath.Join(s.log.dir, name))
	}
	for _, name := range s.index.leftover {
		p.temps = append(p.temps, filepath.Join(s.index.dir, name))
	}
	for _, x := range slices.Concat(s.files.strays, s.packs.strays, s.log.strays, s.index.strays) {
		p.strays = append(p.strays, x.path)
	}
}

// steps returns the plan in words, a line a step.
func (p repairPlan) steps(dir string) []string {
	out := []string{}
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	name := func(path string) string {
		if rel, err := filepath.Rel(dir, path); err == nil {
			path = rel
		}
		return oneLine(path)
	}
	for _, path := range p.keep {
		say("keep a copy of %s in quarantine", name(path))
	}
	for _, path := range p.aside {
		say("move %s to quarantine", name(path))
	}
	for _, x := range p.write.without(p.lost) {
		say("write the event files of %v from intact copies", x)
	}
	for _, x := range p.lost {
		say("put an event of type %s at %v", LostType, x)
	}
	for _, path := range p.packs {
		say("move the pack %s to quarantine", name(path))
	}
	for _, path := range p.segments {
		say("move the index segment %s to quarantine", name(path))
	}
	for _, x := range p.index {
		say("build the index of %v from event files and packs", x)
	}
	if p.log > 0 {
		say("begin the log anew in generation %d, from position %d on", p.log, p.head+1)
	}
	if led := p.ledger; led != nil {
		say("write %s: checkpoint %d, epoch %d", ledger.FileName, led.Materialized, led.Epoch)
	}
	if len(p.drop) > 0 {
		say("remove %s of the log", counted(len(p.drop), "generation"))
	}
	for _, path := range p.temps {
		say("remove %s, which is temporary or superseded", name(path))
	}
	for _, path := range p.strays {
		say("move %s to quarantine", name(path))
	}
	if p.finish {
		say("finish a repair that was interrupted")
	}
	return out
}

package recovery

import (
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/google/uuid"

	"opossum/dcb"
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
	keep    []string      // files that are copied to quarantine before they are replaced or removed
	aside   []string      // what stands beyond the end, or in the place of a directory, and is moved there first
	write   spans         // positions whose event files are written, from the best intact copy
	lost    spans         // those of them that have none
	ledger  *ledger.State // the new ledger
	log     uint64        // number of the new generation in which the log goes on, behind head; 0: the log stays as it is
	drop    []uint64      // generations that are then removed
	temps   []string      // temporary files that are removed
	strays  []string      // what stands in the wrong place, and is moved to quarantine
	finish  bool          // a former repair did not finish
	head    dcb.Position  // the last position, afterwards
	losses  []Loss
	refused bool // there are losses, and no consent: only files with intact copies are written
}

func (p repairPlan) empty() bool {
	return len(p.keep)+len(p.aside)+len(p.write)+len(p.drop)+len(p.temps)+len(p.strays)+len(p.losses) == 0 &&
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
	p.write = union(slices.Concat(s.files.good.gaps(1, min(j.proven, upto)), between(j.proven+1, upto)))
	if len(p.losses) > 0 && !accept {
		p.refused, p.head = true, j.head
		p.write = s.restorable(p.write, min(j.proven, upto))
		p.lost = nil
		p.keep = s.replaced(p.write)
		return p, nil
	}
	p.keep = s.replaced(p.write)
	if s.ledgerErr != nil || upto != s.ledger.Materialized || !logStays || len(p.losses) > 0 {
		s.planLedger(&p, j, upto, logStays, id, now)
	}
	s.planLog(&p, logStays)
	s.planTidy(&p)
	return p, nil
}

// losses lists what is intact nowhere, ascending.
func (s *survey) losses(j judgement) []Loss {
	have := slices.Clone(s.files.good)
	for p := range s.log.records {
		have = append(have, Span{p, p})
	}
	for p := range s.copies {
		have = append(have, Span{p, p})
	}
	var out []Loss
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
		File:   s.files.path(max(1, s.files.newest())),
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

func between(first, last dcb.Position) spans {
	if first > last {
		return nil
	}
	return spans{{first, last}}
}

// restorable returns the positions of want up to m that have an intact copy.
func (s *survey) restorable(want spans, m dcb.Position) spans {
	var out []Span
	for p := range want.positions() {
		if p > m {
			break
		}
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

// planTidy plans to clear away what nothing refers to.
func (s *survey) planTidy(p *repairPlan) {
	p.aside = append(p.aside, s.notDirs...)
	for _, b := range s.files.bad {
		if b.p > p.head {
			p.aside = append(p.aside, s.files.path(b.p))
		}
	}
	p.temps = slices.Clone(s.files.temps)
	if s.ledgerTemp {
		p.temps = append(p.temps, s.ledgerPath()+".tmp")
	}
	for _, name := range s.log.temps {
		p.temps = append(p.temps, filepath.Join(s.log.dir, name))
	}
	for _, x := range slices.Concat(s.files.strays, s.log.strays) {
		p.strays = append(p.strays, x.path)
	}
}

// steps returns the plan in words, a line a step.
func (p repairPlan) steps(dir string) []string {
	var out []string
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
	if led := p.ledger; led != nil {
		say("write %s: checkpoint %d, epoch %d", ledger.FileName, led.Materialized, led.Epoch)
	}
	if p.log > 0 {
		say("begin the log anew in generation %d, from position %d on", p.log, p.head+1)
	}
	if len(p.drop) > 0 {
		say("remove %d generations of the log", len(p.drop))
	}
	for _, path := range p.temps {
		say("remove the temporary %s", name(path))
	}
	for _, path := range p.strays {
		say("move %s to quarantine", name(path))
	}
	if p.finish {
		say("finish a repair that was interrupted")
	}
	return out
}

// place is where an intact copy of an event is: a record of so many bytes, or the text of a whole file.
type place struct {
	path  string
	off   int64
	bytes uint32 // 0: an event file
}

// source returns the best intact copy of an event. A file counts for less than what the log has in intact frames, and for
// more than what is left of the damaged ones: that may be of an append that was never acknowledged.
func (s *survey) source(p dcb.Position) (place, bool) {
	r, logged := s.log.records[p]
	if logged && r.live {
		return place{r.path, r.off, r.bytes}, true
	}
	if s.files.good.has(p) {
		return place{path: s.files.path(p)}, true
	}
	if logged {
		return place{r.path, r.off, r.bytes}, true
	}
	path, ok := s.copies[p]
	return place{path: path}, ok
}

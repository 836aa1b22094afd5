package recovery

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/google/uuid"

	"opossum/dcb"
	"opossum/wal"
)

// VerifyOptions of Verify; the zero value is the default.
type VerifyOptions struct {
	// Progress is called as the work goes on, never concurrently: done of total units, which are about alike. The total grows
	// while work is found; at the end both are equal.
	Progress func(done, total uint64)
}

// VerifyReport is what Verify found.
type VerifyReport struct {
	Dir          string        `json:"dir"`
	Store        string        `json:"store"` // identity
	Epoch        uint64        `json:"epoch"` // 0 if the ledger is damaged
	Head         dcb.Position  `json:"head"`  // the last position that anything vouches for
	Materialized dcb.Position  `json:"materialized"`
	Files        uint64        `json:"files"`    // intact event files
	Packs        int           `json:"packs"`    // of whole shards, damaged ones included
	Packed       uint64        `json:"packed"`   // events intact in them
	Records      uint64        `json:"records"`  // events intact in the log
	Segments     int           `json:"segments"` // of the index, in use
	Findings     []Finding     `json:"findings"`
	Took         time.Duration `json:"tookNs"`
}

// Sound reports whether everything acknowledged is there, and right. Findings that are harmless do not count.
func (r VerifyReport) Sound() bool {
	return !slices.ContainsFunc(r.Findings, func(f Finding) bool { return !f.Harmless })
}

// String returns the report as one line for people; the findings have their own.
func (r VerifyReport) String() string {
	harmful := 0
	for _, f := range r.Findings {
		if !f.Harmless {
			harmful++
		}
	}
	verdict, verb := "sound", "matter"
	if harmful == 1 {
		verb = "matters"
	}
	if harmful > 0 {
		verdict = fmt.Sprintf("damaged: %s that %s", counted(harmful, "finding"), verb)
	}
	return fmt.Sprintf("%s; head %d, checkpoint %d, %s, %s in %s, %s in the log, %s, %s (%v)", verdict, r.Head, r.Materialized,
		counted(r.Files, "event file"), counted(r.Packed, "event"), counted(r.Packs, "pack"), counted(r.Records, "event"), counted(r.Segments, "index segment"),
		counted(len(r.Findings)-harmful, "harmless finding"), r.Took.Round(time.Millisecond))
}

// counted returns "1 file" or "2 files".
func counted[N ~int | ~uint64](n N, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}

// Verify checks everything in the directory of a store at rest and changes nothing: ledger, log, event files, packs, index, witnesses, names.
// REQUIRES: no owner is running; the caller has seen to that.
//
// The error is what kept it from looking: ctx's, ErrNotStore, ErrVersion, permissions. Damage is in the report.
func Verify(ctx context.Context, dir string, o VerifyOptions) (VerifyReport, error) {
	start := time.Now()
	s, err := gather(ctx, dir, newMeter(o.Progress))
	if err != nil {
		return VerifyReport{}, fmt.Errorf("verify: %w", err)
	}
	j := s.judge()
	r := VerifyReport{
		Dir: dir, Store: uuid.UUID(s.log.id).String(), Epoch: s.ledger.Epoch, Head: j.head, Materialized: j.ledger.Materialized,
		Files: s.files.good.count(), Packs: len(s.packs.found), Packed: s.packs.good.count(), Records: uint64(len(s.log.records)), Segments: len(s.index.found.Ranges), Findings: s.findings(j),
	}
	r.Took = time.Since(start)
	return r, nil
}

// findings is a pure function. It never returns nil: in JSON, nothing is an empty list.
func (s *survey) findings(j judgement) []Finding {
	if s.unborn {
		return append([]Finding{{
			Kind: Missing, File: s.ledgerPath(), Detail: "creating the store did not finish; there is no event, and Open begins anew", Harmless: true,
		}}, s.nameFindings()...)
	}
	return append([]Finding{}, slices.Concat(s.ledgerFindings(), s.logFindings(j), s.fileFindings(j), s.packFindings(j), s.indexFindings(j), s.nameFindings())...)
}

func (s *survey) ledgerFindings() []Finding {
	switch {
	case s.ledgerErr == nil:
		return nil
	case absent(s.ledgerErr):
		return []Finding{{Kind: Missing, File: s.ledgerPath(), Detail: "the ledger is missing beside existing events"}}
	}
	_, offset, reason := refusedAt(s.ledgerErr)
	return []Finding{{Kind: Altered, File: s.ledgerPath(), Offset: offset, Detail: reason}}
}

func (s *survey) logFindings(j judgement) []Finding {
	var out []Finding
	for _, g := range s.log.gens {
		out = append(out, s.generationFindings(g, j)...)
	}
	for _, b := range s.log.broken {
		f := Finding{Kind: Altered, File: b.file, Offset: b.offset, First: b.First, Last: b.Last, Detail: b.reason}
		if j.refusal == nil || b.Last <= j.ledger.Materialized {
			f.Harmless, f.Detail = true, f.Detail+"; nothing in it is needed any more"
		}
		out = append(out, f)
	}
	if j.refusal != nil {
		file, offset, reason := refusedAt(j.refusal)
		if !slices.ContainsFunc(out, func(f Finding) bool { return !f.Harmless && f.File == file && f.Offset == offset }) {
			f := Finding{Kind: Missing, File: file, Offset: offset, Detail: reason}
			if gaps := s.inLog().gaps(j.ledger.Materialized+1, j.head); len(gaps) > 0 {
				f.First, f.Last = gaps[0].First, gaps[0].Last
			}
			out = append(out, f)
		}
	}
	if s.log.mute != "" && j.head > 0 {
		out = append(out, Finding{Kind: Altered, File: wal.AckedPath(s.log.dir), Detail: "the witness says nothing: " + s.log.mute, Harmless: true})
	}
	for _, name := range s.log.temps {
		out = append(out, Finding{Kind: Leftover, File: filepath.Join(s.log.dir, name), Detail: "a log generation that was being built or removed", Harmless: true})
	}
	return append(out, s.strayFindings(s.log.strays)...)
}

// inLog returns the positions whose events the log holds.
func (s *survey) inLog() spans {
	var out []Span
	for p, r := range s.log.records {
		if r.live {
			out = append(out, Span{p, p})
		}
	}
	return union(out)
}

// generationFindings judges each stretch of damage in a generation: only what stood above the checkpoint is missed.
func (s *survey) generationFindings(g wal.Scanned, j judgement) []Finding {
	var out []Finding
	file := wal.GenerationPath(s.log.dir, g.Gen)
	torn := slices.ContainsFunc(j.plan.Cuts, func(c Cut) bool { return c.Gen == g.Gen })
	for _, r := range regions(g) {
		f := Finding{Kind: Altered, File: file, Offset: r.offset, First: r.First, Last: r.Last, Detail: g.Stop.Error()}
		switch {
		case torn:
			f = Finding{Kind: Torn, File: file, Offset: r.offset, Detail: g.Stop.Error() + "; nothing proves that it was acknowledged, and the next Open cuts it off", Harmless: true}
		case j.refusal == nil || !slices.Contains(s.log.live, g.Gen) || r.Last > 0 && r.Last <= j.ledger.Materialized:
			f.Harmless, f.Detail = true, f.Detail+"; nothing in it is needed any more"
		case r.First > 0 && r.Last == 0:
			f.Last = max(r.First, j.head)
		}
		if f.Last == 0 {
			f.First = 0
		}
		out = append(out, f)
	}
	return out
}

func (s *survey) fileFindings(j judgement) []Finding {
	m := j.ledger.Materialized
	var out []Finding
	present := slices.Clone(s.filed)
	for _, b := range s.files.bad {
		f := Finding{Kind: Altered, File: s.files.path(b.p), Offset: b.offset, First: b.p, Last: b.p, Detail: b.reason}
		if b.holds != 0 && b.holds != b.p {
			f.Kind, f.Detail = Misplaced, fmt.Sprintf("the file holds event %d", b.holds)
		}
		switch {
		case b.p > j.head:
			f.Kind, f.Harmless, f.Detail = Leftover, true, f.Detail+"; the position is beyond the last one"
		case s.packs.good.has(b.p):
			f.Harmless, f.Detail = true, f.Detail+"; its pack has the event, and answers in its place"
		case b.p > m:
			f.Harmless, f.Detail = true, f.Detail+"; it is above the checkpoint and will be written again"
		}
		out = append(out, f)
		present = append(present, Span{b.p, b.p})
	}
	for _, b := range s.packs.bad { // which have findings of their own
		for _, d := range b.damage {
			present = append(present, d.Span)
		}
	}
	for _, x := range union(present).gaps(1, m) {
		out = append(out, Finding{Kind: Missing, File: s.files.path(x.First), First: x.First, Last: x.Last, Detail: "no event file, and no pack"})
	}
	for _, path := range s.files.temps {
		out = append(out, Finding{Kind: Leftover, File: path, Detail: "a temporary file", Harmless: true})
	}
	return append(out, s.strayFindings(s.files.strays)...)
}

// packFindings judges each stretch of damage in a pack: reads that meet it look for an event file.
func (s *survey) packFindings(j judgement) []Finding {
	m := j.ledger.Materialized
	var out []Finding
	for _, b := range s.packs.bad {
		for _, d := range b.damage {
			f := Finding{Kind: Altered, File: s.packs.path(b.Range), Offset: d.offset, First: d.First, Last: d.Last, Detail: d.reason}
			if len(b.others) > 0 {
				f.Kind, f.Detail = Misplaced, fmt.Sprintf("the file holds events of %v; %s", Span{b.others[0].First, b.others.last()}, d.reason)
			}
			switch {
			case d.First > j.head:
				f.Kind, f.Harmless, f.Detail = Leftover, true, f.Detail+"; the positions are beyond the last one"
			case len(spanOf(d.First, min(d.Last, m)).without(s.files.good)) > 0:
			case d.First > m:
				f.Harmless, f.Detail = true, f.Detail+"; it is above the checkpoint and will be written again"
			default:
				f.Harmless, f.Detail = true, f.Detail+"; what it lacks is intact in event files"
			}
			out = append(out, f)
		}
	}
	for _, path := range s.packs.temps {
		out = append(out, Finding{Kind: Leftover, File: path, Detail: "a pack that was being written", Harmless: true})
	}
	return append(out, s.strayFindings(s.packs.strays)...)
}

// indexFindings judges the segments. Above the checkpoint the log can answer in their place.
func (s *survey) indexFindings(j judgement) []Finding {
	var out []Finding
	var covered []Span
	for _, r := range s.index.found.Ranges {
		covered = append(covered, Span{r.First, r.Last})
	}
	for _, b := range s.index.bad {
		covered = append(covered, Span{b.First, b.Last})
		out = append(out, Finding{Kind: Altered, File: s.index.path(b.Range), Offset: b.offset, First: b.First, Last: b.Last, Detail: b.reason})
	}
	for _, x := range union(covered).gaps(1, j.ledger.Materialized) {
		out = append(out, Finding{Kind: Missing, File: s.index.dir, First: x.First, Last: x.Last, Detail: "no index segment"})
	}
	for _, name := range s.index.leftover {
		out = append(out, Finding{Kind: Leftover, File: filepath.Join(s.index.dir, name), Detail: "an index segment that is superseded, or was being built", Harmless: true})
	}
	return append(out, s.strayFindings(s.index.strays)...)
}

// strayFindings judges what stands where it does not belong. It does no harm there; where an event is missed, that is a finding of
// its own.
func (s *survey) strayFindings(strays []stray) []Finding {
	var out []Finding
	for _, x := range strays {
		f := Finding{Kind: Leftover, File: x.path, Detail: "not a name of the store's", Harmless: !x.harmful}
		if x.harmful {
			f.Detail = "a foreign file that the log's library would take for its own"
		}
		if len(x.holds) > 0 {
			at, detail := x.holds, [2]string{"a copy of an event that is intact in its place", "copies of events that are intact in their places"}
			f.Kind = Doubled
			if lost := x.holds.without(s.filed); len(lost) > 0 {
				f.Kind, at, detail = Misplaced, lost, [2]string{"an event whose own file is not intact", "events that are not intact in their own places"}
			}
			f.First, f.Last, f.Detail = at[0].First, at[0].Last, detail[min(1, at.count()-1)]
		}
		out = append(out, f)
	}
	return out
}

func (s *survey) nameFindings() []Finding {
	var out []Finding
	for _, path := range s.notDirs {
		out = append(out, Finding{Kind: Altered, File: path, Detail: "not a directory"})
	}
	for _, name := range s.foreign {
		out = append(out, Finding{Kind: Leftover, File: filepath.Join(s.dir, name), Detail: "not a name of the store's", Harmless: true})
	}
	if s.ledgerTemp {
		out = append(out, Finding{Kind: Leftover, File: s.ledgerPath() + ".tmp", Detail: "a ledger that was being written", Harmless: true})
	}
	for _, path := range s.probes {
		out = append(out, Finding{Kind: Leftover, File: path, Detail: "a measurement of the disk that did not finish", Harmless: true})
	}
	if s.unfinished {
		out = append(out, Finding{Kind: Leftover, File: filepath.Join(s.dir, QuarantineDir, unfinishedDir), Detail: "a repair that did not finish: repair again"})
	}
	return out
}

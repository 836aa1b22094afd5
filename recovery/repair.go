package recovery

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"syscall"
	"time"

	"github.com/google/uuid"

	"opossum/dcb"
	"opossum/internal/codec"
	"opossum/internal/eventfile"
	"opossum/internal/index"
	"opossum/internal/segment"
	"opossum/internal/step"
	"opossum/ledger"
	"opossum/wal"
)

// RepairOptions of Repair; the zero value is the default.
type RepairOptions struct {
	// DryRun: only say what would be done. Losses are no error then.
	DryRun bool
	// AcceptLoss consents to lose the events that are intact nowhere. See Loss for what becomes of their positions.
	AcceptLoss bool
	// Progress is as in VerifyOptions.
	Progress func(done, total uint64)
}

// RepairReport says what Repair found, and did or would do.
type RepairReport struct {
	Dir        string        `json:"dir"`
	Findings   []Finding     `json:"findings"` // before the repair
	Steps      []string      `json:"steps"`    // of the plan, in order; none: there is nothing to do
	Lost       []Loss        `json:"lost"`     // ascending
	Done       bool          `json:"done"`     // the whole plan was carried out
	Head       dcb.Position  `json:"head"`     // the last position, afterwards
	Quarantine string        `json:"quarantine,omitempty"`
	Took       time.Duration `json:"tookNs"`
}

// Repair brings the store in dir back into a state that verifies, if that can be done without losing anything that is still intact
// somewhere, or if the loss is consented to. The store is then as after a clean close, or as the next Open can take it over.
//
//   - An event is intact in its file, in its pack, in the log, in what is left of a damaged pack or part of the log, in a generation that was not removed
//     yet, or in a file that stands in the wrong place. Files that are damaged or missing are written again from there.
//   - A damaged pack is never mended: its events become files.
//   - A log that cannot be gone on from is never mended: its events are filed, and it begins anew behind them.
//   - What is replaced or removed is kept in quarantine/, with the exception of temporary files.
//
// Every step is durable before the next, and a repair that was interrupted is taken up by the next one. (An interrupted repair with losses may
// raise the epoch once more than an uninterrupted one.)
//
// With losses and without consent, only files up to the checkpoint that are missing and whose events are intact elsewhere are written: nothing
// is replaced or moved. The error then Is ErrCorrupt, and the report names the positions. Other errors: ctx's, between steps; ErrDiskFull, with the
// originals untouched; ErrNotStore; ErrVersion; those of the file system. The report is valid beside an error, as far as it goes.
//
// REQUIRES: no owner is running; the caller has seen to that.
func Repair(ctx context.Context, dir string, o RepairOptions) (RepairReport, error) {
	return newRepairer(dir, o).run(ctx)
}

// repairer carries out one repair.
type repairer struct {
	dir  string
	o    RepairOptions
	m    *meter
	now  time.Time
	step func(what string) error // called before each step; tests make it fail

	s      *survey
	plan   repairPlan
	q      quarantine
	known  map[dcb.Position]dcb.Event // type and tags of lost events, from the index
	report RepairReport
}

func newRepairer(dir string, o RepairOptions) *repairer {
	return &repairer{dir: dir, o: o, m: newMeter(o.Progress), q: newQuarantine(dir), now: time.Now(), step: func(string) error { return nil }}
}

func (r *repairer) run(ctx context.Context) (RepairReport, error) {
	r.report.Dir = r.dir
	err := r.repair(ctx)
	if err != nil {
		err = fmt.Errorf("repair: %w", full(err))
	}
	r.report.Took = time.Since(r.now)
	return r.report, err
}

// full marks errors for want of space.
func full(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w", dcb.ErrDiskFull, err)
	}
	return err
}

func (r *repairer) repair(ctx context.Context) (err error) {
	if r.s, err = gather(ctx, r.dir, r.m); err != nil {
		return err
	}
	id, err := uuid.NewRandom()
	if err != nil {
		return err
	}
	j := r.s.judge()
	r.report.Findings = r.s.findings(j)
	if r.plan, err = r.s.planRepair(j, r.o.AcceptLoss, id, r.now); err != nil {
		return err
	}
	if r.known, err = r.s.index.termsOf(ctx, r.plan.lost); err != nil {
		return err
	}
	r.report.Steps, r.report.Lost, r.report.Head = r.plan.steps(r.dir), r.plan.losses, r.plan.head
	if r.o.DryRun {
		return nil
	}
	if !r.plan.empty() {
		if err := r.apply(ctx); err != nil {
			return err
		}
	}
	if r.plan.refused {
		return r.refusal()
	}
	r.report.Done = true
	return nil
}

// refusal is the error for losses without consent.
func (r *repairer) refusal() error {
	const most = 3 // the report has all
	reason := "acknowledged events would be lost, which needs consent"
	for i, l := range r.plan.losses {
		if i == most {
			reason += fmt.Sprintf("; and %d more ranges", len(r.plan.losses)-most)
			break
		}
		reason += "; " + l.String()
	}
	return &dcb.CorruptError{File: r.s.home(r.plan.losses[0].First), Reason: reason}
}

// apply carries out the plan.
func (r *repairer) apply(ctx context.Context) error {
	for _, step := range []struct {
		what string
		do   func(context.Context) error
	}{
		{"quarantine", r.quarantine},
		{"epoch", r.raiseEpoch},
		{"event files", r.write},
		{"packs", r.removePacks},
		{"index", r.mendIndex},
		{"log", r.newLog},
		{"ledger", r.writeLedger},
		{"tidy", r.tidy},
		{"end", r.end},
	} {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := r.step(step.what); err != nil {
			return err
		}
		if err := step.do(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (r *repairer) quarantine(ctx context.Context) error {
	if err := each(ctx, r.plan.keep, r.q.keep); err != nil {
		return err
	}
	return each(ctx, r.plan.aside, r.q.move)
}

// each calls do for each path until it fails or ctx ends.
func each(ctx context.Context, paths []string, do func(path string) error) error {
	for _, path := range paths {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := do(path); err != nil {
			return err
		}
	}
	return nil
}

// raiseEpoch comes before the first loss is carried out: afterwards, a repair that was interrupted would not know of it any more.
func (r *repairer) raiseEpoch(context.Context) error {
	if r.plan.refused || len(r.plan.losses) == 0 || r.s.ledgerErr != nil {
		return nil
	}
	led := r.s.ledger
	led.Epoch = r.plan.ledger.Epoch
	return ledger.Store(r.dir, led)
}

// write writes event files. They are durable when it returns, and so are those of a repair that was interrupted: the steps that follow rest on them.
func (r *repairer) write(ctx context.Context) (err error) {
	if len(r.plan.write)+len(r.plan.packs) == 0 && r.plan.ledger == nil {
		return nil
	}
	files, err := eventfile.Open(filepath.Join(r.dir, EventsDir))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, files.Close()) }()
	r.m.move(0, r.plan.write.count())
	from := bodies{s: r.s, moved: r.q.kept} // by now a file may be that of another event
	defer from.close()
	var text []byte
	for p := range r.plan.write.positions() {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := r.step(fmt.Sprintf("event file %d", p)); err != nil {
			return err
		}
		e, err := r.event(&from, p)
		if err != nil {
			return err
		}
		text = codec.AppendText(text[:0], dcb.SequencedEvent{Position: p, Event: e})
		if err := files.Write(p, text); err != nil {
			return err
		}
		r.m.move(1, 0)
	}
	return files.Sync()
}

// event reads the best intact copy of the event at p again, or makes up the one that stands for a lost event.
func (r *repairer) event(from *bodies, p dcb.Position) (dcb.Event, error) {
	if r.plan.lost.has(p) {
		return r.tombstone(p), nil
	}
	return from.event(p)
}

// tombstone stands for the lost event at p. It has the tags that the index still knows, so that conditions on them still see it.
func (r *repairer) tombstone(p dcb.Position) dcb.Event {
	was := r.known[p]
	e := dcb.Event{Type: LostType, Tags: was.Tags, Time: r.now.UTC(), Metadata: map[string]string{
		"reason": "the event at this position was intact nowhere; a repair put this one in its place, with consent",
	}}
	if was.Type != "" {
		e.Metadata["type"] = was.Type
	}
	return e
}

// removePacks moves packs away whose events are in files by now.
func (r *repairer) removePacks(ctx context.Context) error { return each(ctx, r.plan.packs, r.q.move) }

// mendIndex takes away the segments that are wrong, and builds what is missing up to the coming checkpoint, all of whose events
// are filed by now. Lost events have theirs by now as well, so that what the index knew of them is not needed any more.
func (r *repairer) mendIndex(ctx context.Context) (err error) {
	if err := each(ctx, r.plan.segments, r.q.move); err != nil || len(r.plan.index) == 0 {
		return err
	}
	id := r.s.log.id
	if r.plan.ledger != nil {
		id = wal.StoreID(r.plan.ledger.Store)
	}
	files, err := openFiled(r.dir, id)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, files.Close()) }()
	r.m.move(0, r.plan.index.count())
	for _, x := range r.plan.index {
		if _, err := index.Build(ctx, r.s.index.dir, id.Seed(), segment.Range{First: x.First, Last: x.Last}, fetchFiled(files, r.m)); err != nil {
			return err
		}
	}
	return nil
}

// newLog begins the log anew, behind events that are all filed. Until the ledger says so, Open refuses a log that begins there.
func (r *repairer) newLog(context.Context) error {
	if r.plan.log == 0 {
		return nil
	}
	dir := r.s.log.dir
	if err := mkdirDurably(dir, r.dir); err != nil {
		return err
	}
	head, id := r.plan.head, wal.StoreID(r.plan.ledger.Store)
	built, err := wal.BuildGeneration(dir, id, r.plan.log, r.now, &wal.Link{Checkpoint: head}, head+1, nil)
	if err != nil {
		return err
	}
	if err := r.step("witnesses"); err != nil {
		return err
	}
	if err := wal.WriteAcked(dir, id, wal.Acked{Gen: built.Gen, Offset: uint64(built.End), Position: head}); err != nil {
		return err
	}
	r.plan.ledger.Clean = EndOf(wal.Witness{Gen: built.Gen, End: built.End, Sum: built.Sum, Head: head})
	return nil
}

func (r *repairer) writeLedger(context.Context) error {
	if r.plan.ledger == nil {
		return nil
	}
	return ledger.Store(r.dir, *r.plan.ledger)
}

// tidy removes what nothing refers to any more.
func (r *repairer) tidy(ctx context.Context) error {
	for _, gen := range r.plan.drop {
		if err := wal.RemoveGeneration(r.s.log.dir, gen); err != nil {
			return err
		}
	}
	if err := each(ctx, r.plan.temps, step.RemoveAll); err != nil {
		return err
	}
	if len(r.plan.drop) > 0 { // what was given up must not come back
		if err := step.SyncDir(r.s.log.dir); err != nil {
			return err
		}
	}
	return each(ctx, r.plan.strays, r.q.move)
}

func (r *repairer) end(context.Context) (err error) {
	r.report.Quarantine, err = r.q.finish(r.now)
	return err
}

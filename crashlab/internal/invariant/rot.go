package invariant

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"opossum"
	"opossum/internal/workload"
)

// Injury is a store at rest of which one file was damaged. REQUIRES: everything in it was acknowledged, and the witness knows it.
type Injury struct {
	Dir     string
	Shape   Shape
	Witness *workload.Witness
	File    string // that was damaged, relative to Dir
	Seed    uint64 // of the random queries and conditions
	Repair  bool   // repair it instead of opening it
}

// Outcomes of looking at a damaged store.
const (
	Named      = "named"      // verify names the damage
	Harmless   = "harmless"   // verify says that nothing depends on it, or sees nothing
	Refused    = "refused"    // with an error that says why
	Unreadable = "unreadable" // it opens, and reads end with such an error
	Unaffected = "unaffected" // every answer is as it was
	Repaired   = "repaired"   // everything is there again
	Lossy      = "lossy"      // the repair asks for consent to lose events
)

// Diagnosis is what came of a damaged store.
type Diagnosis struct {
	Verify string // Named, Harmless, or Refused
	Read   string // by an engine that does not own it: Refused, Unreadable, or Unaffected
	End    string // of opening: the same; of repairing: Repaired, Lossy, or Refused
	Acked  int    // acknowledged appends that were looked for
	Why    string // what verify and the rest said
}

func (d *Diagnosis) because(what string, err error) {
	d.Why += fmt.Sprintf("%s: %v; ", what, err)
}

// Examine looks at a damaged store in every way there is, and returns an error that names the first thing that must not be. What must be:
//
//   - verify names the damage, or it is of no consequence: then every answer is as it was;
//   - whatever is read is what was appended, in its place and without a gap, and what cannot be read is an error that says where the damage is;
//   - no condition is passed wrongly;
//   - looking changes nothing, opening and repairing lose nothing that was readable before.
func Examine(ctx context.Context, in Injury) (d Diagnosis, err error) {
	x := examiner{Injury: in, r: rand.New(rand.NewPCG(in.Seed, 0)), d: &d}
	if x.want, err = x.Witness.All(); err != nil {
		return d, err
	}
	d.Acked = len(in.Witness.Acked)
	before, err := tree(in.Dir)
	if err != nil {
		return d, err
	}
	if err := x.verify(ctx); err != nil {
		return d, fmt.Errorf("verify: %w", err)
	}
	if d.Read, err = x.readOnly(ctx); err != nil {
		return d, fmt.Errorf("read-only: %w", err)
	}
	if _, err := opossum.Repair(ctx, in.Dir, &opossum.RepairOptions{DryRun: true}); err != nil && !x.named(err) {
		return d, fmt.Errorf("a dry run of repair: %w", err)
	}
	after, err := tree(in.Dir)
	if err != nil {
		return d, err
	}
	if !maps.Equal(before, after) {
		return d, errors.New("looking at the store has changed it")
	}
	if in.Repair {
		err = x.repair(ctx)
	} else {
		err = x.own(ctx)
	}
	return d, err
}

type examiner struct {
	Injury
	want   []opossum.SequencedEvent
	r      *rand.Rand
	d      *Diagnosis
	strict bool // verify says that nothing depends on the damage, or it was repaired: no answer may be an error
}

// named reports whether an error is one that damage may cause.
func (x *examiner) named(err error) bool {
	var at *opossum.CorruptError
	if errors.Is(err, opossum.ErrCorrupt) {
		return errors.As(err, &at) && strings.HasPrefix(at.File, x.Dir) && at.Reason != "" && at.Offset >= 0
	}
	return errors.Is(err, opossum.ErrVersion)
}

// excused returns nil if err may be the answer: the damage is named, and verify has not said that it matters to nobody.
func (x *examiner) excused(err error) error {
	if !x.named(err) {
		return fmt.Errorf("an error that does not name the damage: %w", err)
	}
	if x.strict {
		return fmt.Errorf("verify says that nothing depends on the damage: %w", err)
	}
	return nil
}

func (x *examiner) verify(ctx context.Context) error {
	report, err := opossum.Verify(ctx, x.Dir, nil)
	if err != nil {
		x.d.Verify = Refused
		x.d.because("verify", err)
		if !x.named(err) {
			return fmt.Errorf("an error that does not name the damage: %w", err)
		}
		return nil
	}
	for _, f := range report.Findings {
		x.d.because("verify", errors.New(f.String()))
	}
	if report.Sound() {
		x.d.Verify, x.strict = Harmless, true
		return nil
	}
	x.d.Verify = Named
	if !slices.ContainsFunc(report.Findings, func(f opossum.Finding) bool { return !f.Harmless && x.names(f) }) {
		return fmt.Errorf("it does not name %s: %v", x.File, report.Findings)
	}
	return nil
}

// names reports whether a finding leads to the damaged file. What is missing is named by positions, or by what refers to it, a pack by the event
// files that are not there either; an old ledger is named by the log that has gone on without it.
func (x *examiner) names(f opossum.Finding) bool {
	if f.File == filepath.Join(x.Dir, x.File) {
		return true
	}
	room, _, _ := strings.Cut(x.File, string(filepath.Separator))
	return strings.HasPrefix(f.File, filepath.Join(x.Dir, room)) || room == "packs" && strings.HasPrefix(f.File, filepath.Join(x.Dir, "events")) ||
		room == "ledger.json" && strings.HasPrefix(f.File, filepath.Join(x.Dir, "wal"))
}

// readOnly looks at the store as somebody who does not own it.
func (x *examiner) readOnly(ctx context.Context) (string, error) {
	e, err := opossum.Open(x.Dir, &opossum.Options{ReadOnly: true})
	if err != nil {
		x.d.because("read-only", err)
		return Refused, x.excused(err)
	}
	found, err := x.answers(ctx, e)
	return found, errors.Join(err, e.Close())
}

// answers asks for everything and for something, forwards and backwards.
func (x *examiner) answers(ctx context.Context, e *opossum.Engine) (string, error) {
	found := Unaffected
	ask := func(q opossum.Query, o opossum.ReadOptions) error {
		got, err := readSome(ctx, e, q, o)
		want := scan(x.want, q, o)
		if err != nil {
			if err := x.excused(err); err != nil {
				return err
			}
			found = Unreadable
			x.d.because("read", err)
			want = want[:min(len(got), len(want))]
		}
		if len(got) != len(want) {
			return fmt.Errorf("query %v with %+v: %d events and no error, where there are %d", q.Items(), o, len(got), len(want))
		}
		for i := range want {
			if !reflect.DeepEqual(want[i], got[i]) {
				return fmt.Errorf("query %v with %+v: position %d is %.500q, and was %.500q", q.Items(), o, got[i].Position, fmt.Sprint(got[i]), fmt.Sprint(want[i]))
			}
		}
		return nil
	}
	if err := ask(opossum.AllEvents(), opossum.ReadOptions{}); err != nil {
		return found, err
	}
	if err := ask(opossum.AllEvents(), opossum.ReadOptions{Backwards: true, Limit: 30}); err != nil {
		return found, err
	}
	for _, q := range x.terms() {
		if err := ask(q, opossum.ReadOptions{Backwards: x.r.IntN(2) == 0}); err != nil {
			return found, err
		}
	}
	return found, nil
}

// terms ask for every type and every key, so that no list of the index is left out, and for some of the appends.
func (x *examiner) terms() (out []opossum.Query) {
	for n := range workload.Types + 1 {
		out = append(out, opossum.ByTypes(fmt.Sprintf("T%d", n)))
	}
	for n := range workload.Keys + 1 {
		out = append(out, opossum.ByTags(opossum.Tag(fmt.Sprintf("k:%d", n))))
	}
	for range 10 {
		id, _, _ := workload.Origin(x.want[x.r.IntN(len(x.want))].Event.ID)
		out = append(out, workload.Unique(id))
	}
	return out
}

// own opens the damaged store, uses it, closes it, and looks what is left.
func (x *examiner) own(ctx context.Context) error {
	opts := x.Shape.Options
	e, err := opossum.Open(x.Dir, &opts)
	if err != nil {
		x.d.End = Refused
		x.d.because("open", err)
		return x.excused(err)
	}
	defer func() { _ = e.Close() }()
	if x.d.End, err = x.answers(ctx, e); err != nil {
		return fmt.Errorf("after opening: %w", err)
	}
	if err := x.conditions(ctx, e); err != nil {
		return err
	}
	if x.strict {
		if err := e.WaitMaterialized(ctx, e.Head()); err != nil {
			return err
		}
	}
	if err := e.Close(); err != nil && x.excused(err) != nil {
		return fmt.Errorf("close: %w", err)
	}
	if _, err := x.readOnly(ctx); err != nil {
		return fmt.Errorf("after opening and closing, read-only: %w", err)
	}
	if x.strict {
		return x.sound(ctx)
	}
	return nil
}

// conditions: whatever is damaged, what was appended is not appended again; and what is appended now is there afterwards.
func (x *examiner) conditions(ctx context.Context, e *opossum.Engine) error {
	for range 4 {
		ev := x.want[x.r.IntN(len(x.want))]
		id, index, count := workload.Origin(ev.Event.ID)
		first := ev.Position - opossum.Position(index)
		last := first + opossum.Position(count) - 1
		other := []opossum.Event{{Type: "other", Tags: ev.Event.Tags}}
		_, err := e.Append(ctx, other, &opossum.Condition{FailIfExists: workload.Unique(id)})
		if wrong := refused(err, opossum.ErrAlreadyExists, first); wrong != nil && (err == nil || x.excused(err) != nil) {
			return fmt.Errorf("append %d is at %d to %d: %w", id, first, last, wrong)
		}
		_, err = e.Append(ctx, other, &opossum.Condition{FailIfMatch: workload.Unique(id), After: last - 1})
		if wrong := refused(err, opossum.ErrConditionFailed, last); wrong != nil && (err == nil || x.excused(err) != nil) {
			return fmt.Errorf("append %d is at %d to %d: %w", id, first, last, wrong)
		}
	}
	const another = 1 << 30
	p, err := e.Append(ctx, workload.Events(another), &opossum.Condition{FailIfExists: workload.Unique(another)})
	if err != nil {
		if err := x.excused(err); err != nil {
			return fmt.Errorf("an append with a condition that holds: %w", err)
		}
		return nil
	}
	x.want = x.want[:len(x.want):len(x.want)]
	for _, ev := range workload.Events(another) {
		x.want = append(x.want, opossum.SequencedEvent{Position: opossum.Position(len(x.want) + 1), Event: ev})
	}
	if int(p) != len(x.want) {
		return fmt.Errorf("an append ended at position %d, not %d", p, len(x.want))
	}
	return nil
}

// sound: nothing matters to verify, and everything is there.
func (x *examiner) sound(ctx context.Context) error {
	report, err := opossum.Verify(ctx, x.Dir, nil)
	if err != nil {
		return fmt.Errorf("verify at the end: %w", err)
	}
	if !report.Sound() {
		return fmt.Errorf("verify at the end: %v", report.Findings)
	}
	x.strict = true
	if found, err := x.readOnly(ctx); err != nil || found != Unaffected {
		return fmt.Errorf("at the end: %s, %w", found, err)
	}
	return nil
}

// repair mends the store: without consent either everything is there again, or nothing is lost that was there; with consent
// everything is there but what it says.
func (x *examiner) repair(ctx context.Context) error {
	report, err := opossum.Repair(ctx, x.Dir, nil)
	switch {
	case err == nil:
		x.d.End = Repaired
		return x.sound(ctx)
	case !x.named(err):
		return fmt.Errorf("repair: %w", err)
	}
	x.d.because("repair", err)
	if x.strict {
		return fmt.Errorf("what verify calls sound is refused by repair: %w", err)
	}
	if len(report.Lost) == 0 && !errors.Is(err, opossum.ErrCorrupt) {
		x.d.End = Refused
		return nil
	}
	x.d.End = Lossy
	if _, err := x.readOnly(ctx); err != nil {
		return fmt.Errorf("after a repair that was refused, read-only: %w", err)
	}
	report, err = opossum.Repair(ctx, x.Dir, &opossum.RepairOptions{AcceptLoss: true})
	if err != nil {
		return fmt.Errorf("repair with consent: %w", err)
	}
	return x.lost(ctx, report)
}

// lostType marks the place of an event that a repair has given up.
const lostType = "opossum.lost"

// lost: everything is there but what the report says, and that is marked.
func (x *examiner) lost(ctx context.Context, report opossum.RepairReport) error {
	gone := map[opossum.Position]bool{}
	for _, l := range report.Lost {
		for p := l.First; p <= l.Last; p++ {
			gone[p] = true
		}
	}
	opts := x.Shape.Options
	e, err := opossum.Open(x.Dir, &opts)
	if err != nil {
		return fmt.Errorf("open after a repair with consent: %w", err)
	}
	defer func() { _ = e.Close() }()
	got, err := readAll(ctx, e, opossum.AllEvents(), opossum.ReadOptions{})
	if err != nil {
		return fmt.Errorf("after a repair with consent: %w", err)
	}
	for i, want := range x.want {
		switch {
		case i >= len(got) && !gone[want.Position]:
			return fmt.Errorf("position %d is lost by repair, and it does not say so: %+v", want.Position, report.Lost)
		case i < len(got) && !gone[want.Position] && !reflect.DeepEqual(want, got[i]):
			return fmt.Errorf("position %d was altered by repair", want.Position)
		case i < len(got) && gone[want.Position] && got[i].Event.Type != lostType:
			return fmt.Errorf("position %d was lost, and is %.500q", want.Position, fmt.Sprint(got[i]))
		}
	}
	return e.Close()
}

// readSome is readAll that returns what it has read also beside an error.
func readSome(ctx context.Context, e *opossum.Engine, q opossum.Query, o opossum.ReadOptions) (out []opossum.SequencedEvent, err error) {
	v, err := e.Read(ctx, q, o)
	if err != nil {
		return nil, err
	}
	for ev, err := range v.All() {
		if err != nil {
			return out, err
		}
		out = append(out, ev)
	}
	return out, nil
}

// state is what tells whether a file was written to.
type state struct {
	size    int64
	changed time.Time
}

// tree returns the state of each file.
func tree(dir string) (map[string]state, error) {
	out := map[string]state{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil {
			out[path] = state{info.Size(), info.ModTime()}
		}
		return err
	})
	return out, err
}

package invariant

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"

	"opossum"
	"opossum/internal/workload"
)

// Order says what is to be judged and how thoroughly.
type Order struct {
	Dir     string
	Shape   Shape
	Witness *workload.Witness
	// PowerCut says that the page cache is gone, so that a relaxed shape may have lost the end of what it acknowledged.
	PowerCut bool
	// Recovered is the head that a recovery before this one reported, if nothing was appended since; nil: there was none.
	Recovered *opossum.Position
	Seed      uint64 // of the random queries and conditions
	Beside    bool   // first look at it as a reader that does not own it
	Deep      bool   // file everything, pack or unpack, compare all event files, close, verify, and open once more
	Append    uint64 // the number of an append to be made at the end, 0: none
}

// Verdict is what Check found.
type Verdict struct {
	Head         opossum.Position
	Materialized opossum.Position
	Acked        int    // acknowledged appends that were verified
	Sum          uint64 // of all events as they were found: stores of one sum hold the same
	Recovery     string // the report
	Replayed     uint64
	CutBytes     int64
	EpochRaised  bool
	Appended     opossum.Position // of Order.Append
	Found        string           // which of its events were loose and which packed, before recovery: see layout.String
	outcome      string
}

// Check opens a store after a crash, which recovers it, and returns an error that names the first thing that must not be. What must be:
//
//   - acknowledged means present, byte-equal, at the acknowledged position; positions are dense;
//   - an unacknowledged append is wholly present or wholly absent;
//   - what a reader once saw stays;
//   - the index equals a scan;
//   - conditions give the answers that the surviving events imply, and an append that survived can be repeated by its IDs;
//   - a second recovery changes nothing;
//   - event files equal the log where both exist; what is filed is in a file or in a pack, and reads the same whichever it is;
//   - in idle time and after packing nothing is loose and packed at once; of what was being written nothing is left;
//   - what recovery cut off is kept.
//
// The store is left closed.
func Check(ctx context.Context, o Order) (Verdict, error) {
	v, err := check(ctx, o)
	if err == nil {
		err = nothingUnfinished(o.Dir, v.outcome != "clean")
	}
	return v, err
}

func check(ctx context.Context, o Order) (v Verdict, err error) {
	r := rand.New(rand.NewPCG(o.Seed, 0))
	lossy := o.Shape.Relaxed() && o.PowerCut
	found, err := layoutOf(o.Dir)
	if err != nil {
		return v, err
	}
	v.Found = found.String()
	var beside *reader
	if o.Beside && !lossy {
		if beside, err = look(ctx, o); err != nil {
			return v, fmt.Errorf("read-only, before recovery: %w", err)
		}
		defer func() { err = errors.Join(err, beside.close()) }()
	}
	opts := o.Shape.Options
	e, err := opossum.Open(o.Dir, &opts)
	if err != nil {
		return v, fmt.Errorf("the store does not open: %w", err)
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	v.note(e.Recovery())
	if err := checkQuarantine(e.Recovery()); err != nil {
		return v, err
	}
	all, err := readAll(ctx, e, opossum.AllEvents(), opossum.ReadOptions{})
	if err != nil {
		return v, err
	}
	v.Head = e.Head()
	if int(v.Head) != len(all) {
		return v, fmt.Errorf("the head is %d, and there are %d events", v.Head, len(all))
	}
	v.Sum = sum(all)
	if lossy { // but only the end of its history
		o.Witness.Forget(v.Head)
	}
	if err := o.Witness.Check(all); err != nil {
		return v, err
	}
	v.Acked = len(o.Witness.Acked)
	if err := checkSecond(o, e, v); err != nil {
		return v, err
	}
	if err := beside.follow(ctx, e, all); err != nil {
		return v, fmt.Errorf("read-only, after recovery: %w", err)
	}
	if err := checkIndex(ctx, e, all, r); err != nil {
		return v, err
	}
	if err := checkConditions(ctx, e, all, r); err != nil {
		return v, err
	}
	if o.Append != 0 {
		events := workload.Events(o.Append)
		v.Appended, err = e.Append(ctx, events, &opossum.Condition{
			FailIfMatch: opossum.AllEvents(), After: e.Head(), FailIfExists: workload.Unique(o.Append),
		})
		if err != nil {
			return v, fmt.Errorf("an append with a condition that holds: %w", err)
		}
		if want := opossum.Position(len(all) + len(events)); v.Appended != want {
			return v, fmt.Errorf("an append to %d events ended at position %d, not %d", len(all), v.Appended, want)
		}
		for _, ev := range events {
			all = append(all, opossum.SequencedEvent{Position: opossum.Position(len(all) + 1), Event: ev})
		}
	}
	if o.Deep {
		if err := e.WaitMaterialized(ctx, e.Head()); err != nil {
			return v, err
		}
	}
	v.Materialized = e.Materialized()
	if err := checkFiles(o.Dir, all, v.Materialized); err != nil {
		return v, err
	}
	if !o.Deep {
		return v, nil
	}
	if err := checkPacking(ctx, o, e, all, r); err != nil {
		return v, err
	}
	return v, checkClosed(ctx, o, e, all)
}

func (v *Verdict) note(r opossum.RecoveryReport) {
	v.Recovery, v.outcome, v.Replayed, v.CutBytes, v.EpochRaised = r.String(), r.Outcome, r.Replayed, r.CutBytes, r.EpochRaised
}

// checkSecond: a recovery leaves nothing to be recovered.
func checkSecond(o Order, e *opossum.Engine, v Verdict) error {
	if o.Recovered == nil {
		return nil
	}
	if v.Head != *o.Recovered && !(o.Shape.Relaxed() && o.PowerCut) {
		return fmt.Errorf("the first recovery found head %d, the second %d", *o.Recovered, v.Head)
	}
	if rec := e.Recovery(); !o.Shape.Relaxed() && (rec.Outcome != "clean" || rec.CutBytes != 0) {
		return fmt.Errorf("the second recovery had something to do: %v", rec)
	}
	return nil
}

// checkIndex compares answers with the plainest scan.
func checkIndex(ctx context.Context, e *opossum.Engine, all []opossum.SequencedEvent, r *rand.Rand) error {
	for range 8 {
		q := term(all, r)
		if r.IntN(2) == 0 {
			q = q.Or(term(all, r))
		}
		o := opossum.ReadOptions{Backwards: r.IntN(2) == 0}
		if q.IsAll() { // was read before
			o.Limit = 20
		}
		if r.IntN(2) == 0 {
			o.After, o.Before, o.Limit = opossum.Position(r.IntN(len(all)+2)), opossum.Position(r.IntN(len(all)+3)), r.IntN(5)
		}
		got, err := readAll(ctx, e, q, o)
		if err != nil {
			return err
		}
		want := scan(all, q, o)
		if !slices.EqualFunc(want, got, func(a, b opossum.SequencedEvent) bool { return a.Position == b.Position }) {
			return fmt.Errorf("query %v with %+v: the index says %v, a scan says %v", q.Items(), o, positions(got), positions(want))
		}
		if !reflect.DeepEqual(want, got) {
			return fmt.Errorf("query %v with %+v: events differ from those of a scan", q.Items(), o)
		}
	}
	return nil
}

func term(all []opossum.SequencedEvent, r *rand.Rand) opossum.Query {
	kind := func(n int) string { return fmt.Sprintf("T%d", r.IntN(n)) }
	key := func(n int) opossum.Tag { return opossum.Tag(fmt.Sprintf("k:%d", r.IntN(n))) }
	switch r.IntN(5) {
	case 0:
		return opossum.ByTypes(kind(workload.Types+1), kind(workload.Types+1)) // one of them is nowhere
	case 1:
		return opossum.ByTags(key(workload.Keys + 1))
	case 2:
		if len(all) > 0 {
			id, _, _ := workload.Origin(all[r.IntN(len(all))].Event.ID)
			return workload.Unique(id)
		}
		return opossum.ByTags("nowhere")
	case 3:
		return opossum.Match(opossum.QueryItem{Types: []string{kind(workload.Types)}, Tags: []opossum.Tag{key(workload.Keys)}})
	}
	return opossum.AllEvents()
}

// scan answers a query without an index.
func scan(all []opossum.SequencedEvent, q opossum.Query, o opossum.ReadOptions) []opossum.SequencedEvent {
	var out []opossum.SequencedEvent
	for _, ev := range all {
		if ev.Position > o.After && (o.Before == 0 || ev.Position < o.Before) && q.Matches(ev.Event) {
			out = append(out, ev)
		}
	}
	if o.Backwards {
		slices.Reverse(out)
	}
	if o.Limit > 0 && len(out) > o.Limit {
		out = out[:o.Limit]
	}
	return out
}

func positions(events []opossum.SequencedEvent) []opossum.Position {
	var out []opossum.Position
	for _, e := range events {
		out = append(out, e.Position)
	}
	return out
}

// checkConditions: the surviving events decide, and an append that survived can be repeated by its IDs.
func checkConditions(ctx context.Context, e *opossum.Engine, all []opossum.SequencedEvent, r *rand.Rand) error {
	for range min(3, len(all)) {
		ev := all[r.IntN(len(all))]
		id, index, count := workload.Origin(ev.Event.ID)
		first := ev.Position - opossum.Position(index)
		last := first + opossum.Position(count) - 1
		other := []opossum.Event{{Type: "other", Tags: ev.Event.Tags}}

		_, err := e.Append(ctx, other, &opossum.Condition{FailIfExists: workload.Unique(id)})
		if err := refused(err, opossum.ErrAlreadyExists, first); err != nil {
			return fmt.Errorf("append %d is at %d to %d: %w", id, first, last, err)
		}
		_, err = e.Append(ctx, other, &opossum.Condition{FailIfMatch: workload.Unique(id), After: last - 1})
		if err := refused(err, opossum.ErrConditionFailed, last); err != nil {
			return fmt.Errorf("append %d is at %d to %d: %w", id, first, last, err)
		}
		p, err := e.Append(ctx, workload.Events(id), &opossum.Condition{FailIfExists: workload.Unique(id)})
		if err != nil || p != last {
			return fmt.Errorf("append %d at %d to %d, repeated by its IDs: position %d, %w", id, first, last, p, err)
		}
	}
	if e.Head() != opossum.Position(len(all)) {
		return fmt.Errorf("a refused or repeated append changed the head from %d to %d", len(all), e.Head())
	}
	return nil
}

// refused checks that err is a condition's, and names the match.
func refused(err, want error, at opossum.Position) error {
	var failed *opossum.ConditionFailedError
	if !errors.Is(err, want) || !errors.As(err, &failed) {
		return fmt.Errorf("a condition that must fail with %q: %w", want, orPassed(err))
	}
	if failed.Position != at {
		return fmt.Errorf("a condition failed for position %d instead of %d", failed.Position, at)
	}
	return nil
}

func orPassed(err error) error {
	if err == nil {
		return errors.New("it passed")
	}
	return err
}

// checkPacking: idle time leaves no shard loose that is packed, and packing none that can be packed, unpacking no pack; and every event reads as before.
func checkPacking(ctx context.Context, o Order, e *opossum.Engine, all []opossum.SequencedEvent, r *rand.Rand) error {
	keep := o.Shape.Options.LooseEvents == opossum.KeepLoose
	if !keep {
		if err := awaitIdle(ctx, o.Dir); err != nil {
			return err
		}
	}
	if r.IntN(2) == 0 {
		do := e.Pack
		if keep {
			do = e.Unpack
		}
		if err := do(ctx, nil); err != nil {
			return err
		}
		l, err := layoutOf(o.Dir)
		if err != nil {
			return err
		}
		if both := l.both(); len(both) > 0 || keep && len(l.packs) > 0 || !keep && len(l.shards) > 1 {
			return fmt.Errorf("after packing, or unpacking (%t), these are loose: %v; and these packed: %v", keep, l.shards, l.packs)
		}
		if err := checkFiles(o.Dir, all, e.Materialized()); err != nil {
			return err
		}
	}
	got, err := readAll(ctx, e, opossum.AllEvents(), opossum.ReadOptions{})
	if err != nil {
		return err
	}
	if err := same(all, got); err != nil {
		return fmt.Errorf("after packing: %w", err)
	}
	return checkIndex(ctx, e, all, r)
}

// checkClosed closes the store: it verifies, and opens again as one that was closed.
func checkClosed(ctx context.Context, o Order, e *opossum.Engine, all []opossum.SequencedEvent) error {
	if err := e.Close(); err != nil {
		return fmt.Errorf("close: %w", err)
	}
	report, err := opossum.Verify(ctx, o.Dir, nil)
	if err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	if !report.Sound() {
		return fmt.Errorf("verify: %+v", report.Findings)
	}
	opts := o.Shape.Options
	again, err := opossum.Open(o.Dir, &opts)
	if err != nil {
		return fmt.Errorf("the store does not open again: %w", err)
	}
	defer func() { _ = again.Close() }()
	if rec := again.Recovery(); rec.Outcome != "clean" {
		return fmt.Errorf("a closed store was found as %v", rec)
	}
	got, err := readAll(ctx, again, opossum.AllEvents(), opossum.ReadOptions{})
	if err != nil {
		return err
	}
	if err := same(all, got); err != nil {
		return fmt.Errorf("after closing and opening: %w", err)
	}
	return again.Close()
}

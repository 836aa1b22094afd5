package harness

import (
	"context"
	"errors"
	"fmt"

	"opossum"
)

// Opossum is the engine with default options: conditions can be checked, events are filed in the background. Without flush it is opossum.FlushDisabled.
func Opossum() Way {
	return Way{Name: "opossum", What: "opossum", Store: true, Open: func(dir string, o OpenOptions) (Target, error) {
		var options opossum.Options
		if !o.Flush {
			options.Flush = opossum.FlushDisabled
		}
		return openEngine(dir, &options)
	}}
}

// OpossumFlushing is the engine with a flush strategy, and default options else. Relaxed ones are measured for what they acknowledge, which is not durable yet.
func OpossumFlushing(flush opossum.Flush) Way {
	what := "opossum, " + flush.String()
	switch flush {
	case opossum.FlushPeriodic:
		what += fmt.Sprintf(", every %v", opossum.DefaultFlushInterval)
	case opossum.FlushCount:
		what += fmt.Sprintf(", every %d events", opossum.DefaultFlushEvery)
	}
	return Way{Name: "opossum-" + flush.String(), What: what, Store: true, Open: func(dir string, _ OpenOptions) (Target, error) {
		return openEngine(dir, &opossum.Options{Flush: flush})
	}}
}

// OpossumLoose is the engine that keeps every event in a file of its own and never packs any.
func OpossumLoose() Way {
	return Way{Name: "opossum-loose", What: "opossum, never packing", Store: true, Open: func(dir string, _ OpenOptions) (Target, error) {
		return openEngine(dir, &opossum.Options{LooseEvents: opossum.KeepLoose})
	}}
}

// OpossumPaused is the engine that files nothing: what does filing cost appends? Only an engine that does not file has no bound on its
// backlog, for it would wait for ever, and lays no claim to space for the files of the backlog.
func OpossumPaused() Way {
	return Way{Name: "opossum-paused", What: "opossum, filing paused", Store: true, Open: func(dir string, _ OpenOptions) (Target, error) {
		return openPaused(dir)
	}}
}

func openPaused(dir string) (*engine, error) {
	t, err := openEngine(dir, &opossum.Options{MaxLagEvents: 1 << 40, MaxLagBytes: 1 << 50, MinFreeBytes: -1})
	if err != nil {
		return nil, err
	}
	if _, err := t.PauseFiling(context.Background()); err != nil {
		return nil, errors.Join(err, t.Close())
	}
	return t, nil
}

func openEngine(dir string, o *opossum.Options) (*engine, error) {
	e, err := opossum.Open(dir, o)
	if err != nil {
		return nil, err
	}
	return &engine{e}, nil
}

// engine is opossum as any user sees it.
type engine struct{ *opossum.Engine }

func (t *engine) Append(ctx context.Context, events []opossum.Event, cond *opossum.Condition) error {
	_, err := t.Engine.Append(ctx, events, cond)
	return err
}

func (t *engine) Read(ctx context.Context, q opossum.Query, newest int, yield func(opossum.SequencedEvent)) error {
	view, err := t.Engine.Read(ctx, q, opossum.ReadOptions{Backwards: newest > 0, Limit: newest})
	if err != nil {
		return err
	}
	for e, err := range view.All() {
		if err != nil {
			return err
		}
		yield(e)
	}
	return nil
}

func (t *engine) Last(ctx context.Context, q opossum.Query) (opossum.SequencedEvent, error) {
	return t.ReadLast(ctx, q)
}

// Settle waits until every event is in its file.
func (t *engine) Settle(ctx context.Context) error { return t.WaitMaterialized(ctx, t.Head()) }

// Lag returns how many events are acknowledged and not yet filed.
func (t *engine) Lag() uint64 { return t.Metrics().LagEvents }

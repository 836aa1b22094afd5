package invariant

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"reflect"

	"github.com/cespare/xxhash/v2"

	"opossum"
	"opossum/internal/workload"
)

func readAll(ctx context.Context, e *opossum.Engine, q opossum.Query, o opossum.ReadOptions) ([]opossum.SequencedEvent, error) {
	v, err := e.Read(ctx, q, o)
	if err != nil {
		return nil, err
	}
	var out []opossum.SequencedEvent
	for ev, err := range v.All() {
		if err != nil {
			return nil, fmt.Errorf("read after %d events: %w", len(out), err)
		}
		out = append(out, ev)
	}
	return out, nil
}

func same(want, got []opossum.SequencedEvent) error {
	if len(want) != len(got) {
		return fmt.Errorf("there were %d events, now there are %d", len(want), len(got))
	}
	for i := range want {
		if !reflect.DeepEqual(want[i], got[i]) {
			return fmt.Errorf("position %d has changed", i+1)
		}
	}
	return nil
}

// sum tells histories apart.
func sum(all []opossum.SequencedEvent) uint64 {
	h := xxhash.New()
	for _, ev := range all { // maps are printed in the order of their keys
		e := ev.Event
		fmt.Fprintf(h, "%d %v %q %q %v %q %d ", ev.Position, e.ID, e.Type, e.Tags, e.Time.UnixNano(), e.Metadata, len(e.Data))
		_, _ = h.Write(e.Data)
	}
	return h.Sum64()
}

// reader is a read-only engine beside the owner. A nil one looks at nothing.
type reader struct {
	engine *opossum.Engine
	saw    []opossum.SequencedEvent
}

// look opens the store read-only, before it is recovered: everything acknowledged is there already.
func look(ctx context.Context, o Order) (*reader, error) {
	e, err := opossum.Open(o.Dir, &opossum.Options{ReadOnly: true})
	if (errors.Is(err, opossum.ErrNotStore) || errors.Is(err, fs.ErrNotExist)) && len(o.Witness.Acked) == 0 { // crashed while it was created
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	r := &reader{engine: e}
	if r.saw, err = readAll(ctx, e, opossum.AllEvents(), opossum.ReadOptions{}); err != nil {
		return r, errors.Join(err, r.close())
	}
	if err := o.Witness.Check(r.saw); err != nil {
		return r, errors.Join(err, r.close())
	}
	for _, ev := range r.saw { // from now on they must stay
		id, index, _ := workload.Origin(ev.Event.ID)
		o.Witness.Read[ev.Position] = workload.Place{ID: id, Index: index}
	}
	return r, nil
}

// follow: a reader that was there while e recovered shows what e has, unless e had to raise the epoch.
func (r *reader) follow(ctx context.Context, e *opossum.Engine, all []opossum.SequencedEvent) error {
	if r == nil {
		return nil
	}
	err := r.engine.Refresh(ctx)
	if e.Recovery().EpochRaised {
		if !errors.Is(err, opossum.ErrReopen) {
			return fmt.Errorf("the epoch was raised, and a refresh says %w", orPassed(err))
		}
		return nil
	}
	if err != nil {
		return err
	}
	got, err := readAll(ctx, r.engine, opossum.AllEvents(), opossum.ReadOptions{})
	if err != nil {
		return err
	}
	return same(all, got)
}

func (r *reader) close() error {
	if r == nil {
		return nil
	}
	return r.engine.Close()
}

package invariant

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	"opossum"
	"opossum/internal/workload"
)

// Mending is a store that was damaged and is repaired, or whose repair has yet to come to its end. REQUIRES: everything in it was acknowledged, and the witness
// knows it.
type Mending struct {
	Dir      string
	Shape    Shape
	Witness  *workload.Witness
	Head     opossum.Position // what is behind it is intact nowhere
	Gone     opossum.Position // nor is this one, if not 0
	Repaired bool
}

// Judge returns an error that names the first thing that must not be. Of a store that is repaired nothing is lost that was not, and what was is marked as such. One that
// is not is only looked at: what is damaged is refused, and nothing that is read is wrong.
func (m Mending) Judge(ctx context.Context) error {
	all, err := m.Witness.All()
	if err != nil {
		return err
	}
	if !m.Repaired {
		err := m.read(ctx, all, opossum.Options{ReadOnly: true})
		if errors.Is(err, opossum.ErrCorrupt) || errors.Is(err, opossum.ErrNotStore) {
			return nil
		}
		return err
	}
	report, err := opossum.Verify(ctx, m.Dir, nil)
	if err != nil {
		return fmt.Errorf("verify, after the repair: %w", err)
	}
	if !report.Sound() {
		return fmt.Errorf("verify, after the repair: %+v", report.Findings)
	}
	if err := m.read(ctx, all, m.Shape.Options); err != nil {
		return fmt.Errorf("after the repair: %w", err)
	}
	return nil
}

// read compares what can be read with what there was.
func (m Mending) read(ctx context.Context, all []opossum.SequencedEvent, o opossum.Options) (err error) {
	e, err := opossum.Open(m.Dir, &o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	got, err := readSome(ctx, e, opossum.AllEvents(), opossum.ReadOptions{})
	for i, ev := range got {
		p := opossum.Position(i + 1)
		switch {
		case ev.Position != p || p > m.Head:
			return fmt.Errorf("there is position %d after %d, and %d is the last", ev.Position, p-1, m.Head)
		case p == m.Gone && ev.Event.Type != lostType:
			return fmt.Errorf("position %d was intact nowhere, and is %.500v", p, ev.Event)
		case p != m.Gone && !reflect.DeepEqual(ev, all[i]):
			return fmt.Errorf("position %d was intact, and is %.500v", p, ev.Event)
		}
	}
	if err != nil {
		return err
	}
	if n := opossum.Position(len(got)); n != m.Head || e.Head() != n {
		return fmt.Errorf("%d of %d events are read, and the head is %d", n, m.Head, e.Head())
	}
	return nil
}

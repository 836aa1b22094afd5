package killpoint

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"

	"opossum"
	"opossum/crashlab/internal/child"
	"opossum/crashlab/internal/invariant"
	"opossum/crashlab/internal/lab"
	"opossum/internal/workload"
	"opossum/recovery"
)

// logFiles are those of the generations, and not those of one that is being built.
const logFiles = "wal/????????/*"

// leave puts into a store what a process leaves behind that is killed in the middle of something.
func leave(store string) error {
	logs, err := glob(store, logFiles)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(logs[len(logs)-1], os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = f.Write(bytes.Repeat([]byte("part of a frame "), 50))
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	for _, name := range []string{"wal/00000099.tmp/00000000000000000001", "ledger.json.tmp", "index/.tmp-0123456789abcdef", "events/00000000000000000001/.tmp-1-1"} {
		path := filepath.Join(store, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte("half of it"), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// damaged makes a store in which something is wrong with every sort of file, and every event is intact somewhere. Of some hundred events the first are
// filed, and all are in the log.
func damaged(ctx context.Context, env lab.Env, store string, w *workload.Witness) (*loss, error) {
	for _, t := range []child.Task{
		{First: filed, Appends: 60, Filing: "waited"},
		{First: unfiled, Appends: 40, Filing: "paused"},
	} {
		t.Do, t.Dir, t.Shape, t.Writers, t.Close = child.Append, store, shape, 1, true
		if err := complete(ctx, env.Worker, t, w); err != nil {
			return nil, err
		}
	}
	events, err := glob(store, "events/*/*.json")
	if err != nil {
		return nil, err
	}
	segments, err := glob(store, "index/*.idx")
	if err != nil {
		return nil, err
	}
	return nil, errors.Join(
		os.Remove(events[3]),
		flip(events[6], 20),
		os.Rename(events[9], filepath.Join(store, "events", "moved.json")),
		flip(segments[0], 100),
		flip(filepath.Join(store, "ledger.json"), 50),
		flipRecord(store, history(w)[20]),
		leave(store),
	)
}

// loss says what is intact nowhere: an event, and all after a head.
type loss struct {
	all  []opossum.SequencedEvent // as they were
	gone opossum.Position
	head opossum.Position
}

// damagedBeyondRepair makes such a store in which two events are intact nowhere, one of them the last.
func damagedBeyondRepair(ctx context.Context, env lab.Env, store string, w *workload.Witness) (*loss, error) {
	if _, err := damaged(ctx, env, store, w); err != nil {
		return nil, err
	}
	l := &loss{all: history(w)}
	n := len(l.all)
	l.head, l.gone = opossum.Position(n-1), opossum.Position(n-10)
	return l, errors.Join(flipRecord(store, l.all[l.gone-1]), flipRecord(store, l.all[n-1]))
}

// check: nothing is lost that was not, and what was is marked as such.
func (l *loss) check(ctx context.Context, store string) (err error) {
	report, err := opossum.Verify(ctx, store, nil)
	if err != nil {
		return fmt.Errorf("verify, after the repair: %w", err)
	}
	if !report.Sound() {
		return fmt.Errorf("verify, after the repair: %+v", report.Findings)
	}
	s, err := invariant.ShapeOf(shape)
	if err != nil {
		return err
	}
	e, err := opossum.Open(store, &s.Options)
	if err != nil {
		return fmt.Errorf("the store does not open after the repair: %w", err)
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	if e.Head() != l.head {
		return fmt.Errorf("the head is %d after the repair, not %d", e.Head(), l.head)
	}
	view, err := e.Read(ctx, opossum.AllEvents(), opossum.ReadOptions{})
	if err != nil {
		return err
	}
	p := opossum.Position(0)
	for ev, err := range view.All() {
		if err != nil {
			return fmt.Errorf("read, after the repair: %w", err)
		}
		p++
		switch {
		case ev.Position != p:
			return fmt.Errorf("position %d stands where %d belongs", ev.Position, p)
		case p == l.gone && ev.Event.Type != recovery.LostType:
			return fmt.Errorf("position %d was intact nowhere, and is %v", p, ev.Event)
		case p != l.gone && !reflect.DeepEqual(ev, l.all[p-1]):
			return fmt.Errorf("position %d was intact, and the repair made it %.500v", p, ev.Event)
		}
	}
	if p != l.head {
		return fmt.Errorf("%d of %d events are read", p, l.head)
	}
	return nil
}

// history recomputes all events of a store whose witness saw every append.
func history(w *workload.Witness) []opossum.SequencedEvent {
	var all []opossum.SequencedEvent
	for id, last := range w.Acked {
		events := workload.Events(id)
		for i, e := range events {
			all = append(all, opossum.SequencedEvent{Position: last - opossum.Position(len(events)-1-i), Event: e})
		}
	}
	slices.SortFunc(all, func(a, b opossum.SequencedEvent) int { return cmp.Compare(a.Position, b.Position) })
	return all
}

// glob finds files, in the order of their names; none is an error.
func glob(store, pattern string) ([]string, error) {
	found, err := filepath.Glob(filepath.Join(store, pattern))
	if err == nil && len(found) == 0 {
		err = fmt.Errorf("there is no %s", pattern)
	}
	return found, err
}

// flip changes a bit.
func flip(path string, at int) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	b[at] ^= 0x10
	return os.WriteFile(path, b, 0o644)
}

// flipRecord changes a bit of the record of an event in the log, which contains the event's ID.
func flipRecord(store string, e opossum.SequencedEvent) error {
	logs, err := glob(store, logFiles)
	if err != nil {
		return err
	}
	for _, path := range logs {
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if at := bytes.Index(b, e.Event.ID[:]); at >= 0 {
			return flip(path, at)
		}
	}
	return fmt.Errorf("the log does not have the event at position %d", e.Position)
}

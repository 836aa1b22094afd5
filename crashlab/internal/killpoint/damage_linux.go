package killpoint

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"opossum"
	"opossum/crashlab/internal/child"
	"opossum/crashlab/internal/lab"
	"opossum/internal/workload"
	"opossum/recovery"
	"opossum/wal"
)

// logFiles are those of the generations, and not those of one that is being built.
const logFiles = "wal/????????/*"

// leave puts into a store what a process leaves behind that is killed in the middle of something.
func leave(store string) error {
	if err := tear(filepath.Join(store, recovery.WALDir)); err != nil {
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

// tear puts part of a frame behind what is in the last generation in use: one above may be built already, and either may have room.
func tear(log string) error {
	list, err := wal.List(log)
	if err != nil {
		return err
	}
	for _, gen := range slices.Backward(list.Generations) {
		b, err := wal.ReadGeneration(log, gen, false)
		if err != nil {
			return err
		}
		id, err := wal.IdentityOf(b, gen)
		if err != nil {
			return err
		}
		s := wal.Scan(b, id, gen)
		if !s.Linked {
			continue
		}
		f, err := os.OpenFile(wal.GenerationPath(log, gen), os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		_, err = f.WriteAt(bytes.Repeat([]byte("part of a frame "), 50), s.Size)
		return errors.Join(err, f.Close())
	}
	return errors.New("no generation is in use")
}

// damaged makes a store in which something is wrong with every sort of file, and every event is intact somewhere. Of some hundred events the first are
// filed, most of them in packs, and all are in the log.
func damaged(ctx context.Context, env lab.Env, store string, w *workload.Witness) (*known, error) {
	for _, t := range []child.Task{
		{First: filed, Appends: 60, Filing: child.Resumed},
		{First: unfiled, Appends: 40, Filing: child.Paused, Loose: opossum.KeepLoose},
	} {
		t.Do, t.Dir, t.Shape, t.Writers, t.Close = child.Append, store, shape, 1, true
		if err := child.Complete(ctx, env.Worker, t, w); err != nil {
			return nil, err
		}
	}
	events, err := glob(store, "events/*/*.json", 10)
	if err != nil {
		return nil, err
	}
	packs, err := glob(store, "packs/*.pack", 2)
	if err != nil {
		return nil, err
	}
	segments, err := glob(store, "index/*.idx", 1)
	if err != nil {
		return nil, err
	}
	all, err := w.All()
	if err != nil {
		return nil, lab.Unprovoked(err)
	}
	k := &known{head: opossum.Position(len(all))}
	return k, errors.Join(
		os.Remove(events[3]),
		flip(events[6], 20),
		os.Rename(events[9], filepath.Join(store, "events", "moved.json")),
		flip(packs[1], 100),
		flip(segments[0], 100),
		flip(filepath.Join(store, "ledger.json"), 50),
		flipRecord(store, all[20]),
		leave(store),
	)
}

// damagedBeyondRepair makes such a store in which two events are intact nowhere, one of them the last.
func damagedBeyondRepair(ctx context.Context, env lab.Env, store string, w *workload.Witness) (*known, error) {
	k, err := damaged(ctx, env, store, w)
	if err != nil {
		return nil, err
	}
	all, err := w.All()
	if err != nil {
		return nil, lab.Unprovoked(err)
	}
	k.head, k.gone = k.head-1, k.head-10
	return k, errors.Join(flipRecord(store, all[k.gone-1]), flipRecord(store, all[k.head]))
}

// known is what a store must have that is repaired: see invariant.Mending.
type known struct{ head, gone opossum.Position }

// glob finds files, in the order of their names; fewer than least are an error of who made the store.
func glob(store, pattern string, least int) ([]string, error) {
	found, err := filepath.Glob(filepath.Join(store, pattern))
	if err == nil && len(found) < least {
		err = lab.Unprovoked(fmt.Errorf("%d files %s, not %d", len(found), pattern, least))
	}
	return found, err
}

// flip changes a bit.
func flip(path string, at int) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if at >= len(b) {
		return lab.Unprovoked(fmt.Errorf("%s has %d bytes only", path, len(b)))
	}
	b[at] ^= 0x10
	return os.WriteFile(path, b, 0o644)
}

// flipRecord changes a bit of the record of an event in the log, which contains the event's ID.
func flipRecord(store string, e opossum.SequencedEvent) error {
	logs, err := glob(store, logFiles, 1)
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
	return lab.Unprovoked(fmt.Errorf("the log does not have the event at position %d", e.Position))
}

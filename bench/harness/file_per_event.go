package harness

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"opossum"
)

// filePerEvent keeps events as the .NET system does: under one lock it reads the ledger, writes each event under a temporary name, fsyncs
// it if it is to flush, and renames it; then it adds the events to the index files of their type and tags, each read, decoded, sorted into and
// replaced in the same manner; then it replaces the ledger. An event with two tags costs five fsyncs. Like its model it syncs no directory, so
// that a power cut may undo the last renames.
type filePerEvent struct {
	dir   string
	flush bool
	index bool       // keep index files; without, it is kinder than its model by one fsync for the type and one for each tag
	mu    sync.Mutex // held for the whole of an append
}

// fileLedger is the model's ledger, with both of its fields.
type fileLedger struct{ LastSequencePosition, EventCount uint64 }

func (f *filePerEvent) Append(_ context.Context, events []opossum.Event, cond *opossum.Condition) error {
	if err := unconditional(cond); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	var ledger fileLedger
	if err := readJSON(f.ledgerPath(), &ledger); err != nil {
		return err
	}
	first := ledger.LastSequencePosition + 1
	for i := range events {
		ledger.LastSequencePosition++
		text, err := eventText(ledger.LastSequencePosition, &events[i])
		if err != nil {
			return err
		}
		if err := f.replace(eventPath(f.dir, ledger.LastSequencePosition), text); err != nil {
			return err
		}
	}
	for i := range events {
		if err := f.addToIndex(first+uint64(i), &events[i]); err != nil {
			return err
		}
	}
	ledger.EventCount = ledger.LastSequencePosition
	text, err := json.Marshal(ledger)
	if err != nil {
		return err
	}
	return f.replace(f.ledgerPath(), text)
}

func (f *filePerEvent) ledgerPath() string { return filepath.Join(f.dir, "ledger.json") }

// fileIndex is the model's index file: all positions of a type or tag.
type fileIndex struct{ Positions []uint64 }

func (f *filePerEvent) addToIndex(position uint64, e *opossum.Event) error {
	if !f.index {
		return nil
	}
	paths := []string{filepath.Join(f.dir, "Indices", "EventType", e.Type+".json")}
	for _, t := range e.Tags {
		paths = append(paths, filepath.Join(f.dir, "Indices", "Tags", string(t)+".json"))
	}
	for _, path := range paths {
		var index fileIndex
		if err := readJSON(path, &index); err != nil {
			return err
		}
		index.Positions = append(index.Positions, position)
		text, err := json.Marshal(index)
		if err != nil {
			return err
		}
		if err := f.replace(path, text); err != nil {
			return err
		}
	}
	return nil
}

// readJSON leaves v alone if there is no file.
func readJSON(path string, v any) error {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return json.Unmarshal(text, v)
}

// replace makes a file that appears whole, its content durable if f flushes; it does not make the name durable.
func (f *filePerEvent) replace(path string, text []byte) error {
	temporary := path + ".tmp"
	if err := writeFile(temporary, text, f.flush); err != nil {
		return err
	}
	return os.Rename(temporary, path)
}

// Close has nothing to release.
func (f *filePerEvent) Close() error { return nil }

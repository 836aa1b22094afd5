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

// filePerEvent keeps events as the .NET system does with flushing on: under one lock it reads the ledger, writes each
// event under a temporary name, fsyncs and renames it, then does the same with the ledger. Like its model it syncs no
// directory, so that a power cut may undo the last renames; unlike it, it keeps no index files, which would cost one
// more fsync for the type and one for each tag. Both omissions are in its favour.
type filePerEvent struct {
	dir string
	mu  sync.Mutex // held for the whole of an append
}

// fileLedger is the model's ledger, with both of its fields.
type fileLedger struct{ LastSequencePosition, EventCount uint64 }

func (f *filePerEvent) Append(_ context.Context, events []opossum.Event) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	ledger, err := f.readLedger()
	if err != nil {
		return err
	}
	for i := range events {
		ledger.LastSequencePosition++
		text, err := eventText(ledger.LastSequencePosition, &events[i])
		if err != nil {
			return err
		}
		if err := replaceFile(eventPath(f.dir, ledger.LastSequencePosition), text); err != nil {
			return err
		}
	}
	ledger.EventCount = ledger.LastSequencePosition
	text, err := json.Marshal(ledger)
	if err != nil {
		return err
	}
	return replaceFile(f.ledgerPath(), text)
}

func (f *filePerEvent) ledgerPath() string { return filepath.Join(f.dir, "ledger.json") }

func (f *filePerEvent) readLedger() (ledger fileLedger, err error) {
	text, err := os.ReadFile(f.ledgerPath())
	if errors.Is(err, fs.ErrNotExist) {
		return ledger, nil
	}
	if err != nil {
		return ledger, err
	}
	return ledger, json.Unmarshal(text, &ledger)
}

// replaceFile makes a file whose content is durable and that appears whole; it does not make the name durable.
func replaceFile(path string, text []byte) error {
	temporary := path + ".tmp"
	if err := writeFile(temporary, text, true); err != nil {
		return err
	}
	return os.Rename(temporary, path)
}

// Close has nothing to release.
func (f *filePerEvent) Close() error { return nil }

package harness

import (
	"context"
	"errors"
	"os"
	"sync/atomic"

	"opossum"
)

// filePerBatch writes a file per event too, but on the callers' goroutines and without fsync; then one syncfs makes the
// files of all appends durable that were waiting for it, their names included. It keeps no ledger, which would
// cost another sync.
type filePerBatch struct {
	dir       string
	root      *os.File // open since before the first write: only then does its syncfs report that a write failed
	last      atomic.Uint64
	committer *committer
}

func openFilePerBatch(dir string, flush bool) (*filePerBatch, error) {
	root, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := syncFileSystem(root); err != nil {
		return nil, errors.Join(err, root.Close())
	}
	f := &filePerBatch{dir: dir, root: root}
	f.committer = newCommitter(Adaptive, func(*group) error {
		if !flush {
			return nil
		}
		return syncFileSystem(root)
	})
	return f, nil
}

func (f *filePerBatch) Append(_ context.Context, events []opossum.Event, cond *opossum.Condition) error {
	if err := unconditional(cond); err != nil {
		return err
	}
	n := uint64(len(events))
	position := f.last.Add(n) - n
	for i := range events {
		position++
		text, err := eventText(position, &events[i])
		if err != nil {
			return err
		}
		if err := writeFile(eventPath(f.dir, position), text, false); err != nil {
			return err
		}
	}
	return f.committer.append(nil, len(events))
}

func (f *filePerBatch) Close() error {
	f.committer.close()
	return f.root.Close()
}

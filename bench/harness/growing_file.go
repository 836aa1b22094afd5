package harness

import (
	"errors"
	"os"
	"path/filepath"
)

// growingFile is the simplest medium: one file, each frame written at its end and fsynced.
type growingFile struct {
	file *os.File
	at   place
}

func openGrowingFile(dir string) (*growingFile, error) {
	file, err := os.OpenFile(filepath.Join(dir, "events.log"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syncDir(dir); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &growingFile{file: file, at: place{no: 1}}, nil
}

func (f *growingFile) reserve(int) (moved bool, err error) { return false, nil }

func (f *growingFile) next() place { return f.at }

func (f *growingFile) write(frame []byte) error {
	n, err := f.file.Write(frame)
	f.at.no++
	f.at.offset += uint64(n)
	return err
}

func (f *growingFile) sync() error { return f.file.Sync() }

func (f *growingFile) close() error { return f.file.Close() }

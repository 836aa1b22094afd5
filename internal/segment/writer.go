package segment

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"

	"opossum/internal/step"
)

const bufferBytes = 64 * blockBytes

// writer writes the file of a segment under a temporary name and sums its blocks on the way. After an error it stays in error.
type writer struct {
	dir   string
	place place
	f     *os.File // nil after commit and abort
	buf   []byte   // what is not written yet; starts at a whole block
	base  uint64   // where buf starts in the file
	table []byte   // the sums of the blocks before base
	err   error
}

// newWriter creates the file. REQUIRES: the parent of dir exists.
func newWriter(dir string, p place) (*writer, error) {
	if err := step.Mkdir(dir, dirPerm); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, err
	}
	name := fmt.Sprintf("%s%016x", tempPrefix, rand.Uint64())
	f, err := step.OpenFile(filepath.Join(dir, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, filePerm)
	if err != nil {
		return nil, err
	}
	return &writer{dir: dir, place: p, f: f, buf: make([]byte, 0, bufferBytes+blockBytes)}, nil
}

// offset is where the next byte goes.
func (w *writer) offset() uint64 { return w.base + uint64(len(w.buf)) }

func (w *writer) write(b []byte) {
	w.buf = append(w.buf, b...)
	if len(w.buf) >= bufferBytes {
		w.flush(len(w.buf) / blockBytes * blockBytes)
	}
}

// flush sums and writes the first n bytes of the buffer. Only the last block of all may be a short one.
func (w *writer) flush(n int) {
	for off := 0; off < n; off += blockBytes {
		block := w.buf[off:min(off+blockBytes, n)]
		w.table = binary.LittleEndian.AppendUint64(w.table, w.place.sum(w.base/blockBytes+uint64(off/blockBytes), block))
	}
	w.put(w.buf[:n])
	w.buf = append(w.buf[:0], w.buf[n:]...)
	w.base += uint64(n)
}

// put writes bytes that belong to no block, or whose block has been summed.
func (w *writer) put(b []byte) {
	if w.err == nil {
		w.err = step.Write(w.f, b)
	}
}

// commit writes what is left, the table and the footer, and publishes the file. One order: content, name, directory.
func (w *writer) commit(f footer) error {
	f.end = w.offset()
	w.flush(len(w.buf))
	f.tableSum = w.place.sum(tablePlace, w.table)
	w.put(w.table)
	w.put(appendFooter(nil, w.place, f))
	if w.err == nil {
		w.err = step.Sync(w.f)
	}
	if w.err == nil {
		w.err = w.publish()
	}
	return w.err
}

func (w *writer) publish() error {
	temp := w.f.Name()
	if err := w.f.Close(); err != nil { // before the rename, which Windows refuses for an open file
		return err
	}
	if err := step.Rename(temp, filepath.Join(w.dir, Name(w.place.r))); err != nil {
		return err
	}
	w.f = nil
	// The directory itself may be new; where it is not, its parent has nothing to write.
	return errors.Join(step.SyncDir(w.dir), step.SyncDir(filepath.Dir(w.dir)))
}

// abort removes the file unless it has been published.
func (w *writer) abort() error {
	if w.f == nil {
		return nil
	}
	name := w.f.Name()
	_ = w.f.Close() // what is in it is of no concern, and publish may have closed it
	w.f = nil
	return remove(name)
}

package harness

import (
	"errors"
	"os"
	"path/filepath"
)

// RingBytes is the size of the ceiling's file: little to write beforehand, yet many times what one cell has in flight.
const RingBytes = 64 << 20

// ring is the medium of the ceiling: one file that was wholly written before, so that a sync need not commit the growth of
// a file, but its data only. At its end it begins again, as a log that recycles its segments does; what is overwritten is
// lost.
type ring struct {
	file  *os.File
	bytes int
	at    place
}

func openRing(dir string, bytes int) (*ring, error) {
	file, err := os.OpenFile(filepath.Join(dir, "ring.log"), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(prewrite(file, bytes), file.Sync(), syncDir(dir)); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &ring{file: file, bytes: bytes}, nil
}

// prewrite fills file with text and not with zeros, which a file system might store as a hole.
func prewrite(file *os.File, bytes int) error {
	for rest := bytes; rest > 0; rest -= len(filler) {
		if _, err := file.Write(filler[:min(rest, len(filler))]); err != nil {
			return err
		}
	}
	return nil
}

func (r *ring) reserve(n int) (moved bool, err error) {
	if r.at.generation > 0 && int(r.at.offset)+n <= r.bytes {
		return false, nil
	}
	r.at = place{generation: r.at.generation + 1, no: 1}
	return true, nil
}

func (r *ring) next() place { return r.at }

func (r *ring) write(frame []byte) error {
	n, err := r.file.WriteAt(frame, int64(r.at.offset))
	r.at.no++
	r.at.offset += uint64(n)
	return err
}

func (r *ring) sync() error { return syncData(r.file) }

func (r *ring) close() error { return r.file.Close() }

package blockdisk

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

// Kinds of records.
const (
	Write = 'W'
	Flush = 'F' // all writes recorded before it are durable, if the disk did not refuse it
	Mark  = 'M'
)

// Record is one thing that happened to a disk.
type Record struct {
	Kind byte
	Off  int64 // of a write: where on the disk
	Len  int   // of a write's or mark's data
	at   int64 // where in the recording the data are
}

// Recording is what happened to a disk, in order. A write or mark is recorded before whoever made it is told that it is done.
type Recording struct {
	Records []Record
	file    *os.File
}

const headerSize = 1 + 8 + 8

// appendHeader appends what stands before the data of a record: kind, offset and length, little endian.
func appendHeader(b []byte, kind byte, off int64, length int) []byte {
	b = append(b, kind)
	b = binary.LittleEndian.AppendUint64(b, uint64(off))
	return binary.LittleEndian.AppendUint64(b, uint64(length))
}

// OpenRecording reads what a disk recorded to a file. Data stay in the file until they are asked for.
func OpenRecording(path string) (*Recording, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	r := &Recording{file: f}
	if err := r.index(); err != nil {
		return nil, errors.Join(fmt.Errorf("recording %s: %w", path, err), f.Close())
	}
	return r, nil
}

func (r *Recording) index() error {
	in := bufio.NewReaderSize(r.file, 1<<20)
	var header [headerSize]byte
	for at := int64(0); ; {
		_, err := io.ReadFull(in, header[:])
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		rec := Record{
			Kind: header[0], Off: int64(binary.LittleEndian.Uint64(header[1:])), Len: int(binary.LittleEndian.Uint64(header[9:])), at: at + headerSize,
		}
		if _, err := in.Discard(rec.Len); err != nil {
			return err
		}
		r.Records = append(r.Records, rec)
		at = rec.at + int64(rec.Len)
	}
}

// Data reads the data of record i.
func (r *Recording) Data(i int) ([]byte, error) {
	b := make([]byte, r.Records[i].Len)
	_, err := r.file.ReadAt(b, r.Records[i].at)
	return b, err
}

// Close closes the file.
func (r *Recording) Close() error { return r.file.Close() }

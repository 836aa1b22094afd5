package pack

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"

	"opossum/dcb"
	"opossum/internal/codec"
	"opossum/internal/step"
)

// bufferBytes are gathered before they are written.
const bufferBytes = 256 << 10

// Builder writes one pack: the records of all positions of its range, ascending. Its memory is bounded by a block, a buffer and 24 bytes for each
// block. It is for one goroutine. After an error every call returns that error, and what is left to do is Abort.
type Builder struct {
	dir    string
	place  place
	f      *os.File // nil after Commit and Abort
	added  uint64   // records
	first  uint64   // how many of them were before the block
	block  []byte   // records of the block that is open
	buf    []byte   // what is not written yet
	base   uint64   // where buf starts in the file
	table  []byte
	blocks uint64
	err    error
}

// Create begins the pack of a range in dir, which it makes if need be; its parent must exist. The file has a temporary name until Commit. The seed
// binds the file to its store: what was written with another one does not verify.
func Create(dir string, seed uint64, r Range) (*Builder, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	if err := step.Mkdir(dir, dirPerm); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("pack: create: %w", err)
	}
	f, err := step.OpenFile(filepath.Join(dir, fmt.Sprintf("%s%016x", tempPrefix, rand.Uint64())), os.O_WRONLY|os.O_CREATE|os.O_EXCL, filePerm)
	if err != nil {
		return nil, fmt.Errorf("pack: create: %w", err)
	}
	return &Builder{dir: dir, place: place{seed, r}, f: f, buf: appendHeader(nil, r)}, nil
}

// Add adds the next record, of which it keeps nothing: at most 16 MiB, as in a frame of the log. The record is verified, so that no damage gets a right
// checksum: the error names its position.
func (b *Builder) Add(record []byte) error {
	if b.err != nil {
		return b.err
	}
	if b.added == b.place.r.Len() {
		return b.fail(fmt.Errorf("pack: a record behind position %d, the last one", b.place.r.Last))
	}
	at := b.place.r.First + dcb.Position(b.added)
	if len(record) > maxRecordBytes {
		return b.fail(fmt.Errorf("pack: position %d: a record of %d bytes, more than %d", at, len(record), maxRecordBytes))
	}
	if err := codec.CheckRecord(record, b.place.seed, at); err != nil {
		return b.fail(fmt.Errorf("pack: position %d: %w", at, err))
	}
	b.block = append(b.block, record...)
	b.added++
	if len(b.block) >= BlockBytes {
		return b.endBlock()
	}
	return nil
}

func (b *Builder) fail(err error) error {
	b.err = err
	return err
}

func (b *Builder) endBlock() error {
	start := len(b.buf)
	b.buf = encoder().EncodeAll(b.block, b.buf)
	b.table = appendEntry(b.table, entry{
		offset: b.base + uint64(start), first: uint32(b.first), raw: uint32(len(b.block)), sum: b.place.sum(b.blocks, b.buf[start:]),
	})
	b.blocks++
	b.first, b.block = b.added, b.block[:0]
	if len(b.buf) >= bufferBytes {
		return b.flush()
	}
	return nil
}

func (b *Builder) flush() error {
	if err := step.Write(b.f, b.buf); err != nil {
		return b.fail(fmt.Errorf("pack: %w", err))
	}
	b.base += uint64(len(b.buf))
	b.buf = b.buf[:0]
	return nil
}

// Commit completes the file and gives it its name, in the place of any former file of that name. Nothing is durable before the file system is
// synced; but what is replaced may be the only durable copy, so it is replaced by a file that was synced: a power cut leaves one of the two, whole. (A
// rename can be durable before the contents are. XFS then leaves a file without any.) After an error there is no new file under the name, or a complete one; Abort
// removes what is left.
func (b *Builder) Commit() error {
	if b.err != nil {
		return b.err
	}
	if b.added < b.place.r.Len() {
		return b.fail(fmt.Errorf("pack: %d records are no pack of positions %d to %d", b.added, b.place.r.First, b.place.r.Last))
	}
	if len(b.block) > 0 {
		if err := b.endBlock(); err != nil {
			return err
		}
	}
	f := footer{table: b.base + uint64(len(b.buf)), blocks: b.blocks, tableSum: b.place.sum(tablePlace, b.table)}
	b.buf = appendFooter(append(b.buf, b.table...), b.place, f)
	if err := b.flush(); err != nil {
		return err
	}
	temp, path := b.f.Name(), filepath.Join(b.dir, Name(b.place.r))
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		if err := step.Sync(b.f); err != nil {
			return b.fail(fmt.Errorf("pack: %w", err))
		}
	}
	if err := b.f.Close(); err != nil { // before the rename, which Windows refuses for an open file
		return b.fail(fmt.Errorf("pack: %w", err))
	}
	if err := step.Rename(temp, path); err != nil {
		return b.fail(fmt.Errorf("pack: %w", err))
	}
	b.f, b.err = nil, errDone
	return nil
}

var errDone = errors.New("pack: the builder is committed or aborted")

// Abort removes the file unless it was committed. It may be called at any time, and again.
func (b *Builder) Abort() error {
	if b.f == nil {
		return nil
	}
	name := b.f.Name()
	_ = b.f.Close() // what is in it is of no concern, and Commit may have closed it
	b.f, b.err = nil, errDone
	return remove(name)
}

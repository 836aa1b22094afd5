package pack

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"

	"opossum/dcb"
	"opossum/internal/codec"
)

// Pack is an open pack. All methods but Close are safe for concurrent use.
//
// Errors about the content are [dcb.CorruptError], which Is [dcb.ErrCorrupt] and names file, offset and positions.
type Pack struct {
	path  string
	place place
	f     *os.File
	size  int64
	table uint64 // where the blocks end
	index []entry
}

// endBytes are read at once when a pack is opened: the table of 10,000 events of 256 bytes and the footer fit in.
const endBytes = 12 << 10

// Open opens the pack of a range in dir. It reads the two ends of the file and the table of blocks, 24 bytes for 8 KiB of records; a block
// is read and verified when it is asked for. It returns an error that Is
//
//   - [fs.ErrNotExist] if there is no such file,
//   - [dcb.ErrVersion] if a newer version wrote it,
//   - [dcb.ErrCorrupt] if ends or table are not those of a pack of this range and seed.
func Open(dir string, seed uint64, r Range) (*Pack, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	p := &Pack{path: filepath.Join(dir, Name(r)), place: place{seed, r}}
	info, err := os.Lstat(p.path) // before it is opened, which would follow a link or wait for the other end of a pipe
	if err != nil {
		return nil, fmt.Errorf("pack: open: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("pack: open: %w", p.corrupt(0, "not a regular file"))
	}
	f, err := os.Open(p.path)
	if err != nil {
		return nil, fmt.Errorf("pack: open: %w", err)
	}
	p.f = f
	if err := p.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("pack: open: %w", err), f.Close())
	}
	return p, nil
}

func (p *Pack) load() error {
	info, err := p.f.Stat() // a rename may have replaced what Lstat saw
	if err != nil {
		return err
	}
	p.size = info.Size()
	head := make([]byte, min(p.size, headerBytes))
	end := make([]byte, min(p.size, endBytes))
	if err := errors.Join(p.readAt(head, 0), p.readAt(end, p.size-int64(len(end)))); err != nil {
		return err
	}
	foot, err := parseEnds(p.place, p.size, head, end[max(0, len(end)-footerBytes):])
	switch {
	case errors.Is(err, dcb.ErrVersion):
		return fmt.Errorf("%s: %w", p.path, err)
	case errors.Is(err, errHeader):
		return p.corrupt(0, err.Error())
	case err != nil:
		return p.corrupt(max(0, p.size-footerBytes), err.Error())
	}
	p.table = foot.table
	table := end[:len(end)-footerBytes]
	if want := int(foot.blocks * entryBytes); want <= len(table) { // below 2^25
		table = table[len(table)-want:]
	} else {
		table = make([]byte, want)
		if err := p.readAt(table, int64(foot.table)); err != nil {
			return err
		}
	}
	if p.index, err = parseTable(p.place, foot, table); err != nil {
		return p.corrupt(int64(foot.table), err.Error())
	}
	return nil
}

// readAt fills b. A file that has become shorter meanwhile is damaged; an error of the file system is one.
func (p *Pack) readAt(b []byte, off int64) error {
	n, err := p.f.ReadAt(b, off)
	if n == len(b) {
		return nil
	}
	if errors.Is(err, io.EOF) {
		return p.corrupt(off+int64(n), "the file is cut short")
	}
	return err
}

func (p *Pack) corrupt(off int64, reason string) error {
	return &dcb.CorruptError{File: p.path, Offset: off, Reason: fmt.Sprintf("positions %d to %d: %s", p.place.r.First, p.place.r.Last, reason)}
}

// Range is the range of positions that the pack holds.
func (p *Pack) Range() Range { return p.place.r }

// Path is the path of the file.
func (p *Pack) Path() string { return p.path }

// Size is the length of the file in bytes.
func (p *Pack) Size() int64 { return p.size }

// Blocks is how many blocks there are, at least one.
func (p *Pack) Blocks() int { return len(p.index) }

// Positions returns the positions whose records are in block i. REQUIRES, here and below: 0 <= i < Blocks.
func (p *Pack) Positions(i int) Range {
	r := Range{p.place.r.First + dcb.Position(p.index[i].first), p.place.r.Last}
	if i+1 < len(p.index) {
		r.Last = p.place.r.First + dcb.Position(p.index[i+1].first) - 1
	}
	return r
}

// BlockOf returns the block that holds the record at pos. REQUIRES: pos is in Range.
func (p *Pack) BlockOf(pos dcb.Position) int {
	at := uint32(pos - p.place.r.First)
	return sort.Search(len(p.index), func(i int) bool { return p.index[i].first > at }) - 1
}

// RawBytes is how long the records of block i are together, as the verified table says.
func (p *Pack) RawBytes(i int) int { return int(p.index[i].raw) }

// Block reads block i, verifies it and returns its records, one behind the other, in a new slice. What its checksum vouches for is the bytes; each
// record has its own, which binds it to its position. An error that is no dcb.ErrCorrupt is one of the file system.
func (p *Pack) Block(i int) ([]byte, error) { return p.BlockIn(i, nil) }

// BlockIn is Block, with the records in buf if that has room for them: for whoever has done with a block before it reads the next.
func (p *Pack) BlockIn(i int, buf []byte) ([]byte, error) {
	e, end := p.index[i], p.table
	if i+1 < len(p.index) {
		end = p.index[i+1].offset
	}
	n := int(end - e.offset)
	if n > pooledBytes {
		return p.block(i, make([]byte, n), buf)
	}
	packed := packedPool.Get().(*[pooledBytes]byte)
	defer packedPool.Put(packed)
	return p.block(i, packed[:n], buf)
}

// block is BlockIn with the memory for what stands in the file.
func (p *Pack) block(i int, packed, buf []byte) ([]byte, error) {
	e := p.index[i]
	if err := p.readAt(packed, int64(e.offset)); err != nil {
		return nil, p.inBlock(i, err)
	}
	if p.place.sum(uint64(i), packed) != e.sum {
		return nil, p.inBlock(i, p.corrupt(int64(e.offset), "the checksum of the block does not match"))
	}
	raw, err := unpackIn(packed, int(e.raw), buf)
	if err != nil {
		return nil, p.inBlock(i, p.corrupt(int64(e.offset), err.Error()))
	}
	return raw, nil
}

// inBlock names the positions of block i in an error about damage.
func (p *Pack) inBlock(i int, err error) error {
	if ce := (*dcb.CorruptError)(nil); errors.As(err, &ce) {
		r := p.Positions(i)
		ce.Reason = fmt.Sprintf("block %d, of positions %d to %d: %s", i, r.First, r.Last, ce.Reason)
	}
	return err
}

// Record returns the record of pos out of the records of block i, as Block returned them. It counts and verifies nothing: the checksum of the record says
// whether it is that of pos. REQUIRES: pos is in Positions(i).
func (p *Pack) Record(i int, raw []byte, pos dcb.Position) ([]byte, error) {
	for at := p.Positions(i).First; ; at++ {
		rec, rest, ok := codec.NextRecord(raw)
		if !ok {
			return nil, p.inBlock(i, p.corrupt(int64(p.index[i].offset), fmt.Sprintf("there is no whole record of position %d", at)))
		}
		if at == pos {
			return rec, nil
		}
		raw = rest
	}
}

// Close closes the file. REQUIRES: nobody uses the pack any more.
func (p *Pack) Close() error { return p.f.Close() }

package segment

import (
	"encoding/binary"
	"errors"

	"opossum/dcb"
)

// inlined is the bit of a term's value which says that the rest is the term's one position; without it, the rest is how
// far the head of the term's list is from the start of the run.
const inlined = 1

// listBuilder encodes the list of one term: blocks of listBlock positions, then the head. Only the skip table, eight bytes for
// each block, waits in memory for the end of the list.
type listBuilder struct {
	count uint64
	last  uint32
	block [listBlock]uint32
	n     int    // positions in block
	skips []byte // of the blocks that are written
	start uint64 // where the first block is; known when it is written
	bytes []byte // reused
}

func (l *listBuilder) begin() { l.count, l.n, l.skips = 0, 0, l.skips[:0] }

// add reports whether p is above the last one.
func (l *listBuilder) add(w *writer, p uint32) bool {
	if l.count > 0 && p <= l.last {
		return false
	}
	if l.n == listBlock {
		l.flush(w)
	}
	l.block[l.n], l.last = p, p
	l.n++
	l.count++
	return true
}

// flush writes the block. Each position is coded as its distance from the one before, less one; the very first as itself.
func (l *listBuilder) flush(w *writer) {
	if len(l.skips) == 0 {
		l.start = w.offset()
	}
	next := uint64(0) // the lowest position that may follow
	if n := len(l.skips); n > 0 {
		next = uint64(binary.LittleEndian.Uint32(l.skips[n-skipBytes:])) + 1
	}
	l.bytes = l.bytes[:0]
	for _, p := range l.block[:l.n] {
		l.bytes = binary.AppendUvarint(l.bytes, uint64(p)-next)
		next = uint64(p) + 1
	}
	l.skips = binary.LittleEndian.AppendUint32(l.skips, l.block[l.n-1])
	l.skips = binary.LittleEndian.AppendUint32(l.skips, uint32(w.offset()-l.start))
	w.write(l.bytes)
	l.n = 0
}

// end writes what is left and the head, and returns where the head is. REQUIRES: count >= 2.
func (l *listBuilder) end(w *writer) uint64 {
	l.flush(w)
	head := w.offset()
	l.bytes = binary.AppendUvarint(l.bytes[:0], l.count)
	l.bytes = binary.AppendUvarint(l.bytes, head-l.start)
	w.write(l.bytes)
	if l.count > listBlock {
		w.write(l.skips)
	}
	return head
}

var (
	errVarint = errors.New("a number in a list is malformed")
	errBlock  = errors.New("a block of a list is not as long as its head says")
	errBeyond = errors.New("a position is beyond the end of the range")
	errSkip   = errors.New("the skip table of a list contradicts its blocks")
)

// nextPosition decodes one number at the start of b: the position and how many bytes it took. next is the lowest position that may stand there.
func nextPosition(b []byte, next, span uint64) (p uint64, n int, err error) {
	d, n := binary.Uvarint(b)
	if n <= 0 {
		return 0, 0, errVarint
	}
	if next > span || d > span-next {
		return 0, 0, errBeyond
	}
	return next + d, n, nil
}

// decodeBlock fills into with the positions of one block, which must be exactly all of b.
func decodeBlock(b []byte, into []dcb.Position, next uint64, r Range) error {
	span := r.span()
	for i := range into {
		p, n, err := nextPosition(b, next, span)
		if err != nil {
			return err
		}
		into[i], b, next = r.First+dcb.Position(p), b[n:], p+1
	}
	if len(b) > 0 {
		return errBlock
	}
	return nil
}

// firstFrom returns the lowest of n positions in b that is at least from; without one, found is false.
func firstFrom(b []byte, n int, next, from, span uint64) (p uint64, found bool, err error) {
	for range n {
		p, size, err := nextPosition(b, next, span)
		if err != nil {
			return 0, false, err
		}
		if p >= from {
			return p, true, nil
		}
		b, next = b[size:], p+1
	}
	return 0, false, nil
}

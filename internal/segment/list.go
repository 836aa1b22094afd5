package segment

import (
	"encoding/binary"
	"iter"

	"opossum/dcb"
)

// List is the positions of one term in one segment. It is a value; the zero List is empty. It is safe for concurrent use
// until the segment is closed.
type List struct {
	m     *mapping
	count uint64
	one   uint32 // the position if count is 1
	data  uint64 // where the blocks start in the file
	size  uint64 // of the blocks together
	skips uint64 // where the skip table starts, if there is more than one block
}

// Len is how many positions there are.
func (l List) Len() uint64 { return l.count }

// blocks is how many blocks the list has. Only the last one may have fewer than listBlock positions.
func (l List) blocks() uint64 { return (l.count + listBlock - 1) / listBlock }

func (l List) inBlock(i uint64) int { return int(min(listBlock, l.count-i*listBlock)) }

// FirstAfter returns the lowest position in (after, upto], 0 if there is none. It reads one block of the list and
// allocates nothing.
func (l List) FirstAfter(after, upto dcb.Position) (dcb.Position, error) {
	if l.count == 0 {
		return 0, nil
	}
	from, to, ok := l.m.place.r.clip(after, upto)
	if !ok {
		return 0, nil
	}
	first := l.m.place.r.First
	if l.count == 1 {
		if one := uint64(l.one); one >= from && one <= to {
			return first + dcb.Position(one), nil
		}
		return 0, nil
	}
	var found dcb.Position
	err := l.m.guard(func() error {
		p, ok, err := l.firstFrom(from)
		if ok && p <= to {
			found = first + dcb.Position(p)
		}
		return err
	})
	return found, err
}

// clip returns the numbers, counted from the start of the range, of the positions in (after, upto]; ok if there are any.
func (r Range) clip(after, upto dcb.Position) (from, to uint64, ok bool) {
	if after >= upto || after >= r.Last || upto < r.First {
		return 0, 0, false
	}
	return uint64(max(after+1, r.First) - r.First), uint64(min(upto, r.Last) - r.First), true
}

// firstFrom returns the lowest number that is at least from. REQUIRES: inside guard; count >= 2.
func (l List) firstFrom(from uint64) (p uint64, found bool, err error) {
	i, err := l.blockFor(from, 0, l.blocks())
	if err != nil || i == l.blocks() {
		return 0, false, err
	}
	b, next, err := l.block(i)
	if err != nil {
		return 0, false, err
	}
	if p, found, err = firstFrom(b, l.inBlock(i), next, from, l.m.place.r.span()); err != nil {
		return 0, false, l.corrupt(err)
	}
	if !found && l.blocks() > 1 {
		return 0, false, l.corrupt(errSkip)
	}
	return p, found, nil
}

// blockFor returns the first block in [lo, hi) that may hold a number >= from, or hi if there is none. The only block of
// a short list may hold anything. REQUIRES: inside guard; lo <= hi <= blocks().
func (l List) blockFor(from, lo, hi uint64) (uint64, error) {
	if l.blocks() == 1 {
		return lo, nil
	}
	for lo < hi {
		mid := lo + (hi-lo)/2
		last, _, err := l.skip(mid)
		if err != nil {
			return 0, err
		}
		if last < from {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo, nil
}

// skip returns what the skip table says of a block: its last number, and where it starts. REQUIRES: inside guard.
func (l List) skip(i uint64) (last, start uint64, err error) {
	b, err := l.m.view(l.skips+i*skipBytes, skipBytes)
	if err != nil {
		return 0, 0, err
	}
	return uint64(binary.LittleEndian.Uint32(b)), uint64(binary.LittleEndian.Uint32(b[4:])), nil
}

// block returns the bytes of a block and the lowest number that may stand in it. REQUIRES: inside guard.
func (l List) block(i uint64) (b []byte, next uint64, err error) {
	start, end := uint64(0), l.size
	if l.blocks() > 1 {
		if _, start, err = l.skip(i); err != nil {
			return nil, 0, err
		}
	}
	if i > 0 {
		last, _, err := l.skip(i - 1)
		if err != nil {
			return nil, 0, err
		}
		next = last + 1
	}
	if i+1 < l.blocks() {
		if _, end, err = l.skip(i + 1); err != nil {
			return nil, 0, err
		}
	}
	if start > end || end > l.size {
		return nil, 0, l.corrupt(errSkip)
	}
	b, err = l.m.view(l.data+start, end-start)
	return b, next, err
}

// decode fills into with the positions of a block. REQUIRES: inside guard; into has inBlock(i) elements.
func (l List) decode(i uint64, into []dcb.Position) error {
	r := l.m.place.r
	if l.count == 1 {
		into[0] = r.First + dcb.Position(l.one)
		return nil
	}
	b, next, err := l.block(i)
	if err != nil {
		return err
	}
	if err := decodeBlock(b, into, next, r); err != nil {
		return l.corrupt(err)
	}
	if l.blocks() > 1 {
		last, _, err := l.skip(i)
		if err != nil {
			return err
		}
		if r.First+dcb.Position(last) != into[len(into)-1] {
			return l.corrupt(errSkip)
		}
	}
	return nil
}

func (l List) corrupt(err error) error { return l.m.corrupt(l.data, err.Error()) }

// Contains reports whether p is in the list.
func (l List) Contains(p dcb.Position) (bool, error) {
	if p == 0 {
		return false, nil
	}
	found, err := l.FirstAfter(p-1, p)
	return found == p, err
}

// Each yields all positions in ascending pieces. A piece is overwritten by the next one. An error is yielded once, last.
func (l List) Each() iter.Seq2[[]dcb.Position, error] {
	return func(yield func([]dcb.Position, error) bool) {
		buf := make([]dcb.Position, min(l.count, listBlock))
		for i := range l.blocks() {
			piece := buf[:l.inBlock(i)]
			if err := l.m.guard(func() error { return l.decode(i, piece) }); err != nil {
				yield(nil, err)
				return
			}
			if !yield(piece, nil) {
				return
			}
		}
	}
}

package segment

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"unsafe"

	"opossum/dcb"
)

// mapping is the bytes of an open file, which are verified before they are believed.
//
// INVARIANT: every access to data runs inside guard, and nothing that shares memory with data outlives it.
type mapping struct {
	path     string
	data     []byte
	place    place
	foot     footer
	tableOK  atomic.Bool
	verified []atomic.Uint64 // a bit for each block whose sum was right
}

func newMapping(path string, data []byte, p place, f footer) *mapping {
	return &mapping{path: path, data: data, place: p, foot: f, verified: make([]atomic.Uint64, (f.blocks()+63)/64)}
}

// guard runs f, and makes errors of the faults and panics that reading the mapping can bring: the disk fails, the file
// is cut underneath, or a decoder trips over what it reads. f calls nothing of a user's.
func (m *mapping) guard(f func() error) (err error) {
	old := debug.SetPanicOnFault(true)
	defer func() {
		debug.SetPanicOnFault(old)
		if r := recover(); r != nil {
			err = m.tripped(r)
		}
	}()
	return f()
}

// tripped makes an error of what the runtime threw. Anything else is a defect of this package and goes on.
func (m *mapping) tripped(thrown any) error {
	err, ok := thrown.(runtime.Error)
	if !ok {
		panic(thrown)
	}
	if fault, ok := err.(interface{ Addr() uintptr }); ok {
		off := fault.Addr() - uintptr(unsafe.Pointer(unsafe.SliceData(m.data)))
		return m.corrupt(uint64(off), "cannot be read: the disk failed, or the file is shorter than it was")
	}
	return m.corrupt(0, "malformed: "+err.Error())
}

func (m *mapping) corrupt(offset uint64, reason string) error {
	return &dcb.CorruptError{
		File: m.path, Offset: int64(offset),
		Reason: fmt.Sprintf("index of positions %d to %d: %s", m.place.r.First, m.place.r.Last, reason),
	}
}

// view returns n bytes at off, verified. REQUIRES: the caller runs inside guard, and the view ends there.
func (m *mapping) view(off, n uint64) ([]byte, error) {
	if off > m.foot.end || n > m.foot.end-off {
		return nil, m.corrupt(off, "a part leads beyond the end")
	}
	if n > 0 {
		for block := off / blockBytes; block <= (off+n-1)/blockBytes; block++ {
			if m.verified[block/64].Load()&(1<<(block%64)) != 0 {
				continue
			}
			if err := m.verify(block); err != nil {
				return nil, err
			}
		}
	}
	return m.data[off : off+n : off+n], nil
}

// verify compares the sum of a block with the table, and before that, once, the sum of the table with the footer.
func (m *mapping) verify(block uint64) error {
	if !m.tableOK.Load() {
		table := m.data[m.foot.end : m.foot.end+m.foot.blocks()*sumBytes]
		if m.place.sum(tablePlace, table) != m.foot.tableSum {
			return m.corrupt(m.foot.end, "the checksum of the table does not match")
		}
		m.tableOK.Store(true)
	}
	off := block * blockBytes
	want := binary.LittleEndian.Uint64(m.data[m.foot.end+block*sumBytes:])
	if m.place.sum(block, m.data[off:min(off+blockBytes, m.foot.end)]) != want {
		return m.corrupt(off, "the checksum of the block does not match")
	}
	m.verified[block/64].Or(1 << (block % 64))
	return nil
}

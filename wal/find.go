package wal

import (
	"bytes"
	"encoding/binary"
)

// Found is a frame that was found somewhere, and the generation that it says it is of.
type Found struct {
	Gen uint64
	Frame
}

// FindFrames returns the intact frames of a store, of any generation, that stand anywhere in b: in a file that is in the wrong
// place, say. Bodies share memory with b.
func FindFrames(b []byte, id StoreID) []Found {
	var magic [4]byte
	binary.LittleEndian.PutUint32(magic[:], frameMagic)
	var out []Found
	for from := 0; ; {
		i := bytes.Index(b[from:], magic[:])
		if i < 0 || len(b)-from-i < FrameHeaderBytes {
			return out
		}
		start := from + i
		from = start + 1
		gen := binary.LittleEndian.Uint64(b[start+8:])
		if f, ok := frameAt(b[start:], id, gen); ok {
			from = start + FrameHeaderBytes + len(f.Body)
			f.Offset, f.BodyOffset, f.End = int64(start), int64(start+FrameHeaderBytes), int64(from)
			out = append(out, Found{Gen: gen, Frame: f})
		}
	}
}

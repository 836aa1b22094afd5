package pack

import (
	"bytes"
	"errors"

	"github.com/klauspost/compress/zstd"
)

// frameMagic begins every block.
var frameMagic = []byte{0x28, 0xb5, 0x2f, 0xfd}

// A frame of zstd is pieces, which its specification calls blocks (RFC 8878, 3.1.1.2). What comes out of one is bounded.
const (
	pieceHeader = 3 // last u1 | type u2 | size u21
	pieceBytes  = 128 << 10
)

// maxPacked is how long the frame of so many bytes can be: the bound that zstd itself states.
func maxPacked(raw uint64) uint64 { return raw + raw>>8 + 64 }

var errFrame = errors.New("the block is not one zstd frame of as many bytes as the table says")

// frame judges the zstd frame at the start of b by its headers alone: n is its length, raw how many bytes it claims to hold. ok is false if it is none
// that a block may be: one that states its content, 1 to maxRawBytes, which its pieces can hold; that needs no dictionary; and that is whole in b.
func frame(b []byte) (n, raw int, ok bool) {
	var h zstd.Header
	if h.Decode(b) != nil || h.DictionaryID != 0 || h.FrameContentSize == 0 || h.FrameContentSize > maxRawBytes { // 0 also if it is not stated
		return 0, 0, false
	}
	raw = int(h.FrameContentSize)
	room := 0
	for n = h.HeaderSize; n+pieceHeader <= len(b); {
		v := uint32(b[n]) | uint32(b[n+1])<<8 | uint32(b[n+2])<<16
		size := int(v >> 3)
		if v>>1&3 == 1 { // one byte, repeated
			size = 1
		}
		n += pieceHeader + size
		if room < raw {
			room += pieceBytes
		}
		if v&1 != 0 {
			if h.HasCheckSum {
				n += 4
			}
			return n, raw, n <= len(b) && raw <= room
		}
	}
	return 0, 0, false
}

// unpack returns the content of a block of raw bytes. It allocates no more than that, and little of its own.
func unpack(packed []byte, raw int) ([]byte, error) { return unpackIn(packed, raw, nil) }

// unpackIn is unpack, in buf if that has room.
func unpackIn(packed []byte, raw int, buf []byte) ([]byte, error) {
	if n, claimed, ok := frame(packed); !ok || n != len(packed) || claimed != raw {
		return nil, errFrame
	}
	d, err := decoderFor(raw)
	if err != nil {
		return nil, err
	}
	if cap(buf) < raw {
		buf = make([]byte, raw)
	}
	out, err := d.DecodeAll(packed, buf[:0:raw])
	if err == nil && len(out) != raw {
		err = errFrame
	}
	if err != nil {
		return nil, err
	}
	return out, nil
}

// nextFrame returns the first frame in b that may be a block, and what comes behind its first byte; nil if there is none.
func nextFrame(b []byte) (packed []byte, raw int, rest []byte) {
	for {
		i := bytes.Index(b, frameMagic)
		if i < 0 {
			return nil, 0, nil
		}
		packed, b = b[i:], b[i+1:]
		if n, raw, ok := frame(packed); ok {
			return packed[:n], raw, b
		}
	}
}

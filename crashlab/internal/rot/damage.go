package rot

import (
	"bytes"
	"math/rand/v2"

	"opossum/internal/workload"
)

// damage is one way in which the bytes of a file rot.
type damage struct {
	name string
	do   func(r *rand.Rand, b []byte) []byte // may change b
}

// damages are those that need nothing but the file itself.
var damages = []damage{
	{"bit flipped", func(r *rand.Rand, b []byte) []byte {
		if len(b) > 0 {
			b[r.IntN(len(b))] ^= 1 << r.IntN(8)
		}
		return b
	}},
	{"block zeroed", func(r *rand.Rand, b []byte) []byte {
		clear(block(r, b))
		return b
	}},
	{"block of noise", func(r *rand.Rand, b []byte) []byte {
		noise(r, block(r, b))
		return b
	}},
	{"blocks swapped", func(r *rand.Rand, b []byte) []byte {
		size := 512 << (3 * r.IntN(2))
		if n := len(b) / size; n > 1 {
			x, y := r.IntN(n)*size, r.IntN(n)*size
			was := bytes.Clone(b[x : x+size])
			copy(b[x:x+size], b[y:y+size])
			copy(b[y:y+size], was)
		}
		return b
	}},
	{"cut", func(r *rand.Rand, b []byte) []byte {
		switch n := len(b); r.IntN(4) {
		case 0: // near the end
			return b[:max(0, n-1-r.IntN(300))]
		case 1: // at the end of a block
			return b[:r.IntN(n/512+1)*512]
		case 2:
			return b[:0]
		default:
			return b[:r.IntN(n+1)]
		}
	}},
	{"grown", func(r *rand.Rand, b []byte) []byte {
		tail := make([]byte, 1+r.IntN(4096))
		switch r.IntN(3) {
		case 0: // zeros
		case 1:
			noise(r, tail)
		default: // what it ends with, again
			tail = bytes.Clone(b[max(0, len(b)-len(tail)):])
		}
		return append(b, tail...)
	}},
}

// block is a block of a disk in the file; the whole file if it is smaller than that.
func block(r *rand.Rand, b []byte) []byte {
	size := 512 << (3 * r.IntN(2))
	at := r.IntN(len(b)/size+1) * size
	return b[at:min(at+size, len(b))]
}

func noise(r *rand.Rand, b []byte) {
	whole := make([]byte, (len(b)+7)/8*8)
	workload.Fill(r, whole)
	copy(b, whole)
}

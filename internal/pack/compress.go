package pack

import (
	"sync"

	"github.com/klauspost/compress/zstd"
)

// Two encoders, and a decoder for each processor, serve all and are safe for concurrent use. They keep their tables: half a megabyte for each encoder,
// a quarter for each decoder at most. They run no goroutines for whole blocks.
var (
	encoder = sync.OnceValue(func() *zstd.Encoder {
		// The fastest level: the next one takes nearly twice the time for 3 % less. Bytes that do not repeat are left as they are: coding them by their frequency makes
		// packs of JSON 15 %, of random letters 18 % smaller, but packing takes a half more, and reading such letters twice the time. The window holds any usual block whole, and bounds what an encoder
		// keeps after a large one: 9 MB without it. Blocks have sums of their own; without one inside, what is left of a damaged block can be read.
		e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(encoderWindow), zstd.WithLowerEncoderMem(true),
			zstd.WithEncoderConcurrency(2), zstd.WithEncoderCRC(false), zstd.WithSingleSegment(true), zstd.WithNoEntropyCompression(true))
		if err != nil {
			panic(err) // only for options that contradict each other
		}
		return e
	})
	decoder = sync.OnceValue(func() *zstd.Decoder {
		d, err := newDecoder(0)
		if err != nil {
			panic(err)
		}
		return d
	})
)

const encoderWindow = 128 << 10

// newDecoder returns one for so many goroutines, 0: for as many as there are processors. The room that a block may take is what its caller has made
// ready for it.
func newDecoder(concurrency int) (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(concurrency), zstd.WithDecodeAllCapLimit(true), zstd.WithDecoderMaxMemory(2*maxRawBytes))
}

// decoderFor returns the decoder for a block with so many bytes of records. A large block gets one that is forgotten with it, because a decoder keeps the
// last bytes that it has read and those that it has made: twice 16 MiB on each processor, at worst.
func decoderFor(raw int) (*zstd.Decoder, error) {
	if raw <= usualBytes {
		return decoder(), nil
	}
	return newDecoder(1)
}

const (
	// usualBytes is up to how many bytes of records a block is a usual one.
	usualBytes = 64 << 10

	// pooledBytes is up to which length the bytes of a block are read into memory that is used again: those of any usual block are.
	pooledBytes = usualBytes + usualBytes>>8 + 64
)

// packedPool holds such memory, as pointers to slices with a capacity of pooledBytes.
var packedPool = sync.Pool{New: func() any { return new([pooledBytes]byte) }}

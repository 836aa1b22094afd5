package segment

import (
	"encoding/binary"

	"github.com/cespare/xxhash/v2"
)

// Every run has a filter of its terms: the split block Bloom filter of Parquet, so that an absent term costs one place in memory and not the way through
// an FST. Most questions are for terms that a segment does not have: a name that must be new is asked of all segments.
const (
	filterBits  = 10 // for each term; one absent term in about 80 passes
	filterBlock = 32 // bytes
)

// filterSalt makes eight bits of one hash.
var filterSalt = [8]uint32{0x47b6137b, 0x44974d91, 0x8824ad5b, 0xa2b7289d, 0x705495c7, 0x2df1424b, 0x9efc4947, 0x5c6bfb31}

// filterHash is the hash of a key.
func filterHash(key []byte) uint64 { return xxhash.Sum64(key) }

// filterBytes is the size of the filter of so many terms.
func filterBytes(terms int) int {
	return (terms*filterBits + 8*filterBlock - 1) / (8 * filterBlock) * filterBlock
}

// filterPlace is where the block of a hash starts in a filter of size bytes.
func filterPlace(hash, size uint64) uint64 {
	return hash >> 32 * (size / filterBlock) >> 32 * filterBlock
}

// appendFilter appends the filter of the hashes of a run.
func appendFilter(b []byte, hashes []uint64) []byte {
	start := len(b)
	b = append(b, make([]byte, filterBytes(len(hashes)))...)
	f := b[start:]
	for _, hash := range hashes {
		block := f[filterPlace(hash, uint64(len(f))):]
		for i, salt := range filterSalt {
			word := block[4*i:]
			binary.LittleEndian.PutUint32(word, binary.LittleEndian.Uint32(word)|1<<(uint32(hash)*salt>>27))
		}
	}
	return b
}

// mayHave reports whether the term of a hash may be in the filter whose block of that hash this is; if not, it certainly is not.
func mayHave(block []byte, hash uint64) bool {
	_ = block[filterBlock-1]
	for i, salt := range filterSalt {
		if binary.LittleEndian.Uint32(block[4*i:])&(1<<(uint32(hash)*salt>>27)) == 0 {
			return false
		}
	}
	return true
}

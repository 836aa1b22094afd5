package pack

import "iter"

// Salvage yields what can still be decompressed in the bytes of a damaged file, block by block, whatever header, table and footer say. No checksum
// vouches for any of it but those of the records in it: see [codec.Salvage]. A block in which a bit has flipped is mostly yielded, with a few bytes
// that are wrong. It needs the memory of one block at a time, whatever the bytes are; what it yields is the caller's.
func Salvage(b []byte) iter.Seq[[]byte] {
	return func(yield func(raw []byte) bool) {
		for {
			packed, n, rest := nextFrame(b)
			if packed == nil {
				return
			}
			if raw, err := unpack(packed, n); err == nil && !yield(raw) {
				return
			}
			b = rest // not what is behind the frame: the damage may be in its headers
		}
	}
}

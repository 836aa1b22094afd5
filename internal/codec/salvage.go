package codec

import (
	"encoding/binary"
	"iter"
	"time"

	"github.com/cespare/xxhash/v2"

	"opossum/dcb"
)

// Found is an intact record among bytes that are otherwise not to be trusted.
type Found struct {
	Position dcb.Position
	Offset   int // of the record in the bytes searched
	Bytes    int // its length
}

// Salvage yields, ascending by offset, the intact records of the positions first to last that stand anywhere in b, whatever
// is between them: what is left of a log frame whose checksum is broken. A record tells its own position, because its checksum
// is stamped with it; the range keeps accidents out, of which one is expected in 2^64 / (last-first+1) tries.
//
// A record that is found was written by this store for that position. Whether its append was ever acknowledged is not for it to say.
func Salvage(b []byte, seed uint64, first, last dcb.Position) iter.Seq[Found] {
	return func(yield func(Found) bool) {
		for off := 0; off+RecordHeaderBytes+minPayloadBytes <= len(b); off++ {
			rec, _, ok := NextRecord(b[off:])
			if !ok || !plausible(rec) {
				continue
			}
			p := positionOf(rec, seed)
			if p < first || p > last {
				continue
			}
			if CheckRecord(rec, seed, p) != nil {
				continue
			}
			if !yield(Found{Position: p, Offset: off, Bytes: len(rec)}) {
				return
			}
			off += len(rec) - 1
		}
	}
}

// PayloadSum returns the checksum of what a record says, whether or not it is stamped: equal sums, equal events.
// REQUIRES: rec is a whole record.
func PayloadSum(rec []byte) uint64 { return xxhash.Sum64(rec[RecordHeaderBytes:]) }

// plausible looks at a few bytes of what may be a record, so that not every one of them is hashed.
func plausible(rec []byte) bool {
	payload := rec[RecordHeaderBytes:]
	flags, at := payload[0], 1
	if flags&flagID != 0 {
		at += 16
	}
	if flags&^flagID != 0 || len(payload) < at+12 {
		return false
	}
	return binary.LittleEndian.Uint32(payload[at+8:]) < uint32(time.Second)
}

// positionOf returns the one position for which the checksum of rec holds: the inverse of place.
func positionOf(rec []byte, seed uint64) dcb.Position {
	return dcb.Position((unplaced(rec) - seed) * 0xf1de83e19937733d)
}

// SeedOf returns the one seed with which rec is the record of position p. Any bytes have one: only a second record that agrees makes it the store's.
// REQUIRES: rec is a whole record.
func SeedOf(rec []byte, p dcb.Position) uint64 { return unplaced(rec) - uint64(p)*0x9e3779b97f4a7c15 }

// unplaced undoes the finalizer of place.
func unplaced(rec []byte) uint64 {
	x := binary.LittleEndian.Uint64(rec[4:]) ^ PayloadSum(rec)
	x = (x ^ x>>31 ^ x>>62) * 0x319642b2d24d8ec3 // each factor times that of place is 1, modulo 2^64
	x = (x ^ x>>27 ^ x>>54) * 0x96de1b173f119089
	return x ^ x>>30 ^ x>>60
}

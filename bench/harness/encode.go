package harness

import (
	"encoding/binary"
	"time"

	"github.com/cespare/xxhash/v2"

	"opossum"
)

// The logs' form of an event is opossum's, so that all of them write, checksum and sync the same bytes. Integers are little
// endian, lengths are uvarints:
//
//	u32 bytes of payload | u64 xxh64 of payload | payload
//	payload: flags u8 | [id 16] | seconds i64 | nanoseconds u32 | len type
//	         | n { len tag } | n { len key len value } | data: the rest
const (
	recordHeader = 4 + 8
	flagID       = 1
)

// AppendRecord adds the record of e to buf. As an engine does, it reads the clock if the event has no time.
func AppendRecord(buf []byte, e *opossum.Event) []byte {
	at := e.Time
	if at.IsZero() {
		at = time.Now()
	}
	start := len(buf)
	buf = append(buf, make([]byte, recordHeader)...)
	if e.ID == [16]byte{} {
		buf = append(buf, 0)
	} else {
		buf = append(buf, flagID)
		buf = append(buf, e.ID[:]...)
	}
	buf = binary.LittleEndian.AppendUint64(buf, uint64(at.Unix()))
	buf = binary.LittleEndian.AppendUint32(buf, uint32(at.Nanosecond()))
	buf = appendString(buf, e.Type)
	buf = binary.AppendUvarint(buf, uint64(len(e.Tags)))
	for _, t := range e.Tags {
		buf = appendString(buf, string(t))
	}
	buf = binary.AppendUvarint(buf, uint64(len(e.Metadata)))
	for k, v := range e.Metadata {
		buf = appendString(appendString(buf, k), v)
	}
	buf = append(buf, e.Data...)

	payload := buf[start+recordHeader:]
	binary.LittleEndian.PutUint32(buf[start:], uint32(len(payload)))
	binary.LittleEndian.PutUint64(buf[start+4:], xxhash.Sum64(payload))
	return buf
}

func appendString(buf []byte, s string) []byte {
	return append(binary.AppendUvarint(buf, uint64(len(s))), s...)
}

// The header before each group of records that is written at once. The log of opossum has one of the same size
// and with the same duties.
//
//	 0  magic  u32    8  generation      u64   32  events          u32   48  offset of this frame   u64
//	 4  kind   u32   16  frame number    u64   36  length of body  u32   56  sum of the last frame  u64
//	                 24  first position  u64   40  durable pos.    u64   64  xxh64 of all the rest  u64
//	72  body
const (
	frameHeader = 72
	frameMagic  = 0x484e4542 // "BENH"

	kindGroup = 1 // a body of records
	kindLink  = 2 // the first frame of a generation: no body
)

// frame is what a frame's header says beside what its body tells.
type frame struct {
	place
	kind    uint32
	events  uint32
	first   uint64 // position of the first event
	durable uint64 // highest position that was durable when this frame was made
	before  uint64 // sum of the last frame
}

// seal fills in the header of buf, a frame whose first frameHeader bytes are still free, and returns its sum.
func (f frame) seal(buf []byte) uint64 {
	binary.LittleEndian.PutUint32(buf[0:], frameMagic)
	binary.LittleEndian.PutUint32(buf[4:], f.kind)
	binary.LittleEndian.PutUint64(buf[8:], f.generation)
	binary.LittleEndian.PutUint64(buf[16:], f.no)
	binary.LittleEndian.PutUint64(buf[24:], f.first)
	binary.LittleEndian.PutUint32(buf[32:], f.events)
	binary.LittleEndian.PutUint32(buf[36:], uint32(len(buf)-frameHeader))
	binary.LittleEndian.PutUint64(buf[40:], f.durable)
	binary.LittleEndian.PutUint64(buf[48:], f.offset)
	binary.LittleEndian.PutUint64(buf[56:], f.before)
	binary.LittleEndian.PutUint64(buf[64:], 0)
	sum := xxhash.Sum64(buf)
	binary.LittleEndian.PutUint64(buf[64:], sum)
	return sum
}

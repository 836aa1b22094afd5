package workload

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/google/uuid"

	"opossum/dcb"
)

// IDsPerWriter is how many appends one writer of one session may make: the number of an append tells its writer.
const IDsPerWriter = 10_000

// Large, added to the number of an append, makes its events large: some dozens of them fill a generation of the log.
const Large = 1 << 40

// Types and Keys are how many types ("T0"...) and tags of the kind "k:0"... the events have, for whoever asks queries of them.
const (
	Types = 5
	Keys  = 11
)

// Events recomputes the events of append id. Each event's ID holds id, its index and the count.
func Events(id uint64) []dcb.Event {
	r := rand.New(rand.NewPCG(id, 1))
	n := 1
	switch r.IntN(8) {
	case 0:
		n = 2 + r.IntN(4)
	case 1:
		n = 2 + r.IntN(12)
	}
	if id&Large != 0 {
		n = min(n, 2)
	}
	events := make([]dcb.Event, n)
	for i := range events {
		e := &events[i]
		binary.BigEndian.PutUint64(e.ID[:], id)
		binary.BigEndian.PutUint32(e.ID[8:], uint32(i))
		binary.BigEndian.PutUint32(e.ID[12:], uint32(n))
		e.Type = fmt.Sprintf("T%d", r.IntN(Types))
		e.Tags = []dcb.Tag{Tag(id), dcb.Tag(fmt.Sprintf("k:%d", r.IntN(Keys))), WriterTag(id)}
		e.Time = time.Unix(1_800_000_000+int64(id&(Large-1)), int64(i)).UTC()
		if id&Contested != 0 {
			e.Tags = append(e.Tags, Seat(id))
		}
		size := r.IntN(200)
		if r.IntN(60) == 0 {
			size = r.IntN(60_000) // more than the kernel writes in one piece
		}
		if id&Large != 0 {
			size = 100_000 + r.IntN(300_000)
		}
		e.Data = make([]byte, size)
		Fill(r, e.Data)
		if size < 60_000 && r.IntN(3) == 0 {
			e.Data = fmt.Appendf(nil, `{"append": %d, "of": "%x"}`, id, e.Data)
		}
		if len(e.Data) == 0 {
			e.Data = nil
		}
		if r.IntN(4) == 0 {
			e.Metadata = map[string]string{"user": "ann", "n": strconv.Itoa(i)}
		}
	}
	return events
}

// Fill makes b random.
func Fill(r *rand.Rand, b []byte) {
	for i := 0; i < len(b); i += 8 {
		var word [8]byte
		binary.LittleEndian.PutUint64(word[:], r.Uint64())
		copy(b[i:], word[:])
	}
}

// Tag is the tag that only the events of append id have; WriterTag that of all appends of its writer.
func Tag(id uint64) dcb.Tag { return dcb.Tag(fmt.Sprintf("append:%d", id)) }

// WriterTag is the tag of all events of the writer of append id.
func WriterTag(id uint64) dcb.Tag { return dcb.Tag(fmt.Sprintf("writer:%d", id/IDsPerWriter)) }

// Unique matches the events of append id.
func Unique(id uint64) dcb.Query { return dcb.ByTags(Tag(id)) }

// Condition is a condition under which append id succeeds once, nil for every fourth; last is the position of its writer's append before. One
// that is contested succeeds if it comes first; last is the head that its writer has seen.
func Condition(id uint64, last dcb.Position) *dcb.Condition {
	if id&Contested != 0 {
		return contest(id, last)
	}
	switch id % 4 {
	case 0:
		return nil
	case 1:
		return &dcb.Condition{FailIfExists: Unique(id)}
	case 2:
		return &dcb.Condition{FailIfMatch: Unique(id)}
	}
	return &dcb.Condition{FailIfMatch: dcb.ByTags(WriterTag(id)), After: last}
}

// Origin tells which append an event belongs to, from its ID.
func Origin(id uuid.UUID) (number uint64, index, count int) {
	return binary.BigEndian.Uint64(id[:]), int(binary.BigEndian.Uint32(id[8:])), int(binary.BigEndian.Uint32(id[12:]))
}

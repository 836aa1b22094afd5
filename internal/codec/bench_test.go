package codec

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/uuid"

	"opossum/dcb"
)

// benchEvent has 256 bytes of data and three tags.
func benchEvent() dcb.SequencedEvent {
	return dcb.SequencedEvent{Position: 7_654_321, Event: dcb.Event{
		ID: uuid.MustParse("01929f3a-5b7c-7d8e-9f00-112233445566"), Type: "StudentEnrolledInCourse",
		Tags: []dcb.Tag{"course:c0000417", "student:s0054321", "enrollment:e0007654321"},
		Data: bytes.Repeat([]byte(`{"abc":1}`), 30)[:256], Time: time.Unix(1_800_000_000, 123_456_789),
	}}
}

func BenchmarkDecodeRecord(b *testing.B) {
	ev := benchEvent()
	with := benchEvent()
	with.Event.Metadata = map[string]string{"user": "ann", "correlation": "01929f3a-5b7c-7d8e-9f00-112233445566"}
	for _, c := range []struct {
		name string
		ev   dcb.SequencedEvent
	}{{"plain", ev}, {"metadata", with}} {
		rec := recordOf(c.ev)
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := DecodeRecord(rec, recordTestSeed, c.ev.Position); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

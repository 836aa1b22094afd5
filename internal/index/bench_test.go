package index

import (
	"strconv"
	"testing"

	"github.com/google/uuid"

	"opossum/dcb"
)

// BenchmarkIntern is what an append pays for its terms: one that no other event has, one of 1,000 and one of 20.
func BenchmarkIntern(b *testing.B) {
	b.ReportAllocs()
	r := newRecent(0)
	var terms Terms
	for i := range b.N {
		n := strconv.Itoa(i)
		e := dcb.Event{Type: "T", Tags: []dcb.Tag{dcb.Tag("order:" + n), dcb.Tag("customer:" + strconv.Itoa(i%1000)), dcb.Tag("region:" + strconv.Itoa(i%20))}}
		terms = r.Intern(terms[:0], &e)
		r.Stage(dcb.Position(i+1), terms)
	}
}

// BenchmarkSeal is what an event costs when its memory part becomes a segment, beside the appends.
func BenchmarkSeal(b *testing.B) {
	const n = 40_000 // about a full part
	for b.Loop() {
		b.StopTimer()
		ix, err := Open(Config{Dir: b.TempDir(), Seed: 7, RecentBytes: 1 << 30}, nil)
		if err != nil {
			b.Fatal(err)
		}
		var terms Terms
		for i := range n {
			e := dcb.Event{Type: "T", Tags: []dcb.Tag{dcb.Tag("order:" + strconv.Itoa(i)), dcb.Tag("customer:" + strconv.Itoa(i%1000)), dcb.Tag("region:" + strconv.Itoa(i%20))}}
			terms = ix.Active().Intern(terms[:0], &e)
			ix.Active().Stage(dcb.Position(i+1), terms)
		}
		b.StartTimer()
		if err := ix.Seal(n); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		ix.Close()
		b.StartTimer()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/event")
}

// BenchmarkFirstMatch is a condition with After 0 on a tag that at most one event has, asked of 16 segments.
func BenchmarkFirstMatch(b *testing.B) {
	const segments, size = 16, 8192
	for _, shape := range []struct {
		name string
		tag  func(i int) dcb.Tag
	}{
		{"number", func(i int) dcb.Tag { return dcb.Tag("order:" + strconv.Itoa(i)) }},
		{"uuid", func(i int) dcb.Tag {
			return dcb.Tag("order:" + uuid.NewSHA1(uuid.NameSpaceOID, []byte(strconv.Itoa(i))).String())
		}},
	} {
		ix, err := Open(Config{Dir: b.TempDir(), Seed: 7, RecentBytes: 1 << 30}, nil)
		if err != nil {
			b.Fatal(err)
		}
		var terms Terms
		for i := range segments * size {
			e := dcb.Event{Type: "T", Tags: []dcb.Tag{shape.tag(i), dcb.Tag("student:" + strconv.Itoa(i*7919%10_000))}}
			terms = ix.Active().Intern(terms[:0], &e)
			ix.Active().Stage(dcb.Position(i+1), terms)
			if (i+1)%size == 0 {
				if err := ix.Seal(dcb.Position(i + 1)); err != nil {
					b.Fatal(err)
				}
			}
		}
		for name, from := range map[string]int{"present": 0, "absent": segments * size} {
			questions := make([]dcb.Query, 10_000)
			for i := range questions {
				questions[i] = dcb.ByTags(shape.tag(from + i*7919%(segments*size)))
			}
			b.Run(shape.name+"/"+name, func(b *testing.B) {
				v, err := ix.Acquire()
				if err != nil {
					b.Fatal(err)
				}
				defer v.Release()
				b.ReportAllocs()
				for i := range b.N {
					if at, err := v.FirstMatch(questions[i%len(questions)], 0, segments*size); err != nil || (at == 0) != (from > 0) {
						b.Fatal(at, err)
					}
				}
			})
		}
		ix.Close()
	}
}

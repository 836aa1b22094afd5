package index

import (
	"strconv"
	"testing"

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

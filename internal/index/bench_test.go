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

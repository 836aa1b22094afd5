package pack

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"opossum/dcb"
)

// letters returns random text that needs no escape in JSON.
func letters(n int, seed uint64) []byte {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	rng := rand.New(rand.NewPCG(seed, 0))
	text := make([]byte, n)
	for i := range text {
		text[i] = alphabet[rng.IntN(len(alphabet))]
	}
	return text
}

const benchEvents = 10_000

// benchRecords are a shard of events like those of the published tables: 256 bytes of JSON around letters, and three tags.
func benchRecords() (out [][]byte) {
	text := letters(1<<16, 0)
	rng := rand.New(rand.NewPCG(1, 2))
	for p := dcb.Position(1); p <= benchEvents; p++ {
		r := rng.Uint64()
		data := fmt.Appendf(nil, `{"n":%d,"note":"`, p)
		at := int(r >> 32 % (1<<16 - 256))
		data = append(append(data, text[at:at+254-len(data)]...), `"}`...)
		out = append(out, stamped(dcb.Event{
			Type: []string{"OrderPlaced", "OrderPaid", "OrderShipped", "OrderReturned"}[r>>24%4],
			Tags: []dcb.Tag{dcb.Tag(fmt.Sprintf("order:0-%d", p)), dcb.Tag(fmt.Sprintf("customer:%d", r%1000)), dcb.Tag(fmt.Sprintf("region:%d", r>>16%20))},
			Time: time.Unix(1_700_000_000, int64(p)*100_000), Data: data,
		}, p))
	}
	return out
}

// BenchmarkAdd is the price of a pack by the event: verifying, compressing, writing; without a sync.
func BenchmarkAdd(b *testing.B) {
	dir, r, recs := b.TempDir(), Range{1, benchEvents}, benchRecords()
	b.ReportAllocs()
	for b.Loop() {
		w, err := Create(dir, testSeed, r)
		require.NoError(b, err)
		for _, rec := range recs {
			if err := w.Add(rec); err != nil {
				b.Fatal(err)
			}
		}
		require.NoError(b, w.Commit())
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*benchEvents), "ns/event")
	size := open(b, dir, r).Size()
	b.ReportMetric(float64(size)/benchEvents, "bytes/event")
}

// BenchmarkBlock is the price of one event in a pack that is open: a block is read, verified and decompressed.
func BenchmarkBlock(b *testing.B) {
	dir, r := b.TempDir(), Range{1, benchEvents}
	build(b, dir, r, benchRecords())
	p := open(b, dir, r)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if _, err := p.Block(i % p.Blocks()); err != nil {
			b.Fatal(err)
		}
		i++
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())*float64(p.Blocks())/float64(b.N*benchEvents), "ns/event")
}

// BenchmarkOpen is the price of a pack that is not open.
func BenchmarkOpen(b *testing.B) {
	dir, r := b.TempDir(), Range{1, benchEvents}
	build(b, dir, r, benchRecords())
	b.ReportAllocs()
	for b.Loop() {
		p, err := Open(dir, testSeed, r)
		require.NoError(b, err)
		require.NoError(b, p.Close())
	}
}

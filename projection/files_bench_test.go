package projection

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"opossum/dcb"
)

// BenchmarkFiles: so many states are made, in a build; replaced, one by one and many at a time; read; opened, trusted and verified; compacted.
func BenchmarkFiles(b *testing.B) {
	const n = 100_000
	for range b.N {
		dir := b.TempDir()
		stores := openFiles(b, dir)
		records := make([]Record, n)
		seed := rand.New(rand.NewPCG(1, 2))
		for i := range records {
			id := uuid.UUID{}
			for j := range id {
				id[j] = byte(seed.Uint32())
			}
			records[i] = testRecord(id.String(), dcb.Position(i+1))
			records[i].Tags = []dcb.Tag{dcb.Tag(fmt.Sprintf("course:%d", i/10)), dcb.Tag("student:" + id.String())}
		}
		report := func(what string, count int, do func()) {
			start := time.Now()
			do()
			b.ReportMetric(float64(time.Since(start).Microseconds())/float64(count), what+"-us/state")
		}
		s := build(b, stores, testID, true)
		report("create", n, func() {
			for i := 0; i < n; i += 10_000 {
				save(b, s, dcb.Position(i+10_000), records[i:i+10_000]...)
			}
		})
		report("swap", 20_000, func() {
			for i := range 20_000 {
				records[n-1-i].Position += n
			}
			save(b, s, 2*n, records[n-20_000:]...)
		})
		require.NoError(b, stores.Replace(testID))
		report("replace", 10_000, func() {
			for i := range 10_000 {
				records[i].Position += 2 * n
			}
			save(b, s, 3*n, records[:10_000]...)
		})
		report("replace1", 2_000, func() {
			for i := range 2_000 {
				records[i].Position += 2 * n
				save(b, s, dcb.Position(4*n+i+1), records[i])
			}
		})
		report("get", n, func() {
			for i := range n {
				_, err := s.Get(records[i].Key)
				require.NoError(b, err)
			}
		})
		report("compact", n, func() { require.NoError(b, s.(*fileStore).tryCompact()) })
		require.NoError(b, s.Close())
		s = nil
		memory := func() uint64 {
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return m.HeapAlloc
		}
		before := memory()
		report("open", n, func() { s = live(b, stores, testID) })
		b.ReportMetric(float64(memory()-before)/n, "bytes/state")
		require.NoError(b, s.Close())
		stores.(*files).session = func(string) string { return "" }
		report("verify", n, func() { s = live(b, stores, testID) })
		require.NoError(b, s.Close())
		report("close", 1, func() { require.NoError(b, stores.Close()) })
	}
}

package harness

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// BenchmarkAppend measures each way from one writer to 64 and from one event per append to 100, a store also under a condition; b.N counts
// events. It needs a disk: set TMPDIR if the default one lies in memory.
func BenchmarkAppend(b *testing.B) {
	for _, way := range append(Ways(), Prewritten(RingBytes)) {
		for _, load := range []Load{Append, AppendUnique} {
			if load.Name != Append.Name && !way.Store {
				continue
			}
			for _, events := range []int{1, 100} {
				for _, writers := range []int{1, 64} {
					name := fmt.Sprintf("way=%s/load=%s/events=%d/bytes=%d/writers=%d", way.Name, load.Name, events, Default.Bytes, writers)
					b.Run(name, func(b *testing.B) { benchmarkAppend(b, way, load, events, writers) })
				}
			}
		}
	}
}

func benchmarkAppend(b *testing.B, way Way, load Load, events, writers int) {
	dir := b.TempDir()
	_, err := Inspect(dir)
	require.NoError(b, err)
	t, err := way.Open(dir, OpenOptions{Flush: true})
	require.NoError(b, err)
	fleet := NewFleet(Default, load, writers, events)

	b.ReportAllocs()
	b.ResetTimer()
	result, err := fleet.Run(b.Context(), t, Limit{Events: b.N})
	b.StopTimer()

	require.NoError(b, err)
	require.Equal(b, b.N, result.Events)
	require.NoError(b, t.Close())
	b.ReportMetric(result.Rate(), "events/s")
	b.ReportMetric(float64(result.P50.Microseconds()), "p50-us")
	b.ReportMetric(float64(result.P99.Microseconds()), "p99-us")
}

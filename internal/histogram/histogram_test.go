package histogram

import (
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// TestASnapshotIsWhatARecountSays compares with all the values, sorted.
func TestASnapshotIsWhatARecountSays(t *testing.T) {
	bounds := []time.Duration{time.Millisecond, 10 * time.Millisecond, time.Second}
	rapid.Check(t, func(t *rapid.T) {
		h := New(time.Microsecond, time.Minute, bounds...)
		values := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) time.Duration {
			if rapid.Bool().Draw(t, "on a bound") {
				return rapid.SampledFrom(bounds).Draw(t, "bound")
			}
			return time.Duration(rapid.Int64Range(int64(time.Microsecond), int64(time.Minute)).Draw(t, "value"))
		}), 1, 200).Draw(t, "values")
		var sum time.Duration
		for _, v := range values {
			h.Record(v)
			sum += v
		}
		s := h.Snapshot()
		slices.Sort(values)
		require.EqualValues(t, len(values), s.Count)
		require.Equal(t, sum, s.Sum)
		require.Equal(t, sum/time.Duration(len(values)), s.Mean())
		require.Equal(t, values[len(values)-1], s.Max)
		for percent, got := range map[float64]time.Duration{50: s.P50, 90: s.P90, 99: s.P99} {
			want := values[max(int(math.Round(percent/100*float64(len(values)))), 1)-1]
			require.InDelta(t, want, got, max(float64(want)*0.011, float64(time.Microsecond)), "p%v of %v", percent, values)
		}
		for i, b := range s.Buckets {
			require.Equal(t, bounds[i], b.UpTo)
			n, _ := slices.BinarySearch(values, b.UpTo+1)
			require.EqualValues(t, n, b.Count, "up to %v of %v", b.UpTo, values)
		}
	})
}

func TestWhatLiesOutsideIsCounted(t *testing.T) {
	h := New[int64](1, 100, 10)
	for _, v := range []int64{0, 1000, 5} {
		h.Record(v)
	}
	s := h.Snapshot()
	require.Equal(t, Snapshot[int64]{Count: 3, Sum: 1005, P50: 5, P90: 100, P99: 100, Max: 1000, Buckets: []Bucket[int64]{{10, 2}}}, s)
	require.EqualValues(t, 335, s.Mean())
}

func TestNothingCounted(t *testing.T) {
	s := New[int64](1, 100, 10).Snapshot()
	require.Equal(t, Snapshot[int64]{Buckets: []Bucket[int64]{{10, 0}}}, s)
	require.Zero(t, s.Mean())
}

func TestManyCountAndLook(t *testing.T) {
	h := New[int64](1, 1000, 500)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			<-start
			for v := range int64(1000) {
				h.Record(v + 1)
				if s := h.Snapshot(); s.Max < v || s.Buckets[0].Count > s.Count {
					t.Error(s)
				}
			}
		})
	}
	close(start)
	wg.Wait()
	s := h.Snapshot()
	require.EqualValues(t, 4000, s.Count)
	require.EqualValues(t, 4*1000*1001/2, s.Sum)
	require.EqualValues(t, 2000, s.Buckets[0].Count)
}

func BenchmarkRecord(b *testing.B) {
	h := New(time.Microsecond, time.Minute, time.Millisecond, time.Second)
	for i := range b.N {
		h.Record(time.Duration(i) * time.Nanosecond)
	}
}

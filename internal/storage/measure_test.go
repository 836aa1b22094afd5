package storage

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestBudget(t *testing.T) {
	b := budget{16, 250 * ms}
	for _, c := range []struct {
		flushes int
		spent   time.Duration
		want    bool
	}{
		{0, 0, true}, {0, time.Hour, true}, {1, time.Hour, false},
		{1, 250*ms - 1, true}, {1, 250 * ms, false},
		{15, 0, true}, {16, 0, false}, {17, 0, false},
	} {
		require.Equal(t, c.want, b.more(c.flushes, c.spent), "%+v", c)
	}
	require.Less(t, probeBudget.time, time.Second)
	require.Equal(t, b, openBudget)
}

// clock is a clock in whose time each flush takes as long as it is told: it is read before and after each one.
type clock struct {
	now   time.Time
	takes []time.Duration // the last one goes on
	reads int
}

var start = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)

func (c *clock) read() time.Time {
	if c.reads++; c.reads > 1 && c.reads%2 == 1 { // the first reading is of the date
		c.now = c.now.Add(c.takes[0])
		c.takes = c.takes[min(1, len(c.takes)-1):]
	}
	return c.now
}

func TestMeasure(t *testing.T) {
	for name, c := range map[string]struct {
		takes                    []time.Duration
		flushes                  int
		fastest, median, slowest time.Duration
		class                    Class
	}{
		"the first one is not counted": {[]time.Duration{90 * ms, ms}, 16, ms, ms, ms, SSD},
		"by the median":                {[]time.Duration{ms, 100 * ms, ms / 4, ms / 2}, 16, ms / 4, ms / 2, 100 * ms, NVMe},
		"a slow disk":                  {[]time.Duration{50 * ms, 50 * ms}, 4, 50 * ms, 50 * ms, 50 * ms, Network},
		"a very slow one":              {[]time.Duration{time.Hour, 2 * time.Hour, ms}, 1, 2 * time.Hour, 2 * time.Hour, 2 * time.Hour, Network},
		"between two":                  {[]time.Duration{ms, 110 * ms, 120 * ms, 19 * ms}, 3, 19 * ms, 110 * ms, 120 * ms, Network},
		"of an even number":            {[]time.Duration{ms, 8 * ms, 241 * ms}, 2, 8 * ms, (8 + 241) * ms / 2, 241 * ms, Network},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			m, err := Measure(dir, (&clock{now: start, takes: c.takes}).read)
			require.NoError(t, err)
			system, err := Describe(dir)
			require.NoError(t, err)
			require.Equal(t, Measurement{start, c.flushes, c.fastest, c.median, c.slowest, c.class, system}, m)
			require.Empty(t, names(t, dir))
		})
	}
}

func names(t *testing.T, dir string) []string {
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func TestMeasureByARealClock(t *testing.T) {
	dir := t.TempDir()
	for name, measure := range map[string]func() (Measurement, error){
		"Measure": func() (Measurement, error) { return Measure(dir, time.Now) },
		"Probe":   func() (Measurement, error) { return Probe(t.Context(), dir, time.Now) },
	} {
		began := time.Now()
		m, err := measure()
		took := time.Since(began)
		require.NoError(t, err, name)
		require.Positive(t, m.Flushes)
		require.LessOrEqual(t, m.Fastest, m.Median)
		require.LessOrEqual(t, m.Median, m.Slowest)
		require.LessOrEqual(t, m.Median*time.Duration(m.Flushes)/2, took)
		require.WithinRange(t, m.Measured, began.Add(-time.Second), time.Now())
		require.Equal(t, Classify(m.Median), m.Class)
	}
	require.Empty(t, names(t, dir))
}

// A measurement is about the file: it is there while it is flushed, and is as long as what was appended.
func TestTheProbeAppendsToANamedFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, probeName)
	require.NoError(t, os.WriteFile(path, make([]byte, 99_999), 0o644)) // of a crash
	var sizes []int64
	c := clock{now: start, takes: []time.Duration{50 * ms}}
	_, err := Measure(dir, func() time.Time {
		if c.reads > 0 { // which is of the date, before the file is made
			info, err := os.Stat(path)
			require.NoError(t, err)
			sizes = append(sizes, info.Size())
		}
		return c.read()
	})
	require.NoError(t, err)
	var want []int64
	for i := range int64(5) {
		want = append(want, (i+1)*blockSize, (i+1)*blockSize)
	}
	require.Equal(t, want, sizes)
}

func TestProbesHaveNamesOfTheirOwn(t *testing.T) {
	dir := t.TempDir()
	seen := map[string]bool{}
	var inside func() time.Time
	depth := 0
	inside = func() time.Time {
		if depth++; depth == 3 { // the first one is at work
			for _, name := range names(t, dir) {
				require.True(t, IsTemp(name), name)
				seen[name] = true
			}
			_, err := Probe(t.Context(), dir, func() time.Time {
				for _, name := range names(t, dir) {
					seen[name] = true
				}
				return time.Now()
			})
			require.NoError(t, err)
			require.NoError(t, RemoveTemp(dir), "an owner who opens clears it away")
		}
		return time.Now()
	}
	_, err := Probe(t.Context(), dir, inside)
	require.NoError(t, err)
	require.Len(t, seen, 2)
	require.Empty(t, names(t, dir))
}

func TestAnInterruptedProbeLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	reads := 0
	_, err := Probe(ctx, dir, func() time.Time {
		if reads++; reads == 6 {
			cancel()
		}
		return time.Now()
	})
	require.ErrorIs(t, err, context.Canceled)
	require.Less(t, reads, 9)
	require.Empty(t, names(t, dir))
}

func TestMeasureFails(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(file, nil, 0o644))
	for path, want := range map[string]error{filepath.Join(dir, "missing"): fs.ErrNotExist, file: nil} {
		_, err := Measure(path, time.Now)
		require.Error(t, err)
		require.ErrorContains(t, err, path)
		require.True(t, want == nil || errors.Is(err, want), "%v", err)
	}
}

// The median lies where it should, whatever the order.
func TestSum(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		took := rapid.SliceOfN(rapid.Int64Range(0, int64(time.Minute)), 1, 20).Draw(t, "took")
		var d []time.Duration
		for _, n := range took {
			d = append(d, time.Duration(n))
		}
		var m Measurement
		m.sum(slices.Clone(d))
		require.Equal(t, slices.Min(d), m.Fastest)
		require.Equal(t, slices.Max(d), m.Slowest)
		below, above := 0, 0
		for _, x := range d {
			if x < m.Median {
				below++
			} else if x > m.Median {
				above++
			}
		}
		require.LessOrEqual(t, 2*below, len(d))
		require.LessOrEqual(t, 2*above, len(d))
		require.Equal(t, len(d), m.Flushes)
	})
}

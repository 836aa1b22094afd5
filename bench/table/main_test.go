package main

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"opossum/bench/harness"
)

func TestBadArgumentsAreRefused(t *testing.T) {
	for _, args := range []string{"--rounds 0", "--seconds 0", "--floors --tuning", "--reads --floors", "--strategies --reads", "extra", "--nonsense"} {
		dir := filepath.Join(t.TempDir(), "data")
		err := run(t.Context(), append(strings.Fields(args), "--dir", dir), io.Discard, io.Discard)
		require.Error(t, err, args)
		require.NoDirExists(t, dir)
	}
}

func TestACancelledRunRemovesItsDirectory(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir := diskDir(t)
	for _, args := range []string{"--quick", "--reads --quick"} {
		require.ErrorIs(t, run(ctx, append(strings.Fields(args), "--dir", dir), io.Discard, io.Discard), context.Canceled)
		require.NoDirExists(t, dir)
	}
}

// diskDir returns a directory that does not exist yet, on a disk.
func diskDir(t *testing.T) string {
	parent := t.TempDir()
	if _, err := harness.Inspect(parent); err != nil {
		require.Empty(t, os.Getenv("CI"), "CI must prove it, and has no disk at %s: %v", parent, err)
		t.Skip(err)
	}
	return filepath.Join(parent, "data")
}

func TestReadsAreMeasuredAndReported(t *testing.T) {
	dir := diskDir(t)
	var out strings.Builder
	require.NoError(t, run(t.Context(), []string{"--reads", "--quick", "--json", "--dir", dir}, &out, io.Discard))
	require.NoDirExists(t, dir)
	var r report
	require.NoError(t, json.Unmarshal([]byte(out.String()), &r))
	require.Equal(t, readEventsQuick, r.Reads.Events)
	require.Len(t, r.Reads.Ways, 3)

	out.Reset()
	r.tables = r.Reads.tables()
	require.NoError(t, r.print(&out, true))
	for _, o := range harness.ReadOperations() {
		require.Contains(t, out.String(), "\n| "+o.What+" | ")
	}
	for _, goal := range []string{" 20µs ", " 100µs ", " 100ms "} {
		require.Contains(t, out.String(), goal)
	}
}

func TestGoalsBelongToOperations(t *testing.T) {
	goals := len(readGoals)
	for _, o := range harness.ReadOperations() {
		if _, ok := readGoals[o.Name]; ok {
			goals--
		}
	}
	require.Zero(t, goals)
	require.Equal(t, "20µs pass", verdict(harness.Spread{Median: 20_000}, 20*time.Microsecond))
	require.Equal(t, "20µs MISS", verdict(harness.Spread{Median: 20_001, Min: 1}, 20*time.Microsecond))
}

func TestRatiosHaveThreeDigits(t *testing.T) {
	for ratio, want := range map[float64]string{0.0123456: "0.0123", 1.5: "1.5", 43.256: "43.3", 99.96: "100", 999.7: "1,000", 12_345.6: "12,346"} {
		require.Equal(t, want, times(harness.Spread{Median: ratio}))
	}
}

func TestReportsArePrintedInEachForm(t *testing.T) {
	r := report{
		Environment: harness.Environment{FileSystem: "ext4"},
		Rounds:      3,
		Time:        time.Second,
		tables:      []table{{title: "Speed", head: []string{"way", "rate"}, rows: [][]string{{"a log", "1,000"}, {"files", "10"}}}},
	}
	var text, markdown strings.Builder
	require.NoError(t, r.print(&text, false))
	require.Contains(t, text.String(), "\nSpeed\n  way     rate\n  a log   1,000\n  files   10\n")
	require.NoError(t, r.print(&markdown, true))
	require.Contains(t, markdown.String(), "\n### Speed\n\n| way | rate |\n|---|---|\n| a log | 1,000 |\n| files | 10 |\n")
	encoded, err := json.Marshal(r)
	require.NoError(t, err)
	require.Contains(t, string(encoded), `"file_system":"ext4"`)
}

func TestDurationsHaveThreeDigits(t *testing.T) {
	for nanoseconds, want := range map[float64]string{
		40: "40ns", 1_234: "1.23µs", 940_400: "940µs", 1_234_567: "1.23ms", 46_912_000: "46.9ms", 1_620_400_000: "1.62s", 16_204_000_000: "16.2s",
	} {
		require.Equal(t, want, duration(nanoseconds))
	}
}

func TestLagIsShownAboutOnceASecond(t *testing.T) {
	var samples []harness.Sample
	for i := range 10 {
		samples = append(samples, harness.Sample{At: time.Duration(i) * 250 * time.Millisecond, Events: uint64(i * 100), Lag: uint64(i)})
	}
	require.Equal(t, [][]string{
		{"1.0 s", "400", "0", "4", "0"},
		{"2.0 s", "400", "0", "8", "0"},
		{"2.2 s", "400", "0", "9", "0"},
	}, lagTable(samples).rows)
}

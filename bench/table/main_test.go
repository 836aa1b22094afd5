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

	"opossum/bench"
)

func TestBadArgumentsAreRefused(t *testing.T) {
	for _, args := range []string{"--rounds 0", "--seconds 0", "--floors --tuning", "extra", "--nonsense"} {
		dir := filepath.Join(t.TempDir(), "data")
		err := run(t.Context(), append(strings.Fields(args), "--dir", dir), io.Discard, io.Discard)
		require.Error(t, err, args)
		require.NoDirExists(t, dir)
	}
}

func TestACancelledRunRemovesItsDirectory(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir := filepath.Join(t.TempDir(), "data")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := bench.Inspect(dir); err != nil {
		t.Skip(err)
	}
	require.NoError(t, os.Remove(dir))
	require.ErrorIs(t, run(ctx, []string{"--quick", "--dir", dir}, io.Discard, io.Discard), context.Canceled)
	require.NoDirExists(t, dir)
}

func TestReportsArePrintedInEachForm(t *testing.T) {
	r := report{
		Environment: bench.Environment{FileSystem: "ext4"},
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
		940_400: "940µs", 1_234_567: "1.23ms", 46_912_000: "46.9ms", 1_620_400_000: "1.62s", 16_204_000_000: "16.2s",
	} {
		require.Equal(t, want, duration(nanoseconds))
	}
}

func TestLagIsShownAboutOnceASecond(t *testing.T) {
	var samples []bench.Sample
	for i := range 10 {
		samples = append(samples, bench.Sample{At: time.Duration(i) * 250 * time.Millisecond, Events: uint64(i * 100), Lag: uint64(i)})
	}
	require.Equal(t, [][]string{
		{"1.0 s", "400", "0", "4", "0"},
		{"2.0 s", "400", "0", "8", "0"},
		{"2.2 s", "400", "0", "9", "0"},
	}, lagTable(samples).rows)
}

package main

import (
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"opossum"
)

// Every metric is shown, with its unit.
func TestMetricsLines(t *testing.T) {
	lines := metricsLines(metricsOf(opossum.Metrics{LagBytes: 3 << 20, LagEvents: 12_345, CommitTime: 1500 * time.Microsecond, SegmentBytes: 2048,
		Generations: 1234, Poisoned: true, Visible: 1_000_000}))
	require.Len(t, lines, reflect.TypeFor[opossum.Metrics]().NumField())
	for label, want := range map[string]string{"lag bytes": "3.0 MiB", "segment bytes": "2.0 KiB", "lag events": "12,345", "commit time": "1.5ms",
		"generations": "1,234", "poisoned": "yes", "disk full": "no", "visible": "1,000,000"} {
		require.Contains(t, lines, labelled{label, want})
	}
}

// The values stand below each other, whatever the labels that are added one day.
func TestAligned(t *testing.T) {
	text := aligned(section{"One", []labelled{{"short", "1"}}}, section{"Two", []labelled{{"a label that is rather long", "2"}, {"é", "3"}}})
	column := 0
	for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
		value := strings.LastIndexAny(line, "123")
		if value < 0 {
			continue
		}
		at := utf8.RuneCountInString(line[:value])
		require.Contains(t, []int{0, at}, column, line)
		column = at
	}
	require.Equal(t, 2+len("a label that is rather long")+2, column)
}

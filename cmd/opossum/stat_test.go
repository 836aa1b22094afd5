package main

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

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

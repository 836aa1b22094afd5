package harness

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"opossum"
)

// take returns copies of the next n events, one call of Next for each chunk.
func take(s *Stream, n, chunk int) []opossum.Event {
	var all []opossum.Event
	for len(all) < n {
		for _, e := range s.Next(chunk) {
			e.Tags, e.Data = slices.Clone(e.Tags), slices.Clone(e.Data)
			all = append(all, e)
		}
	}
	return all[:n]
}

func TestTheSameSeedGivesTheSameEvents(t *testing.T) {
	once := take(Default.Stream(3), 1000, 1)
	require.Equal(t, once, take(Default.Stream(3), 1000, 100), "however many are asked for at a time")
	require.NotEqual(t, once, take(Default.Stream(4), 1000, 1), "another writer")
	require.NotEqual(t, once, take(Workload{Seed: 2, Bytes: 256}.Stream(3), 1000, 1), "another seed")
}

func TestEventsAreAsTheWorkloadSays(t *testing.T) {
	for _, bytes := range []int{36, 100, 256, 1 << 10, 200_000} {
		seen := map[opossum.Tag]int{}
		for writer := range 2 {
			for _, e := range take(Workload{Seed: 7, Bytes: bytes}.Stream(writer), 50, 7) {
				require.NoError(t, e.Validate())
				require.Len(t, e.Data, bytes)
				require.True(t, json.Valid(e.Data), "%s", e.Data)
				require.Len(t, e.Tags, 3)
				seen[e.Tags[0]]++
				require.True(t, slices.Contains(customerTags, e.Tags[1]))
				require.True(t, slices.Contains(regionTags, e.Tags[2]))
			}
		}
		require.Len(t, seen, 100, "the first tag is unique, among writers too")
	}
}

func TestTagsAreSpreadEvenly(t *testing.T) {
	seen := map[opossum.Tag]int{}
	for _, e := range take(Default.Stream(0), 40_000, 1000) {
		seen[e.Tags[1]]++
		seen[e.Tags[2]]++
	}
	require.Len(t, seen, customers+regions)
	for tag, n := range seen {
		want := 40_000 / customers
		if strings.HasPrefix(string(tag), "region:") {
			want = 40_000 / regions
		}
		require.InDelta(t, want, n, float64(want), "%s", tag)
	}
}

func TestEventsHaveAsManyTagsAsTheyAreToldTo(t *testing.T) {
	two := take(Workload{Seed: 7, Bytes: 100, Tags: 2}.Stream(0), 3, 2)
	for i, e := range take(Workload{Seed: 7, Bytes: 100}.Stream(0), 3, 1) {
		require.Equal(t, e.Tags[:2], two[i].Tags)
		require.Equal(t, e.Data, two[i].Data)
	}
}

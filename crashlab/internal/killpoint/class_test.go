package killpoint

import (
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

const store = "/mem/a.b/store"

func TestClasses(t *testing.T) {
	for path, want := range map[string]string{
		store:                                                      ".",
		"/mem/a.b":                                                 "..",
		store + "/ledger.json.tmp":                                 "ledger.json.tmp",
		store + "/wal/00000012.tmp/00000000001":                    "wal/N.tmp/N",
		store + "/index/.tmp-00ab34ef":                             "index/.tmp-X",
		"00000000000000000042.json":                                "N.json", // bare
		"%63on.json":                                               "S.json", // bare
		store + "/projections/lists/index.jsonl":                   "projections/M/index.jsonl",
		store + "/projections/.build/lists/index.jsonl":            "projections/.build/M/index.jsonl",
		store + "/projections/.next/lists-12/life-7.json":          "projections/.next/M-N/S.json",
		store + "/projections/.next":                               "projections/.next",
		store + "/quarantine/repair-20260102T030405Z/wal/00000001": "quarantine/repair-NTNZ/wal/N",
	} {
		c := classOf(store, "sync", path)
		require.Equal(t, class("sync "+want), c)
		require.Equal(t, "sync", c.kind())
		require.Regexp(t, c.paths(store), path)
		for _, other := range []string{path + "x", "x/" + path, "/mem/aXb/store/" + path} {
			require.NotRegexp(t, regexp.MustCompile(c.paths(store)), other)
		}
	}
}

func TestEveryPointHasANumber(t *testing.T) {
	classes := []class{"sync a", "rename b", "write c"}
	seen := map[point]bool{}
	for i := range uint64(24) {
		p := pointOf(classes, i)
		require.False(t, seen[p])
		seen[p] = true
		require.Equal(t, i/6, p.at, "whole rounds")
	}
	require.Len(t, seen, 24)
}

func TestTheEndIsWhereNoClassHasMore(t *testing.T) {
	classes := []class{"sync a", "rename b"}
	var e ends
	at := func(c class, n uint64) point { return point{c, "before", n} }
	e.note(at("sync a", 5))
	e.note(at("sync a", 7))
	beyond, over := e.beyond(at("sync a", 4), classes)
	require.False(t, beyond || over)
	beyond, over = e.beyond(at("sync a", 5), classes)
	require.True(t, beyond)
	require.False(t, over)
	e.note(at("rename b", 6))
	_, over = e.beyond(at("sync a", 5), classes)
	require.False(t, over, "the other has one more")
	_, over = e.beyond(at("sync a", 6), classes)
	require.True(t, over)
}

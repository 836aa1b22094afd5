package main

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"opossum"
)

// slowDisk is one of which everything is known and something is wrong.
func slowDisk(t *testing.T) opossum.Storage {
	var m opossum.Storage
	require.NoError(t, json.Unmarshal([]byte(`{
		"flushes": 12, "fastestNs": 8123456, "medianNs": 11000000, "slowestNs": 31987654, "class": "hdd",
		"fileSystem": "nfs4", "device": "nas:/a\u001b[2J", "rotational": true, "writeCache": "write back", "fua": false
	}`), &m))
	return m
}

func TestDiagnosisText(t *testing.T) {
	require.Equal(t, `Disk under /d
  flush           median 11ms, fastest 8.123ms, slowest 32ms (12 timed)
  class           hdd, which usually takes 8ms to 12ms
  flush auto      batch, group wait 1ms: syncs before it acknowledges

What the system says
  file system     nfs4
  device          nas:/a\x1b[2J
  rotational      yes
  write cache     write back: volatile, and every flush empties it
  FUA             no

Warning: nfs4 is served by another machine, and what a flush and a lock mean is up to that one: nothing is promised there.
`, diagnose("/d", slowDisk(t)).text())

	fast := opossum.Storage{Flushes: 64, Fastest: 310, Median: 9_999, Slowest: 123_456}
	require.NoError(t, fast.Class.UnmarshalText([]byte("nvme")))
	text := diagnose("/d", fast).text()
	require.Contains(t, text, "median 9.999µs, fastest 310ns, slowest 123µs (64 timed)")
	require.Contains(t, text, "nvme, which usually takes 500µs to 1ms")
	require.Contains(t, text, "flush auto      batch, no group wait: syncs before it acknowledges\n")
	require.Contains(t, text, "\n  device          not known\n  rotational      not known\n  write cache     not known\n  FUA             not known\n")
	require.Contains(t, text, "\nWarning: A flush took 9.999µs, ")
}

func TestDiagnosisJSON(t *testing.T) {
	text, err := json.Marshal(diagnose("/d", slowDisk(t)))
	require.NoError(t, err)
	var got map[string]any
	require.NoError(t, json.Unmarshal(text, &got))
	require.EqualValues(t, 11*time.Millisecond, got["medianNs"])
	require.EqualValues(t, 8*time.Millisecond, got["usualFromNs"])
	require.EqualValues(t, 12*time.Millisecond, got["usualToNs"])
	require.EqualValues(t, time.Millisecond, got["groupWaitNs"])
	require.Equal(t, "hdd", got["class"])
	require.Equal(t, false, got["fua"])
	require.Len(t, got["warnings"], 1)

	text, err = json.Marshal(diagnose("/d", opossum.Storage{}))
	require.NoError(t, err)
	require.Contains(t, string(text), `"rotational":null`)
	require.Contains(t, string(text), `"warnings":[]`)
}

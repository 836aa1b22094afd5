package storage

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func testMeasurement() Measurement {
	yes := true
	return Measurement{
		Measured: start, Flushes: 16, Fastest: 612_345, Median: 734_567, Slowest: 2_345_678, Class: NVMe,
		System: System{FileSystem: "ext4", Device: "nvme0n1p2", Rotational: new(bool), WriteCache: writeBack, FUA: &yes},
	}
}

// The golden file holds docs/format/storage.md to the code.
func TestGolden(t *testing.T) {
	want, err := os.ReadFile("testdata/storage.json")
	require.NoError(t, err)
	got, err := testMeasurement().encode()
	require.NoError(t, err)
	require.Equal(t, string(want), string(got))
	m, err := decode(want)
	require.NoError(t, err)
	require.Equal(t, testMeasurement(), m)
	page, err := os.ReadFile("../../docs/format/storage.md")
	require.NoError(t, err)
	require.Contains(t, string(page), "```json\n"+string(want)+"```\n")
}

func TestWhatIsNotKnownIsNull(t *testing.T) {
	m := testMeasurement()
	m.System = System{}
	text, err := m.encode()
	require.NoError(t, err)
	require.Contains(t, string(text), `"rotational": null`)
	got, err := decode(text)
	require.NoError(t, err)
	require.Equal(t, m, got)
}

func TestDecodeRefuses(t *testing.T) {
	text, err := testMeasurement().encode()
	require.NoError(t, err)
	for name, bad := range map[string]string{
		"nothing":              "",
		"zeros":                string(make([]byte, 300)),
		"half":                 string(text[:len(text)/2]),
		"more":                 string(text) + "}",
		"another format":       strings.Replace(string(text), "opossum-storage", "opossum-ledger", 1),
		"an older version":     strings.Replace(string(text), `"version": 1`, `"version": 0`, 1),
		"a newer version":      strings.Replace(string(text), `"version": 1`, `"version": 2`, 1),
		"no flush":             strings.Replace(string(text), `"flushes": 16`, `"flushes": 0`, 1),
		"a negative time":      strings.Replace(string(text), `"fastestNs": 6`, `"fastestNs": -6`, 1),
		"fastest above median": strings.Replace(string(text), `"fastestNs": 6`, `"fastestNs": 76`, 1),
		"median above slowest": strings.Replace(string(text), `"slowestNs": 2345678`, `"slowestNs": 734566`, 1),
		"another class":        strings.Replace(string(text), `"nvme"`, `"ssd"`, 1),
		"no class":             strings.Replace(string(text), `"nvme"`, `"floppy"`, 1),
		"a strange cache":      strings.Replace(string(text), `"write back"`, `"write never"`, 1),
	} {
		_, err := decode([]byte(bad))
		require.NotEqual(t, string(text), bad, name)
		require.Error(t, err, name)
	}
}

func TestStoreAndLoad(t *testing.T) {
	dir := t.TempDir()
	_, ok := Load(dir)
	require.False(t, ok, "there is none")
	_, ok = Load(filepath.Join(dir, "missing"))
	require.False(t, ok)

	m, err := Measure(dir, time.Now)
	require.NoError(t, err)
	for range 2 { // the second one replaces
		require.NoError(t, Store(dir, m))
		got, ok := Load(dir)
		require.True(t, ok)
		require.Equal(t, m, got)
		m.Flushes++
	}
	require.Equal(t, []string{FileName}, names(t, dir))

	for name, change := range map[string]func(m *Measurement){
		"file system": func(m *Measurement) { m.FileSystem += "x" },
		"device":      func(m *Measurement) { m.Device += "x" },
	} {
		other := m
		change(&other)
		require.NoError(t, Store(dir, other))
		_, ok := Load(dir)
		require.False(t, ok, "another %s", name)
	}
	m.Rotational, m.FUA, m.WriteCache = nil, nil, "" // a newer kernel says more of the same disk
	require.NoError(t, Store(dir, m))
	_, ok = Load(dir)
	require.True(t, ok)
	require.NoError(t, os.WriteFile(filepath.Join(dir, FileName), []byte("{}"), 0o644))
	_, ok = Load(dir)
	require.False(t, ok)
}

func TestStoreFails(t *testing.T) {
	dir := t.TempDir()
	require.Error(t, Store(filepath.Join(dir, "missing"), testMeasurement()))
	late := testMeasurement()
	late.Measured = time.Unix(math.MaxInt32*1000, 0)
	require.Error(t, Store(dir, late), "JSON has no year above 9999")
	require.NoError(t, os.MkdirAll(filepath.Join(dir, FileName, "x"), 0o755))
	require.Error(t, Store(dir, testMeasurement()), "a directory is in its place")
	require.Equal(t, []string{FileName}, names(t, dir), "and the temporary file is gone")
	_, ok := Load(dir)
	require.False(t, ok)
}

func TestTempNames(t *testing.T) {
	dir := t.TempDir()
	kept := []string{
		"storage.json", "storage.prob", "storage.probe-", "storage.probe-0123456789abcde", "storage.probe-0123456789abcdef0", "storage.probe-0123456789ABCDEF",
		"xstorage.probe", "storage-probe-0123456789abcdef",
	}
	for _, name := range append([]string{"storage.json.tmp", "storage.probe", "storage.probe-0123456789abcdef"}, kept...) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), nil, 0o644))
	}
	require.NoError(t, RemoveTemp(dir))
	require.ElementsMatch(t, kept, names(t, dir))
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "storage.probe", "x"), 0o755))
	require.NoError(t, RemoveTemp(dir), "a directory is not ours")
	require.DirExists(t, filepath.Join(dir, "storage.probe"))
	require.Error(t, RemoveTemp(filepath.Join(dir, "missing")))
}

func FuzzDecode(f *testing.F) {
	text, err := testMeasurement().encode()
	require.NoError(f, err)
	f.Add(text)
	f.Add([]byte(strings.Replace(string(text), "true", "null", 1)))
	f.Add([]byte(`{"format":"opossum-storage","version":1,"measured":"0000-01-01T00:00:00+23:59","flushes":1,"class":"nvme"}`))
	f.Add([]byte(`{"FORMAT":"opossum-storage","version":1,"flushes":1,"slowestNs":9223372036854775807,"medianNs":9223372036854775807,"class":"network"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := decode(text)
		if err != nil {
			require.Zero(t, m)
			return
		}
		require.Equal(t, Classify(m.Median), m.Class)
		require.LessOrEqual(t, m.Fastest, m.Slowest)
		again, err := m.encode()
		require.NoError(t, err)
		same, err := decode(again)
		require.NoError(t, err)
		require.True(t, m.Measured.Equal(same.Measured))
		m.Measured, same.Measured = time.Time{}, time.Time{}
		require.Equal(t, m, same)
		m.Warnings()
	})
}

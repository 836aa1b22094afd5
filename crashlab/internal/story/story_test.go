package story

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"opossum/crashlab/internal/child"
	"opossum/crashlab/internal/lab"
)

func TestAChapterIsAboutOneAddress(t *testing.T) {
	c := draw(lab.Rand(1, 2), 3)
	require.Len(t, c.again, 3)
	clauses := map[bool]bool{}
	for _, r := range c.again {
		require.Equal(t, c.first.Address, r.Address)
	}
	for _, r := range c.again[:2] {
		require.NotEqual(t, c.first.ID, r.ID, "else it is a retry")
		clauses[r.Match] = true
	}
	require.Len(t, clauses, 2, "both clauses of a condition")
	require.Equal(t, c.first, c.again[2])
	require.NotEqual(t, c.first.Address, draw(lab.Rand(1, 2), 4).first.Address)
}

func TestHowAChapterEnds(t *testing.T) {
	const yes, no = child.Registered, child.Taken
	require.Equal(t, kept, read([]string{no, no, yes}))
	require.Equal(t, lost, read([]string{yes, no, no}))
	for _, outcomes := range [][]string{{}, {no, no}, {no, yes, yes}, {no, no, no}, {yes, yes, yes}, {`error "disk"`}} {
		require.Equal(t, wrong, read(outcomes), "%v", outcomes)
	}
}

func TestDerived(t *testing.T) {
	dir := t.TempDir()
	put := func(path string) {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, path)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, path), []byte(`{"materialized": 2}`), 0o644))
	}
	stays := []string{"ledger.json", "wal/00000001/00000000000000000001", "events/0/2.json", "packs/1-32.pack", "quarantine/x"}
	goes := map[string]string{
		"wal/ACKED": "ACKED", "wal/00000002.tmp/00000000000000000001": "what was being written", "ledger.json.tmp": "what was being written",
		"index/.tmp-1": "what was being written", "index/1-2.idx": "index segments", "events/0/3.json": "event files above the checkpoint",
		"packs/33-64.pack": "packs above the checkpoint", "packs/.tmp-1": "what was being written",
	}
	for _, path := range stays {
		put(path)
	}
	for path := range goes {
		put(path)
	}
	found, err := derived(dir)
	require.NoError(t, err)
	want := map[string]int{}
	for _, kind := range goes {
		want[kind]++
	}
	for kind, paths := range found {
		require.Len(t, paths, want[kind], kind)
		for _, path := range paths {
			require.NoError(t, os.RemoveAll(path))
		}
	}
	for _, path := range stays {
		require.FileExists(t, filepath.Join(dir, path))
	}
	for path := range goes {
		require.NoFileExists(t, filepath.Join(dir, path))
	}
}

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"opossum"
	"opossum/internal/eventfile"
)

// shardStore returns the directory of a store with events of one shard and a few more, all filed.
func shardStore(t *testing.T) string {
	dir := t.TempDir()
	e, err := opossum.Open(dir, nil)
	require.NoError(t, err)
	events := make([]opossum.Event, eventfile.ShardPositions+5)
	for i := range events {
		events[i] = opossum.Event{Type: "T", Tags: []opossum.Tag{opossum.Tag(fmt.Sprintf("n:%d", i))}, Data: fmt.Appendf(nil, `{"n":%d}`, i)}
	}
	_, err = e.Append(t.Context(), events, nil)
	require.NoError(t, err)
	require.NoError(t, e.WaitMaterialized(t.Context(), e.Head()))
	require.NoError(t, e.Close())
	return dir
}

// shape returns what stat says of files and packs.
func shape(t *testing.T, dir string) (loose int, packed uint64, packs int) {
	out, err := execute(t.Context(), "stat", "--dir", dir, "--json")
	require.NoError(t, err)
	var st storeStat
	require.NoError(t, json.Unmarshal([]byte(out), &st))
	require.EqualValues(t, eventfile.ShardPositions+5, st.Head)
	require.Equal(t, st.Packs > 0, st.Disk.Packs.Bytes > 0)
	require.Positive(t, st.Memory.CacheBudget)
	return st.Loose, st.Packed, st.Packs
}

func TestPackAndUnpack(t *testing.T) {
	const shard = eventfile.ShardPositions
	dir := shardStore(t)
	run := func(args ...string) string {
		out, err := execute(t.Context(), append(args, "--dir", dir)...)
		require.NoError(t, err, args)
		return out
	}
	cat := []string{"cat", "1", fmt.Sprint(shard), fmt.Sprint(shard + 1)}
	want := run(cat...)
	for range 2 { // there and back, wherever it begins
		run("unpack")
		loose, packed, packs := shape(t, dir)
		require.Equal(t, [3]int{shard + 5, 0, 0}, [3]int{loose, int(packed), packs})
		require.Equal(t, want, run(cat...))
		require.Equal(t, "Nothing to unpack: there are no packs.\n", run("unpack"))

		require.Regexp(t, fmt.Sprintf(`^Packed %s \(.*\)\.\n$`, counted(uint64(shard), "event")), run("pack"))
		loose, packed, packs = shape(t, dir)
		require.Equal(t, [3]int{5, shard, 1}, [3]int{loose, int(packed), packs})
		require.Equal(t, want, run(cat...))
		require.Contains(t, run("stat"), fmt.Sprintf("%s in 1 pack", counted(uint64(shard), "event")))
		require.Contains(t, run("verify"), fmt.Sprintf("%d events in 1 pack", shard))
	}
	var report repacked
	require.NoError(t, json.Unmarshal([]byte(run("pack", "--json")), &report))
	require.Equal(t, dir, report.Dir)
	require.Zero(t, report.Events)
	require.Regexp(t, "^Nothing to pack: ", run("pack"))

	_, err := execute(t.Context(), "unpack", "--dir", dir, "--loose-events", "7")
	require.Equal(t, exitUsage, statusOf(err))
	_, err = execute(t.Context(), "pack", "--dir", dir, "--loose-events=-1")
	require.ErrorIs(t, err, opossum.ErrInvalidOption)
	_, err = execute(t.Context(), "pack", "--dir", filepath.Join(dir, "none"))
	require.ErrorContains(t, err, "no such directory")

	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = execute(ended, "unpack", "--dir", dir)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "run it again for the rest")
	_, _, packs := shape(t, dir)
	require.Equal(t, 1, packs)
	require.Equal(t, want, run(cat...))
}

// A damaged pack: every command says so with the same status, and repair makes files of what is intact.
func TestADamagedPack(t *testing.T) {
	dir := shardStore(t)
	_, err := execute(t.Context(), "pack", "--dir", dir)
	require.NoError(t, err)
	packs, err := filepath.Glob(filepath.Join(dir, "packs", "*.pack"))
	require.NoError(t, err)
	require.Len(t, packs, 1)
	flipBit(t, packs[0], -1)
	for _, command := range [][]string{{"verify"}, {"cat", "3"}, {"unpack"}} {
		_, err = execute(t.Context(), append(command, "--dir", dir)...)
		require.Equal(t, exitDamaged, statusOf(err), "%v: %v", command, err)
	}
	out, err := execute(t.Context(), "repair", "--dir", dir)
	require.NoError(t, err)
	require.Contains(t, out, "move the pack packs/"+filepath.Base(packs[0])+" to quarantine")
	loose, _, left := shape(t, dir)
	require.Equal(t, [2]int{eventfile.ShardPositions + 5, 0}, [2]int{loose, left})
	_, err = execute(t.Context(), "verify", "--dir", dir)
	require.NoError(t, err)
}

func flipBit(t *testing.T, path string, at int) {
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	b[(at+len(b))%len(b)] ^= 1
	require.NoError(t, os.WriteFile(path, b, 0o644))
}

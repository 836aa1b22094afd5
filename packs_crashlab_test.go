//go:build crashlab && linux

package opossum

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"opossum/internal/eventfile"
	"opossum/internal/step"
)

// What a power cut would show, shown by the order of the steps: the tests fail each step of packing and unpacking in turn.

// lastBefore returns the last step before index i that is what.
func lastBefore(taken []string, i int, what string) int {
	for i--; i >= 0 && taken[i] != what; i-- {
	}
	return i
}

// shardOfStep returns the first position of the shard whose loose file a step removes, 0 if it removes none.
func shardOfStep(s string) (first Position) {
	if name, ok := strings.CutPrefix(s, "remove events/"); ok && strings.HasSuffix(name, ".json") {
		_, _ = fmt.Sscanf(name, "%d/", &first)
	}
	return first
}

// requireFilesGoLast: a loose file is removed only after a sync of the file system that began after its pack had its name.
func requireFilesGoLast(t *testing.T, taken []string) (removed int) {
	t.Helper()
	for i, s := range taken {
		first := shardOfStep(s)
		if first == 0 {
			continue
		}
		removed++
		named := lastBefore(taken, i, "rename packs/"+filepath.Base(packOf("", first)))
		require.GreaterOrEqual(t, named, 0, "%s: its pack is written", s)
		require.Greater(t, lastBefore(taken, i, "sync events"), named, "%s: its pack is durable", s)
	}
	return removed
}

// requirePacksGoLast: a pack is removed only after a sync of the file system that began after the last of its files was there.
func requirePacksGoLast(t *testing.T, taken []string) (removed int) {
	t.Helper()
	files := 0
	for i, s := range taken {
		switch {
		case strings.HasPrefix(s, "link ") || strings.HasPrefix(s, "rename events"):
			files++
		case strings.HasPrefix(s, "remove packs/0"):
			removed++
			require.GreaterOrEqual(t, files, removed*shardOf, "all of its files are there")
			synced := lastBefore(taken, i, "sync events")
			for _, later := range taken[synced:i] {
				require.NotContains(t, later, "link ", "%s: its files are durable", s)
			}
		}
	}
	return removed
}

// failEach calls do on copies of a store with each of its steps failing in turn, and with none. Whatever failed, an owner of either kind finds every event.
func failEach(t *testing.T, origin string, o *Options, head Position, do func(*Engine) error, check func(t *testing.T, taken []string)) {
	every := 1
	if testing.Short() {
		every = 7
	}
	for fail, end := -1, false; !end; fail += every {
		dir := filepath.Join(t.TempDir(), "store")
		require.NoError(t, os.CopyFS(dir, os.DirFS(origin)))
		e := openStore(t, dir, o, hooks{})
		require.NoError(t, e.WaitMaterialized(ctxb, e.Head())) // nothing else is to be done
		taken, err := step.Taken(dir, fail, func() error { return do(e) })
		check(t, taken)
		if end = fail >= len(taken); fail < 0 {
			require.NoError(t, err)
		} else if !end {
			require.NotErrorIs(t, err, ErrCorrupt)
			if shared := strings.HasPrefix(taken[fail], "remove events") || taken[fail] == "sync events"; !shared { // with packing in idle time, which tries it again
				require.Error(t, err, taken[fail])
			}
		}
		holdsShards(t, e, head)
		_ = e.Close() // which fails if it is poisoned
		r := openReader(t, dir)
		holdsShards(t, r, head)
		require.NoError(t, r.Close())
		for _, o := range []*Options{alwaysPack, keepLoose} {
			e := openStore(t, dir, o, hooks{})
			require.NoError(t, repack(ctxb, e))
			holdsShards(t, e, head)
			require.NoError(t, e.Close())
		}
	}
}

func TestPackStepsFilesGoWhenTheirPackIsDurable(t *testing.T) {
	const head = 2*shardOf + 1
	failEach(t, looseStore(t, head), &Options{LooseEvents: DefaultLooseEvents}, head, func(e *Engine) error { return e.Pack(ctxb, nil) },
		func(t *testing.T, taken []string) { requireFilesGoLast(t, taken) })
}

func TestPackStepsPacksGoWhenTheirFilesAreDurable(t *testing.T) {
	const head = 2*shardOf + 1
	origin := looseStore(t, head)
	packStore(t, origin)
	failEach(t, origin, keepLoose, head, func(e *Engine) error { return e.Unpack(ctxb, nil) },
		func(t *testing.T, taken []string) { requirePacksGoLast(t, taken) })
}

// The backlog is packed at once, with the beginning of a shard that is loose already.
func TestPackStepsOfABacklog(t *testing.T) {
	const head = 3*shardOf + 1
	dir := looseStore(t, shardOf/2)
	e := openStore(t, dir, alwaysPack, hooks{})
	resume, err := e.PauseFiling(ctxb)
	require.NoError(t, err)
	fillShards(t, e, head)
	taken, err := step.Taken(dir, -1, func() error {
		resume()
		if err := e.WaitMaterialized(ctxb, head); err != nil {
			return err
		}
		return e.Pack(ctxb, nil) // and the files of what was loose go
	})
	require.NoError(t, err)
	require.GreaterOrEqual(t, requireFilesGoLast(t, taken), shardOf/2)
	named := -1
	for i, s := range taken {
		if s == "rename packs/"+filepath.Base(packOf("", 2*shardOf+1)) {
			named = i
		}
	}
	require.GreaterOrEqual(t, named, 0)
	require.Positive(t, lastBefore(taken, len(taken), "rename ledger.json"))
	for i, s := range taken { // a checkpoint that covers the last pack began after it had its name
		if s == "rename ledger.json" && i > named {
			require.Greater(t, lastBefore(taken, i, "sync events"), named)
		}
	}
	holdsShards(t, e, head)
	require.NoError(t, e.Close())
	files, err := eventfile.OpenExisting(filepath.Join(dir, "events"))
	require.NoError(t, err)
	defer files.Close()
	n, _, err := files.Usage()
	require.NoError(t, err)
	require.Equal(t, 1, n)
}

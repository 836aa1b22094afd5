package invariant

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"opossum"
)

func put(t *testing.T, dir string, paths ...string) {
	for _, path := range paths {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, path)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, path), nil, 0o644))
	}
}

func TestALayoutTellsWhatIsLooseAndWhatIsPacked(t *testing.T) {
	dir := t.TempDir()
	look := func() layout {
		l, err := layoutOf(dir)
		require.NoError(t, err)
		return l
	}
	require.Equal(t, "no packs", look().String(), "nor anything else")
	put(t, dir, "events/01/01.json", "events/33/33.json", "events/note.txt/1.json", "events/65/.tmp-1", "packs/note.txt")
	require.NoError(t, os.Mkdir(filepath.Join(dir, "events", "97"), 0o755))
	require.Equal(t, []opossum.Position{1, 33, 97}, look().shards, "not what half a file keeps; an empty one should be gone")
	require.Equal(t, "no packs", look().String())

	put(t, dir, "packs/129-160.pack", "packs/.tmp-1")
	require.Equal(t, "packed shards and loose ones", look().String())
	for p, want := range map[opossum.Position]bool{1: false, 128: false, 129: true, 160: true, 161: false} {
		require.Equal(t, want, look().packed(p), p)
	}
	require.Empty(t, look().both())
	put(t, dir, "packs/033-064.pack")
	require.Equal(t, []opossum.Position{33}, look().both())
	require.Equal(t, "shards both packed and loose", look().String())

	for _, shard := range []string{"33", "97"} {
		require.NoError(t, os.RemoveAll(filepath.Join(dir, "events", shard)))
	}
	require.Equal(t, "packs, and one loose shard at most", look().String())
}

func TestIdleIsWhenNothingIsBothLooseAndPacked(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "events/1/1.json", "packs/1-32.pack")
	gone := time.AfterFunc(10*lookEvery, func() { _ = os.RemoveAll(filepath.Join(dir, "events", "1")) })
	defer gone.Stop()
	require.NoError(t, awaitIdle(t.Context(), dir))
	require.NoDirExists(t, filepath.Join(dir, "events", "1"))
}

func TestNothingUnfinishedIsLeft(t *testing.T) {
	for path, always := range map[string]bool{"packs/.tmp-1": true, "index/.tmp-1": true, "events/1/.tmp-1": false} {
		dir := t.TempDir()
		require.NoError(t, nothingUnfinished(dir, true))
		put(t, dir, path, "events/1/1.json", "packs/1-32.pack", "index/1-9.idx")
		require.ErrorContains(t, nothingUnfinished(dir, true), path)
		require.Equal(t, always, nothingUnfinished(dir, false) != nil, path)
	}
}

func TestEachKindOfLooseEventsIsDrawn(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	drawn := map[int]bool{}
	for range 100 {
		drawn[DrawLoose(r)] = true
	}
	for _, want := range []int{0, 1, opossum.KeepLoose} {
		require.True(t, drawn[want], want)
	}
}

package projection

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"opossum/dcb"
)

// stateFiles returns the names of the files in a directory that look like states.
func stateFiles(t *testing.T, dir string) (names []string) {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "*"+extension))
	require.NoError(t, err)
	for _, path := range found {
		names = append(names, filepath.Base(path))
	}
	return names
}

// Files that were made ahead are those of states, or go: at the end of the build, and if nobody has ended it.
func TestFilesMadeAhead(t *testing.T) {
	kept, never := []string{"a", "b"}, []string{"c", "d"}
	want := []string{fileName("a"), fileName("b")}
	expected := func(t *testing.T, dir string) (Stores, *fileStore) {
		stores := openFiles(t, dir)
		s := build(t, stores, testID, true).(*fileStore)
		s.expect(kept)
		s.expect(never)
		a := s.ahead
		close(a.queue)
		<-a.ended // all of them are there
		a.queue = make(chan []string)
		require.Len(t, stateFiles(t, s.path), 4)
		save(t, s, 2, testRecord("a", 1), testRecord("b", 2))
		return stores, s
	}
	t.Run("replace", func(t *testing.T) {
		stores, s := expected(t, t.TempDir())
		require.NoError(t, stores.Replace(testID))
		require.Equal(t, want, stateFiles(t, s.path))
		s.expect([]string{"e"})
		require.Nil(t, s.ahead, "who reads a live one sees states only")
	})
	t.Run("close", func(t *testing.T) {
		_, s := expected(t, t.TempDir())
		require.NoError(t, s.Close())
		require.Equal(t, want, stateFiles(t, s.path))
	})
	t.Run("killed", func(t *testing.T) {
		dir := t.TempDir()
		stores, s := expected(t, dir)
		there := filepath.Join(dir, "copy")
		require.NoError(t, os.CopyFS(filepath.Join(there, buildDir, testID.Name), os.DirFS(s.path)))
		require.NoError(t, stores.Close())
		again, err := Files(there, slog.New(slog.DiscardHandler))
		require.NoError(t, err)
		defer func() { require.NoError(t, again.Close()) }()
		s = build(t, again, testID, false).(*fileStore)
		require.Equal(t, 2, s.Index().Len())
		require.Equal(t, want, stateFiles(t, s.path))
	})
	t.Run("beside", func(t *testing.T) {
		const n = 2000
		s := build(t, openFiles(t, t.TempDir()), testID, true).(*fileStore)
		for i := range n {
			key := fmt.Sprint(i)
			s.expect([]string{key})
			save(t, s, dcb.Position(i+1), testRecord(key, dcb.Position(i+1)))
		}
		require.NoError(t, s.Close())
		require.Len(t, stateFiles(t, s.path), n)
	})
	t.Run("a full queue", func(t *testing.T) {
		s := build(t, openFiles(t, t.TempDir()), testID, true).(*fileStore)
		s.ahead = &ahead{folder: s.folder, queue: make(chan []string), ended: make(chan struct{})}
		close(s.ahead.ended)
		s.expect(kept) // nobody takes it, and it does not block
		save(t, s, 2, testRecord("a", 1), testRecord("b", 2))
		require.NoError(t, s.Close())
		require.Equal(t, want, stateFiles(t, s.path))
	})
}

// What somebody else has put where a state belongs is replaced, not written into.
func TestABuildWritesIntoNoForeignFile(t *testing.T) {
	dir := t.TempDir()
	precious := filepath.Join(dir, "precious")
	for name, put := range map[string]func(string) error{
		"link":      func(path string) error { return os.Symlink(precious, path) },
		"hard link": func(path string) error { return os.Link(precious, path) },
	} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, os.WriteFile(precious, []byte("keep me"), 0o600))
			s := build(t, openFiles(t, t.TempDir()), testID, true).(*fileStore)
			require.NoError(t, put(filepath.Join(s.path, fileName("a"))))
			save(t, s, 1, testRecord("a", 1))
			r, err := s.Get("a")
			require.NoError(t, err)
			require.Equal(t, testRecord("a", 1), r)
			text, err := os.ReadFile(precious)
			require.NoError(t, err)
			require.Equal(t, "keep me", string(text))
		})
	}
}

// Many files are written at once. One that cannot be does not stay in the index, nor out of it what others have written.
func TestABuildWritesManyFilesAtOnce(t *testing.T) {
	s := build(t, openFiles(t, t.TempDir()), testID, true).(*fileStore)
	const n = 20 * filesPerWorker
	records := make([]Record, n)
	for i := range records {
		records[i] = testRecord(fmt.Sprint(i), dcb.Position(i+1))
	}
	obstacle := filepath.Join(s.path, fileName("200"))
	require.NoError(t, os.MkdirAll(filepath.Join(obstacle, "full"), 0o755)) // which no file can replace
	require.ErrorContains(t, s.Save(records, Checkpoint{Position: n}), fileName("200"))
	require.Zero(t, s.Checkpoint().Position)
	require.NoError(t, os.RemoveAll(obstacle))
	save(t, s, n, records...)
	requireHas(t, s, n, records...)
}

package wal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"opossum/dcb"
)

func TestList(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{
		"00000002", "00000010", "99999999", "100000000", "00000003.tmp", // ours
		"00000000", "1", "000000004", "0000000x", "00000005.bak", ".tmp", "00000006.tmp.tmp", "+0000007", "lost+found", // not
	} {
		require.NoError(t, os.Mkdir(filepath.Join(dir, name), 0o755))
	}
	for _, name := range []string{ackedFile, "00000001", "00000004.tmp"} { // no directories
		write(t, nil, dir, name)
	}
	l, err := List(dir)
	require.NoError(t, err)
	require.Equal(t, Listing{Generations: []uint64{2, 10, 99_999_999, 100_000_000}, Temps: []string{"00000003.tmp"}}, l)

	require.NoError(t, RemoveTemp(dir, l.Temps[0]))
	for _, gen := range l.Generations {
		require.NoError(t, RemoveGeneration(dir, gen))
	}
	l, err = List(dir)
	require.NoError(t, err)
	require.Zero(t, l)
	require.Contains(t, names(t, dir), "lost+found")

	_, err = List(filepath.Join(dir, "absent"))
	require.ErrorIs(t, err, fs.ErrNotExist)
}

func TestBuildGenerationReplacesLeftovers(t *testing.T) {
	dir := t.TempDir()
	write(t, []byte("half"), dir, "00000002.tmp", segmentFile)
	write(t, []byte("x"), dir, "00000002.tmp", "00000000000000000009.START")
	_, err := BuildGeneration(dir, testID, 2, testClock, &Link{}, 1, nil)
	require.NoError(t, err)
	require.Equal(t, []string{"00000002"}, names(t, dir))
	require.Equal(t, []string{segmentFile}, names(t, filepath.Join(dir, "00000002")))
	requireChain(t, generations(t, dir))
}

// TestBuildGenerationPublishesWhole stops the building at its last step, by a file that stands in the way of the name: by then
// everything is written, and nothing is published.
func TestBuildGenerationPublishesWhole(t *testing.T) {
	dir := t.TempDir()
	write(t, nil, dir, "00000002")
	_, err := BuildGeneration(dir, testID, 2, testClock, &smallLink, smallBase, Scan(small(), testID, smallGen).Commits)
	require.Error(t, err)
	l, err := List(dir)
	require.NoError(t, err)
	require.Equal(t, Listing{Temps: []string{"00000002.tmp"}}, l)
	b, err := os.ReadFile(filepath.Join(dir, l.Temps[0], segmentFile))
	require.NoError(t, err)
	s := Scan(b, testID, 2)
	require.NoError(t, s.Stop)
	require.Len(t, s.Commits, 2)
}

// TestNamesAppearAndVanishWhole watches from beside: a published name always has its file, with all frames in it.
func TestNamesAppearAndVanishWhole(t *testing.T) {
	dir := t.TempDir()
	commits := Scan(small(), testID, smallGen).Commits
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(done)
		for gen := uint64(1); gen <= uint64(rounds(60)); gen++ {
			_, err := BuildGeneration(dir, testID, gen, testClock, &smallLink, smallBase, commits)
			if err != nil {
				t.Error(err)
				return
			}
			for i := range 50 { // removal takes long enough to be watched
				if err := os.WriteFile(filepath.Join(dir, genName(gen), fmt.Sprint("filler", i)), nil, 0o644); err != nil {
					t.Error(err)
				}
			}
			if err := RemoveGeneration(dir, gen); err != nil {
				t.Error(err)
			}
		}
	})
	for seen := 0; ; {
		select {
		case <-done:
			wg.Wait()
			require.Empty(t, names(t, dir))
			return
		default:
		}
		l, err := List(dir)
		require.NoError(t, err)
		for _, gen := range l.Generations {
			b, err := ReadGeneration(dir, gen, false)
			if err != nil { // gone meanwhile: then its name is, too, because no number is used twice
				_, err := os.Stat(filepath.Join(dir, genName(gen)))
				require.ErrorIs(t, err, fs.ErrNotExist, "generation %d has a name and no file", gen)
				continue
			}
			require.Len(t, Scan(b, testID, gen).Commits, 2)
			seen++
		}
	}
}

func TestRemoveGenerationTwice(t *testing.T) {
	dir := t.TempDir()
	write(t, nil, dir, "00000003", segmentFile)
	write(t, nil, dir, "00000003.tmp", segmentFile)
	require.NoError(t, RemoveGeneration(dir, 3))
	require.Empty(t, names(t, dir))
	require.NoError(t, RemoveGeneration(dir, 3), "what is gone need not be removed")
}

func TestReadGeneration(t *testing.T) {
	dir := t.TempDir()
	write(t, small(), dir, genName(smallGen), segmentFile)
	path := GenerationPath(dir, smallGen)
	require.NoError(t, os.Chmod(path, 0o444))
	before, err := os.Stat(path)
	require.NoError(t, err)

	b, err := ReadGeneration(dir, smallGen, false)
	require.NoError(t, err, "looking needs no right to write")
	require.Equal(t, small(), b)
	require.NoError(t, os.Chmod(path, 0o644))
	b, err = ReadGeneration(dir, smallGen, true)
	require.NoError(t, err)
	require.Equal(t, small(), b, "from the disk")

	after, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, before.ModTime(), after.ModTime())
	require.Equal(t, []string{genName(smallGen)}, names(t, dir))
	require.Equal(t, []string{segmentFile}, names(t, filepath.Dir(path)))

	for _, fromDisk := range []bool{false, true} {
		_, err = ReadGeneration(dir, 99, fromDisk)
		require.ErrorIs(t, err, fs.ErrNotExist)
	}
}

// TestRebuiltFramesVouchForAllBefore: a rewritten generation is durable as a whole when its name appears, so its frames may
// convict whatever stands before them.
func TestRebuiltFramesVouchForAllBefore(t *testing.T) {
	dir := t.TempDir()
	g := forge{id: testID, gen: 3}
	g.header().link(Link{}, 5)
	for p := dcb.Position(5); p < 9; p++ { // never synced, as far as these frames know
		g.frame(Frame{Kind: KindCommit, First: p, Count: 1}, []byte(body(p)))
	}
	built, err := BuildGeneration(dir, testID, 4, testClock, &Link{Supersedes: 3, SupersedesFrom: 6}, 6, Scan(g.b, testID, 3).Commits[1:])
	require.NoError(t, err)
	require.EqualValues(t, 9, built.Next)
	b, err := ReadGeneration(dir, 4, false)
	require.NoError(t, err)
	s := Scan(b, testID, 4)
	require.NoError(t, s.Stop)
	require.Len(t, s.Commits, 3)
	for _, c := range s.Commits {
		require.Equal(t, body(c.First), string(c.Body))
		require.EqualValues(t, c.Offset, c.DurableOff)
		require.Equal(t, c.First-1, c.Durable)
	}
}

func TestStrayFilesAreRefused(t *testing.T) {
	for _, name := range []string{
		"00000000000000000900.START", // tidwall/wal would delete the log
		"00000000000000000002.END",
		"00000000000000000003", // and go on here
		"00000000000000000001.START",
	} {
		l, dir := create(t, Options{})
		put(t, l, 3)
		w := l.Witness()
		require.NoError(t, l.Close())
		write(t, nil, dir, genName(1), name)
		_, err := Open(dir, testID, []Segment{{Gen: 1, Last: 3}}, w, 5, Options{})
		var corrupt *dcb.CorruptError
		require.ErrorAs(t, err, &corrupt, name)
		require.Equal(t, filepath.Join(dir, genName(1), name), corrupt.File)
		require.Equal(t, bodiesTo(3), requireChain(t, generations(t, dir)), "the log is untouched")

		require.NoError(t, os.Remove(corrupt.File))
		require.NoError(t, reopen(t, dir, Options{}).Close())
	}

	l, dir := create(t, Options{})
	require.NoError(t, l.Close())
	for _, name := range []string{"notes.txt", "00000000000000000001.bak", "00000000000000000007.START.TEMP"} { // nothing to tidwall/wal either
		write(t, nil, dir, genName(1), name)
	}
	require.NoError(t, reopen(t, dir, Options{}).Close())
}

// TestOpenRefuses gives Open what recovery never would: the pair assertions on the way back.
func TestOpenRefuses(t *testing.T) {
	l, dir := create(t, Options{})
	put(t, l, 3)
	w := l.Witness()
	require.NoError(t, l.Close())
	live := []Segment{{Gen: 1, Last: 3}}

	_, err := Open(dir, testID, live, w, 4, Options{})
	require.ErrorIs(t, err, dcb.ErrCorrupt, "another number of frames than tidwall/wal counts")
	longer := w
	longer.End++
	_, err = Open(dir, testID, live, longer, 5, Options{})
	require.ErrorIs(t, err, dcb.ErrCorrupt, "another length than the file's")

	absent := w
	absent.Gen = 2
	_, err = Open(dir, testID, []Segment{{Gen: 2, Last: 3}}, absent, 5, Options{})
	require.ErrorIs(t, err, fs.ErrNotExist)
	_, err = Open(dir, testID, []Segment{{Gen: 7, Last: 3}, {Gen: 1, Last: 3}}, w, 5, Options{})
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.Equal(t, []string{genName(1), ackedFile}, names(t, dir), "nothing was created")

	for _, n := range []int64{-1, MaxRotateBytes + 1} {
		_, err = Open(dir, testID, live, w, 5, Options{RotateBytes: n})
		require.ErrorIs(t, err, dcb.ErrInvalidOption)
	}
	require.NoError(t, os.Remove(filepath.Join(dir, ackedFile)))
	require.NoError(t, os.Mkdir(filepath.Join(dir, ackedFile), 0o755))
	_, err = Open(dir, testID, live, w, 5, Options{})
	require.Error(t, err)
	require.False(t, errors.Is(err, dcb.ErrCorrupt))
}

func TestTidwallOptionsAreFresh(t *testing.T) {
	a, b := tidwallOptions(), tidwallOptions()
	require.NotSame(t, a, b)
	require.True(t, a.NoSync)
	a.SegmentSize = 1
	require.NotEqual(t, a.SegmentSize, b.SegmentSize)
}

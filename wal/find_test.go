package wal

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFindFramesFindsThemAnywhere(t *testing.T) {
	b := small()
	want := Scan(b, testID, smallGen).Commits
	for _, before := range []int{0, 1, 97, 1000} {
		moved := slices.Concat(make([]byte, before), b, []byte("OSUM and no frame"))
		found := FindFrames(moved, testID)
		require.Len(t, found, 2+len(want))
		require.Equal(t, []Kind{KindHeader, KindLink, KindCommit}, []Kind{found[0].Kind, found[1].Kind, found[2].Kind})
		for i, f := range found[2:] {
			require.EqualValues(t, smallGen, f.Gen)
			require.Equal(t, want[i].Body, f.Body)
			require.Equal(t, want[i].First, f.First)
			require.Equal(t, f.Body, moved[f.BodyOffset:f.End])
			require.Equal(t, want[i].End+int64(before), f.End)
		}
	}
	require.Empty(t, FindFrames(b, otherID), "another store's")
	require.Empty(t, FindFrames(nil, testID))
	behind := slices.Concat(make([]byte, 1000), b)
	var ends []int
	for _, f := range FindFrames(behind, testID) {
		ends = append(ends, int(f.End))
	}
	for n := range behind { // whatever is cut off, what is whole is found
		whole := len(slices.DeleteFunc(slices.Clone(ends), func(end int) bool { return end > n }))
		require.Len(t, FindFrames(behind[:n], testID), whole, "the first %d bytes", n)
	}
	damaged := slices.Clone(b)
	damaged[want[0].BodyOffset] ^= 1
	require.Len(t, FindFrames(damaged, testID), 2+len(want)-1, "all but the damaged one")
}

func TestWriteAckedIsWhatReadAckedReads(t *testing.T) {
	dir := t.TempDir()
	a := Acked{Gen: 7, Offset: 8, Position: 9}
	require.NoError(t, WriteAcked(dir, testID, a))
	got, err := ReadAcked(dir, testID)
	require.NoError(t, err)
	require.Equal(t, a, got)
	got, err = ReadAcked(dir, otherID)
	require.NoError(t, err)
	require.Zero(t, got)
	require.NoFileExists(t, AckedPath(dir)+tempSuffix)

	require.NoError(t, os.Mkdir(AckedPath(dir)+tempSuffix, 0o755)) // something in the way
	require.Error(t, WriteAcked(dir, testID, Acked{Gen: 8}))
	got, err = ReadAcked(dir, testID)
	require.NoError(t, err)
	require.Equal(t, a, got, "the old one stands")
	require.Error(t, WriteAcked(filepath.Join(dir, "absent"), testID, a))
}

func TestDeceives(t *testing.T) {
	for _, name := range []string{"00000000000000000002", "00000000000000000900.START", "00000000000000000001.END", "18446744073709551615"} {
		require.True(t, Deceives(name), name)
	}
	for _, name := range []string{segmentFile, "x", "", "1", "1.START", fmt.Sprintf("%021d", 2), "0000000000000000000x", "00000000000000000002.TEMP"} {
		require.False(t, Deceives(name), name)
	}
}

func TestFindFramesFindsTheOneThatBegins(t *testing.T) {
	b := small()
	_, size, err := nextEntry(b)
	require.NoError(t, err)
	first := FindFrames(b, testID)[0]
	alone := b[first.Offset:size]
	found := FindFrames(alone, testID)
	require.Len(t, found, 1)
	require.Zero(t, found[0].Offset)
	require.EqualValues(t, len(alone), found[0].End)
}

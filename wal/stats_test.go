package wal

import (
	"errors"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"opossum/dcb"
)

func TestFlushesAreCounted(t *testing.T) {
	broken := error(nil)
	l, _ := create(t, Options{Fdatasync: func(f *os.File) error { return broken }})
	require.Zero(t, l.Stats().LastFlush)
	before, start := time.Now(), l.Witness().End
	for _, first := range []dcb.Position{1, 3} {
		_, err := l.Append(first, 2, [][]byte{[]byte("one"), []byte("two")})
		require.NoError(t, err)
	}
	require.Zero(t, l.Stats().Flushes.Count)
	require.Zero(t, l.Stats().FlushedEvents)
	for range 2 { // of which the second one finds nothing new
		require.NoError(t, l.Sync())
		s := l.Stats()
		require.EqualValues(t, 4, s.FlushedEvents)
		require.EqualValues(t, l.Witness().End-start, s.FlushedBytes)
		require.False(t, s.LastFlush.Before(before))
		require.Zero(t, s.Failures)
		require.NoError(t, s.LastError)
	}
	last := l.Stats()
	require.EqualValues(t, 2, last.Flushes.Count)

	broken = errors.New("broken")
	_, err := l.Append(5, 1, [][]byte{nil})
	require.NoError(t, err)
	require.ErrorIs(t, l.Sync(), broken)
	require.ErrorIs(t, l.Sync(), broken)
	s := l.Stats()
	require.EqualValues(t, 1, s.Failures, "after the first one nothing is tried")
	require.ErrorIs(t, s.LastError, broken)
	require.EqualValues(t, 2, s.Flushes.Count)
	require.EqualValues(t, 4, s.FlushedEvents)
	require.Equal(t, last.LastFlush, s.LastFlush)
}

func BenchmarkWhatCountingAFlushCosts(b *testing.B) {
	var f flushes
	f.init()
	for range b.N {
		f.note(1, 100, time.Now(), time.Now())
	}
}

package wal

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"opossum/dcb"
	"opossum/internal/step"
)

var errTest = errors.New("made to fail")

// TestWriteErrorIsFinal: the first failed write ends the log, whether or not its bytes arrived. tidwall/wal keeps a phantom of
// the entry in memory and would serve it; here nothing reads from that memory, and nothing is written behind it.
func TestWriteErrorIsFinal(t *testing.T) {
	for name, arrived := range map[string]bool{"nothing arrived": false, "everything arrived": true} {
		t.Run(name, func(t *testing.T) {
			fail, writes := false, 0
			l, dir := create(t, Options{Write: func(real func() error) error {
				writes++
				if !fail {
					return real()
				}
				fail = false // a second attempt would succeed
				if arrived {
					require.NoError(t, real())
				}
				return errTest
			}})
			put(t, l, 3)
			acked, err := ReadAcked(dir, testID)
			require.NoError(t, err)

			fail = true
			_, err = l.Append(4, 1, [][]byte{[]byte("failed")})
			require.ErrorIs(t, err, errTest)
			for range 3 {
				_, again := l.Append(4, 1, [][]byte{[]byte("retried")})
				require.Same(t, err, again)
				require.Same(t, err, l.Sync())
			}
			require.Equal(t, 4, writes)
			require.EqualValues(t, 3, l.Durable())
			require.EqualValues(t, 3, l.Stats().Flushes.Count)
			require.NoError(t, l.Close())
			after, err := ReadAcked(dir, testID)
			require.NoError(t, err)
			require.Equal(t, acked, after)

			want := bodiesTo(3)
			if arrived { // its outcome was unknown; now it is there, whole
				want = append(want, "failed")
			}
			require.Equal(t, want, requireChain(t, generations(t, dir)))
		})
	}
}

// TestSyncErrorIsFinal: a second sync would succeed and mean nothing, so there is none.
func TestSyncErrorIsFinal(t *testing.T) {
	calls, fail := 0, false
	l, dir := create(t, Options{Fdatasync: func(f *os.File) error {
		calls++
		if fail {
			fail = false
			return errTest
		}
		return step.Datasync(f)
	}})
	put(t, l, 3)
	_, err := l.Append(4, 1, [][]byte{[]byte(body(4))})
	require.NoError(t, err)
	fail = true
	err = l.Sync()
	require.ErrorIs(t, err, errTest)
	for range 3 {
		require.Same(t, err, l.Sync())
		_, again := l.Append(5, 1, nil)
		require.Same(t, err, again)
	}
	require.Equal(t, 4, calls)
	require.EqualValues(t, 3, l.Durable(), "not what the failed sync should have covered")
	a, err := ReadAcked(dir, testID)
	require.NoError(t, err)
	require.EqualValues(t, 3, a.Position)
	require.NoError(t, l.Close())

	// The tail goes into a generation of its own, with new pages: whether position 4 is there is for the disk to say.
	rebuild(t, dir)
	l = reopen(t, dir, Options{})
	put(t, l, 1)
	require.NoError(t, l.Close())
	require.Equal(t, bodiesTo(5), requireChain(t, generations(t, dir)))
}

// TestRotationSyncErrorIsFinal: the same where a rotation has to sync, with relaxed flushing.
func TestRotationSyncErrorIsFinal(t *testing.T) {
	l, dir := create(t, Options{RotateBytes: 600, Fdatasync: func(*os.File) error { return errTest }})
	var err error
	for p := dcb.Position(1); err == nil && p < 100; p++ {
		_, err = l.Append(p, 1, [][]byte{[]byte(body(p))})
		l.background.Wait()
	}
	require.ErrorIs(t, err, errTest)
	require.Same(t, err, l.Sync())
	require.Zero(t, l.Durable())
	require.NoError(t, l.Close())
	gens := generations(t, dir)
	require.Len(t, gens, 1, "no link frame follows what is not durable")
	requireChain(t, gens)
}

// TestAckedErrorIsFinal: the sync succeeded, but without its note in ACKED recovery could take an acknowledged frame for a torn
// one.
func TestAckedErrorIsFinal(t *testing.T) {
	l, _ := create(t, Options{})
	put(t, l, 1)
	require.NoError(t, l.acked.Close())
	_, err := l.Append(2, 1, nil)
	require.NoError(t, err)
	err = l.Sync()
	require.ErrorIs(t, err, os.ErrClosed)
	require.Same(t, err, l.Sync())
}

// TestTornTailIsRebuilt tears the last frame at every length: what is intact goes into a new generation, and appends go on there.
func TestTornTailIsRebuilt(t *testing.T) {
	l, dir := create(t, Options{})
	put(t, l, 3)
	require.NoError(t, l.Close())
	whole, err := ReadGeneration(dir, 1, false)
	require.NoError(t, err)
	at := starts(t, whole)
	step := int64(1)
	if testing.Short() {
		step = 11
	}
	for cut := at[4] + 1; cut < at[5]; cut += step {
		dir := t.TempDir()
		write(t, whole[:cut], dir, genName(1), segmentFile)
		require.Error(t, generations(t, dir)[0].Stop)
		rebuild(t, dir)
		l := reopen(t, dir, Options{})
		_, err := l.Append(3, 1, [][]byte{[]byte("another third")})
		require.NoError(t, err)
		require.NoError(t, l.Close())
		require.Equal(t, append(bodiesTo(2), "another third"), requireChain(t, generations(t, dir)))
	}
}

// TestGroupIsOneEntry: a torn group is not there at all, however many appends it holds.
func TestGroupIsOneEntry(t *testing.T) {
	l, dir := create(t, Options{})
	put(t, l, 1)
	_, err := l.Append(2, 3, [][]byte{[]byte("one "), []byte("two "), []byte("three")})
	require.NoError(t, err)
	last, err := l.w.tail.LastIndex()
	require.NoError(t, err)
	require.EqualValues(t, 4, last, "header, link, and one entry a group")
	require.NoError(t, l.Close())
	b, err := ReadGeneration(dir, 1, false)
	require.NoError(t, err)
	at := starts(t, b)
	for cut := at[3]; cut < at[4]; cut++ {
		require.EqualValues(t, 2, Scan(b[:cut], testID, 1).Next())
	}
	require.EqualValues(t, 5, Scan(b, testID, 1).Next())
}

// TestReadersDoNotWaitForSync: a sync that hangs holds no lock.
func TestReadersDoNotWaitForSync(t *testing.T) {
	var l *Log
	inside := 0
	l, _ = create(t, Options{Fdatasync: func(*os.File) error {
		inside++
		b := make([]byte, 12) // all of this while the sync is running
		require.NoError(t, l.ReadAt(Place{Gen: 1, Off: uint32(l.w.end) - 12}, b))
		require.Equal(t, body(l.next-1), string(b))
		_, err := l.Trim(0)
		require.NoError(t, err)
		require.Equal(t, l.next-2, l.Durable())
		return nil
	}})
	put(t, l, 3)
	require.Equal(t, 3, inside)
}

// TestSyncsTheFileThatIsWritten: after each rotation the descriptor that is synced is that of the current file.
func TestSyncsTheFileThatIsWritten(t *testing.T) {
	var synced os.FileInfo
	l, dir := create(t, Options{RotateBytes: 600, Fdatasync: func(f *os.File) (err error) {
		synced, err = f.Stat()
		return err
	}})
	for range 60 {
		put(t, l, 1)
		l.background.Wait()
		current, err := os.Stat(GenerationPath(dir, l.Witness().Gen))
		require.NoError(t, err)
		require.True(t, os.SameFile(current, synced))
		require.Equal(t, l.Witness().End, synced.Size())
	}
	require.Positive(t, l.Stats().Rotations)
}

// TestLeftovers: what dying processes leave beside a log is found, and does not disturb it.
func TestLeftovers(t *testing.T) {
	l, dir := create(t, Options{RotateBytes: 600})
	put(t, l, 3)
	require.NoError(t, l.Close())
	write(t, []byte("half"), dir, "00000002.tmp", segmentFile)
	write(t, nil, dir, "00000009.tmp", segmentFile)
	list, err := List(dir)
	require.NoError(t, err)
	require.Equal(t, []string{"00000002.tmp", "00000009.tmp"}, list.Temps)

	l = reopen(t, dir, Options{RotateBytes: 600})
	for range 20 {
		put(t, l, 1)
		l.background.Wait()
	}
	require.Positive(t, l.Stats().Rotations)
	require.NoError(t, l.Close())
	require.Equal(t, bodiesTo(23), requireChain(t, generations(t, dir)))
	for _, name := range list.Temps {
		require.NoError(t, RemoveTemp(dir, name))
	}
	require.NotContains(t, names(t, dir), filepath.Base("00000009.tmp"))
}

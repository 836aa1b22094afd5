package opossum

import (
	"context"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"opossum/ledger"
	"opossum/wal"
)

// A sync that fails while Close waits for it poisons like any other: no witness may vouch for what never reached the disk.
func TestASyncThatFailsDuringCloseLeavesNoCleanWitness(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		var fail atomic.Bool
		release := make(chan struct{})
		e, err := open(dir, nil, hooks{wal: wal.Options{Fdatasync: func(f *os.File) error {
			if fail.Load() {
				<-release
				return syscall.EIO
			}
			return f.Sync()
		}}})
		require.NoError(t, err)
		_, err = e.Append(t.Context(), []Event{{Type: "Kept"}}, nil)
		require.NoError(t, err)

		fail.Store(true)
		appended, closed := make(chan error, 1), make(chan error, 1)
		go func() {
			_, err := e.Append(context.Background(), []Event{{Type: "Unknown"}}, nil)
			appended <- err
		}()
		synctest.Wait() // it is in its sync
		go func() { closed <- e.Close() }()
		synctest.Wait() // and Close waits for it
		close(release)
		require.ErrorIs(t, <-appended, ErrOutcomeUnknown)
		require.NoError(t, <-closed)
		require.True(t, e.Metrics().Poisoned)
	})
	state, err := ledger.Load(dir)
	require.NoError(t, err)
	require.True(t, state.Clean == nil || state.Clean.Head == 0, "the witness of the creation may stand, a later one not: %+v", state.Clean)
	e, err := Open(dir, nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, e.Close()) }()
	require.Equal(t, "recovered", e.Recovery().Outcome)
}

// Filing that has no room makes waiting for it pointless.
func TestAppendsHeldAtMaxLagAreToldWhenTheDiskIsFull(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		e, err := Open(dir, &Options{MaxLagEvents: 1})
		require.NoError(t, err)
		resume, err := e.PauseFiling(t.Context())
		require.NoError(t, err)
		_, err = e.Append(t.Context(), []Event{{Type: "T"}}, nil)
		require.NoError(t, err)
		held := make(chan error, 1)
		go func() {
			_, err := e.Append(context.Background(), []Event{{Type: "T"}}, nil)
			held <- err
		}()
		synctest.Wait()
		e.seq.NoSpace(true)
		require.ErrorIs(t, <-held, ErrDiskFull)
		e.seq.NoSpace(false)
		resume()
		_, err = e.Append(t.Context(), []Event{{Type: "T"}}, nil)
		require.NoError(t, err)
		require.NoError(t, e.Close())
	})
}

// A position that is appended later, by a relaxed owner, is filed as soon as somebody waits for it.
func TestWaitMaterializedBeyondTheHeadComesBackInARelaxedStore(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		e, err := Open(dir, &Options{Flush: FlushDisabled})
		require.NoError(t, err)
		filed := make(chan error, 1)
		go func() { filed <- e.WaitMaterialized(context.Background(), 2) }()
		synctest.Wait()
		_, err = e.Append(t.Context(), []Event{{Type: "T"}, {Type: "T"}}, nil)
		require.NoError(t, err)
		require.NoError(t, <-filed)
		require.NoError(t, e.Close())
	})
}

func TestConcurrentSyncsShareOne(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		var blocked atomic.Bool
		release := make(chan struct{})
		e, err := open(dir, &Options{Flush: FlushDisabled}, hooks{wal: wal.Options{Fdatasync: func(f *os.File) error {
			if blocked.Load() {
				<-release
			}
			return f.Sync()
		}}})
		require.NoError(t, err)
		_, err = e.Append(t.Context(), []Event{{Type: "T"}}, nil)
		require.NoError(t, err)
		blocked.Store(true)
		before := e.Metrics().Flushes.Count
		const callers = 50
		done := make(chan error, callers)
		for range callers {
			go func() { done <- e.Sync(context.Background()) }()
		}
		synctest.Wait()
		close(release)
		for range callers {
			require.NoError(t, <-done)
		}
		require.LessOrEqual(t, e.Metrics().Flushes.Count-before, uint64(2))
		require.NoError(t, e.Close())
	})
}

// The log is overwritten in space that was written beforehand. A clean close gives it back; a store that was not closed has it, and opens with every event and without damage.
func TestAStoreOpensAgainWithAndWithoutRoomInItsLog(t *testing.T) {
	dir := t.TempDir()
	e := openStore(t, dir, nil, hooks{})
	data := make([]byte, 8<<10)
	room := func() int64 {
		at := e.log.Witness()
		info, err := os.Stat(e.log.Path(wal.Place{Gen: at.Gen}))
		require.NoError(t, err)
		return info.Size() - at.End
	}
	n := 0
	for ; n < 1000 && room() == 0; n++ {
		appendOK(t, e, nil, Event{Type: "Filler", Data: data})
	}
	require.Greater(t, room(), int64(1<<20))
	n++
	appendOK(t, e, nil, Event{Type: "Last"})

	killed := copyStore(t, e)
	for range 2 { // the second after what recovery made
		k := openStore(t, killed, nil, hooks{})
		require.Len(t, checkDense(t, k), n)
		require.Zero(t, k.Recovery().CutBytes)
		require.NoError(t, k.Close())
	}
	require.NoError(t, e.Close())
	require.Zero(t, room())
	e = openStore(t, dir, nil, hooks{})
	require.Equal(t, "clean", e.Recovery().Outcome)
	require.Len(t, checkDense(t, e), n)
	require.NoError(t, e.Close())
}

package opossum

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"opossum/internal/testmount"
	"opossum/internal/workload"
	"opossum/recovery"
)

// Event files or packs on a disk that is full: appends are refused, nothing acknowledged is lost, closing and opening work, and with
// room everything goes on.
func TestAFullDiskUnderTheEventFilesRefusesAppendsAndLosesNothing(t *testing.T) {
	fullDisk(t, recovery.EventsDir, &Options{MinFreeBytes: -1, LooseEvents: KeepLoose})
}

func TestAFullDiskUnderThePacksRefusesAppendsAndLosesNothing(t *testing.T) {
	if smallShards { // else it would be the log that is full before
		fullDisk(t, "packs", &Options{MinFreeBytes: -1, LooseEvents: 1})
	}
}

func fullDisk(t *testing.T, full string, opts *Options) {
	if !testmount.Private(t) {
		return
	}
	dir := filepath.Join(t.TempDir(), "store")
	e, err := Open(dir, opts) // makes the directories
	require.NoError(t, err)
	require.NoError(t, e.Close())
	events := filepath.Join(dir, full)
	testmount.Tmpfs(t, events, "size=64k", 0)

	id, acked := uint64(workload.IDsPerWriter), []SequencedEvent(nil)
	fill := func(e *Engine) (err error) { // until an append is refused
		for range 100_000 {
			evs := workload.Events(id)
			p, err := e.Append(ctxb, evs, nil)
			if err != nil {
				return err
			}
			id++
			require.Equal(t, Position(len(acked)+len(evs)), p)
			for _, ev := range evs {
				acked = append(acked, SequencedEvent{Position: Position(len(acked) + 1), Event: ev})
			}
		}
		return nil
	}
	for round := range 2 { // closed and opened while there is no space
		e, err = Open(dir, opts)
		require.NoError(t, err, "round %d", round)
		require.ErrorIs(t, fill(e), ErrDiskFull)
		_, err = e.Append(ctxb, workload.Events(id), nil)
		require.ErrorIs(t, err, ErrDiskFull)
		m := e.Metrics()
		require.True(t, m.DiskFull && m.FilingStalled && !m.Poisoned, "%+v", m)
		require.Equal(t, acked, readAll(t, e, AllEvents(), ReadOptions{}))
		require.Less(t, e.Materialized(), e.Head())
		if round == 0 {
			require.NoError(t, e.Close())
		}
	}
	testmount.Tmpfs(t, events, "size=512m", 0)
	ctx, cancel := context.WithTimeout(ctxb, testPatience)
	defer cancel()
	require.NoError(t, e.WaitMaterialized(ctx, e.Head()))
	evs := workload.Events(id)
	_, err = e.Append(ctxb, evs, nil)
	require.NoError(t, err, "there is room again")
	for _, ev := range evs {
		acked = append(acked, SequencedEvent{Position: Position(len(acked) + 1), Event: ev})
	}
	require.False(t, e.Metrics().DiskFull)
	require.NoError(t, e.Close())
	e, err = Open(dir, opts)
	require.NoError(t, err)
	require.Equal(t, acked, readAll(t, e, AllEvents(), ReadOptions{}))
	require.NoError(t, e.Close())
}

// A file system that cannot be written to at all, as a backup or an image is mounted: a store is read as it is.
func TestAReadOnlyEngineOnAReadOnlyFileSystem(t *testing.T) {
	if !testmount.Private(t) {
		return
	}
	e := openStore(t, t.TempDir(), nil, hooks{})
	resume, err := e.PauseFiling(ctxb) // an event file would vouch for the end
	require.NoError(t, err)
	defer resume()
	appendOK(t, e, nil, event("T"), event("T"))
	appendOK(t, e, nil, event("T"))
	copied := func() (dir string) {
		dir = filepath.Join(t.TempDir(), "copy")
		require.NoError(t, os.CopyFS(dir, os.DirFS(e.dir)))
		return dir
	}
	torn := copied()
	w := e.log.Witness()
	require.NoError(t, os.Remove(filepath.Join(torn, recovery.WALDir, "ACKED"))) // nobody vouches for the end
	require.NoError(t, os.Truncate(generationFile(torn, w.Gen), w.End-1))
	whole := copied()
	require.NoError(t, os.Remove(filepath.Join(whole, recovery.WALDir, "ACKED")))
	for dir, want := range map[string]int{whole: 3, torn: 2} {
		require.NoError(t, unix.Mount(dir, dir, "", unix.MS_BIND, ""))
		require.NoError(t, unix.Mount("", dir, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""))
		require.ErrorIs(t, os.WriteFile(filepath.Join(dir, "x"), nil, 0o644), unix.EROFS)
		r, err := Open(dir, readOnly)
		require.NoError(t, err)
		require.Len(t, checkDense(t, r), want)
		require.NoError(t, r.Refresh(ctxb))
		require.NoError(t, r.Close())
		_, err = Open(dir, nil)
		require.ErrorIs(t, err, ErrReadOnly)
		require.NoError(t, unix.Unmount(dir, unix.MNT_DETACH))
	}
}

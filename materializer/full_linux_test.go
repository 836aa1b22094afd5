package materializer

import (
	"context"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"opossum/dcb"
	"opossum/internal/testmount"
	"opossum/ledger"
)

func TestAFullDiskPausesFilingAndRoomLetsItGoOn(t *testing.T) {
	if !testmount.Private(t) {
		return
	}
	r := newRig(t, 0)
	disk := filepath.Join(r.dir, "small")
	testmount.Tmpfs(t, disk, "size=64k", 0)
	r.openFiles(filepath.Join(disk, "events"))
	told := make(chan bool, 1000)
	r.cfg.NoSpace = func(stopped bool) { r.spaceChanged(stopped); told <- stopped }
	r.start()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	tell := func() (stopped bool) {
		select {
		case stopped = <-told:
		case <-ctx.Done():
			require.FailNow(t, "nothing is told about space")
		}
		return stopped
	}
	const n = 60
	r.write(1, true)
	for r.Stats().Files == 0 { // a burst of its own
		require.NoError(t, ctx.Err())
		runtime.Gosched()
	}
	r.write(n-1, true)
	require.True(t, tell(), "filing must stop for want of space")

	// What was filed before is checkpointed meanwhile, which must not let the appends in.
	require.NoError(t, r.ledger.Wait(ctx, ledger.Materialized, 1))
	for range 4 {
		require.True(t, tell(), "there still is no space")
	}
	require.True(t, r.Stats().Stalled)
	require.Less(t, r.ledger.Get(ledger.Materialized), dcb.Position(n))
	_, noSpace, failed := r.seen()
	require.Equal(t, []bool{true}, noSpace)
	require.Empty(t, failed)

	testmount.Tmpfs(t, disk, "size=8m", 0)
	require.NoError(t, r.Wait(ctx, n))
	r.requireFiled(n)
	_, noSpace, failed = r.seen()
	require.Equal(t, []bool{true, false}, noSpace)
	require.Empty(t, failed)
	require.False(t, r.Stats().Stalled)
}

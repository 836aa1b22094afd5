package materializer

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"opossum/dcb"
	"opossum/internal/segment"
	"opossum/ledger"
)

// full ends the active memory part of the index, as the sequencer does when it is full.
func (r *rig) full() {
	r.index.Rotate(r.next - 1)
	r.Tend()
}

func TestTheIndexKeepsThePaceOfAppendsWhileFilingStandsStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 0)
		r.start()
		resume, err := r.Pause(t.Context())
		require.NoError(t, err)
		for n := dcb.Position(1); n <= 20; n++ {
			r.write(10, true)
			r.full()
			synctest.Wait()
			require.Equal(t, 10*n, r.ledger.Get(ledger.Indexed))
		}
		require.Zero(t, r.ledger.Get(ledger.Materialized))
		require.Less(t, r.index.Stats().Segments, 10, "they are merged")
		require.Positive(t, r.index.Stats().Merges)
		resume()
		require.NoError(t, r.Wait(t.Context(), 200))
		require.EqualValues(t, 20, r.index.Stats().Seals, "a checkpoint has nothing to seal")
	})
}

// The order of a checkpoint begins with the index: what the ledger says is indexed must be so after a power cut.
func TestACheckpointSealsTheIndexFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 0)
		var bases []dcb.Position
		r.cfg.Checkpoint = func(s dcb.Position) error {
			bases = append(bases, r.index.Base(), s)
			return nil
		}
		r.start()
		r.write(3, true)
		require.NoError(t, r.Wait(t.Context(), 3))
		r.write(4, true)
		pass(checkpointEvery)
		require.Equal(t, []dcb.Position{3, 3, 7, 7}, bases)
		require.EqualValues(t, 7, r.ledger.Get(ledger.Indexed))
	})
}

func TestOnlyWhatIsDurableIsSealed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 0)
		asked := make(chan struct{})
		r.cfg.Sync = func(ctx context.Context) error {
			close(asked)
			return r.ledger.Wait(ctx, ledger.Durable, 5)
		}
		r.start()
		r.write(5, false)
		r.full()
		<-asked
		synctest.Wait()
		require.Zero(t, r.index.Base())
		r.sync()
		synctest.Wait()
		require.EqualValues(t, 5, r.index.Base())
	})
}

func TestASealThatFailsStallsAndGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 0)
		dir := filepath.Join(r.dir, "index")
		require.NoError(t, os.WriteFile(dir, nil, 0o644)) // where the directory belongs
		r.start()
		r.write(5, true)
		r.full()
		pass(time.Minute)
		require.True(t, r.Stats().Stalled)
		require.Zero(t, r.ledger.Get(ledger.Materialized), "no checkpoint before the index")
		r.requireFiled(5)
		_, _, failed := r.seen()
		require.Empty(t, failed)
		require.NoError(t, os.Remove(dir))
		pass(time.Minute)
		require.False(t, r.Stats().Stalled)
		require.EqualValues(t, 5, r.ledger.Get(ledger.Indexed))
		require.EqualValues(t, 5, r.ledger.Get(ledger.Materialized))
	})
}

func TestStopWhileASealStallsEndsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 0)
		require.NoError(t, os.WriteFile(filepath.Join(r.dir, "index"), nil, 0o644))
		r.start()
		r.write(5, true)
		r.full()
		pass(time.Minute)
		start := time.Now()
		require.NoError(t, r.Stop())
		require.Zero(t, time.Since(start))
		require.Zero(t, r.ledger.Get(ledger.Materialized))
	})
}

func TestADamagedSegmentIsRebuiltInTheBackground(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 0)
		r.start()
		r.write(5, true)
		require.NoError(t, r.Wait(t.Context(), 5))
		path := filepath.Join(r.dir, "index", segment.Name(segment.Range{First: 1, Last: 5}))
		b, err := os.ReadFile(path)
		require.NoError(t, err)
		b[len(b)/4] ^= 1
		require.NoError(t, os.WriteFile(path, b, 0o644))
		find := func() (int, error) {
			it, err := r.index.Iterate(dcb.ByTags("a"), 0, 5, false)
			require.NoError(t, err)
			defer it.Close()
			n := 0
			for _, ok := it.Next(); ok; _, ok = it.Next() {
				n++
			}
			return n, it.Err()
		}
		_, err = find()
		require.ErrorIs(t, err, dcb.ErrCorrupt)
		r.Mend()
		synctest.Wait()
		n, err := find()
		require.NoError(t, err)
		require.Equal(t, 5, n)
	})
}

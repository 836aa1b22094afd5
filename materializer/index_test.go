package materializer

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
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

// damage changes a byte of a segment.
func (r *rig) damage(of segment.Range) {
	r.Helper()
	path := filepath.Join(r.dir, "index", segment.Name(of))
	b, err := os.ReadFile(path)
	require.NoError(r, err)
	b[len(b)/4] ^= 1
	require.NoError(r, os.WriteFile(path, b, 0o644))
}

// find counts the events up to a position by the index.
func (r *rig) find(upto dcb.Position) (n int, err error) {
	r.Helper()
	it, err := r.index.Iterate(dcb.ByTags("a"), 0, upto, false)
	require.NoError(r, err)
	defer it.Close()
	for _, ok := it.Next(); ok; _, ok = it.Next() {
		n++
	}
	return n, it.Err()
}

func TestADamagedSegmentIsRebuiltInTheBackground(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 0)
		r.start()
		r.write(5, true)
		require.NoError(t, r.Wait(t.Context(), 5))
		r.damage(segment.Range{First: 1, Last: 5})
		_, err := r.find(5)
		require.ErrorIs(t, err, dcb.ErrCorrupt)
		r.Mend()
		synctest.Wait()
		n, err := r.find(5)
		require.NoError(t, err)
		require.Equal(t, 5, n)
	})
}

// A rebuild takes as long as its events take to be fetched, and a merge as long as its segments are large. Appends do not wait for either.
func TestSealingDoesNotWaitForARebuild(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 0)
		fetching, goOn := make(chan struct{}), make(chan struct{})
		r.cfg.Fetch = func(p dcb.Position) (dcb.Event, error) {
			if p == 1 {
				close(fetching)
				<-goOn
			}
			return event(p).Event, nil
		}
		r.start()
		r.write(5, true)
		require.NoError(t, r.Wait(t.Context(), 5))
		r.damage(segment.Range{First: 1, Last: 5})
		_, err := r.find(5)
		require.ErrorIs(t, err, dcb.ErrCorrupt)
		r.Mend()
		<-fetching
		resume, err := r.Pause(t.Context())
		require.NoError(t, err)
		defer resume()
		r.write(5, true)
		r.full()
		synctest.Wait()
		indexed := r.ledger.Get(ledger.Indexed)
		close(goOn)
		synctest.Wait()
		require.EqualValues(t, 10, indexed)
		n, err := r.find(10)
		require.NoError(t, err)
		require.Equal(t, 10, n)
	})
}

// What kept a segment from being rebuilt may pass. What is lost does not, and is not looked for again and again.
func TestARebuildIsTriedAgainUnlessTheEventsAreLost(t *testing.T) {
	for _, lost := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, 0)
			fetches, failing := 0, error(syscall.EMFILE)
			if lost {
				failing = &dcb.CorruptError{File: "1.json", Reason: "it is missing"}
			}
			r.cfg.Fetch = func(dcb.Position) (dcb.Event, error) {
				if fetches++; fetches == 1 {
					return dcb.Event{}, failing
				}
				return event(1).Event, nil
			}
			r.start()
			r.write(1, true)
			require.NoError(t, r.Wait(t.Context(), 1))
			r.damage(segment.Range{First: 1, Last: 1})
			_, err := r.find(1)
			require.ErrorIs(t, err, dcb.ErrCorrupt)
			r.Mend()
			synctest.Wait()
			require.Equal(t, 1, fetches)
			for range 3 {
				r.write(1, true)
				require.NoError(t, r.Wait(t.Context(), r.next-1))
				synctest.Wait()
			}
			if lost {
				require.Equal(t, 1, fetches)
				return
			}
			require.Equal(t, 2, fetches)
			n, err := r.find(4)
			require.NoError(t, err)
			require.Equal(t, 4, n)
		})
	}
}

// Memory may be full before anything is staged: of what Open read from the log.
func TestWhatIsFullAtTheStartIsSealed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 0)
		r.write(5, true)
		r.index.Rotate(5)
		resume, err := r.Pause(t.Context())
		require.NoError(t, err)
		defer resume()
		r.start()
		synctest.Wait()
		require.EqualValues(t, 5, r.ledger.Get(ledger.Indexed))
	})
}

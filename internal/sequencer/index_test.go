package sequencer

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"opossum/dcb"
	"opossum/ledger"
	"opossum/wal"
)

// Between the check at its snapshot and its staging a caller may be delayed while others append, memory parts fill, and all of it
// is sealed and gone from the present view. What conflicts must still be seen, and what does not must still pass.
func TestADelayedConditionSeesWhatWasSealedMeanwhile(t *testing.T) {
	for _, meanwhile := range []int{0, 1, 50} {
		for _, conflicting := range []bool{false, true} {
			t.Run(fmt.Sprintf("beside %d memory parts, conflict %v", meanwhile, conflicting), func(t *testing.T) {
				delayed, goOn := make(chan struct{}), make(chan struct{})
				var r *rig
				first := true
				r = newRig(t, FlushBatch, Limits{}, wal.Options{}, func() {
					if first {
						first = false
						close(delayed)
						<-goOn
					}
				})
				seal := func() {
					r.mu.Lock()
					r.index.Rotate(r.mu.staged)
					r.mu.Unlock()
					r.file(r.ledger.Get(ledger.Visible), 0)
				}
				late := r.async(ctxb, &dcb.Condition{FailIfMatch: dcb.ByTags("x")}, event("Late", "late"))
				<-delayed
				want := dcb.Position(0)
				for i := range meanwhile + 1 {
					tag := dcb.Tag("other")
					if conflicting && i == meanwhile/2 {
						tag = "x"
					}
					p, err := r.Append(ctxb, []dcb.Event{event("T", tag)}, nil)
					require.NoError(t, err)
					if tag == "x" {
						want = p
					}
					if i < meanwhile {
						seal()
					}
				}
				if meanwhile > 0 {
					require.EqualValues(t, meanwhile, r.index.Base(), "the window lies in segments by now")
				}
				close(goOn)
				a := get(t, late)
				if !conflicting {
					require.NoError(t, a.err)
					require.EqualValues(t, meanwhile+2, a.p)
					return
				}
				var failed *dcb.ConditionFailedError
				require.ErrorAs(t, a.err, &failed)
				require.Equal(t, want, failed.Position)
			})
		}
	}
}

func TestAppendsWaitWhileTheIndexTakesTooMuchMemory(t *testing.T) {
	r := newRig(t, FlushBatch, Limits{}, wal.Options{}, nil)
	n := 0
	for ; !r.index.Excess(); n++ {
		_, err := r.Append(ctxb, []dcb.Event{event("T", dcb.Tag(fmt.Sprint("only:", n)))}, nil)
		require.NoError(t, err)
	}
	require.Less(t, r.index.Bytes(), int64(rigRecentBytes*11/10))
	held := r.async(ctxb, nil, event("Held"))
	eventually(t, "it is held", func() bool { return r.gate.held.Load() == 1 })
	require.NoError(t, r.index.Seal(r.index.Full()))
	r.Sealed()
	require.EqualValues(t, n+1, get(t, held).p)
}

func TestAConditionOverDamagedSegmentsIsAnErrorAndNotWritten(t *testing.T) {
	r := newRig(t, FlushBatch, Limits{}, wal.Options{}, nil)
	_, err := r.Append(ctxb, []dcb.Event{event("T", "a")}, nil)
	require.NoError(t, err)
	r.file(1, 0)
	r.index.Close() // what was unmapped cannot be read
	_, err = r.Append(ctxb, []dcb.Event{event("T", "b")}, &dcb.Condition{FailIfMatch: dcb.ByTags("c")})
	require.ErrorIs(t, err, dcb.ErrClosed)
	require.EqualValues(t, 1, r.ledger.Get(ledger.Assigned))
}

// TestAConditionThatCannotBeJudgedIsNotHeld: a block of a segment is damaged where the answer would stand.
func TestAConditionThatCannotBeJudgedIsNotHeld(t *testing.T) {
	r := newRig(t, FlushBatch, Limits{}, wal.Options{}, nil)
	for range 3 {
		_, err := r.Append(ctxb, []dcb.Event{event("T", "a"), event("U", "b")}, nil)
		require.NoError(t, err)
	}
	r.file(6, 0)
	segments, err := filepath.Glob(filepath.Join(r.dir, "index", "*.idx"))
	require.NoError(t, err)
	require.Len(t, segments, 1)
	f, err := os.OpenFile(segments[0], os.O_RDWR, 0)
	require.NoError(t, err)
	info, err := f.Stat()
	require.NoError(t, err)
	_, err = f.WriteAt(make([]byte, info.Size()), 0)
	require.NoError(t, errors.Join(err, f.Close()))
	for _, cond := range []*dcb.Condition{{FailIfMatch: dcb.ByTags("a")}, {FailIfExists: dcb.ByTags("b")}} {
		_, err = r.Append(ctxb, []dcb.Event{event("T", "c")}, cond)
		require.ErrorIs(t, err, dcb.ErrCorrupt)
		require.EqualValues(t, 6, r.ledger.Get(ledger.Assigned))
	}
	_, err = r.Append(ctxb, []dcb.Event{event("T", "c")}, &dcb.Condition{FailIfMatch: dcb.ByTags("a"), After: 6})
	require.NoError(t, err, "what needs no damaged part")
}

// Appends look their terms up before they are staged, and the memory part may change in between: each must still be found.
func TestAppendsAreFoundHoweverOftenTheMemoryPartChanges(t *testing.T) {
	r := newRig(t, FlushDisabled, Limits{}, wal.Options{}, nil)
	const writers, each = 8, 500
	var wg, changing sync.WaitGroup
	stop := make(chan struct{})
	changing.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				for range 8 {
					r.mu.Lock()
					r.index.Rotate(r.mu.staged)
					r.mu.Unlock()
					runtime.Gosched()
				}
				if err := r.index.Seal(r.ledger.Get(ledger.Visible)); err != nil {
					t.Error(err)
					return
				}
				r.Sealed()
			}
		}
	})
	for w := range writers {
		wg.Go(func() {
			for n := range each {
				tag := dcb.Tag(fmt.Sprint(w, "/", n))
				var cond *dcb.Condition
				if n%2 == 0 {
					cond = &dcb.Condition{FailIfExists: dcb.ByTags(tag)}
				}
				p, err := r.Append(ctxb, []dcb.Event{event("T", tag)}, cond)
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := r.Append(ctxb, []dcb.Event{event("T", tag)}, &dcb.Condition{FailIfMatch: dcb.ByTags(tag), After: p - 1}); !errors.Is(err, dcb.ErrConditionFailed) {
					t.Errorf("the event at %d is not found: %v", p, err)
					return
				}
			}
		})
	}
	wg.Wait()
	close(stop)
	changing.Wait()
}

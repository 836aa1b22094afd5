package opossum

import (
	"errors"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// What the metrics say is what those who did it counted, in each strategy, with many at once.
func TestMetricsAgreeWithARecount(t *testing.T) {
	for _, f := range strategies {
		t.Run(f.String(), func(t *testing.T) {
			e := openStore(t, t.TempDir(), &Options{Flush: f, LooseEvents: KeepLoose}, hooks{})
			var appends, events, rejected, repeated, read atomic.Uint64
			const writers, each = 8, 60
			race(writers, func(w int) {
				r := rand.New(rand.NewPCG(1, uint64(w)))
				for range each {
					tag := Tag(string(rune('a' + r.IntN(20))))
					batch := make([]Event, 1+r.IntN(3))
					for i := range batch {
						batch[i] = Event{ID: uuid.New(), Type: "T", Tags: []Tag{tag}}
					}
					cond := &Condition{FailIfExists: ByTags(tag)}
					_, err := e.Append(ctxb, batch, cond)
					_, again := e.Append(ctxb, batch, cond) // a repetition, if the first one succeeded
					switch {
					case err == nil && again == nil:
						appends.Add(1)
						events.Add(uint64(len(batch)))
						repeated.Add(1)
					case errors.Is(err, ErrAlreadyExists) && errors.Is(again, ErrAlreadyExists):
						rejected.Add(2)
					default:
						t.Error(err, again)
					}
					if _, err := e.ReadLast(ctxb, ByTags(tag)); err != nil {
						t.Error(err)
					}
					read.Add(1)
				}
			})
			require.NoError(t, e.WaitMaterialized(ctxb, e.Head()))
			m := e.Metrics()
			require.Equal(t, appends.Load(), m.Appends)
			require.Equal(t, events.Load(), m.Events)
			require.Equal(t, rejected.Load(), m.Rejected)
			require.Equal(t, repeated.Load(), m.Repeated)
			require.EqualValues(t, m.Events, m.Visible)
			require.Equal(t, m.Visible, m.Materialized)
			require.EqualValues(t, m.Appends, m.Groups.Sum)
			require.Equal(t, m.Events, m.FlushedEvents)
			require.Greater(t, m.FlushedBytes, m.Bytes, "frames have headers")
			require.GreaterOrEqual(t, m.LogReads+m.FileReads, read.Load())
			require.Equal(t, m.Events, m.Files)
			require.Zero(t, m.LagEvents)
			require.Zero(t, m.LagTime)
			require.Positive(t, m.Checkpoints)
			require.WithinDuration(t, time.Now(), m.LastFlush, testPatience)
			require.Zero(t, m.FlushFailures)
			require.NoError(t, m.LastFlushError)
			fs := m.Flushes
			require.Positive(t, fs.Count)
			require.True(t, fs.P50 <= fs.P90 && fs.P90 <= fs.P99 && fs.P99 <= fs.Max && fs.Mean() <= fs.Max && fs.Max <= fs.Sum, "%+v", fs)
			if f == FlushImmediate {
				require.Equal(t, m.Appends, m.Groups.Count)
			}
		})
	}
}

func TestLagHasAnAge(t *testing.T) {
	e := openStore(t, t.TempDir(), nil, hooks{})
	require.Zero(t, e.Metrics().LagTime)
	resume, err := e.PauseFiling(ctxb)
	require.NoError(t, err)
	start := time.Now()
	appendOK(t, e, nil, event("T"))
	m := e.Metrics()
	require.Positive(t, m.LagTime)
	require.LessOrEqual(t, m.LagTime, time.Since(start))
	first := m.LagTime
	appendOK(t, e, nil, event("T"))
	require.Greater(t, e.Metrics().LagTime, first, "it is that of the oldest")
	resume()
	require.NoError(t, e.WaitMaterialized(ctxb, 2))
	require.Zero(t, e.Metrics().LagTime)
}

func TestOpenSubscriptionsAreCounted(t *testing.T) {
	e := newStore(t)
	appendOK(t, e, nil, event("T"))
	for range 2 {
		s, err := e.Subscribe(ctxb, AllEvents(), 0)
		require.NoError(t, err)
		require.Zero(t, e.Metrics().Subscriptions, "nobody takes its events")
		for range s.All() {
			require.Equal(t, 1, e.Metrics().Subscriptions)
			break
		}
		require.Zero(t, e.Metrics().Subscriptions)
	}
}

func TestAFailedFlushIsInTheMetrics(t *testing.T) {
	v := new(valve)
	h := hooks{}
	h.wal.Fdatasync = v.fdatasync
	e := openStore(t, t.TempDir(), nil, h)
	appendOK(t, e, nil, event("T"))
	flushes := e.Metrics().Flushes.Count
	v.fail(syscall.EIO)
	_, err := e.Append(ctxb, []Event{event("T")}, nil)
	require.ErrorIs(t, err, ErrOutcomeUnknown)
	m := e.Metrics()
	require.True(t, m.Poisoned)
	require.EqualValues(t, 1, m.FlushFailures)
	require.ErrorIs(t, m.LastFlushError, syscall.EIO)
	require.Equal(t, flushes, m.Flushes.Count)
}

// All the time that writes and syncs take is counted, be they for an append, for who waits, or in vain.
func TestCommitTimeIsAllTheTimeOfTheDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := error(nil)
		h := hooks{}
		h.wal.Fdatasync = func(*os.File) error {
			time.Sleep(50 * time.Millisecond)
			return broken
		}
		e := openStore(t, t.TempDir(), &Options{Flush: FlushPeriodic, FlushInterval: MaxFlushInterval}, h)
		for range 10 {
			require.NoError(t, e.WaitDurable(ctxb, appendOK(t, e, nil, event("T"))))
		}
		synctest.Wait() // who waits is told before the committer has looked at the clock again
		m := e.Metrics()
		require.Equal(t, 500*time.Millisecond, m.Flushes.Sum)
		require.Equal(t, 500*time.Millisecond, m.CommitTime)
		broken = syscall.EIO
		appendOK(t, e, nil, event("T"))
		require.Error(t, e.Sync(ctxb))
		synctest.Wait()
		require.Equal(t, 550*time.Millisecond, e.Metrics().CommitTime)
		require.NoError(t, e.Close())
	})
}

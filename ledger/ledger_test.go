package ledger

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"opossum/dcb"
)

var all = []Number{Materialized, Indexed, Durable, Visible, Assigned}

func TestNumbers(t *testing.T) {
	l := New(3, 5, 9)
	for n, want := range map[Number]dcb.Position{Materialized: 3, Indexed: 5, Durable: 9, Visible: 9, Assigned: 9} {
		require.Equal(t, want, l.Get(n), n)
	}
	l.Advance(Assigned, 12)
	l.Advance(Visible, 11)
	l.Advance(Durable, 11)
	l.Advance(Indexed, 11)
	l.Advance(Materialized, 11)
	l.Advance(Materialized, 11) // standing still is allowed
	require.EqualValues(t, 11, l.Get(Materialized))
	require.Equal(t, "Materialized Indexed Durable Visible Assigned",
		Materialized.String()+" "+Indexed.String()+" "+Durable.String()+" "+Visible.String()+" "+Assigned.String())
}

func TestInvariantPanics(t *testing.T) {
	require.PanicsWithValue(t, "ledger: Materialized starts at 4, Indexed at 4, the head is 3", func() { New(4, 4, 3) })
	require.Panics(t, func() { New(4, 3, 5) })
	for _, n := range all {
		l := New(5, 5, 5)
		require.Panics(t, func() { l.Advance(n, 4) }, "%v falls", n)
		require.EqualValues(t, 5, l.Get(n), "and stays")
		if n == Assigned {
			continue
		}
		require.Panics(t, func() { l.Advance(n, 6) }, "%v passes %v", n, n+1)
		require.EqualValues(t, 5, l.Get(n))
	}
	require.PanicsWithValue(t, "ledger: Durable would pass Visible: 6 > 5", func() { New(5, 5, 5).Advance(Durable, 6) })
	require.PanicsWithValue(t, "ledger: Visible would fall from 5 to 4", func() { New(5, 5, 5).Advance(Visible, 4) })
}

// TestAdvanceProperty: any order of advances either keeps the invariant or panics.
func TestAdvanceProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := New(0, 0, 0)
		for range rapid.IntRange(1, 50).Draw(t, "steps") {
			n := rapid.SampledFrom(all).Draw(t, "number")
			p := dcb.Position(rapid.Uint64Range(0, 10).Draw(t, "position"))
			before := l.Get(n)
			func() {
				defer func() {
					if recover() != nil {
						require.Equal(t, before, l.Get(n))
						require.True(t, p < before || n != Assigned && p > l.Get(n+1))
					}
				}()
				l.Advance(n, p)
			}()
			for i := range all[1:] {
				require.LessOrEqual(t, l.Get(all[i]), l.Get(all[i+1]))
			}
		}
	})
}

// waiters returns how many are registered.
func (l *Ledger) waiters() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.mu.waiters)
}

// awaitWaiters returns when n goroutines are registered.
func awaitWaiters(l *Ledger, n int) {
	for l.waiters() != n {
		runtime.Gosched()
	}
}

// start waits in a goroutine of its own, and returns when it is registered.
func start(ctx context.Context, l *Ledger, n Number, p dcb.Position) <-chan error {
	before := l.waiters()
	done := make(chan error, 1)
	go func() { done <- l.Wait(ctx, n, p) }()
	awaitWaiters(l, before+1)
	return done
}

func TestWait(t *testing.T) {
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	l := New(2, 5, 5)
	require.NoError(t, l.Wait(cancelled, Visible, 5), "what has been reached wins")
	require.NoError(t, l.Wait(cancelled, Visible, 0))
	require.ErrorIs(t, l.Wait(cancelled, Materialized, 3), context.Canceled)
	require.Zero(t, l.waiters())

	six, seven := start(t.Context(), l, Visible, 6), start(t.Context(), l, Visible, 7)
	filed := start(t.Context(), l, Materialized, 5)
	l.Advance(Assigned, 7)
	require.Equal(t, 3, l.waiters(), "another number wakes nobody")
	l.Advance(Visible, 6)
	require.NoError(t, <-six)
	require.Equal(t, 2, l.waiters())
	l.Advance(Visible, 7)
	require.NoError(t, <-seven)
	l.Advance(Materialized, 4)
	require.Equal(t, 1, l.waiters())
	l.Advance(Materialized, 5)
	require.NoError(t, <-filed)
	require.Zero(t, l.waiters())
	require.Zero(t, l.waiting.Load())
}

func TestWaitCancelled(t *testing.T) {
	l := New(0, 0, 0)
	ctx, cancel := context.WithCancelCause(t.Context())
	done := start(ctx, l, Visible, 1)
	other := start(t.Context(), l, Visible, 1)
	cancel(errors.New("cause"))
	require.ErrorIs(t, <-done, context.Canceled)
	require.Equal(t, 1, l.waiters(), "only that one is gone")
	l.Advance(Assigned, 1)
	l.Advance(Visible, 1)
	require.NoError(t, <-other)
	require.Zero(t, l.waiting.Load())
}

func TestFail(t *testing.T) {
	failed, second := errors.New("failed"), errors.New("second")
	l := New(0, 3, 3)
	var done []<-chan error
	for _, n := range all {
		done = append(done, start(t.Context(), l, n, 4))
	}
	l.Fail(failed)
	l.Fail(second)
	for _, d := range done {
		require.Same(t, failed, <-d)
	}
	require.Same(t, failed, l.Wait(t.Context(), Durable, 4), "and later")
	require.NoError(t, l.Wait(t.Context(), Durable, 3), "what has been reached wins")
	require.Zero(t, l.waiters())
	require.Zero(t, l.waiting.Load())
}

// TestAdvanceJustBeforeRegistering holds a waiter up between its two looks, while the number is reached by an Advance that saw
// no waiter and so wakes nobody.
func TestAdvanceJustBeforeRegistering(t *testing.T) {
	l := New(0, 0, 0)
	done := make(chan error, 1)
	l.mu.Lock()
	go func() { done <- l.Wait(context.Background(), Assigned, 1) }()
	for l.waiting.Load() == 0 {
		runtime.Gosched()
	}
	l.at[Assigned].Store(1)
	l.mu.Unlock()
	require.NoError(t, <-done)
	require.Zero(t, l.waiting.Load())
	require.Zero(t, l.waiters())
}

// TestWhatIsReachedWins over an error that comes at the same time: while a waiter registers, and when it is woken.
func TestWhatIsReachedWins(t *testing.T) {
	for _, registered := range []bool{false, true} {
		l := New(0, 0, 0)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		if registered {
			go func() { done <- l.Wait(ctx, Assigned, 1) }()
			awaitWaiters(l, 1)
			l.mu.Lock()
		} else {
			l.mu.Lock()
			go func() { done <- l.Wait(ctx, Assigned, 1) }()
			for l.waiting.Load() == 0 {
				runtime.Gosched()
			}
		}
		l.at[Assigned].Store(1)
		l.mu.failed = errors.New("too late")
		cancel()
		l.mu.Unlock()
		require.NoError(t, <-done)
		require.Zero(t, l.waiting.Load())
		require.Zero(t, l.waiters())
	}
}

// TestRegisterRacesWithAdvance: a waiter that registers while the number advances is never missed. A miss hangs the test.
func TestRegisterRacesWithAdvance(t *testing.T) {
	const racers = 4
	l := New(0, 0, 0)
	for p := dcb.Position(1); p <= dcb.Position(rounds(20_000)); p++ {
		var ready, done sync.WaitGroup
		barrier := make(chan struct{})
		var errs [racers]error
		ready.Add(racers + 1)
		for i := range racers {
			done.Go(func() {
				ready.Done()
				<-barrier
				errs[i] = l.Wait(context.Background(), Visible, p)
				if l.Get(Visible) < p {
					errs[i] = errors.New("woken too early")
				}
			})
		}
		done.Go(func() {
			ready.Done()
			<-barrier
			l.Advance(Assigned, p)
			l.Advance(Visible, p)
		})
		ready.Wait()
		close(barrier)
		done.Wait()
		for _, err := range errs {
			require.NoError(t, err)
		}
	}
	require.Zero(t, l.waiting.Load())
	require.Zero(t, l.waiters())
}

// TestEverythingRaces: registering, advancing, cancelling and failing at once; every waiter gets an answer that is true.
func TestEverythingRaces(t *testing.T) {
	failed := errors.New("failed")
	for range rounds(2000) {
		l := New(0, 0, 0)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		barrier := make(chan struct{})
		var wrong atomic.Int64
		for i := range 6 {
			wg.Go(func() {
				<-barrier
				p := dcb.Position(i%3 + 1)
				err := l.Wait(ctx, Visible, p)
				switch {
				case err == nil && l.Get(Visible) >= p:
				case errors.Is(err, context.Canceled) && ctx.Err() != nil:
				case errors.Is(err, failed):
				default:
					wrong.Add(1)
				}
			})
		}
		for _, do := range []func(){
			func() { l.Advance(Assigned, 3); l.Advance(Visible, 1); l.Advance(Visible, 2) },
			cancel,
			func() { l.Fail(failed) },
		} {
			wg.Go(func() { <-barrier; do() })
		}
		close(barrier)
		wg.Wait()
		require.Zero(t, wrong.Load())
		require.Zero(t, l.waiting.Load())
		require.Zero(t, l.waiters())
	}
}

func TestManyWaiters(t *testing.T) {
	n := rounds(5000)
	l := New(0, 0, 0)
	var wg sync.WaitGroup
	var woken atomic.Int64
	for i := range n {
		wg.Go(func() {
			if l.Wait(context.Background(), Durable, dcb.Position(i+1)) == nil && l.Get(Durable) >= dcb.Position(i+1) {
				woken.Add(1)
			}
		})
	}
	awaitWaiters(l, n)
	l.Advance(Assigned, dcb.Position(n))
	l.Advance(Visible, dcb.Position(n))
	for p := 1; p <= n; p += max(1, n/20) {
		l.Advance(Durable, dcb.Position(p))
		require.Equal(t, n-p, l.waiters(), "those that are reached, and no others")
	}
	l.Advance(Durable, dcb.Position(n))
	wg.Wait()
	require.EqualValues(t, n, woken.Load())
}

func TestGetAllocatesNothing(t *testing.T) {
	l := New(0, 1, 1)
	ctx := context.Background()
	require.Zero(t, testing.AllocsPerRun(100, func() {
		_ = l.Get(Visible)
		_ = l.Wait(ctx, Visible, 1)
		l.Advance(Visible, 1)
	}))
}

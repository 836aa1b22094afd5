package opossum

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"opossum/ledger"
)

var ctxb = context.Background()

// patience bounds every wait for something that must happen; no test waits for it to pass.
const testPatience = 20 * time.Second

// testRecentBytes makes a memory part of the index full after a few dozen events, so that every test crosses the border
// between memory and segments many times.
const testRecentBytes = 32 << 10

// openStore opens the store in dir and closes it with the test. Unless opts say otherwise the index keeps little in memory, and any number of events stays loose.
func openStore(t testing.TB, dir string, opts *Options, h hooks) *Engine {
	t.Helper()
	var o Options
	if opts != nil {
		o = *opts
	}
	setDefault(&o.RecentBytes, testRecentBytes)
	if o.LooseEvents == 0 && !o.ReadOnly {
		o.LooseEvents = someLoose(t)
	}
	e, err := open(dir, &o, h)
	require.NoError(t, err)
	t.Cleanup(func() { _ = e.Close() })
	return e
}

// newStore opens a new store that does not sync.
func newStore(t testing.TB) *Engine {
	t.Helper()
	return openStore(t, t.TempDir(), &Options{Flush: FlushDisabled}, hooks{})
}

func event(typ string, tags ...Tag) Event { return Event{Type: typ, Tags: tags} }

// numbered returns n tagless events.
func numbered(n int, typ string) []Event {
	out := make([]Event, n)
	for i := range out {
		out[i] = Event{Type: typ, Data: strconv.AppendInt(nil, int64(i), 10)}
	}
	return out
}

func withIDs(events ...Event) []Event {
	for i := range events {
		events[i].ID = uuid.New()
	}
	return events
}

func appendOK(t testing.TB, e *Engine, cond *Condition, events ...Event) Position {
	t.Helper()
	p, err := e.Append(ctxb, events, cond)
	require.NoError(t, err)
	return p
}

func failIfMatch(q Query, after Position) *Condition {
	return &Condition{FailIfMatch: q, After: after}
}

func failIfExists(q Query) *Condition { return &Condition{FailIfExists: q} }

// collect reads a sequence to its end.
func collect(seq func(func(SequencedEvent, error) bool)) (out []SequencedEvent, err error) {
	for e, err := range seq {
		if err != nil {
			return out, err
		}
		out = append(out, e)
	}
	return out, nil
}

func readAll(t testing.TB, e *Engine, q Query, o ReadOptions) []SequencedEvent {
	t.Helper()
	v, err := e.Read(ctxb, q, o)
	require.NoError(t, err)
	out, err := collect(v.All())
	require.NoError(t, err)
	return out
}

func positionsOf(events []SequencedEvent) []Position {
	out := make([]Position, len(events))
	for i, e := range events {
		out[i] = e.Position
	}
	return out
}

// span returns the positions from a to b.
func span(a, b Position) []Position {
	out := []Position{}
	for p := a; p <= b; p++ {
		out = append(out, p)
	}
	return out
}

// race runs n goroutines that start at one barrier, and returns when all are done.
func race(n int, f func(i int)) {
	var ready, done sync.WaitGroup
	start := make(chan struct{})
	ready.Add(n)
	for i := range n {
		done.Go(func() {
			ready.Done()
			<-start
			f(i)
		})
	}
	ready.Wait()
	close(start)
	done.Wait()
}

// eventually spins until cond holds: for states that have no channel to wait on.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(testPatience); !cond(); runtime.Gosched() {
		if time.Now().After(end) {
			require.FailNow(t, "it never happened: "+what)
		}
	}
}

// within fails the test if f does not return in time.
func within(t testing.TB, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(testPatience):
		buf := make([]byte, 1<<20)
		require.FailNow(t, what+" hangs", "%s", buf[:runtime.Stack(buf, true)])
	}
}

// result is what an Append in another goroutine returned.
type result struct {
	p   Position
	err error
}

func appendAsync(ctx context.Context, e *Engine, cond *Condition, events ...Event) <-chan result {
	out := make(chan result, 1)
	go func() {
		p, err := e.Append(ctx, events, cond)
		out <- result{p, err}
	}()
	return out
}

func await[T any](t testing.TB, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(testPatience):
		buf := make([]byte, 1<<20)
		require.FailNow(t, "nothing came", "%s", buf[:runtime.Stack(buf, true)])
		panic("unreachable")
	}
}

// valve stands in for a call of the log that can be held up or made to fail. The zero valve is open.
type valve struct {
	mu      sync.Mutex
	hold    chan struct{} // not nil: calls wait until it is closed
	entered chan struct{} // receives when a call begins to wait
	err     error
	calls   int
}

// shut makes later calls wait. entered receives once for each that does; open lets them go.
func (v *valve) shut() (entered <-chan struct{}, open func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	hold, in := make(chan struct{}), make(chan struct{}, 1024)
	v.hold, v.entered = hold, in
	var once sync.Once
	return in, func() {
		once.Do(func() {
			v.mu.Lock()
			v.hold = nil
			v.mu.Unlock()
			close(hold)
		})
	}
}

// fail makes later calls return err without doing anything.
func (v *valve) fail(err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.err = err
}

func (v *valve) count() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.calls
}

func (v *valve) pass(real func() error) error {
	v.mu.Lock()
	hold, entered := v.hold, v.entered
	v.calls++
	v.mu.Unlock()
	if hold != nil {
		entered <- struct{}{}
		<-hold
	}
	v.mu.Lock()
	err := v.err
	v.mu.Unlock()
	if err != nil {
		return err
	}
	return real()
}

// fdatasync is a Fdatasync for wal.Options.
func (v *valve) fdatasync(f *os.File) error { return v.pass(f.Sync) }

// write is a Write for wal.Options.
func (v *valve) write(real func() error) error { return v.pass(real) }

// waitAssigned returns when everything up to p is staged.
func waitAssigned(t testing.TB, e *Engine, p Position) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctxb, testPatience)
	defer cancel()
	require.NoError(t, e.ledger.Wait(ctx, ledger.Assigned, p))
}

// copyStore copies the directory of an open store as a killed process would leave it. REQUIRES: no appends.
// The ledger goes first, then the log, then the files, then the packs that they may have moved to: an older checkpoint is always right.
func copyStore(t testing.TB, e *Engine) string {
	t.Helper()
	resume, err := e.PauseFiling(ctxb)
	require.NoError(t, err)
	defer resume()
	to := filepath.Join(t.TempDir(), "copy")
	for _, name := range []string{"ledger.json", "wal", "events", "packs", "index", "LOCK"} {
		from := filepath.Join(e.Dir(), name)
		err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil {
				return err
			}
			rel, err := filepath.Rel(e.Dir(), path)
			if err != nil {
				return err
			}
			if d.IsDir() {
				return os.MkdirAll(filepath.Join(to, rel), 0o755)
			}
			return copyFile(path, filepath.Join(to, rel))
		})
		require.NoError(t, err)
	}
	return to
}

func copyFile(from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	in, err := os.Open(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	out, err := os.Create(to)
	if err != nil {
		return errors.Join(err, in.Close())
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, in.Close(), out.Close())
}

// randomSeed returns OPOSSUM_TEST_SEED if it is set, else a new seed, and logs it for a failing test.
func randomSeed(t testing.TB) uint64 {
	t.Helper()
	seed := rand.Uint64()
	if s := os.Getenv("OPOSSUM_TEST_SEED"); s != "" {
		var err error
		seed, err = strconv.ParseUint(s, 10, 64)
		require.NoError(t, err)
	}
	t.Logf("OPOSSUM_TEST_SEED=%d", seed)
	return seed
}

func rng(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }

// checkDense fails unless the store holds exactly the positions 1 to head, each readable.
func checkDense(t testing.TB, e *Engine) []SequencedEvent {
	t.Helper()
	all := readAll(t, e, AllEvents(), ReadOptions{})
	require.Equal(t, span(1, e.Head()), positionsOf(all), "positions are dense")
	return all
}

func conditionError(err error) string {
	var c *ConditionFailedError
	if errors.As(err, &c) {
		return fmt.Sprintf("exists=%v at %d", c.Exists, c.Position)
	}
	return fmt.Sprint(err)
}

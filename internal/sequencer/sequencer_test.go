package sequencer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"opossum/dcb"
	"opossum/internal/codec"
	"opossum/internal/index"
	"opossum/ledger"
	"opossum/wal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var ctxb = context.Background()

const (
	patienceForTests = 20 * time.Second
	rigRecentBytes   = 256 << 10
	rigInterval      = 100 * time.Millisecond
	rigEvery         = 10
)

// Policies as the flush strategies of those names have them.
var (
	FlushBatch     = FlushPolicy{Every: 1}
	FlushImmediate = FlushPolicy{Every: 1, Alone: true}
	FlushPeriodic  = FlushPolicy{Every: math.MaxUint64, Interval: rigInterval}
	FlushCount     = FlushPolicy{Every: rigEvery, Interval: rigInterval}
	FlushDisabled  = FlushPolicy{Every: math.MaxUint64, Interval: Never}
)

// rig is a sequencer with everything below it and nothing above: the test plays the materializer.
type rig struct {
	*Sequencer
	t        *testing.T
	dir      string
	log      *wal.Log
	ledger   *ledger.Ledger
	index    *index.Index
	places   *index.Places
	free     atomic.Uint64
	poisoned atomic.Pointer[error]
	full     atomic.Int64 // how often a memory part was full
	seed     uint64
}

func newRig(t *testing.T, flush FlushPolicy, limits Limits, opt wal.Options, snapshotted func()) *rig {
	dir := t.TempDir()
	id := wal.StoreID(uuid.New())
	b, err := wal.BuildGeneration(dir, id, 1, time.Now(), &wal.Link{}, 1, nil)
	require.NoError(t, err)
	ix, err := index.Open(index.Config{Dir: filepath.Join(dir, "index"), Seed: id.Seed(), RecentBytes: rigRecentBytes, Damaged: func() {}}, nil)
	require.NoError(t, err)
	r := &rig{t: t, dir: dir, ledger: ledger.New(0, 0, 0), index: ix, places: index.NewPlaces(0), seed: id.Seed()}
	r.log, err = wal.Open(dir, id, []wal.Segment{{Gen: 1}}, wal.Witness{Gen: 1, End: b.End, Sum: b.Sum}, b.No, opt)
	require.NoError(t, err)
	r.free.Store(1 << 40)
	if limits.LagEvents == 0 {
		limits.LagEvents = 1 << 40
	}
	if limits.LagBytes == 0 {
		limits.LagBytes = 1 << 40
	}
	r.Sequencer = New(Config{
		Log: r.log, Ledger: r.ledger, Index: r.index, Places: r.places, Seed: r.seed, Flush: flush, Limits: limits,
		Free: func() (uint64, error) { return r.free.Load(), nil }, Hurry: func() {}, Full: func() { r.full.Add(1) }, Clock: time.Now, Logger: slog.New(slog.DiscardHandler),
		ID: func(p dcb.Position) ([16]byte, error) {
			e, err := r.read(p)
			return e.ID, err
		},
		Poisoned:    func(err error) { r.poisoned.Store(&err) },
		Snapshotted: snapshotted,
	})
	t.Cleanup(func() {
		r.Close()
		r.index.Close()
		require.NoError(t, r.log.Close())
	})
	return r
}

// Append is the sequencer's, for an append that wants no more than its strategy gives.
func (r *rig) Append(ctx context.Context, events []dcb.Event, cond *dcb.Condition) (dcb.Position, error) {
	return r.Sequencer.Append(ctx, events, cond, false)
}

func (r *rig) read(p dcb.Position) (dcb.Event, error) {
	at, ok := r.places.Get(p)
	if !ok {
		return dcb.Event{}, fmt.Errorf("no place for %d", p)
	}
	b := make([]byte, at.Len)
	if err := r.log.ReadAt(wal.Place{Gen: uint64(at.Gen), Off: at.Off}, b); err != nil {
		return dcb.Event{}, err
	}
	return codec.DecodeRecord(b, r.seed, p)
}

// file plays the materializer: a checkpoint at p that covers so many bytes.
func (r *rig) file(p dcb.Position, bytes uint64) {
	require.NoError(r.t, r.index.Seal(p))
	r.ledger.Advance(ledger.Indexed, p)
	r.ledger.Advance(ledger.Materialized, p)
	r.Filed(bytes)
}

type answer struct {
	p   dcb.Position
	err error
}

func (r *rig) async(ctx context.Context, cond *dcb.Condition, events ...dcb.Event) <-chan answer {
	out := make(chan answer, 1)
	go func() {
		p, err := r.Append(ctx, events, cond)
		out <- answer{p, err}
	}()
	return out
}

func get[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patienceForTests):
		buf := make([]byte, 1<<20)
		require.FailNow(t, "nothing came", "%s", buf[:runtime.Stack(buf, true)])
		panic("unreachable")
	}
}

func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(patienceForTests); !cond(); runtime.Gosched() {
		if time.Now().After(end) {
			require.FailNow(t, "it never happened: "+what)
		}
	}
}

func event(typ string, tags ...dcb.Tag) dcb.Event { return dcb.Event{Type: typ, Tags: tags} }

// gatekeeper holds up one kind of call of the log.
type gatekeeper struct {
	mu      sync.Mutex
	hold    chan struct{}
	err     error
	entered chan struct{}
}

func (g *gatekeeper) shut() (open func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	hold := make(chan struct{})
	g.hold, g.entered = hold, make(chan struct{}, 100)
	return sync.OnceFunc(func() {
		g.mu.Lock()
		g.hold = nil
		g.mu.Unlock()
		close(hold)
	})
}

func (g *gatekeeper) call(real func() error) error {
	g.mu.Lock()
	hold, entered := g.hold, g.entered
	g.mu.Unlock()
	if hold != nil {
		entered <- struct{}{}
		<-hold
	}
	g.mu.Lock()
	err := g.err
	g.mu.Unlock()
	if err != nil {
		return err
	}
	return real()
}

func (g *gatekeeper) options() wal.Options {
	return wal.Options{Fdatasync: func(f *os.File) error { return g.call(f.Sync) }}
}

func TestTheLineAtMaxLagIsFirstComeFirstServed(t *testing.T) {
	for _, room := range []uint64{1, 3, 64} {
		t.Run(fmt.Sprint("room for ", room), func(t *testing.T) {
			r := newRig(t, FlushDisabled, Limits{LagEvents: room}, wal.Options{}, nil)
			for range room {
				_, err := r.Append(ctxb, []dcb.Event{event("T")}, nil)
				require.NoError(t, err)
			}
			const n = 64
			var line []<-chan answer
			for i := range n {
				line = append(line, r.async(ctxb, nil, event("T")))
				eventually(t, "it stands in line", func() bool { return r.gate.held.Load() == int64(i+1) })
			}
			require.EqualValues(t, room, r.ledger.Get(ledger.Assigned))
			filed := dcb.Position(0)
			for i, c := range line {
				if r.ledger.Get(ledger.Durable) == filed { // a checkpoint frees all the room at once
					require.NoError(t, r.Sync(ctxb))
				}
				eventually(t, "what is admitted is written", func() bool {
					return r.ledger.Get(ledger.Visible) == r.ledger.Get(ledger.Assigned)
				})
				require.NoError(t, r.Sync(ctxb))
				filed = r.ledger.Get(ledger.Durable)
				r.file(filed, 0)
				a := get(t, c)
				require.NoError(t, a.err)
				require.EqualValues(t, uint64(i)+room+1, a.p, "in the order of arrival")
			}
		})
	}
}

func TestALateComerDoesNotOvertakeTheLine(t *testing.T) {
	r := newRig(t, FlushDisabled, Limits{LagEvents: 1}, wal.Options{}, nil)
	_, err := r.Append(ctxb, []dcb.Event{event("T")}, nil)
	require.NoError(t, err)
	first := r.async(ctxb, nil, event("First"))
	eventually(t, "it is held", func() bool { return r.gate.held.Load() == 1 })
	ctx, cancel := context.WithCancel(ctxb)
	defer cancel()
	late := r.async(ctx, nil, event("Late"))
	eventually(t, "it is held", func() bool { return r.gate.held.Load() == 2 })
	require.NoError(t, r.Sync(ctxb))
	r.file(1, 0)
	require.EqualValues(t, 2, get(t, first).p)
	cancel()
	a := get(t, late)
	require.ErrorIs(t, a.err, context.Canceled)
	require.NotErrorIs(t, a.err, dcb.ErrOutcomeUnknown)
	require.Zero(t, r.gate.held.Load(), "it left the line")
	require.EqualValues(t, 2, r.ledger.Get(ledger.Assigned))
}

func TestTheLagIsCountedInBytesAsWell(t *testing.T) {
	r := newRig(t, FlushDisabled, Limits{LagBytes: 1000}, wal.Options{}, nil)
	_, err := r.Append(ctxb, []dcb.Event{{Type: "T", Data: make([]byte, 2000)}}, nil)
	require.NoError(t, err, "the limit may be passed by who is admitted before it")
	held := r.async(ctxb, nil, event("T"))
	eventually(t, "it is held", func() bool { return r.gate.held.Load() == 1 })
	lag := r.Stats().LagBytes
	require.Greater(t, lag, uint64(2000))
	require.NoError(t, r.Sync(ctxb))
	r.file(1, lag)
	require.NoError(t, get(t, held).err)
	require.EqualValues(t, 1, r.Stats().Held)
}

func TestBelowTheFloorNothingIsWritten(t *testing.T) {
	r := newRig(t, FlushDisabled, Limits{FloorBytes: 1000}, wal.Options{}, nil)
	_, err := r.Append(ctxb, []dcb.Event{event("T")}, nil)
	require.NoError(t, err)
	r.free.Store(999)
	_, err = r.Append(ctxb, []dcb.Event{event("T")}, nil)
	require.NoError(t, err, "the group that notices")
	eventually(t, "it is noticed", func() bool { return r.Stats().DiskFull })
	_, err = r.Append(ctxb, []dcb.Event{event("T")}, nil)
	require.ErrorIs(t, err, dcb.ErrDiskFull)
	require.ErrorContains(t, err, "999")
	require.EqualValues(t, 2, r.ledger.Get(ledger.Assigned))
	r.free.Store(1 << 40)
	_, err = r.Append(ctxb, []dcb.Event{event("T")}, nil)
	require.NoError(t, err)
	r.NoSpace(true)
	_, err = r.Append(ctxb, []dcb.Event{event("T")}, nil)
	require.ErrorIs(t, err, dcb.ErrDiskFull, "filing cannot go on")
	require.True(t, r.Stats().DiskFull)
	r.NoSpace(false)
	_, err = r.Append(ctxb, []dcb.Event{event("T")}, nil)
	require.NoError(t, err)
}

func TestAGroupFitsIntoOneFrame(t *testing.T) {
	k := new(gatekeeper)
	r := newRig(t, FlushBatch, Limits{}, k.options(), nil)
	open := k.shut()
	defer open()
	first := r.async(ctxb, nil, event("T"))
	get(t, k.entered)
	sizes := []int{9 << 20, 9 << 20, 6 << 20, 1 << 20, 15 << 20, 100}
	var done []<-chan answer
	for i, n := range sizes {
		done = append(done, r.async(ctxb, nil, dcb.Event{Type: "T", Data: bytes.Repeat([]byte{byte(i)}, n)}))
		require.NoError(t, r.ledger.Wait(ctxb, ledger.Assigned, dcb.Position(i+2)))
	}
	r.mu.Lock()
	for _, g := range r.mu.groups {
		require.LessOrEqual(t, g.bytes, wal.MaxBodyBytes)
	}
	groups := len(r.mu.groups)
	r.mu.Unlock()
	require.Equal(t, 4, groups, "9 | 9+6 | 1 | 15 MiB and 100 bytes, each with its overhead")
	open()
	require.NoError(t, get(t, first).err)
	for i, c := range done {
		a := get(t, c)
		require.NoError(t, a.err)
		require.EqualValues(t, i+2, a.p)
		e, err := r.read(a.p)
		require.NoError(t, err)
		require.Equal(t, bytes.Repeat([]byte{byte(i)}, sizes[i]), e.Data)
	}
}

func TestStagedWaitersGetOutcomeUnknownAndLaterOnesPoisoned(t *testing.T) {
	k := new(gatekeeper)
	r := newRig(t, FlushBatch, Limits{LagEvents: 4}, k.options(), nil)
	_, err := r.Append(ctxb, []dcb.Event{event("T")}, nil)
	require.NoError(t, err)
	open := k.shut()
	defer open()
	failing := r.async(ctxb, nil, event("T", "a"))
	get(t, k.entered)
	behind := r.async(ctxb, nil, event("T", "b"), event("T"))
	require.NoError(t, r.ledger.Wait(ctxb, ledger.Assigned, 4))
	held := r.async(ctxb, nil, event("T"))
	eventually(t, "it is held", func() bool { return r.gate.held.Load() == 1 })
	k.mu.Lock()
	k.err = syscall.EIO
	k.mu.Unlock()
	open()
	for _, c := range []<-chan answer{failing, behind} {
		a := get(t, c)
		require.ErrorIs(t, a.err, dcb.ErrOutcomeUnknown)
		require.ErrorIs(t, a.err, syscall.EIO)
		require.NotErrorIs(t, a.err, dcb.ErrPoisoned)
	}
	a := get(t, held)
	require.ErrorIs(t, a.err, dcb.ErrPoisoned)
	require.NotErrorIs(t, a.err, dcb.ErrOutcomeUnknown)
	_, err = r.Append(ctxb, []dcb.Event{event("T")}, nil)
	require.ErrorIs(t, err, dcb.ErrPoisoned)
	require.ErrorIs(t, *r.poisoned.Load(), syscall.EIO)
	require.EqualValues(t, 1, r.ledger.Get(ledger.Visible), "nothing that failed is published")
	require.EqualValues(t, 1, r.ledger.Get(ledger.Durable))
}

func TestPoisonFromOutsideEndsAppendsAndTellsOnce(t *testing.T) {
	r := newRig(t, FlushBatch, Limits{}, wal.Options{}, nil)
	r.Poison(errors.New("first"))
	p := r.poisoned.Load()
	r.Poison(errors.New("second"))
	require.Same(t, p, r.poisoned.Load())
	_, err := r.Append(ctxb, []dcb.Event{event("T")}, nil)
	require.ErrorIs(t, err, dcb.ErrPoisoned)
	require.ErrorContains(t, err, "first")
}

func TestCloseCommitsWhatIsStagedAndRefusesTheRest(t *testing.T) {
	k := new(gatekeeper)
	r := newRig(t, FlushBatch, Limits{}, k.options(), nil)
	open := k.shut()
	defer open()
	first := r.async(ctxb, nil, event("T"))
	get(t, k.entered)
	second := r.async(ctxb, nil, event("T"))
	require.NoError(t, r.ledger.Wait(ctxb, ledger.Assigned, 2))
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		r.Close()
	}()
	eventually(t, "it is closing", func() bool { return r.ended() != nil })
	_, err := r.Append(ctxb, []dcb.Event{event("T")}, nil)
	require.ErrorIs(t, err, dcb.ErrClosed)
	open()
	require.NoError(t, get(t, first).err)
	require.NoError(t, get(t, second).err)
	get(t, closed)
	require.EqualValues(t, 2, r.ledger.Get(ledger.Durable))
}

func TestAnInvalidAppendTouchesNothing(t *testing.T) {
	hooked := false
	r := newRig(t, FlushBatch, Limits{}, wal.Options{}, func() { hooked = true })
	for _, err := range []error{
		second(r.Append(ctxb, nil, nil)),
		second(r.Append(ctxb, []dcb.Event{event("")}, nil)),
		second(r.Append(ctxb, []dcb.Event{event("T")}, &dcb.Condition{})),
		second(r.Append(ctxb, []dcb.Event{{Type: "T", Data: make([]byte, wal.MaxBodyBytes)}}, nil)),
	} {
		require.Error(t, err)
	}
	require.False(t, hooked)
	require.Zero(t, r.ledger.Get(ledger.Assigned))
}

func second[A, B any](_ A, b B) B { return b }

// Buffers are recycled between appends of all sizes, some rejected, some whose context ends: every record must stay what it was.
func TestRecycledBuffersNeverMixAppends(t *testing.T) {
	r := newRig(t, FlushDisabled, Limits{}, wal.Options{}, nil)
	var wg sync.WaitGroup
	want := make([]map[dcb.Position][]byte, 8)
	for w := range want {
		want[w] = map[dcb.Position][]byte{}
		wg.Go(func() {
			for n := range 150 {
				size := []int{0, 10, 1000, 70_000, 130_000}[(n+w)%5]
				data := bytes.Repeat([]byte(fmt.Sprintf("%d/%d;", w, n)), size/5+1)
				ctx, cancel := context.WithCancel(ctxb)
				var cond *dcb.Condition
				switch n % 4 {
				case 1:
					cond = &dcb.Condition{FailIfExists: dcb.ByTags("seen")}
				case 2:
					go cancel()
				}
				p, err := r.Append(ctx, []dcb.Event{{Type: "T", Tags: []dcb.Tag{"seen"}, Data: data}, {Type: "T", Data: data}}, cond)
				cancel()
				if err == nil {
					want[w][p-1], want[w][p] = data, data
				}
			}
		})
	}
	wg.Wait()
	for _, m := range want {
		for p, data := range m {
			e, err := r.read(p)
			require.NoError(t, err)
			require.True(t, bytes.Equal(data, e.Data), "%d", p)
		}
	}
	head := r.ledger.Get(ledger.Assigned)
	require.NoError(t, r.ledger.Wait(ctxb, ledger.Visible, head))
	for p := dcb.Position(1); p <= head; p++ {
		_, err := r.read(p)
		require.NoError(t, err)
	}
}

func TestStatsCount(t *testing.T) {
	r := newRig(t, FlushBatch, Limits{}, wal.Options{}, nil)
	id := uuid.New()
	again := []dcb.Event{{ID: id, Type: "T", Tags: []dcb.Tag{"a"}}, {ID: uuid.New(), Type: "T"}}
	cond := &dcb.Condition{FailIfExists: dcb.ByTags("a")}
	for range 2 {
		_, err := r.Append(ctxb, again, cond)
		require.NoError(t, err)
	}
	_, err := r.Append(ctxb, []dcb.Event{event("T", "a")}, cond)
	require.ErrorIs(t, err, dcb.ErrAlreadyExists)
	s := r.Stats()
	require.EqualValues(t, 1, s.Appends)
	require.EqualValues(t, 2, s.Events)
	require.EqualValues(t, 1, s.Groups.Count)
	require.EqualValues(t, 1, s.Groups.Max)
	require.EqualValues(t, 1, s.Repeated)
	require.EqualValues(t, 1, s.Rejected)
	require.EqualValues(t, 2, s.LagEvents)
	require.Equal(t, s.Bytes, s.LagBytes)
}

func TestWhatIsDurableIsNotSyncedAgain(t *testing.T) {
	r := newRig(t, FlushDisabled, Limits{}, wal.Options{}, nil)
	require.NoError(t, r.Sync(ctxb))
	require.Zero(t, r.log.Stats().Flushes.Count)
	_, err := r.Append(ctxb, []dcb.Event{event("T")}, nil)
	require.NoError(t, err)
	for range 3 {
		require.NoError(t, r.Sync(ctxb))
		require.EqualValues(t, 1, r.log.Stats().Flushes.Count)
		require.EqualValues(t, 1, r.ledger.Get(ledger.Durable))
		require.Empty(t, r.openGroups())
	}
}

func (r *rig) openGroups() []*group {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mu.groups
}

func TestACallerThatGivesUpWhileItsGroupIsWrittenKnowsNothing(t *testing.T) {
	keeper := new(gatekeeper)
	r := newRig(t, FlushBatch, Limits{}, keeper.options(), nil)
	require.Zero(t, r.Stalled(time.Now()))
	open := keeper.shut()
	ctx, cancel := context.WithCancel(ctxb)
	first := r.async(ctx, nil, event("T"))
	get(t, keeper.entered)
	stalled := r.Stalled(time.Now().Add(time.Second))
	require.GreaterOrEqual(t, stalled, time.Second)
	require.Less(t, stalled, time.Hour)
	cancel()
	err := get(t, first).err
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, err, dcb.ErrOutcomeUnknown)
	open()
	p, err := r.Append(ctxb, []dcb.Event{event("T")}, nil)
	require.NoError(t, err)
	require.EqualValues(t, 2, p, "it was written all the same")
	eventually(t, "not stalled", func() bool { return r.Stalled(time.Now()) == 0 })
}

// A sync that comes while groups wait is one more group behind them, which later syncs share.
func TestASyncCoversWhatWasAcknowledgedBeforeIt(t *testing.T) {
	keeper := new(gatekeeper)
	r := newRig(t, FlushDisabled, Limits{}, keeper.options(), nil)
	_, err := r.Append(ctxb, []dcb.Event{event("T")}, nil)
	require.NoError(t, err)
	open := keeper.shut()
	synced := func() <-chan error {
		out := make(chan error, 1)
		go func() { out <- r.Sync(ctxb) }()
		return out
	}
	syncs := []<-chan error{synced()}
	get(t, keeper.entered)
	appended := r.async(ctxb, nil, event("T"))
	eventually(t, "staged behind the sync", func() bool { return len(r.openGroups()) == 1 })
	for range 3 {
		syncs = append(syncs, synced())
	}
	eventually(t, "a group for the syncs", func() bool { return len(r.openGroups()) == 2 })
	runtime.Gosched()
	require.Len(t, r.openGroups(), 2)
	open()
	for _, s := range syncs {
		require.NoError(t, get(t, s))
	}
	require.NoError(t, get(t, appended).err)
	require.NoError(t, r.Sync(ctxb))
	require.EqualValues(t, 2, r.ledger.Get(ledger.Durable))
}

// The window is what was staged since the caller looked, however long the history is.
// A sync that comes while one is running finds the committer at work: it is woken once for each time it slept, and nobody waits for it under the lock.
func TestSyncsDuringASyncDoNotHang(t *testing.T) {
	keeper := new(gatekeeper)
	r := newRig(t, FlushDisabled, Limits{}, keeper.options(), nil)
	for range 3 {
		_, err := r.Append(ctxb, []dcb.Event{event("T")}, nil)
		require.NoError(t, err)
		open := keeper.shut()
		syncs := make(chan error, 2)
		go func() { syncs <- r.Sync(ctxb) }()
		get(t, keeper.entered)
		go func() { syncs <- r.Sync(ctxb) }()
		eventually(t, "a group for the second sync", func() bool { return len(r.openGroups()) == 1 })
		appended := r.async(ctxb, nil, event("T"))
		eventually(t, "staged behind it", func() bool { return r.ledger.Get(ledger.Assigned) > r.ledger.Get(ledger.Visible) })
		open()
		require.NoError(t, get(t, appended).err)
		require.NoError(t, get(t, syncs))
		require.NoError(t, get(t, syncs))
		require.Empty(t, r.wake)
	}
}

func TestALongHistoryIsNoLongWindow(t *testing.T) {
	r := newRig(t, FlushDisabled, Limits{}, wal.Options{}, nil)
	many := make([]dcb.Event, windowEvents)
	for i := range many {
		many[i] = event("T", "a")
	}
	for range 2 {
		p, err := r.Append(ctxb, many, nil)
		require.NoError(t, err)
		require.NoError(t, r.Sync(ctxb))
		r.file(p, 0) // so that the index has room again
	}
	_, err := r.Append(ctxb, []dcb.Event{event("T")}, &dcb.Condition{FailIfMatch: dcb.ByTags("b")})
	require.NoError(t, err)
	require.Zero(t, r.Stats().Returned)
	require.Positive(t, r.full.Load(), "and it was told when memory parts were full")
}

// Whose snapshot is too old goes back for a new one, and does not keep the others waiting; but not for ever.
func TestAnOldSnapshotIsTakenAnewAFewTimes(t *testing.T) {
	many := make([]dcb.Event, windowEvents+1)
	for i := range many {
		many[i] = event("T")
	}
	for _, slow := range []int{1, patience, patience + 2} {
		var r *rig
		calls, within := 0, false
		r = newRig(t, FlushBatch, Limits{}, wal.Options{}, func() {
			if within {
				return
			}
			if calls++; calls <= slow {
				within = true
				p, err := r.Append(ctxb, many, nil)
				require.NoError(t, err)
				r.file(p, 0)
				within = false
			}
		})
		_, err := r.Append(ctxb, []dcb.Event{event("T")}, &dcb.Condition{FailIfMatch: dcb.ByTags("none")})
		require.NoError(t, err)
		require.EqualValues(t, min(slow, patience), r.Stats().Returned)
		require.Equal(t, min(slow, patience)+1, calls)
	}
}

func TestTheCommitterNoticesThatTheDiskFillsUp(t *testing.T) {
	r := newRig(t, FlushBatch, Limits{FloorBytes: 1 << 20}, wal.Options{}, nil)
	r.free.Store(1)
	_, err := r.Append(ctxb, []dcb.Event{event("T")}, nil)
	require.NoError(t, err, "nobody has looked")
	eventually(t, "noticed", func() bool {
		_, err := r.Append(ctxb, []dcb.Event{event("T")}, nil)
		return errors.Is(err, dcb.ErrDiskFull)
	})
}

// TestErrorsAreNoAnswers, wherever a caller stands when they happen.
func TestErrorsAreNoAnswers(t *testing.T) {
	keeper := new(gatekeeper)
	r := newRig(t, FlushDisabled, Limits{LagEvents: 2}, keeper.options(), nil)
	cancelled, cancel := context.WithCancel(ctxb)
	cancel()
	_, err := r.Append(cancelled, []dcb.Event{event("T")}, nil)
	require.ErrorIs(t, err, context.Canceled)
	require.NotErrorIs(t, err, dcb.ErrOutcomeUnknown, "it is not written")
	require.Zero(t, r.ledger.Get(ledger.Assigned))

	_, err = r.Append(ctxb, []dcb.Event{event("T")}, nil)
	require.NoError(t, err)
	open := keeper.shut()
	defer open()
	waiting, stop := context.WithCancel(ctxb)
	synced := make(chan error, 1)
	go func() { synced <- r.Sync(waiting) }()
	get(t, keeper.entered)
	stop()
	require.ErrorIs(t, get(t, synced), context.Canceled)

	keeper.mu.Lock()
	keeper.err = errors.New("the disk fails")
	keeper.mu.Unlock()
	open()
	eventually(t, "poisoned", func() bool { return r.poisoned.Load() != nil })
	require.ErrorIs(t, r.Sync(ctxb), dcb.ErrPoisoned)
}

// Whose context ends between the check at the snapshot and the lock has written nothing, and is told.
func TestAContextThatEndsBeforeTheLockIsAnError(t *testing.T) {
	ctx, cancel := context.WithCancel(ctxb)
	r := newRig(t, FlushBatch, Limits{}, wal.Options{}, cancel)
	_, err := r.Append(ctx, []dcb.Event{event("T")}, nil)
	require.ErrorIs(t, err, context.Canceled)
	require.Zero(t, r.ledger.Get(ledger.Assigned))
}

// A rejection that cannot be told from a repeated append is an error, and never a success.
// The sequencer may end while an append is checked: then it is not written, and told so.
func TestASequencerThatEndsBeforeTheLockRefuses(t *testing.T) {
	for want, end := range map[error]func(r *rig){
		dcb.ErrClosed:   func(r *rig) { r.Close() },
		dcb.ErrPoisoned: func(r *rig) { r.Poison(errors.New("the disk is gone")) },
	} {
		var r *rig
		r = newRig(t, FlushBatch, Limits{}, wal.Options{}, func() { end(r) })
		p, err := r.Append(ctxb, []dcb.Event{event("T")}, nil)
		require.ErrorIs(t, err, want)
		require.NotErrorIs(t, err, dcb.ErrOutcomeUnknown, "it is not written")
		require.Zero(t, p)
		require.Zero(t, r.ledger.Get(ledger.Assigned))
	}
}

func TestAMatchThatCannotBeReadIsAnError(t *testing.T) {
	r := newRig(t, FlushBatch, Limits{}, wal.Options{}, nil)
	_, err := r.Append(ctxb, []dcb.Event{event("T", "a")}, nil)
	require.NoError(t, err)
	require.Zero(t, r.full.Load(), "no memory part is full")
	require.Positive(t, r.Busy())
	unreadable := errors.New("unreadable")
	r.cfg.ID = func(dcb.Position) ([16]byte, error) { return [16]byte{}, unreadable }
	again := dcb.Event{ID: uuid.New(), Type: "T"}
	p, err := r.Append(ctxb, []dcb.Event{again}, &dcb.Condition{FailIfExists: dcb.ByTags("a")})
	require.ErrorIs(t, err, unreadable)
	require.NotErrorIs(t, err, dcb.ErrAlreadyExists)
	require.Zero(t, p)
}

// Close returns when what is staged is committed.
func TestCloseWaitsForTheCommitter(t *testing.T) {
	keeper := new(gatekeeper)
	r := newRig(t, FlushBatch, Limits{}, keeper.options(), nil)
	open := keeper.shut()
	staged := r.async(ctxb, nil, event("T"))
	get(t, keeper.entered)
	closed := make(chan dcb.Position, 1)
	go func() {
		r.Close()
		closed <- r.ledger.Get(ledger.Durable)
	}()
	eventually(t, "closing", func() bool { return r.ended() != nil })
	open()
	require.EqualValues(t, 1, get(t, closed))
	require.NoError(t, get(t, staged).err)
}

// Whoever was let through and then gives up under the lock gives his room to the next in line.
func TestTheLineMovesOnWhenOneGivesUp(t *testing.T) {
	ctx, cancel := context.WithCancel(ctxb)
	calls := 0
	r := newRig(t, FlushBatch, Limits{LagEvents: 1}, wal.Options{}, func() {
		if calls++; calls == 2 {
			cancel()
		}
	})
	_, err := r.Append(ctxb, []dcb.Event{event("T")}, nil)
	require.NoError(t, err)
	first := r.async(ctx, nil, event("T"))
	eventually(t, "in line", func() bool { return r.gate.held.Load() == 1 })
	second := r.async(ctxb, nil, event("T"))
	eventually(t, "both in line", func() bool { return r.gate.held.Load() == 2 })
	r.file(1, 0)
	require.ErrorIs(t, get(t, first).err, context.Canceled)
	require.EqualValues(t, 2, get(t, second).p)
}

// Who waits at the lag limit has hurried filing up, and gets to know that the sequencer is closed.
func TestClosingEndsTheLine(t *testing.T) {
	r := newRig(t, FlushBatch, Limits{LagEvents: 1}, wal.Options{}, nil)
	hurried := make(chan struct{}, 1)
	r.gate.hurry = func() { hurried <- struct{}{} }
	_, err := r.Append(ctxb, []dcb.Event{event("T")}, nil)
	require.NoError(t, err)
	held := r.async(ctxb, nil, event("T"))
	get(t, hurried)
	eventually(t, "in line", func() bool { return r.gate.held.Load() == 1 })
	r.Close()
	require.ErrorIs(t, get(t, held).err, dcb.ErrClosed)
	require.EqualValues(t, 1, r.ledger.Get(ledger.Assigned))

	g, free, _ := gateFor(Limits{LagEvents: 3, LagBytes: 1 << 40})
	*free = 1 << 40
	entered := make(chan error, 1)
	go func() {
		held, err := g.enter(ctxb, func(context.Context) error { return nil })
		if held {
			err = errors.New("let through")
		}
		entered <- err
	}()
	eventually(t, "in line", func() bool { return g.held.Load() == 1 })
	g.release(dcb.ErrClosed)
	require.ErrorIs(t, get(t, entered), dcb.ErrClosed)
}

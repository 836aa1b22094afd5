package opossum

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"opossum/internal/workload"
	"opossum/ledger"
	"opossum/wal"
)

// besideTime is for how long readers are tried beside an owner: OPOSSUM_TEST_BESIDE, or a minute, beside which other parallel tests
// run; a second with -short.
func besideTime(t *testing.T) time.Duration {
	t.Helper()
	if s := os.Getenv("OPOSSUM_TEST_BESIDE"); s != "" {
		d, err := time.ParseDuration(s)
		require.NoError(t, err)
		return d
	}
	if testing.Short() {
		return time.Second
	}
	return time.Minute
}

// busyOwner is an owner under load with tiny generations and segments, that checkpoints all the time and now and then is closed
// and opened again. It publishes what was acknowledged, for readers beside it to compare.
type busyOwner struct {
	dir   string
	acked atomic.Uint64                     // the head, after it was acknowledged
	each  [writersOfBusyOwner]atomic.Uint64 // and the last position of each writer
	mu    sync.Mutex
	at    []workload.Place // what is at a position, as far as it is acknowledged; the zero place if not
	did   struct{ rotations, trimmed, seals, merges, packs, unpacks, opened uint64 }
}

const writersOfBusyOwner = 4

// run owns the store until end.
func (o *busyOwner) run(end time.Time, r *rand.Rand) error {
	for session := uint64(1); time.Now().Before(end); session++ {
		loose := KeepLoose // each third session unpacks what the others packed
		if session%3 != 0 {
			loose = looseEvents[r.IntN(len(looseEvents))]
		}
		e, err := open(o.dir, &Options{RecentBytes: 32 << 10, MinFreeBytes: -1, LooseEvents: loose}, hooks{wal: wal.Options{RotateBytes: 16 << 10}})
		if err != nil {
			return err
		}
		until := time.Now().Add(3 * time.Second)
		if until.After(end) {
			until = end
		}
		err = o.session(e, session, until)
		m := e.Metrics()
		o.did.rotations += m.Rotations
		o.did.trimmed += m.Trimmed
		o.did.seals += m.Seals
		o.did.merges += m.Merges
		o.did.packs += e.mat.Stats().Packs
		o.did.opened++
		if err := errors.Join(err, e.Close()); err != nil {
			return err
		}
	}
	return nil
}

func (o *busyOwner) session(e *Engine, session uint64, until time.Time) error {
	var writers, others sync.WaitGroup
	errs := make([]error, writersOfBusyOwner+2)
	checkpoints, repacks := make(chan Position, 1), make(chan struct{}, 1)
	for w := range writersOfBusyOwner {
		writers.Go(func() {
			for n := uint64(0); n < workload.IDsPerWriter && time.Now().Before(until) && errs[w] == nil; n++ {
				errs[w] = o.append(e, w, (session*writersOfBusyOwner+uint64(w))*workload.IDsPerWriter+n)
				if n%16 == 0 {
					select {
					case checkpoints <- e.Head():
					default:
					}
				}
				if n%128 == 0 {
					select {
					case repacks <- struct{}{}:
					default:
					}
				}
			}
		})
	}
	others.Go(func() { // often, so that the log is trimmed all the time
		for p := range checkpoints {
			errs[writersOfBusyOwner] = errors.Join(errs[writersOfBusyOwner], e.WaitMaterialized(ctxb, p))
		}
	})
	others.Go(func() {
		for range repacks {
			packed := len(e.files.PackedShards())
			errs[writersOfBusyOwner+1] = errors.Join(errs[writersOfBusyOwner+1], repack(ctxb, e))
			if len(e.files.PackedShards()) < packed {
				o.did.unpacks++
			}
		}
	})
	writers.Wait()
	close(checkpoints)
	close(repacks)
	others.Wait()
	return errors.Join(errs...)
}

func (o *busyOwner) append(e *Engine, w int, id uint64) error {
	events := workload.Events(id)
	last, err := e.Append(ctxb, events, nil)
	if err != nil {
		return err
	}
	o.mu.Lock()
	for len(o.at) < int(last) {
		o.at = append(o.at, workload.Place{})
	}
	for i := range events {
		o.at[int(last)-len(events)+i] = workload.Place{ID: id, Index: i}
	}
	o.mu.Unlock()
	o.each[w].Store(uint64(last)) // one writer each
	for {
		if head := o.acked.Load(); head >= uint64(last) || o.acked.CompareAndSwap(head, uint64(last)) {
			return nil
		}
	}
}

// check returns an error if an event is not the one that was acknowledged at its place, or nobody's.
func (o *busyOwner) check(ev SequencedEvent) error {
	id, index, count := workload.Origin(ev.Event.ID)
	want := workload.Events(id)
	if index >= len(want) || count != len(want) || !reflect.DeepEqual(want[index], ev.Event) {
		return fmt.Errorf("position %d is altered: %+v", ev.Position, ev.Event)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if i := int(ev.Position) - 1; i < len(o.at) && o.at[i].ID != 0 && o.at[i] != (workload.Place{ID: id, Index: index}) {
		return fmt.Errorf("position %d is %v, and %v was acknowledged there", ev.Position, workload.Place{ID: id, Index: index}, o.at[i])
	}
	return nil
}

// reader is a read-only engine beside a busy owner.
type reader struct {
	*Engine
	o *busyOwner
	r *rand.Rand
}

// look reads in several ways and compares: what was acknowledged when it was refreshed must be there, and nothing twice.
func (r *reader) look(acked Position, each [writersOfBusyOwner]Position) error {
	head := r.Head()
	if head < acked {
		return fmt.Errorf("the head is %d, and %d was acknowledged before the refresh", head, acked)
	}
	after := Position(r.r.Uint64N(uint64(head) + 1))
	if r.r.IntN(2) == 0 {
		after = head - min(head, 200) // where things are moving
	}
	window := ReadOptions{After: after, Before: after + 201}
	all, err := r.all(AllEvents(), window)
	if err != nil {
		return err
	}
	for i, ev := range all {
		if ev.Position != after+Position(i)+1 {
			return fmt.Errorf("position %d follows %d", ev.Position, after+Position(i))
		}
		if err := r.o.check(ev); err != nil {
			return err
		}
	}
	if n := int(min(head, after+200) - after); len(all) < n {
		return fmt.Errorf("%d of %d events after %d, head %d", len(all), n, after, head)
	}
	return errors.Join(r.matches(all, window), r.newest(acked, each))
}

func (r *reader) all(q Query, o ReadOptions) ([]SequencedEvent, error) {
	v, err := r.Read(ctxb, q, o)
	if err != nil {
		return nil, err
	}
	return collect(v.All())
}

// matches compares the index with a scan of all events of the window.
func (r *reader) matches(all []SequencedEvent, window ReadOptions) error {
	q := Match(QueryItem{Types: []string{fmt.Sprintf("T%d", r.r.IntN(5))}, Tags: []Tag{Tag(fmt.Sprintf("k:%d", r.r.IntN(11)))}}).
		Or(ByTags(Tag(fmt.Sprintf("k:%d", r.r.IntN(11)))))
	var want []Position
	for _, ev := range all {
		if q.Matches(ev.Event) {
			want = append(want, ev.Position)
		}
	}
	if len(all) > 0 {
		window.Before = all[len(all)-1].Position + 1 // what came since is not in want
	}
	if window.Backwards = r.r.IntN(2) == 0; window.Backwards {
		slices.Reverse(want)
	}
	got, err := r.all(q, window)
	if err != nil {
		return err
	}
	if !slices.Equal(want, positionsOf(got)) {
		return fmt.Errorf("query %v in %+v: the index says %v, a scan says %v", q.Items(), window, positionsOf(got), want)
	}
	return nil
}

// newest asks for the last event of each writer.
func (r *reader) newest(acked Position, each [writersOfBusyOwner]Position) error {
	if acked == 0 {
		return nil
	}
	last, err := r.ReadLast(ctxb, AllEvents())
	if err != nil || last.Position < acked {
		return fmt.Errorf("the last event is %d, and %d was acknowledged: %w", last.Position, acked, err)
	}
	w := r.r.IntN(writersOfBusyOwner)
	if each[w] == 0 {
		return nil
	}
	r.o.mu.Lock()
	id := r.o.at[each[w]-1].ID
	r.o.mu.Unlock()
	last, err = r.ReadLast(ctxb, ByTags(workload.WriterTag(id)))
	if err != nil || last.Position < each[w] {
		return fmt.Errorf("the last event of writer %d is %d, and %d was acknowledged: %w", w, last.Position, each[w], err)
	}
	mine, err := r.all(workload.Unique(id), ReadOptions{})
	if err != nil || len(mine) != len(workload.Events(id)) || mine[len(mine)-1].Position != each[w] {
		return fmt.Errorf("append %d, acknowledged at %d, is %v: %w", id, each[w], positionsOf(mine), err)
	}
	return nil
}

// visit opens a reader, refreshes and looks some times, and closes it.
func (o *busyOwner) visit(rnd *rand.Rand) error {
	var each [writersOfBusyOwner]Position
	acked := func() Position {
		head := Position(o.acked.Load())
		for w := range each {
			each[w] = Position(o.each[w].Load())
		}
		return head
	}
	want := acked()
	e, err := Open(o.dir, &Options{ReadOnly: true, RecentBytes: MinRecentBytes})
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	r := &reader{e, o, rnd}
	err = r.look(want, each)
	for n := rnd.IntN(20); n > 0 && err == nil; n-- {
		want = acked()
		if err = e.Refresh(ctxb); err == nil {
			err = r.look(want, each)
		}
	}
	return errors.Join(err, e.Close())
}

// follow subscribes on a reader that refreshes by itself, until stop is closed and all that was acknowledged has come.
func (o *busyOwner) follow(stop <-chan struct{}) (err error) {
	e, err := Open(o.dir, readOnly)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	ctx, cancel := context.WithCancel(ctxb)
	defer cancel()
	sub, err := e.Subscribe(ctx, AllEvents(), 0)
	if err != nil {
		return err
	}
	go func() {
		<-stop
		all := Position(o.acked.Load())
		_ = e.ledger.Wait(ctx, ledger.Visible, all)
		for sub.Position() < all && ctx.Err() == nil {
			runtime.Gosched()
		}
		cancel()
	}()
	n := Position(0)
	for ev, err := range sub.All() {
		if errors.Is(err, context.Canceled) && n >= Position(o.acked.Load()) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("behind position %d: %w", n, err)
		}
		if n++; ev.Position != n {
			return fmt.Errorf("position %d follows %d", ev.Position, n-1)
		}
		if err := o.check(ev); err != nil {
			return err
		}
	}
	return nil
}

// Readers come, refresh and go beside an owner that appends, rotates, trims, seals, merges, closes and opens without a
// pause: no error, no gap, no altered event, and no answer older than the refresh before it.
func TestReadersBesideABusyOwner(t *testing.T) {
	t.Parallel()
	seed := crashSeed(t)
	o := &busyOwner{dir: filepath.Join(t.TempDir(), "store")}
	e, err := Open(o.dir, nil)
	require.NoError(t, err)
	require.NoError(t, e.Close())

	end := time.Now().Add(besideTime(t))
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var visits atomic.Int64
	for i := range 3 {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(seed, uint64(i)))
			for time.Now().Before(end) && !t.Failed() {
				if err := o.visit(rnd); err != nil {
					t.Errorf("reader %d: %v", i, err)
				}
				visits.Add(1)
			}
		})
	}
	wg.Go(func() {
		if err := o.follow(stop); err != nil {
			t.Errorf("the reader that follows: %v", err)
		}
	})
	err = o.run(end, rand.New(rand.NewPCG(seed, 99)))
	close(stop)
	wg.Wait()
	require.NoError(t, err, "the owner")

	r := openReader(t, o.dir)
	all := checkDense(t, r)
	require.EqualValues(t, o.acked.Load(), len(all))
	for _, ev := range all {
		require.NoError(t, o.check(ev))
	}
	t.Logf("%d events, %d visits, the owner: %+v", len(all), visits.Load(), o.did)
	require.Positive(t, visits.Load())
	if !testing.Short() {
		require.Greater(t, o.did.rotations, uint64(2))
		require.Greater(t, o.did.trimmed, uint64(2))
		require.Greater(t, o.did.seals, uint64(2))
		require.Greater(t, o.did.merges, uint64(2))
		if smallShards {
			require.Greater(t, o.did.packs, uint64(2))
			require.Positive(t, o.did.unpacks)
		}
	}
}

// Owners are killed and recovered, again and again, while one reader goes on: what an owner has reported as acknowledged is
// shown at the next refresh, and nothing that was shown is ever taken back.
func TestAReaderFollowsAStoreWhoseOwnersAreKilled(t *testing.T) {
	for _, rotate := range []int64{6 << 10, roomy} {
		t.Run(fmt.Sprint("generations of ", rotate), func(t *testing.T) {
			t.Parallel()
			readerFollowsTheKilled(t, rotate)
		})
	}
}

func readerFollowsTheKilled(t *testing.T, rotate int64) {
	seed := crashSeed(t)
	rnd := rand.New(rand.NewPCG(seed, 0))
	w := newWitness()
	c := crashConfig{Dir: filepath.Join(t.TempDir(), "store"), Rotate: rotate, Writers: 4, Appends: 2000, Filing: "prompted"}
	var r *Engine
	cycles := 12
	if testing.Short() {
		cycles = 3
	}
	for cycle := range cycles {
		c.First = uint64(cycle+1) * 100 * workload.IDsPerWriter
		c.Loose, c.Repack = looseEvents[rnd.IntN(len(looseEvents))], rnd.IntN(2) == 0
		until, child := 20+rnd.IntN(200), c
		if cycle == 0 { // which must come to a checkpoint, however busy the machine is
			child.Appends, child.Filing, until = 50, "waited", 1<<30
		}
		w.runChild(t, "crash-writer", child, func(acks int, line string) bool {
			if r == nil { // the first line says that the store is open
				r = openReader(t, c.Dir)
			}
			var id uint64
			var p Position
			if n, _ := fmt.Sscanf(line, "ack %d %d", &id, &p); n == 2 && rnd.IntN(8) == 0 {
				require.GreaterOrEqual(t, refreshed(t, r), p)
				last, err := r.ReadLast(ctxb, workload.Unique(id))
				require.NoError(t, err)
				require.Equal(t, p, last.Position)
				w.Read[p] = workload.Place{ID: id, Index: len(workload.Events(id)) - 1}
			}
			return acks >= until || line == "done"
		})
		if cycle%2 == 0 {
			recoverTwice(t, c) // now and then nobody goes on
		}
		require.NoError(t, r.Refresh(ctxb))
		require.NoError(t, w.Check(readAll(t, r, AllEvents(), ReadOptions{})))
	}
	require.Positive(t, r.Materialized())
}

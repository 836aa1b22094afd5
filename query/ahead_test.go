package query

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"opossum/dcb"
	"opossum/internal/codec"
	"opossum/internal/index"
	"opossum/internal/segment"
	"opossum/wal"
)

// spyLog is a log that counts.
type spyLog struct {
	Log
	calls, bytes      atomic.Int64
	running, together atomic.Int64
	before            func() // every read, if set
}

func (l *spyLog) ReadAt(p wal.Place, b []byte) error {
	l.calls.Add(1)
	l.bytes.Add(int64(len(b)))
	n := l.running.Add(1)
	defer l.running.Add(-1)
	for most := l.together.Load(); n > most && !l.together.CompareAndSwap(most, n); most = l.together.Load() {
	}
	if l.before != nil {
		l.before()
	}
	return l.Log.ReadAt(p, b)
}

func spied(s *store) *spyLog {
	l := &spyLog{Log: s.cfg.Log}
	s.cfg.Log = l
	return l
}

// fileAway moves the event at p from the log to its file: a place in a generation that was trimmed leads there, too.
func (s *store) fileAway(p dcb.Position) {
	e, err := s.At(p)
	require.NoError(s.t, err)
	require.NoError(s.t, s.files.Write(p, codec.AppendText(nil, e)))
	s.places.Set(p, index.Place{Gen: 77, Off: 1, Len: 1})
}

// forget drops the places up to base, as when their log has been trimmed for long. REQUIRES: these are filed.
func (s *store) forget(base dcb.Position) {
	var kept []index.Place
	for p := base + 1; p < s.next; p++ {
		at, _ := s.places.Get(p)
		kept = append(kept, at)
	}
	s.places.Reset(base)
	for i, at := range kept {
		s.places.Set(base+1+dcb.Position(i), at)
	}
}

// numbered adds n events of types A, B and C in turn, ten to a frame.
func (s *store) numbered(n int) {
	for i := 0; i < n; {
		var events []dcb.Event
		for ; i < n && len(events) < 10; i++ {
			events = append(events, dcb.Event{Type: "ABC"[i%3 : i%3+1], Data: []byte(strings.Repeat("x", i%50))})
		}
		s.stage(events...)
	}
	s.publish()
}

// TestReadsAgreeWithAPlainScan is about where the bodies are and how reads end, in every mixture; that of queries is that of the index.
func TestReadsAgreeWithAPlainScan(t *testing.T) {
	const n = 1_000
	s := newStore(t)
	s.numbered(n)
	var all []dcb.SequencedEvent
	for p := dcb.Position(1); p <= n; p++ {
		e, err := s.At(p)
		require.NoError(t, err)
		all = append(all, e)
	}
	for p := dcb.Position(1); p <= n; p++ { // filed: all up to 349, then 50 in turns, a few, and every second one
		if p < 350 || p <= 600 && p/50%2 == 0 || p > 600 && p <= 700 && p%17 == 0 || p > 900 && p%2 == 0 {
			s.fileAway(p)
		}
	}
	s.forget(349)
	require.NoError(t, s.index.Seal(400))
	rapid.Check(t, func(t *rapid.T) {
		q := rapid.SampledFrom([]dcb.Query{dcb.AllEvents(), dcb.ByTypes("A"), dcb.ByTypes("A", "C"), dcb.ByTypes("D")}).Draw(t, "query")
		some := rapid.OneOf(rapid.Just(0), rapid.IntRange(0, n+10), rapid.IntRange(1, 70))
		o := dcb.ReadOptions{
			After: dcb.Position(some.Draw(t, "after")), Before: dcb.Position(some.Draw(t, "before")), Limit: some.Draw(t, "limit"),
			Backwards: rapid.Bool().Draw(t, "backwards"),
		}
		enough := rapid.OneOf(rapid.Just(math.MaxInt), rapid.IntRange(1, 300)).Draw(t, "enough")
		var want []dcb.SequencedEvent
		for _, e := range all {
			if e.Position > o.After && (o.Before == 0 || e.Position < o.Before) && q.Matches(e.Event) {
				want = append(want, e)
			}
		}
		if o.Backwards {
			slices.Reverse(want)
		}
		if o.Limit > 0 {
			want = want[:min(o.Limit, len(want))]
		}
		v, err := s.Read(context.Background(), q, o)
		require.NoError(t, err)
		counted := 0
		s.cfg.Trace = func(context.Context, bool) func(int, error) {
			return func(n int, err error) { counted = n; require.NoError(t, err) }
		}
		before := s.Stats()
		var got []dcb.SequencedEvent
		for e, err := range v.All() {
			require.NoError(t, err)
			if got = append(got, e); len(got) == enough {
				break
			}
		}
		s.cfg.Trace = nil
		require.Equal(t, want[:min(enough, len(want))], got[:len(got):len(got)])
		require.Equal(t, len(got), counted)
		after := s.Stats()
		read := int(after.FromLog + after.FromFiles - before.FromLog - before.FromFiles)
		require.LessOrEqual(t, read, len(want), "never more than the limit")
		if len(got) < aheadFrom {
			require.LessOrEqual(t, read, 2*len(got), "whoever takes few has few read")
		}
	})
}

// TestAnErrorComesAfterAllEventsBeforeIt, wherever in a batch it is, and whatever is wrong there.
func TestAnErrorComesAfterAllEventsBeforeIt(t *testing.T) {
	const n = 700
	for name, damage := range map[string]func(s *store, p dcb.Position){
		"another's record": func(s *store, p dcb.Position) {
			at, _ := s.places.Get(p - 1)
			s.places.Set(p, at)
		},
		"beyond the end of the log": func(s *store, p dcb.Position) {
			at, _ := s.places.Get(p)
			at.Len = runBytes / 2
			s.places.Set(p, at)
		},
		"the file is missing": func(s *store, p dcb.Position) { s.places.Set(p, index.Place{Gen: 77, Off: 1, Len: 1}) },
		"the file is damaged": func(s *store, p dcb.Position) {
			s.fileAway(p)
			require.NoError(s.t, os.Truncate(s.files.Path(p), 20))
		},
		"not what was indexed": func(s *store, p dcb.Position) {
			e := dcb.SequencedEvent{Position: p, Event: dcb.Event{Type: "X", Time: time.Unix(1, 0).UTC()}}
			require.NoError(s.t, s.files.Write(p, codec.AppendText(nil, e)))
			s.places.Set(p, index.Place{Gen: 77, Off: 1, Len: 1})
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, bad := range []dcb.Position{2, 3, 7, 31, 32, 64, 100, 300, n - 1, n} {
				s := newStore(t)
				s.numbered(n)
				damage(s, bad)
				q := dcb.ByTypes("A", "B", "C")
				for _, backwards := range []bool{false, true} {
					v, err := s.Read(context.Background(), q, dcb.ReadOptions{Backwards: backwards})
					require.NoError(t, err)
					got, errs := 0, []error(nil)
					for e, err := range v.All() {
						if err != nil {
							require.Zero(t, e)
							errs = append(errs, err)
							continue
						}
						require.Empty(t, errs)
						got++
						if backwards {
							require.EqualValues(t, n+1-got, e.Position)
						} else {
							require.EqualValues(t, got, e.Position)
						}
					}
					require.Len(t, errs, 1)
					require.ErrorIs(t, errs[0], dcb.ErrCorrupt)
					if backwards {
						require.EqualValues(t, n-bad, got)
					} else {
						require.EqualValues(t, bad-1, got)
					}
					if name == "beyond the end of the log" {
						at, _ := s.places.Get(bad)
						require.ErrorContains(t, errs[0], fmt.Sprint(at.Off), "the error says which")
					} else {
						require.ErrorContains(t, errs[0], fmt.Sprint(bad))
					}
				}
				sub, err := s.Subscribe(context.Background(), q, 0)
				require.NoError(t, err)
				got, err := positions(t, sub.All())
				require.ErrorIs(t, err, dcb.ErrCorrupt)
				require.EqualValues(t, bad-1, len(got))
				require.Equal(t, bad-1, sub.Position(), "only over what was yielded")
			}
		})
	}
}

// A damaged index is noticed when positions are taken from it, before the events of the earlier ones have been yielded.
func TestADamagedIndexIsAnErrorAfterAllEventsBeforeIt(t *testing.T) {
	s := newStore(t)
	s.numbered(200)
	require.NoError(t, s.index.Seal(200))
	s.numbered(200)
	require.NoError(t, s.index.Seal(400))
	path := filepath.Join(s.indexDir, segment.Name(segment.Range{First: 201, Last: 400}))
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	b[len(b)/4] ^= 1
	require.NoError(t, os.WriteFile(path, b, 0o644))
	v, err := s.Read(context.Background(), dcb.ByTypes("A", "B", "C"), dcb.ReadOptions{})
	require.NoError(t, err)
	got, err := positions(t, v.All())
	require.ErrorIs(t, err, dcb.ErrCorrupt)
	require.Len(t, got, 200)
}

// TestReadsEndAtOnce: the end of the context and Close are answered instead of the next event, although it has been read, and nothing reads any more when
// All has returned, however it ends.
func TestReadsEndAtOnce(t *testing.T) {
	const n = 2_000
	for _, after := range []int{1, 2, 20, 100, 500} {
		for how, end := range map[string]struct {
			do   func(s *store, cancel func())
			want error // nil: it ends without
		}{
			"cancel": {func(_ *store, cancel func()) { cancel() }, context.Canceled},
			"close":  {func(s *store, _ func()) { s.Executor.Close() }, dcb.ErrClosed},
			"break":  {nil, nil},
			"panic":  {func(*store, func()) { panic("over") }, nil},
		} {
			for _, subscribe := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s after %d/%t", how, after, subscribe), func(t *testing.T) {
					s := newStore(t)
					s.numbered(n)
					log := spied(s)
					ctx, cancel := context.WithCancel(context.Background())
					defer cancel()
					v, err := s.Read(ctx, dcb.AllEvents(), dcb.ReadOptions{})
					require.NoError(t, err)
					sub, err := s.Subscribe(ctx, dcb.AllEvents(), 0)
					require.NoError(t, err)
					all := v.All()
					if subscribe {
						all = sub.All()
					}
					got, errs := 0, []error(nil)
					func() {
						defer func() { _ = recover() }()
						for _, err := range all {
							if err != nil {
								errs = append(errs, err)
								continue
							}
							if got++; got < after {
								continue
							}
							if end.do == nil {
								break
							}
							end.do(s, cancel)
						}
					}()
					require.Zero(t, log.running.Load())
					calls := log.calls.Load()
					require.Equal(t, after, got)
					if end.want != nil {
						require.Len(t, errs, 1)
						require.ErrorIs(t, errs[0], end.want)
					} else {
						require.Empty(t, errs)
					}
					if subscribe {
						require.EqualValues(t, after, sub.Position())
					}
					require.Equal(t, calls, log.calls.Load())
				})
			}
		}
	}
}

// TestAllWaitsForWhatIsBeingRead holds a read that was begun ahead; All must not return before it.
func TestAllWaitsForWhatIsBeingRead(t *testing.T) {
	s := newStore(t)
	s.numbered(2_000)
	log := spied(s)
	synctest.Test(t, func(t *testing.T) {
		held, letGo := make(chan struct{}), make(chan struct{})
		var ahead, taken atomic.Bool
		log.before = func() {
			if ahead.Load() && !taken.Swap(true) { // with a sync.Once another read would wait in its lock, and synctest.Wait for that
				close(held)
				<-letGo
			}
		}
		v, err := s.Read(context.Background(), dcb.AllEvents(), dcb.ReadOptions{})
		require.NoError(t, err)
		returned := make(chan struct{})
		go func() {
			defer close(returned)
			for e := range v.All() {
				if ahead.Store(e.Position >= 100); e.Position >= 100 {
					<-held // while the body of the loop runs, others read
					return
				}
			}
		}()
		<-held
		synctest.Wait()
		select {
		case <-returned:
			t.Error("it did not wait")
		default:
		}
		close(letGo)
		<-returned
	})
}

// TestNeighboursAreReadTogether: with few reads, of little more than there is, and a bounded number at a time.
func TestNeighboursAreReadTogether(t *testing.T) {
	const n = 20_000
	s := newStore(t)
	s.numbered(n)
	total := int64(0)
	for p := dcb.Position(1); p <= n; p++ {
		at, _ := s.places.Get(p)
		total += int64(at.Len) + wal.FrameHeaderBytes/10 + 1
	}
	for _, c := range []struct {
		q     dcb.Query
		o     dcb.ReadOptions
		want  int
		calls int64
	}{
		{dcb.AllEvents(), dcb.ReadOptions{}, n, n/batchEvents + 20},
		{dcb.AllEvents(), dcb.ReadOptions{Backwards: true}, n, n/batchEvents + 20},
		{dcb.ByTypes("B"), dcb.ReadOptions{}, n/3 + 1, n/3/batchEvents + 20},
		{dcb.AllEvents(), dcb.ReadOptions{Limit: 1}, 1, 1},
	} {
		log := spied(s)
		v, err := s.Read(context.Background(), c.q, c.o)
		require.NoError(t, err)
		got, err := positions(t, v.All())
		require.NoError(t, err)
		require.Len(t, got, c.want)
		require.LessOrEqual(t, log.calls.Load(), c.calls)
		require.LessOrEqual(t, log.bytes.Load(), total, "nothing is read twice")
		require.LessOrEqual(t, log.together.Load(), int64(maxAhead))
		s.cfg.Log = log.Log
	}
}

// TestLargeEventsDoNotFillTheMemory: what has been read and not yet taken stays within its bound, in the log and in files.
func TestLargeEventsDoNotFillTheMemory(t *testing.T) {
	const n, size = 60, 300 << 10
	for _, filed := range []bool{false, true} {
		s := newStore(t)
		for range 200 { // small ones first, so that batches are large
			s.stage(dcb.Event{Type: "T"})
		}
		for range n {
			s.stage(dcb.Event{Type: "T", Data: bytes.Repeat([]byte("x"), size)})
		}
		s.publish()
		if filed {
			for p := dcb.Position(1); p < s.next; p++ {
				s.fileAway(p)
			}
		}
		before := s.Stats()
		most, taken := 0, 0
		v, err := s.Read(context.Background(), dcb.AllEvents(), dcb.ReadOptions{})
		require.NoError(t, err)
		for e, err := range v.All() {
			require.NoError(t, err)
			taken++
			if len(e.Event.Data) == size {
				now := s.Stats()
				most = max(most, int(now.FromLog+now.FromFiles-before.FromLog-before.FromFiles)-taken)
			}
		}
		require.Equal(t, 200+n, taken)
		require.LessOrEqual(t, most*size, (maxAhead+1)*(2*batchBytes+size))
	}
}

// TestStretch: neighbours within a generation and within bounds are one, in either direction.
func TestStretch(t *testing.T) {
	at := func(gen, off, n uint32) index.Place { return index.Place{Gen: gen, Off: off, Len: n} }
	for _, c := range []struct {
		name string
		in   []index.Place
		want int
	}{
		{"none", nil, 0},
		{"one, of any size", []index.Place{at(1, 100, 3*runBytes)}, 1},
		{"ascending", []index.Place{at(1, 100, 50), at(1, 150, 50), at(1, 200+gapBytes, 50)}, 3},
		{"descending", []index.Place{at(1, 200+gapBytes, 50), at(1, 150, 50), at(1, 100, 50)}, 3},
		{"too far", []index.Place{at(1, 100, 50), at(1, 150+gapBytes+1, 50)}, 1},
		{"too far back", []index.Place{at(1, 150+gapBytes+1, 50), at(1, 100, 50)}, 1},
		{"another generation", []index.Place{at(1, 100, 50), at(2, 150, 50)}, 1},
		{"as large as may be", []index.Place{at(1, 0, runBytes-1), at(1, runBytes-1, 1), at(1, runBytes, 1)}, 2},
		{"at the end of 32 bits", []index.Place{at(1, math.MaxUint32-9, 10), at(1, math.MaxUint32-19, 10)}, 2},
	} {
		x := &Executor{cfg: Config{Places: index.NewPlaces(0)}}
		var ps []dcb.Position
		for i, pl := range c.in {
			x.cfg.Places.Set(dcb.Position(i+1), pl)
			ps = append(ps, dcb.Position(i+1))
		}
		require.Len(t, x.run(append(ps, dcb.Position(len(ps)+1)), nil), c.want, c.name)
	}
}

var errDisk = errors.New("the disk fails")

// failingLog fails every read that touches a part of it.
type failingLog struct {
	Log
	from, to uint32
}

func (l *failingLog) ReadAt(p wal.Place, b []byte) error {
	if p.Off < l.to && p.Off+uint32(len(b)) > l.from {
		return errDisk
	}
	return l.Log.ReadAt(p, b)
}

// TestABadSectorHitsOnlyWhatIsThere: events before it are read although they would have been read together with it.
func TestABadSectorHitsOnlyWhatIsThere(t *testing.T) {
	s := newStore(t)
	s.numbered(300)
	at, _ := s.places.Get(150)
	s.cfg.Log = &failingLog{Log: s.cfg.Log, from: at.Off, to: at.Off + 1}
	v, err := s.Read(context.Background(), dcb.AllEvents(), dcb.ReadOptions{})
	require.NoError(t, err)
	got, err := positions(t, v.All())
	require.ErrorIs(t, err, errDisk)
	require.Len(t, got, 149)
	v, err = s.Read(context.Background(), dcb.AllEvents(), dcb.ReadOptions{After: 150})
	require.NoError(t, err)
	got, err = positions(t, v.All())
	require.NoError(t, err)
	require.Len(t, got, 150)
}

package query

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"opossum/dcb"
	"opossum/internal/codec"
	"opossum/internal/eventfile"
	"opossum/internal/index"
	"opossum/internal/segment"
	"opossum/ledger"
	"opossum/wal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// store is one without a sequencer: the test says what is staged and what is visible.
type store struct {
	*Executor
	t     testing.TB
	index *index.Index

	indexDir string
	places   *index.Places
	log      *wal.Log
	files    *eventfile.Store
	ledger   *ledger.Ledger
	next     dcb.Position
	seed     uint64
}

func newStore(t testing.TB) *store {
	dir := t.TempDir()
	id := wal.StoreID(uuid.New())
	b, err := wal.BuildGeneration(dir, id, 1, time.Now(), &wal.Link{}, 1, nil)
	require.NoError(t, err)
	log, err := wal.Open(dir, id, []wal.Segment{{Gen: 1}}, wal.Witness{Gen: 1, End: b.End, Sum: b.Sum}, b.No, wal.Options{})
	require.NoError(t, err)
	files, err := eventfile.Open(filepath.Join(t.TempDir(), "events"))
	require.NoError(t, err)
	indexDir := t.TempDir()
	ix, err := index.Open(index.Config{Dir: indexDir, Seed: id.Seed(), RecentBytes: 1 << 20, Damaged: func() {}}, nil)
	require.NoError(t, err)
	s := &store{
		t: t, indexDir: indexDir, index: ix, places: index.NewPlaces(0), log: log, files: files,
		ledger: ledger.New(0, 0, 0), next: 1, seed: id.Seed(),
	}
	s.Executor = New(Config{Ledger: s.ledger, Index: s.index, Places: s.places, Log: log, Files: files, Seed: s.seed})
	t.Cleanup(func() {
		s.Close()
		s.index.Close()
		require.NoError(t, log.Close())
		require.NoError(t, files.Close())
	})
	return s
}

// stage writes events to the log, in one frame, and to the index; they are not visible.
func (s *store) stage(events ...dcb.Event) {
	var body []byte
	offs := []int{0}
	for i, e := range events {
		e.Time = time.Unix(1, 0).UTC()
		body = codec.AppendRecord(body, e)
		codec.Stamp(body[offs[i]:], s.seed, s.next+dcb.Position(i))
		offs = append(offs, len(body))
	}
	at, err := s.log.Append(s.next, uint32(len(events)), [][]byte{body})
	require.NoError(s.t, err)
	for i := range events {
		s.index.Active().Stage(s.next, s.index.Active().Intern(nil, &events[i]))
		s.places.Set(s.next, index.Place{Gen: uint32(at.Gen), Off: at.Off + uint32(offs[i]), Len: uint32(offs[i+1] - offs[i])})
		s.next++
	}
	s.ledger.Advance(ledger.Assigned, s.next-1)
}

// publish makes everything staged visible.
func (s *store) publish() { s.ledger.Advance(ledger.Visible, s.next-1) }

func (s *store) add(events ...dcb.Event) {
	for _, e := range events {
		s.stage(e)
	}
	s.publish()
}

func positions(t *testing.T, all func(func(dcb.SequencedEvent, error) bool)) (out []dcb.Position, err error) {
	t.Helper()
	for e, err := range all {
		if err != nil {
			return out, err
		}
		out = append(out, e.Position)
	}
	return out, nil
}

func TestWhatIsStagedIsNotRead(t *testing.T) {
	s := newStore(t)
	s.add(dcb.Event{Type: "T"})
	s.stage(dcb.Event{Type: "T"})
	for _, q := range []dcb.Query{dcb.AllEvents(), dcb.ByTypes("T")} {
		for _, backwards := range []bool{false, true} {
			v, err := s.Read(context.Background(), q, dcb.ReadOptions{Backwards: backwards})
			require.NoError(t, err)
			got, err := positions(t, v.All())
			require.NoError(t, err)
			require.Equal(t, []dcb.Position{1}, got)
		}
	}
	_, err := s.At(2)
	require.ErrorIs(t, err, dcb.ErrNotFound)
	_, err = s.At(0)
	require.ErrorIs(t, err, dcb.ErrNotFound)
	s.publish()
	e, err := s.At(2)
	require.NoError(t, err)
	require.EqualValues(t, 2, e.Position)
}

func TestAViewDoesNotMoveWithTheHead(t *testing.T) {
	s := newStore(t)
	s.add(dcb.Event{Type: "T"})
	v, err := s.Read(context.Background(), dcb.AllEvents(), dcb.ReadOptions{})
	require.NoError(t, err)
	s.add(dcb.Event{Type: "T"}, dcb.Event{Type: "T"})
	got, err := positions(t, v.All())
	require.NoError(t, err)
	require.Equal(t, []dcb.Position{1}, got)
	require.EqualValues(t, 1, v.Head())
}

func TestADamagedRecordIsAnErrorWithItsPlaceAndNotTheEnd(t *testing.T) {
	s := newStore(t)
	s.add(dcb.Event{Type: "T"}, dcb.Event{Type: "T"}, dcb.Event{Type: "T"})
	at, _ := s.places.Get(1)
	s.places.Set(2, at) // the place of another event: intact bytes, wrong position
	v, err := s.Read(context.Background(), dcb.AllEvents(), dcb.ReadOptions{})
	require.NoError(t, err)
	got, err := positions(t, v.All())
	require.Equal(t, []dcb.Position{1}, got)
	require.ErrorIs(t, err, dcb.ErrCorrupt)
	require.ErrorContains(t, err, "position 2")
	last, err := s.ReadLast(context.Background(), dcb.AllEvents())
	require.NoError(t, err)
	require.EqualValues(t, 3, last.Position)
	sub, err := s.Subscribe(context.Background(), dcb.AllEvents(), 0)
	require.NoError(t, err)
	got, err = positions(t, sub.All())
	require.Equal(t, []dcb.Position{1}, got)
	require.ErrorIs(t, err, dcb.ErrCorrupt)
	require.EqualValues(t, 1, sub.Position(), "it does not move over what could not be read")
}

func TestAnEventThatIsNotWhatWasIndexedIsAnError(t *testing.T) {
	s := newStore(t)
	s.add(dcb.Event{Type: "T"})
	wrong := dcb.Event{Type: "Other"}
	s.index.Active().Stage(1, s.index.Active().Intern(nil, &wrong))
	_, err := s.ReadLast(context.Background(), dcb.ByTypes("Other"))
	require.ErrorIs(t, err, dcb.ErrCorrupt)
	require.NotErrorIs(t, err, dcb.ErrNotFound)
}

func TestAnEventInNeitherLogNorFilesIsDamage(t *testing.T) {
	s := newStore(t)
	s.add(dcb.Event{Type: "T"})
	s.places.Set(1, index.Place{Gen: 77, Off: 1, Len: 1}) // a generation that was trimmed
	v, err := s.Read(context.Background(), dcb.AllEvents(), dcb.ReadOptions{})
	require.NoError(t, err)
	_, err = positions(t, v.All())
	require.ErrorIs(t, err, dcb.ErrCorrupt)
	require.ErrorContains(t, err, "position 1")
	require.NoError(t, s.files.Write(1, codec.AppendText(nil, dcb.SequencedEvent{Position: 1, Event: dcb.Event{Type: "T", Time: time.Unix(1, 0).UTC()}})))
	v, err = s.Read(context.Background(), dcb.AllEvents(), dcb.ReadOptions{})
	require.NoError(t, err)
	got, err := positions(t, v.All())
	require.NoError(t, err)
	require.Equal(t, []dcb.Position{1}, got)
}

// A damaged index is an error, never the end of what matches, and nobody may believe to have seen what was passed over.
func TestADamagedIndexEndsReadsAndSubscriptionsWithAnError(t *testing.T) {
	s := newStore(t)
	s.add(dcb.Event{Type: "T"}, dcb.Event{Type: "T"}, dcb.Event{Type: "T"})
	require.NoError(t, s.index.Seal(2))
	path := filepath.Join(s.indexDir, segment.Name(segment.Range{First: 1, Last: 2}))
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	b[len(b)/4] ^= 1
	require.NoError(t, os.WriteFile(path, b, 0o644))
	for _, backwards := range []bool{false, true} {
		v, err := s.Read(context.Background(), dcb.ByTypes("T"), dcb.ReadOptions{Backwards: backwards})
		require.NoError(t, err)
		_, err = positions(t, v.All())
		require.ErrorIs(t, err, dcb.ErrCorrupt)
		require.ErrorContains(t, err, path)
	}
	sub, err := s.Subscribe(context.Background(), dcb.ByTypes("T"), 0)
	require.NoError(t, err)
	got, err := positions(t, sub.All())
	require.ErrorIs(t, err, dcb.ErrCorrupt)
	require.Empty(t, got)
	require.Zero(t, sub.Position())
}

func TestSubscribersFollowWithoutGapOrDuplicateAndEndWithTheLedger(t *testing.T) {
	s := newStore(t)
	s.add(dcb.Event{Type: "T"})
	const n = 300
	poisoned := fmt.Errorf("over: %w", dcb.ErrPoisoned)
	var wg sync.WaitGroup
	for range 8 {
		sub, err := s.Subscribe(context.Background(), dcb.ByTypes("T"), 0)
		require.NoError(t, err)
		wg.Go(func() {
			got, err := positions(t, sub.All())
			for i, p := range got {
				if p != dcb.Position(1+2*i) {
					t.Errorf("%d comes as number %d", p, i)
					return
				}
			}
			if len(got) != 1+n || sub.Position() != 1+2*n {
				t.Errorf("%d events, position %d, %v", len(got), sub.Position(), err)
			}
			if err == nil {
				t.Error("it ended without an error")
			}
		})
	}
	done := make(chan struct{})
	last, err := s.Subscribe(context.Background(), dcb.AllEvents(), 0)
	require.NoError(t, err)
	go func() {
		defer close(done)
		for e := range last.All() {
			if e.Position == 1+2*n {
				return
			}
		}
	}()
	for i := range n {
		s.stage(dcb.Event{Type: "Other"})
		if i%3 == 0 {
			s.publish()
		}
		s.stage(dcb.Event{Type: "T"})
		if i%2 == 0 {
			s.publish()
		}
	}
	s.publish()
	<-done
	s.ledger.Fail(poisoned) // what is visible is yielded first
	wg.Wait()
}

func TestCloseWaitsForAccessesInProgress(t *testing.T) {
	s := newStore(t)
	s.add(dcb.Event{Type: "T"}, dcb.Event{Type: "T"})
	s.open.RLock() // as a fetch does
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		s.Executor.Close()
	}()
	select {
	case <-closed:
		require.Fail(t, "it did not wait")
	default:
	}
	s.open.RUnlock()
	<-closed
	_, err := s.Read(context.Background(), dcb.AllEvents(), dcb.ReadOptions{})
	require.ErrorIs(t, err, dcb.ErrClosed)
	_, err = s.At(1)
	require.ErrorIs(t, err, dcb.ErrClosed)
}

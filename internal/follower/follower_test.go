package follower_test

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"opossum"
	"opossum/dcb"
	"opossum/internal/eventfile"
	"opossum/internal/follower"
	"opossum/ledger"
	"opossum/query"
	"opossum/recovery"
	"opossum/wal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var ctxb = context.Background()

// large makes that some 30 events fill a generation of the log.
var large = bytes.Repeat([]byte("0123456789abcdef"), 16<<10)

func numbered(p int) opossum.Event {
	return opossum.Event{ID: uuid.UUID{15: byte(p), 14: byte(p >> 8), 0: 1}, Type: "T", Tags: []opossum.Tag{opossum.Tag(fmt.Sprint("only:", p))}}
}

// store is an owner's store, of which the event at p is numbered(p).
type store struct {
	*testing.T
	dir  string
	opts opossum.Options
	e    *opossum.Engine
	// fetched, if set, is called by followers that fetch an event from its file.
	fetched func()
}

func newStore(t *testing.T, opts opossum.Options) *store {
	s := &store{T: t, dir: filepath.Join(t.TempDir(), "store"), opts: opts}
	s.open()
	return s
}

func (s *store) open() {
	s.Helper()
	var err error
	s.e, err = opossum.Open(s.dir, &s.opts)
	require.NoError(s, err)
	s.Cleanup(func() { _ = s.e.Close() })
}

func (s *store) append(n int, data []byte) {
	s.Helper()
	for range n {
		ev := numbered(int(s.e.Head()) + 1)
		ev.Data = data
		_, err := s.e.Append(ctxb, []opossum.Event{ev}, nil)
		require.NoError(s, err)
	}
}

// still is a follower that refreshes when it is told to.
type still struct {
	*follower.Follower
	reads *query.Executor
	log   *bytes.Buffer
}

// follow opens a follower; an error is that of opening.
func (s *store) follow() (*still, error) {
	s.Helper()
	files, err := eventfile.OpenExisting(filepath.Join(s.dir, recovery.EventsDir))
	require.NoError(s, err)
	s.Cleanup(func() { require.NoError(s, files.Close()) })
	fetch := func(p dcb.Position) (dcb.Event, error) {
		if s.fetched != nil {
			s.fetched()
		}
		return recovery.FromFiles(files)(p)
	}
	var log bytes.Buffer
	f, err := follower.OpenStill(follower.Config{
		Dir: s.dir, WALDir: filepath.Join(s.dir, recovery.WALDir), IndexDir: filepath.Join(s.dir, recovery.IndexDir),
		Files: files, Fetch: fetch, RecentBytes: 1 << 20, Logger: slog.New(slog.NewTextHandler(&log, nil)),
	})
	if err != nil {
		return nil, err
	}
	s.Cleanup(func() { require.NoError(s, f.Close()) })
	return &still{f, query.New(query.Config{
		Ledger: f.Ledger(), Index: f.Index(), Places: f.Places(), Log: f.Log(), Files: files,
		Seed: wal.StoreID(f.State().Store).Seed(),
	}), &log}, nil
}

// requireAll expects that f shows the events up to head, each found by its tag.
func (f *still) requireAll(t *testing.T, head dcb.Position) {
	t.Helper()
	require.Equal(t, head, f.Ledger().Get(ledger.Visible))
	v, err := f.reads.Read(ctxb, dcb.AllEvents(), dcb.ReadOptions{})
	require.NoError(t, err)
	p := dcb.Position(0)
	for e, err := range v.All() {
		require.NoError(t, err)
		p++
		require.Equal(t, p, e.Position)
		require.Equal(t, numbered(int(p)).ID, e.Event.ID)
	}
	require.Equal(t, head, p)
	for p := dcb.Position(1); p <= head; p++ {
		e, err := f.reads.ReadLast(ctxb, dcb.ByTags(numbered(int(p)).Tags[0]))
		require.NoError(t, err)
		require.Equal(t, p, e.Position)
	}
}

// A follower that is slow, or asleep, finds what was trimmed from the log meanwhile in files and segments.
func TestAFollowerThatWasLeftBehind(t *testing.T) {
	for _, segments := range []bool{true, false} {
		t.Run(fmt.Sprintf("segments %t", segments), func(t *testing.T) {
			s := newStore(t, opossum.Options{RecentBytes: opossum.MinRecentBytes})
			s.append(5, nil)
			f, err := s.follow()
			require.NoError(t, err)
			f.requireAll(t, 5)
			first, _ := f.Log().Live()
			for range 3 { // each time the log moves on to another generation
				s.append(40, large)
				require.NoError(t, s.e.WaitMaterialized(ctxb, s.e.Head()))
			}
			s.append(7, nil)
			require.Positive(t, s.e.Metrics().Trimmed)
			f.requireAll(t, 5)
			if !segments {
				require.NoError(t, s.e.Close())
				require.NoError(t, os.RemoveAll(filepath.Join(s.dir, recovery.IndexDir)))
			}
			require.NoError(t, f.Pass())
			f.requireAll(t, 132)
			require.Equal(t, !segments, bytes.Contains(f.log.Bytes(), []byte("indexed in memory")), f.log)
			now, live := f.Log().Live()
			require.Greater(t, now, first, "it lets go of what is trimmed")
			require.LessOrEqual(t, live, 2)
			late, err := s.follow()
			require.NoError(t, err)
			late.requireAll(t, 132)
		})
	}
}

// A new owner recovers, once with a rewritten log and once more, while a follower looks now and then.
func TestAFollowerAcrossRecoveries(t *testing.T) {
	s := newStore(t, opossum.Options{})
	s.append(5, nil)
	f, err := s.follow()
	require.NoError(t, err)
	for round := range 4 {
		s.append(3, nil)
		if round%2 == 1 {
			require.NoError(t, s.e.WaitMaterialized(ctxb, s.e.Head()-1))
		}
		require.NoError(t, s.e.Close())
		state, err := ledger.Load(s.dir)
		require.NoError(t, err)
		state.Clean = nil // as if it had been killed
		require.NoError(t, ledger.Store(s.dir, state))
		if round < 2 {
			require.NoError(t, f.Pass())
		}
		s.open()
		require.Equal(t, "recovered", s.e.Recovery().Outcome)
		s.append(1, nil)
		require.NoError(t, f.Pass())
		f.requireAll(t, s.e.Head())
	}
}

// A new owner found more in the log than was ever acknowledged, and made that durable: nobody but its ledger says so.
func TestAFollowerShowsWhatRecoveryKept(t *testing.T) {
	s := newStore(t, opossum.Options{})
	resume, err := s.e.PauseFiling(ctxb)
	require.NoError(t, err)
	defer resume()
	s.append(2, nil)
	f, err := s.follow()
	require.NoError(t, err)
	s.append(1, nil)
	require.NoError(t, s.e.Close())
	state, err := ledger.Load(s.dir)
	require.NoError(t, err)
	require.Zero(t, state.Materialized)
	state.Clean = nil // as if it had been killed before the answer
	require.NoError(t, ledger.Store(s.dir, state))
	require.NoError(t, os.RemoveAll(filepath.Join(s.dir, recovery.IndexDir)))
	acked := filepath.Join(s.dir, recovery.WALDir, "ACKED")
	require.NoError(t, os.Remove(acked))
	require.NoError(t, f.Pass())
	f.requireAll(t, 2)

	s.open()
	resume, err = s.e.PauseFiling(ctxb)
	require.NoError(t, err)
	defer resume()
	require.EqualValues(t, 3, s.e.Head())
	require.NoError(t, f.Pass())
	f.requireAll(t, s.e.Head())
}

// Recovery publishes the log before it raises the epoch: what came after a loss must not be shown to who has seen what was lost.
func TestAFollowerLooksAtTheEpochBeforeItShowsAnything(t *testing.T) {
	s := newStore(t, opossum.Options{RecentBytes: opossum.MinRecentBytes})
	s.append(5, nil)
	raise := func() {}
	s.fetched = func() { raise() }
	f, err := s.follow()
	require.NoError(t, err)
	s.append(40, large)
	require.NoError(t, s.e.WaitMaterialized(ctxb, 45))
	s.append(40, large)
	require.NoError(t, s.e.WaitMaterialized(ctxb, 85))
	require.NoError(t, s.e.Close())
	require.NoError(t, os.RemoveAll(filepath.Join(s.dir, recovery.IndexDir))) // so that it fetches, in the midst of a refresh
	raise = sync.OnceFunc(func() {
		state, err := ledger.Load(s.dir)
		require.NoError(t, err)
		state.Epoch++
		require.NoError(t, ledger.Store(s.dir, state))
	})
	require.ErrorIs(t, f.Pass(), dcb.ErrReopen)
	require.EqualValues(t, 5, f.Ledger().Get(ledger.Visible))
}

// A refresh that has begun is too early for who asks now: what was acknowledged meanwhile must be shown.
func TestARefreshThatIsRunningIsTooEarly(t *testing.T) {
	s := newStore(t, opossum.Options{RecentBytes: opossum.MinRecentBytes})
	s.append(5, nil)
	running, release := make(chan struct{}), make(chan struct{})
	f, err := s.follow()
	require.NoError(t, err)
	s.append(40, large)
	require.NoError(t, s.e.WaitMaterialized(ctxb, 45))
	s.append(40, large)
	require.NoError(t, s.e.WaitMaterialized(ctxb, 85))
	require.NoError(t, os.RemoveAll(filepath.Join(s.dir, recovery.IndexDir))) // so that it fetches, in the midst of a refresh
	s.fetched = sync.OnceFunc(func() { close(running); <-release })
	f.Start()
	<-running
	s.append(1, nil)
	refreshed := make(chan error, 1)
	go func() { refreshed <- f.Refresh(ctxb) }()
	for !f.Asked() {
		runtime.Gosched()
	}
	close(release)
	require.NoError(t, <-refreshed)
	f.requireAll(t, 86)
	f.Stop()
	require.ErrorIs(t, f.Refresh(ctxb), dcb.ErrClosed)
}

// What a follower has shown may have ceased to be true: then it ends.
func TestAFollowerWhosePastMayBeLost(t *testing.T) {
	for name, change := range map[string]func(*store){
		"recovered": func(s *store) { s.open() },
		"lost": func(s *store) {
			list, err := wal.List(filepath.Join(s.dir, recovery.WALDir))
			require.NoError(s, err)
			path := wal.GenerationPath(filepath.Join(s.dir, recovery.WALDir), list.Generations[0])
			info, err := os.Stat(path)
			require.NoError(s, err)
			require.NoError(s, os.Truncate(path, info.Size()-10))
			s.open()
			require.EqualValues(s, 4, s.e.Head())
			s.append(3, nil) // beyond what was lost
		},
		"rolled back": func(s *store) { // recovery published the log, and has not yet raised the epoch
			state, err := ledger.Load(s.dir)
			require.NoError(s, err)
			list, err := wal.List(filepath.Join(s.dir, recovery.WALDir))
			require.NoError(s, err)
			path := wal.GenerationPath(filepath.Join(s.dir, recovery.WALDir), list.Generations[0])
			info, err := os.Stat(path)
			require.NoError(s, err)
			require.NoError(s, os.Truncate(path, info.Size()-10))
			s.open()
			require.NoError(s, s.e.Close())
			require.NoError(s, ledger.Store(s.dir, state))
		},
		"exchanged": func(s *store) {
			require.NoError(s, os.RemoveAll(s.dir))
			s.open()
		},
		"gone": func(s *store) { require.NoError(s, os.RemoveAll(s.dir)) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t, opossum.Options{Flush: opossum.FlushDisabled})
			s.append(5, nil)
			from := s.dir
			s.dir = filepath.Join(t.TempDir(), "copy")
			require.NoError(t, os.CopyFS(s.dir, os.DirFS(from))) // as a killed process leaves it
			require.NoError(t, s.e.Close())
			f, err := s.follow()
			require.NoError(t, err)
			f.requireAll(t, 5)
			require.NoError(t, f.Pass())
			change(s)
			require.ErrorIs(t, f.Pass(), dcb.ErrReopen)
			require.EqualValues(t, 5, f.Ledger().Get(ledger.Visible))
		})
	}
}

// A generation that nobody may have trimmed is missing: that is damage, not a reason to look into files.
func TestAFollowerAndAMissingGeneration(t *testing.T) {
	s := newStore(t, opossum.Options{})
	resume, err := s.e.PauseFiling(ctxb)
	require.NoError(t, err)
	defer resume()
	s.append(5, nil)
	f, err := s.follow()
	require.NoError(t, err)
	for s.e.Metrics().Generations < 4 {
		s.append(10, large)
	}
	list, err := wal.List(filepath.Join(s.dir, recovery.WALDir))
	require.NoError(t, err)
	require.NoError(t, wal.RemoveGeneration(filepath.Join(s.dir, recovery.WALDir), list.Generations[1]))
	var damage *dcb.CorruptError
	require.ErrorAs(t, f.Pass(), &damage)
	require.Equal(t, filepath.Join(s.dir, recovery.WALDir), damage.File, "no file is looked for")
	require.EqualValues(t, 5, f.Ledger().Get(ledger.Visible))
	_, err = s.follow()
	require.ErrorAs(t, err, &damage)
}

// Event files and segments are witnesses: they prove that what the log has lost was acknowledged.
func TestAFollowerHeedsTheWitnesses(t *testing.T) {
	s := newStore(t, opossum.Options{})
	s.append(5, nil)
	require.NoError(t, s.e.WaitMaterialized(ctxb, 5))
	require.NoError(t, s.e.Close())
	walDir := filepath.Join(s.dir, recovery.WALDir)
	list, err := wal.List(walDir)
	require.NoError(t, err)
	path := wal.GenerationPath(walDir, list.Generations[0])
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.NoError(t, os.Truncate(path, info.Size()-10))
	state, err := ledger.Load(s.dir)
	require.NoError(t, err)
	refused := func() bool {
		_, err := s.follow()
		if err != nil {
			require.ErrorIs(t, err, dcb.ErrCorrupt)
		}
		return err != nil
	}
	require.True(t, refused(), "the clean close and the checkpoint")
	state.Clean = nil
	require.NoError(t, ledger.Store(s.dir, state))
	require.True(t, refused(), "the checkpoint")
	state.Materialized = 0
	require.NoError(t, ledger.Store(s.dir, state))
	require.True(t, refused(), "ACKED")
	require.NoError(t, os.Remove(filepath.Join(walDir, "ACKED")))
	require.True(t, refused(), "segments and event files")
	segments := filepath.Join(s.dir, recovery.IndexDir)
	require.NoError(t, os.Rename(segments, segments+".aside"))
	require.True(t, refused(), "event files")
	require.NoError(t, os.Rename(segments+".aside", segments))
	events := filepath.Join(s.dir, recovery.EventsDir)
	require.NoError(t, os.RemoveAll(events))
	require.NoError(t, os.Mkdir(events, 0o755))
	require.True(t, refused(), "segments")
	require.NoError(t, os.RemoveAll(segments))
	require.False(t, refused(), "a torn write that nobody was promised")
}

func TestErrorsThatPass(t *testing.T) {
	for _, err := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM} {
		require.True(t, follower.Passing(fmt.Errorf("wal: follow: %w", &fs.PathError{Err: err})))
	}
	for _, err := range []error{syscall.EIO, dcb.ErrCorrupt, dcb.ErrReopen, fs.ErrPermission} {
		require.False(t, follower.Passing(err))
	}
}

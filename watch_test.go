package opossum

import (
	"context"
	"log/slog"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"opossum/internal/storage"
)

// said receives the lines of an engine's log.
type said chan slog.Record

func (s said) Enabled(context.Context, slog.Level) bool      { return true }
func (s said) Handle(_ context.Context, r slog.Record) error { s <- r; return nil }
func (s said) WithAttrs([]slog.Attr) slog.Handler            { return s }
func (s said) WithGroup(string) slog.Handler                 { return s }

// openStore opens a new store that speaks, on a disk that there is nothing to say about.
func (s said) openStore(t testing.TB, o Options, h hooks) *Engine {
	o.Logger = slog.New(s)
	h.measure = func(string, func() time.Time) (Storage, error) {
		return Storage{Class: storage.Classify(time.Millisecond / 2)}, nil
	}
	return openStore(t, t.TempDir(), &o, h)
}

// next waits for the next line, which must be this one, and returns its attributes.
func (s said) next(t testing.TB, level slog.Level, message string) map[string]slog.Value {
	t.Helper()
	r := await(t, s)
	require.Equal(t, message, r.Message)
	require.Equal(t, level, r.Level, message)
	attrs := map[string]slog.Value{}
	r.Attrs(func(a slog.Attr) bool { attrs[a.Key] = a.Value; return true })
	return attrs
}

func TestAnEngineSaysHowItWasOpenedAndThatItIsClosed(t *testing.T) {
	log := make(said, 100)
	e := log.openStore(t, Options{Flush: FlushBatch, GroupWait: time.Millisecond}, hooks{})
	attrs := log.next(t, slog.LevelInfo, "opossum: opened")
	require.Equal(t, e.Dir(), attrs["dir"].String())
	require.Equal(t, e.Recovery().String(), attrs["report"].String())
	require.Equal(t, FlushBatch, attrs["flush"].Any())
	require.Equal(t, time.Millisecond, attrs["group_wait"].Duration())
	require.Equal(t, "nvme", attrs["storage"].String())
	r, err := Open(e.Dir(), &Options{ReadOnly: true, Logger: slog.New(log)})
	require.NoError(t, err)
	attrs = log.next(t, slog.LevelInfo, "opossum: opened")
	require.Equal(t, r.Recovery().String(), attrs["report"].String())
	require.NotContains(t, attrs, "flush", "that is the owner's")
	for _, e := range []*Engine{r, e} {
		require.NoError(t, e.Close())
		require.NoError(t, e.Close(), "once more")
		require.Equal(t, e.Dir(), log.next(t, slog.LevelInfo, "opossum: closed")["dir"].String())
	}
	require.Empty(t, log)
}

func TestAnEngineSaysThatItsCloseFailed(t *testing.T) {
	v, log := new(valve), make(said, 100)
	h := hooks{}
	h.wal.Fdatasync = v.fdatasync
	e := log.openStore(t, Options{Flush: FlushDisabled}, h)
	log.next(t, slog.LevelInfo, "opossum: opened")
	appendOK(t, e, nil, event("T"))
	v.fail(syscall.EIO)
	err := e.Close()
	require.ErrorIs(t, err, syscall.EIO)
	require.ErrorIs(t, err, log.next(t, slog.LevelError, "opossum: closed, with an error")["error"].Any().(error))
}

// The clock of the bubble goes on when everybody waits for it.
func TestAnEngineSaysWhatNothingAnnounces(t *testing.T) {
	t.Run("a sync that does not return", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			v, log := new(valve), make(said, 100)
			h := hooks{}
			h.wal.Fdatasync = v.fdatasync
			e := log.openStore(t, Options{}, h)
			log.next(t, slog.LevelInfo, "opossum: opened")
			for range 2 {
				_, open := v.shut()
				done := appendAsync(ctxb, e, nil, event("T"))
				attrs := log.next(t, slog.LevelWarn, "opossum: a write or sync of the log does not return")
				require.GreaterOrEqual(t, attrs["for"].Duration(), stallAfter)
				require.Less(t, attrs["for"].Duration(), stallAfter+2*watchEvery)
				open()
				require.NoError(t, await(t, done).err)
				log.next(t, slog.LevelInfo, "opossum: writes and syncs of the log return again")
			}
			_, open := v.shut()
			done := appendAsync(ctxb, e, nil, event("T"))
			log.next(t, slog.LevelWarn, "opossum: a write or sync of the log does not return")
			v.fail(syscall.EIO)
			open()
			require.ErrorIs(t, await(t, done).err, ErrOutcomeUnknown)
			log.next(t, slog.LevelError, "opossum: poisoned, no append succeeds until the store is opened again")
			time.Sleep(2 * calm)
			require.Empty(t, log, "that is not to return")
		})
	})
	t.Run("a full disk", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var free atomic.Uint64
			log := make(said, 100)
			e := log.openStore(t, Options{MinFreeBytes: 1 << 20}, hooks{free: func() (uint64, error) { return free.Load(), nil }})
			log.next(t, slog.LevelInfo, "opossum: opened")
			for range 2 {
				free.Store(0)
				_ = e.Metrics()
				log.next(t, slog.LevelWarn, "opossum: the disk is full, appends are refused")
				free.Store(1 << 40)
				appendOK(t, e, nil, event("T"))
				log.next(t, slog.LevelInfo, "opossum: the disk has room again, appends are accepted")
			}
		})
	})
	t.Run("appends that wait for filing", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			log := make(said, 100)
			e := log.openStore(t, Options{MaxLagEvents: 1}, hooks{})
			log.next(t, slog.LevelInfo, "opossum: opened")
			for range 2 {
				resume, err := e.PauseFiling(ctxb)
				require.NoError(t, err)
				appendOK(t, e, nil, event("T"))
				held := appendAsync(ctxb, e, nil, event("T"))
				log.next(t, slog.LevelWarn, "opossum: appends wait for filing, which is behind by MaxLag")
				resume()
				require.NoError(t, await(t, held).err)
				log.next(t, slog.LevelInfo, "opossum: appends wait for filing no longer")
			}
		})
	})
}

func TestASpellEndsWhenItHasBeenCalm(t *testing.T) {
	var s spell
	start := time.Unix(0, 0)
	for i, step := range []struct {
		at           time.Duration
		is           bool
		begins, ends bool
	}{
		{at: 0, is: false},
		{at: 1 * time.Second, is: true, begins: true},
		{at: 2 * time.Second, is: true},
		{at: 3 * time.Second, is: false},
		{at: 2*time.Second + calm - 1, is: true},
		{at: 2*time.Second + 2*calm - 2, is: false},
		{at: 2*time.Second + 2*calm - 1, is: false, ends: true},
		{at: 2*time.Second + 3*calm, is: false},
		{at: 2*time.Second + 3*calm, is: true, begins: true},
	} {
		begins, ends := s.look(start.Add(step.at), step.is)
		require.Equal(t, step.begins, begins, "step %d", i)
		require.Equal(t, step.ends, ends, "step %d", i)
	}
}

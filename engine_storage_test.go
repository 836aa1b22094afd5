package opossum

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"opossum/internal/storage"
)

// slowDisk measures a disk of which a flush takes so long, and counts how often it was asked.
func slowDisk(median time.Duration, asked *int) hooks {
	return hooks{measure: func(dir string, _ func() time.Time) (Storage, error) {
		*asked++
		system, err := storage.Describe(dir)
		return Storage{
			Measured: time.Unix(1_000_000, 0).UTC(), Flushes: 3, Fastest: median, Median: median, Slowest: median, Class: storage.Classify(median), System: system,
		}, err
	}}
}

// Each class of disk comes to a strategy that acknowledges after the sync, and to a group wait, which the options can overrule.
func TestFlushAutoSuitsTheDisk(t *testing.T) {
	for _, c := range []struct {
		median time.Duration
		class  string
		wait   time.Duration
	}{
		{100 * time.Microsecond, "nvme", 0},
		{2 * time.Millisecond, "ssd", 0},
		{10 * time.Millisecond, "hdd", time.Millisecond},
		{40 * time.Millisecond, "network", 2 * time.Millisecond},
	} {
		for _, o := range []Options{{Flush: FlushAuto}, {Flush: FlushAuto, GroupWait: 7 * time.Millisecond}, {}, {GroupWait: 7 * time.Millisecond}} {
			asked := 0
			var log bytes.Buffer
			o.Logger = slog.New(slog.NewTextHandler(&log, nil))
			e := openStore(t, t.TempDir(), &o, slowDisk(c.median, &asked))
			m, known := e.Storage()
			require.True(t, known)
			require.Equal(t, c.class, m.Class.String())
			want := o.GroupWait
			if want == 0 && o.Flush == FlushAuto {
				want = c.wait
			}
			require.Equal(t, want, e.Metrics().GroupWait, "%s %+v", c.class, o)
			require.Equal(t, FlushBatch, e.Metrics().Flush)
			require.Contains(t, log.String(), "flush=batch group_wait="+want.String()+" storage="+c.class)
			p := appendOK(t, e, nil, event("T"))
			require.Equal(t, p, e.Durable())
		}
	}
}

// A store measures its disk once, and again where the result is lost or damaged.
func TestTheDiskIsMeasuredOnce(t *testing.T) {
	dir, asked := t.TempDir(), 0
	h := slowDisk(10*time.Millisecond, &asked)
	open := func() Storage {
		e := openStore(t, dir, nil, h)
		m, known := e.Storage()
		require.True(t, known)
		require.NoError(t, e.Close())
		return m
	}
	first := open()
	require.Equal(t, first, open())
	require.Equal(t, 1, asked)
	path := filepath.Join(dir, storage.FileName)
	for i, spoil := range []func() error{
		func() error { return os.Remove(path) },
		func() error { return os.WriteFile(path, nil, 0o644) },
		func() error { return os.WriteFile(path, []byte("{}"), 0o644) },
	} {
		require.NoError(t, spoil())
		r := openStore(t, dir, &Options{ReadOnly: true}, hooks{})
		_, known := r.Storage()
		require.False(t, known, "a reader measures nothing")
		require.NoError(t, r.Close())
		require.Equal(t, first, open())
		require.Equal(t, 2+i, asked)
	}
	r := openStore(t, dir, &Options{ReadOnly: true}, hooks{})
	m, known := r.Storage()
	require.True(t, known)
	require.Equal(t, first, m)
}

// A disk that cannot be measured stops nobody, and is told of.
func TestAMeasurementThatFailsIsLoggedAndNoMore(t *testing.T) {
	var log bytes.Buffer
	h := hooks{measure: func(string, func() time.Time) (Storage, error) { return Storage{}, errors.New("no room for a probe") }}
	dir := t.TempDir()
	e := openStore(t, dir, &Options{Flush: FlushAuto, Logger: slog.New(slog.NewTextHandler(&log, nil))}, h)
	_, known := e.Storage()
	require.False(t, known)
	require.Contains(t, log.String(), "no room for a probe")
	require.Contains(t, log.String(), "storage=unknown")
	require.Zero(t, e.Metrics().GroupWait)
	p := appendOK(t, e, nil, event("T"))
	require.Equal(t, p, e.Durable())
	require.NoFileExists(t, filepath.Join(dir, storage.FileName))
}

func TestAFileSystemThatKeepsNothingIsWarnedOf(t *testing.T) {
	var log bytes.Buffer
	h := hooks{measure: func(string, func() time.Time) (Storage, error) {
		return Storage{Flushes: 1, Class: storage.NVMe, System: storage.System{FileSystem: "tmpfs"}}, nil
	}}
	openStore(t, t.TempDir(), &Options{Logger: slog.New(slog.NewTextHandler(&log, nil))}, h)
	require.Contains(t, log.String(), "level=WARN")
	require.Contains(t, log.String(), "tmpfs is memory")
}

// TestNothingIsWrittenBeforehandWhereThatSavesNothing looks at the space that the log is told of.
func TestNothingIsWrittenBeforehandWhereThatSavesNothing(t *testing.T) {
	for fileSystem, want := range map[string]bool{"ext4": true, "xfs": true, "btrfs": false, "zfs": false} {
		h := hooks{measure: func(string, func() time.Time) (Storage, error) {
			return Storage{System: storage.System{FileSystem: fileSystem}}, nil
		}}
		e, err := open(t.TempDir(), nil, h)
		require.NoError(t, err)
		spare, err := e.spare(h)
		require.NoError(t, err)
		require.Equal(t, want, spare > 0, fileSystem)
		require.NoError(t, e.Close())
	}
}

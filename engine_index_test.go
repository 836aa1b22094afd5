package opossum

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

// tagged returns an event with a tag of its own and one that it shares.
func tagged(n int) Event {
	return event("T", Tag(fmt.Sprint("only:", n)), Tag(fmt.Sprint("mod:", n%10)))
}

func TestTheIndexKeepsUpAndMemoryIsBoundedWhileFilingStandsStill(t *testing.T) {
	dir := t.TempDir()
	e := openStore(t, dir, &Options{RecentBytes: 64 << 10}, hooks{})
	resume, err := e.PauseFiling(ctxb)
	require.NoError(t, err)
	const n = 2000
	for i := 0; i < n; i += 10 {
		var events []Event
		for j := range 10 {
			events = append(events, tagged(i+j))
		}
		appendOK(t, e, failIfMatch(ByTags(events[9].Tags[0]), 0), events...)
		m := e.Metrics()
		require.LessOrEqual(t, m.RecentBytes, int64(80<<10))
		require.LessOrEqual(t, m.Indexed, m.Durable)
	}
	m := e.Metrics()
	require.Zero(t, m.Materialized)
	require.Greater(t, m.Indexed, Position(n/2))
	require.Positive(t, m.Seals)
	require.Positive(t, m.SegmentBytes)
	require.Less(t, m.Segments, 40)
	check := func(e *Engine) {
		t.Helper()
		for i := 0; i < n; i += 97 {
			_, err := e.Append(ctxb, []Event{event("T")}, failIfMatch(ByTags(tagged(i).Tags[0]), 0))
			require.ErrorIs(t, err, ErrConditionFailed)
			last, err := e.ReadLast(ctxb, ByTags(tagged(i).Tags[0]))
			require.NoError(t, err)
			require.EqualValues(t, i+1, last.Position)
		}
		require.Len(t, readAll(t, e, ByTags("mod:3"), ReadOptions{Backwards: true}), n/10)
	}
	check(e) // bodies in the log, index in segments

	resume()
	require.NoError(t, e.Close())
	e = openStore(t, dir, nil, hooks{})
	require.EqualValues(t, n, e.Metrics().Indexed, "closing sealed the rest")
	require.Zero(t, e.Recovery().IndexBuilt)
	check(e)
}

func TestAppendsWaitWhileTheIndexCannotBeWritten(t *testing.T) {
	dir := t.TempDir()
	e := openStore(t, dir, &Options{RecentBytes: 64 << 10}, hooks{})
	index := filepath.Join(dir, "index")
	require.NoError(t, os.WriteFile(index, nil, 0o644)) // where the directory belongs
	resume, err := e.PauseFiling(ctxb)                  // so that only sealing makes room
	require.NoError(t, err)
	defer resume()
	held := make(chan error, 1)
	ctx, cancel := context.WithCancel(ctxb)
	defer cancel()
	go func() {
		for i := 0; ; i++ {
			if _, err := e.Append(ctx, []Event{tagged(i)}, nil); err != nil || e.Metrics().Seals > 0 {
				held <- err
				return
			}
		}
	}()
	for e.Metrics().Held == 0 {
		runtime.Gosched()
	}
	require.Less(t, e.Metrics().RecentBytes, int64(80<<10))
	head := e.Head()
	require.Len(t, readAll(t, e, AllEvents(), ReadOptions{}), int(head), "reads go on")
	require.NoError(t, os.Remove(index))
	require.NoError(t, <-held, "it goes on by itself")
	require.GreaterOrEqual(t, e.Head(), head)
}

func TestAnOldStoreWithoutAnIndexGetsOne(t *testing.T) {
	dir := t.TempDir()
	e := openStore(t, dir, nil, hooks{})
	for i := range 100 {
		appendOK(t, e, nil, tagged(i))
	}
	require.NoError(t, e.WaitMaterialized(ctxb, 50))
	require.NoError(t, e.Close())
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "index")))
	e = openStore(t, dir, nil, hooks{})
	require.EqualValues(t, e.Recovery().Materialized, e.Recovery().IndexBuilt)
	require.GreaterOrEqual(t, e.Recovery().IndexBuilt, uint64(50))
	require.Contains(t, e.Recovery().String(), "built the missing index of")
	for i := range 100 {
		last, err := e.ReadLast(ctxb, ByTags(tagged(i).Tags[0]))
		require.NoError(t, err)
		require.EqualValues(t, i+1, last.Position)
	}
}

// A program that appends one event and ends, again and again, is never there when merging in the background would begin.
func TestShortLivesLeaveFewSegments(t *testing.T) {
	dir := t.TempDir()
	for n := range Position(40) {
		e := openStore(t, dir, nil, hooks{})
		require.EqualValues(t, n+1, appendOK(t, e, nil, event("T")))
		require.NoError(t, e.Close())
	}
	e := openStore(t, dir, nil, hooks{})
	require.Less(t, e.Metrics().Segments, 20)
	require.Len(t, readAll(t, e, ByTypes("T"), ReadOptions{}), 40)
}

func TestOpenSaysWhichSegmentsAreDamaged(t *testing.T) {
	dir := t.TempDir()
	e := openStore(t, dir, nil, hooks{})
	p := appendOK(t, e, nil, numbered(30, "T")...)
	require.NoError(t, e.WaitMaterialized(ctxb, p))
	require.NoError(t, e.Close())
	names, err := filepath.Glob(filepath.Join(dir, "index", "*.idx"))
	require.NoError(t, err)
	require.NotEmpty(t, names)
	require.NoError(t, os.Truncate(names[0], 100))
	var log bytes.Buffer
	e = openStore(t, dir, &Options{Logger: slog.New(slog.NewTextHandler(&log, nil))}, hooks{})
	require.Contains(t, log.String(), names[0])
	require.Len(t, readAll(t, e, ByTypes("T"), ReadOptions{}), 30)
	require.NoError(t, e.Close())
}

package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"opossum"
)

// follower runs follow beside a test, which reads its lines as they are let out.
type follower struct {
	lines *bufio.Scanner
	end   context.CancelFunc
	err   chan error
}

func follow(t *testing.T, e *opossum.Engine, f tailFlags) *follower {
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	fl := &follower{bufio.NewScanner(r), cancel, make(chan error, 1)}
	go func() {
		err := f.follow(ctx, e, newPrinter(w, false))
		w.Close()
		fl.err <- err
	}()
	t.Cleanup(func() {
		cancel()
		r.Close()
	})
	return fl
}

// next returns the position in the next line. It waits for the line, which has to come while nothing more is appended.
func (f *follower) next(t *testing.T) opossum.Position {
	t.Helper()
	require.True(t, f.lines.Scan(), "no line")
	var p opossum.Position
	_, err := fmt.Sscan(f.lines.Text(), &p)
	require.NoError(t, err)
	return p
}

func openForTest(t *testing.T) *opossum.Engine {
	e, err := opossum.Open(t.TempDir(), &opossum.Options{Flush: opossum.FlushDisabled})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, e.Close()) })
	return e
}

// appendTypes appends an event for each type, as one.
func appendTypes(t *testing.T, e *opossum.Engine, types ...string) {
	t.Helper()
	var events []opossum.Event
	for _, typ := range types {
		events = append(events, opossum.Event{Type: typ})
	}
	_, err := e.Append(t.Context(), events, nil)
	require.NoError(t, err)
}

func matching(t *testing.T, text string) (f queryFlag) {
	require.NoError(t, f.Set(text))
	return f
}

func TestTailPrintsWhatComes(t *testing.T) {
	e := openForTest(t)
	appendTypes(t, e, "A", "B")
	f := follow(t, e, tailFlags{match: matching(t, "type=A"), last: 1})
	require.EqualValues(t, 1, f.next(t), "what exists")
	for i := range 20 {
		p := opossum.Position(3 + 4*i)
		appendTypes(t, e, "A", "B", "A", "B") // what follows the last match must not hold it back
		require.Equal(t, p, f.next(t))
		require.Equal(t, p+2, f.next(t))
	}
	f.end()
	require.ErrorIs(t, <-f.err, context.Canceled)
	require.False(t, f.lines.Scan())
}

func TestTailBeginsWhereItIsTold(t *testing.T) {
	e := openForTest(t)
	appendTypes(t, e, "A", "B", "A", "A", "B")
	for name, c := range map[string]struct {
		flags tailFlags
		want  opossum.Position
	}{
		"now":             {tailFlags{}, 5},
		"after nothing":   {tailFlags{from: true}, 0},
		"after":           {tailFlags{after: 3, from: true}, 3},
		"after the head":  {tailFlags{after: 9, from: true}, 9},
		"last":            {tailFlags{last: 2}, 3},
		"last that match": {tailFlags{last: 2, match: matching(t, "type=A")}, 2},
		"more than match": {tailFlags{last: 9, match: matching(t, "type=B")}, 1},
		"none match":      {tailFlags{last: 9, match: matching(t, "type=C")}, 5},
	} {
		got, err := c.flags.start(t.Context(), e)
		require.NoError(t, err, name)
		require.Equal(t, c.want, got, name)
	}
}

// A position beyond the head is waited for, and nothing before it is printed.
func TestTailAfterTheFuture(t *testing.T) {
	e := openForTest(t)
	f := follow(t, e, tailFlags{after: 2, from: true})
	appendTypes(t, e, "A", "B", "C")
	require.EqualValues(t, 3, f.next(t))
}

func TestTailEndsWithItsReaderAndItsEngine(t *testing.T) {
	e := openForTest(t)
	appendTypes(t, e, "A")
	f := tailFlags{last: 1}
	require.ErrorIs(t, f.follow(t.Context(), e, newPrinter(closed{}, true)), io.ErrClosedPipe)

	fl := follow(t, e, f)
	fl.next(t)
	require.NoError(t, e.Close())
	require.ErrorIs(t, <-fl.err, opossum.ErrClosed)
}

// closed is an output that nobody reads.
type closed struct{}

func (closed) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

package main

import (
	"context"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"opossum"
)

// readFunc and writeFunc are ends of pipes with something to do at each use.
type (
	readFunc  func([]byte) (int, error)
	writeFunc func([]byte) (int, error)
)

func (f readFunc) Read(p []byte) (int, error)   { return f(p) }
func (f writeFunc) Write(p []byte) (int, error) { return f(p) }

// A listing that is interrupted ends soon, in a whole line, and with an error that says how far it came.
func TestInterruptedRead(t *testing.T) {
	const events = 2000
	for _, format := range []string{"--json=false", "--json"} {
		dir := t.TempDir()
		e, err := opossum.Open(dir, nil)
		require.NoError(t, err)
		appendTypes(t, e, slices.Repeat([]string{"Enrolled"}, events)...)
		require.NoError(t, e.Close())

		ctx, interrupt := context.WithCancel(t.Context())
		var out strings.Builder
		cmd := newRoot()
		cmd.SetArgs([]string{"read", "--dir", dir, format})
		cmd.SetOut(writeFunc(func(p []byte) (int, error) {
			interrupt()
			return out.Write(p)
		}))
		err = cmd.ExecuteContext(ctx)
		require.Equal(t, exitInterrupted, statusOf(err))
		lines := strings.Count(out.String(), "\n")
		assert.Equal(t, "after "+counted(lines, "event"), err.Error())
		assert.Positive(t, lines)
		assert.Less(t, lines, events/2)
		assert.True(t, strings.HasSuffix(out.String(), "\n"), "the last line is whole")
	}
}

// A batch is nothing before its end.
func TestInterruptedBatch(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	more := []string{"{\"type\":\"A\"}\n", "{\"type\":\"B\"}\n"}
	stdin := readFunc(func(p []byte) (int, error) {
		if len(more) == 0 {
			interrupt()
			<-t.Context().Done() // as a terminal at which nobody types
			return 0, io.EOF
		}
		n := copy(p, more[0])
		more = more[1:]
		return n, nil
	})
	dir := t.TempDir()
	cmd := newRoot()
	var out strings.Builder
	cmd.SetArgs([]string{"append", "--dir", dir, "--batch"})
	cmd.SetIn(stdin)
	cmd.SetOut(&out)
	err := cmd.ExecuteContext(ctx)
	require.Equal(t, exitInterrupted, statusOf(err))
	require.EqualError(t, err, "nothing was appended")
	require.Empty(t, out.String())
	e, err := opossum.Open(dir, nil)
	require.NoError(t, err)
	require.Zero(t, e.Head())
	require.Equal(t, "clean", e.Recovery().Outcome)
	require.NoError(t, e.Close())
}

// A command that waits for a terminal still ends when it is interrupted, and says how far it had come.
func TestInterruptedWhileWaitingForInput(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	stdin, keyboard := io.Pipe()
	defer keyboard.Close()
	go func() {
		_, _ = io.WriteString(keyboard, "{\"type\":\"A\"}\n")
		interrupt()
	}()

	cmd := newRoot()
	var out strings.Builder
	cmd.SetArgs([]string{"append", "--dir", t.TempDir()})
	cmd.SetIn(stdin)
	cmd.SetOut(&out)
	err := cmd.ExecuteContext(ctx)
	require.ErrorIs(t, err, context.Canceled)
	if out.Len() > 0 { // the line won the race against the interruption
		assert.Equal(t, "1\n", out.String())
		assert.ErrorContains(t, err, "position 1")
	}
}

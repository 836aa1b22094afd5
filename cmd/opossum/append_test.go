package main

import (
	"context"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

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

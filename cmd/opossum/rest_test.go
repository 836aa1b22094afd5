package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"opossum"
)

// filedStore returns the directory of a store whose events are all files.
func filedStore(t *testing.T, events int) string {
	dir := t.TempDir()
	e, err := opossum.Open(dir, nil)
	require.NoError(t, err)
	appendTypes(t, e, slices.Repeat([]string{"A", "B"}, events/2)...)
	require.NoError(t, e.WaitMaterialized(t.Context(), e.Head()))
	require.NoError(t, e.Close())
	return dir
}

// execute runs the program in this process.
func execute(ctx context.Context, args ...string) (out string, err error) {
	var b strings.Builder
	cmd := newRoot()
	cmd.SetArgs(args)
	cmd.SetOut(&b)
	cmd.SetErr(io.Discard)
	err = cmd.ExecuteContext(ctx)
	return b.String(), err
}

// interruptedAt is a context that is cancelled when it is asked for the n-th time whether it is; 0: from the beginning.
type interruptedAt struct {
	context.Context
	cancel context.CancelFunc
	left   atomic.Int64
}

func newInterruptedAt(ctx context.Context, n int64) *interruptedAt {
	c := &interruptedAt{}
	c.Context, c.cancel = context.WithCancel(ctx)
	if c.left.Store(n); n == 0 {
		c.cancel()
	}
	return c
}

func (c *interruptedAt) Err() error {
	if c.left.Add(-1) == 0 {
		c.cancel()
	}
	return c.Context.Err()
}

// Wherever a command that works on a store at rest is interrupted, it says so, and a repair brings the store back.
func TestInterruptedAtRest(t *testing.T) {
	for _, command := range []string{"verify", "repair", "rebuild-index"} {
		t.Run(command, func(t *testing.T) {
			intact := filedStore(t, 12)
			if command != "rebuild-index" { // which wants its event files
				damage(t, intact)
			}
			said := make(map[string]int)
			for n := int64(0); ; n++ {
				dir := filepath.Join(t.TempDir(), "store")
				require.NoError(t, os.CopyFS(dir, os.DirFS(intact)))
				ctx := newInterruptedAt(t.Context(), n)
				out, err := execute(ctx, command, "--dir", dir)
				ctx.cancel()
				if ctx.left.Load() > 0 { // it came to its end before
					break
				}
				if err != nil && statusOf(err) != exitDamaged { // interrupted when everything was done, it is done
					require.Equal(t, exitInterrupted, statusOf(err), "check %d: %v", n, err)
					require.Equal(t, strings.HasPrefix(out, "Plan\n"), strings.Contains(err.Error(), "goes on"), "only what was planned is begun")
					said[err.Error()]++
				}
				_, err = execute(t.Context(), "repair", "--dir", dir)
				require.NoError(t, err, "check %d", n)
				out, err = execute(t.Context(), "verify", "--dir", dir)
				require.NoError(t, err, "check %d: %s", n, out)
			}
			want := map[string][]string{
				"verify": {"nothing was changed"}, "repair": {"nothing was changed", "repair again: it goes on from here"},
				"rebuild-index": {"the store works with the index that is there; run it again for a new one"},
			}[command]
			require.Len(t, said, len(want), "%v", said)
			for _, text := range want {
				require.Positive(t, said[text], "%v", said)
			}
		})
	}
}

// damage removes event files, alters one, and removes the index.
func damage(t *testing.T, dir string) {
	files, err := filepath.Glob(filepath.Join(dir, "events", "*", "*.json"))
	require.NoError(t, err)
	require.Len(t, files, 12)
	require.NoError(t, os.WriteFile(files[0], []byte("{}\n"), 0o644))
	for _, name := range files[3:6] {
		require.NoError(t, os.Remove(name))
	}
	segments, err := filepath.Glob(filepath.Join(dir, "index", "*.idx"))
	require.NoError(t, err)
	require.NotEmpty(t, segments)
	for _, name := range segments {
		require.NoError(t, os.Remove(name))
	}
}

// The plan is out before anything is changed; a plan that cannot be shown is not carried out.
func TestRepairShowsItsPlanFirst(t *testing.T) {
	dir := filedStore(t, 12)
	damage(t, dir)
	var shown []string
	cmd := newRoot()
	cmd.SetArgs([]string{"repair", "--dir", dir})
	cmd.SetOut(writeFunc(func(p []byte) (int, error) {
		shown = append(shown, string(p))
		return 0, io.ErrClosedPipe
	}))
	require.ErrorIs(t, cmd.ExecuteContext(t.Context()), io.ErrClosedPipe)
	require.Len(t, shown, 1)
	require.Contains(t, shown[0], "write the event files of position 1 from intact copies")
	_, err := execute(t.Context(), "verify", "--dir", dir)
	require.Equal(t, exitDamaged, statusOf(err))
	require.NoDirExists(t, filepath.Join(dir, "quarantine"))
}

func TestRestErrors(t *testing.T) {
	require.EqualError(t, restError(opossum.ErrDiskFull, "repair", ""), "disk is full; nothing is lost: make room and repair again")
	require.ErrorIs(t, restError(opossum.ErrDiskFull, "repair", ""), opossum.ErrDiskFull)
	require.EqualError(t, restError(opossum.ErrLocked, "verify", ""), "store is locked by another owner; stop the owner first: verify needs a store at rest")
	require.NoError(t, restError(nil, "verify", ""))
}

// A bar may be full before the work has found all that there is to do.
func TestAGrowingBarEndsAtTheEnd(t *testing.T) {
	bar := newBar(io.Discard, 1, "verifying")
	tell, end := growing(bar)
	for _, x := range [][2]uint64{{0, 1}, {1, 1}, {1, 5}, {5, 5}, {5, 9}, {9, 9}} {
		tell(x[0], x[1])
		require.False(t, bar.IsFinished())
		require.EqualValues(t, x[0], bar.State().CurrentNum)
	}
	end()
	require.True(t, bar.IsFinished())
}

// Nobody watches a bar that is not on a terminal.
func TestNoBarWithoutATerminal(t *testing.T) {
	cmd := newRoot()
	cmd.SetErr(io.Discard)
	tell, end := (&app{}).watch(cmd, "verifying")
	require.Nil(t, tell)
	end()
	f, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	require.NoError(t, err)
	defer f.Close()
	require.False(t, isTerminal(f))
}

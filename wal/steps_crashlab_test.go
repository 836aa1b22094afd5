//go:build crashlab && linux

package wal

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"opossum/internal/step"
)

// TestAGenerationIsDurableBeforeItsName, and its name before it is used: what a power cut would show, shown by the order of the steps. When one of
// them fails, that is told, and the name is free for the next attempt.
func TestAGenerationIsDurableBeforeItsName(t *testing.T) {
	const temp = "00000007.tmp"
	whole := []string{
		"remove " + temp, "create " + temp, "write " + temp, "write " + temp, "write " + temp, "sync " + temp + "/" + segmentFile, "sync " + temp,
		"sync " + temp, // tidwall's own, when it is closed
		"rename 00000007", "sync .",
	}
	commits := []Frame{{First: 5, Count: 1, Body: []byte("body")}}
	for fail := -1; fail < len(whole); fail++ {
		dir := t.TempDir()
		build := func() error {
			b, err := BuildGeneration(dir, testID, 7, testClock, &Link{Prev: 6}, 5, commits)
			if err != nil {
				require.Zero(t, b)
			}
			return err
		}
		taken, err := step.Taken(dir, fail, build)
		if fail < 0 {
			require.NoError(t, err)
			require.Equal(t, whole, taken)
		} else {
			require.ErrorIs(t, err, step.ErrRefused, whole[fail])
			require.Equal(t, whole[:fail+1], taken[:fail+1])
			for _, later := range taken[fail+1:] {
				require.NotContains(t, later, "write", "after %s", whole[fail])
			}
			list, err := List(dir)
			require.NoError(t, err)
			require.Empty(t, list.Generations, "after %s", whole[fail])
			require.NoError(t, build())
		}
		text, err := ReadGeneration(dir, 7, false)
		require.NoError(t, err)
		found := Scan(text, testID, 7)
		require.NoError(t, found.Stop)
		require.EqualValues(t, 6, found.Next())
	}
}

// The name of a generation goes before its file does.
func TestARemovalIsTold(t *testing.T) {
	whole := []string{"remove 00000007.tmp", "rename 00000007.tmp", "remove 00000007.tmp/" + segmentFile, "remove 00000007.tmp"}
	for fail := -1; fail < len(whole); fail++ {
		dir := t.TempDir()
		_, err := BuildGeneration(dir, testID, 7, testClock, nil, 0, nil)
		require.NoError(t, err)
		taken, err := step.Taken(dir, fail, func() error { return RemoveGeneration(dir, 7) })
		if fail < 0 {
			require.NoError(t, err)
			require.Equal(t, whole, taken)
			continue
		}
		require.ErrorIs(t, err, step.ErrRefused)
		require.Equal(t, whole[:fail+1], taken, "and nothing goes on")
		require.NoError(t, RemoveGeneration(dir, 7))
		require.Empty(t, names(t, dir))
	}
	dir := t.TempDir()
	_, err := step.Taken(dir, 0, func() error { return RemoveTemp(dir, "00000007.tmp") })
	require.ErrorIs(t, err, step.ErrRefused)
}

func TestAWitnessIsReplacedDurably(t *testing.T) {
	whole := []string{"create ACKED.tmp", "write ACKED.tmp", "sync ACKED.tmp", "rename ACKED", "sync ."}
	before, after := Acked{Gen: 1, Offset: 97, Position: 4}, Acked{Gen: 2, Offset: 98, Position: 5}
	for fail := -1; fail < len(whole); fail++ {
		dir := t.TempDir()
		require.NoError(t, WriteAcked(dir, testID, before))
		taken, err := step.Taken(dir, fail, func() error { return WriteAcked(dir, testID, after) })
		got, readErr := ReadAcked(dir, testID)
		require.NoError(t, readErr)
		if fail < 0 {
			require.NoError(t, err)
			require.Equal(t, whole, taken)
			require.Equal(t, after, got)
			continue
		}
		require.ErrorIs(t, err, step.ErrRefused, whole[fail])
		require.NotContains(t, taken[fail+1:], "rename ACKED", "after %s", whole[fail])
		if fail < 4 {
			require.Equal(t, before, got, whole[fail])
		}
	}
}

// TestEveryStepOfTheLogIsNeeded: appends, syncs, rotations, with each of their steps failing once. A failure ends the log, unless it is the
// successor's, which nobody waits for; and what was acknowledged before is there.
func TestEveryStepOfTheLogIsNeeded(t *testing.T) {
	for _, relaxed := range []bool{false, true} {
		told := map[string]int{}
		for fail := 0; ; fail++ {
			l, dir := create(t, Options{RotateBytes: 1000})
			acked := 0
			taken, err := step.Taken(dir, fail, func() error {
				defer l.background.Wait()
				for range 20 {
					_, err := l.Append(l.next, 1, [][]byte{[]byte(body(l.next))})
					if err == nil && !relaxed {
						err = l.Sync()
					}
					if err != nil {
						require.Equal(t, err, l.Sync(), "the first error is final")
						_, again := l.Append(l.next, 1, [][]byte{[]byte(body(l.next))})
						require.Equal(t, err, again)
						return err
					}
					acked++
					l.background.Wait() // for a successor, so that the steps are always the same
				}
				return nil
			})
			if fail >= len(taken) {
				require.NoError(t, err)
				require.Contains(t, taken, "sync 00000001", "a sealed generation is closed")
				require.NoError(t, l.Close())
				break
			}
			what := taken[fail]
			write, sync := strings.HasPrefix(what, "write"), strings.HasPrefix(what, "sync") && strings.HasSuffix(what, segmentFile)
			if (write || sync) && !strings.Contains(what, ".tmp") { // all others are in the background
				require.ErrorIs(t, err, step.ErrRefused, what)
				told[strings.Fields(what)[0]]++
			}
			_ = l.Close()
			there := 0
			for _, g := range generations(t, dir) {
				there += len(g.Commits)
			}
			require.GreaterOrEqual(t, there, acked, "after %s", what)
		}
		require.Greater(t, told["write"], 15)
		require.GreaterOrEqual(t, told["sync"], map[bool]int{false: 15, true: 1}[relaxed])
	}
}

// A generation at its hard limit waits for its successor; if that cannot be gone on in, nothing is written at all.
func TestARotationAtTheHardLimitIsTold(t *testing.T) {
	l, dir := create(t, Options{RotateBytes: 1})
	large := make([]byte, MaxBodyBytes/2)
	_, err := l.Append(1, 1, [][]byte{large})
	require.NoError(t, err)
	require.NoError(t, l.Sync())
	l.background.Wait()
	taken, err := step.Taken(dir, 0, func() error {
		_, err := l.Append(2, 1, [][]byte{large})
		return err
	})
	require.Equal(t, "write 00000002", taken[0])
	require.ErrorIs(t, err, step.ErrRefused)
	require.ErrorIs(t, l.Sync(), step.ErrRefused)
}

// What is trimmed or closed badly is told, too; nothing is lost by it.
func TestTrimAndCloseAreTold(t *testing.T) {
	l, dir := create(t, Options{RotateBytes: 1000})
	for l.Stats().Rotations < 2 {
		put(t, l, 1)
		l.background.Wait()
	}
	_, err := step.Taken(dir, 0, func() error {
		n, err := l.Trim(l.Durable())
		require.Positive(t, n)
		return err
	})
	require.ErrorIs(t, err, step.ErrRefused)
	for fail := 0; ; fail++ {
		l, dir := create(t, Options{})
		put(t, l, 1)
		l.prepare() // a successor that will not be needed
		l.background.Wait()
		taken, err := step.Taken(dir, fail, l.Close)
		if fail >= len(taken) {
			require.NoError(t, err)
			require.Greater(t, fail, 2)
			break
		}
		require.ErrorIs(t, err, step.ErrRefused, taken[fail])
	}
}

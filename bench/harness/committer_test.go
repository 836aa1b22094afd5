package harness

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestConcurrentAppendsShareCommits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // a commit takes time, of which none passes in earnest
		for _, grouping := range []Grouping{Drain, YieldOnce, Adaptive} {
			var commits, running, events int
			c := newCommitter(grouping, func(g *group) error {
				running++
				require.Equal(t, 1, running, "one commit at a time")
				require.Len(t, g.buf, frameHeader+2*g.appends)
				time.Sleep(100 * time.Microsecond)
				commits++
				events += g.events
				running--
				return nil
			})
			var writers sync.WaitGroup
			for range 16 {
				writers.Go(func() {
					for range 50 {
						if err := c.append([]byte("ab"), 3); err != nil {
							t.Error(err)
						}
					}
				})
			}
			writers.Wait()
			c.close()
			require.Equal(t, 16*50*3, events)
			require.Less(t, commits, 16*50/2)
		}
	})
}

func TestAllAppendsOfAGroupGetItsError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // a commit takes time, of which none passes in earnest
		broken := errors.New("broken")
		c := newCommitter(Drain, func(*group) error { time.Sleep(time.Millisecond); return broken })
		defer c.close()
		var failed atomic.Int64
		var writers sync.WaitGroup
		for range 16 {
			writers.Go(func() {
				if errors.Is(c.append(nil, 1), broken) {
					failed.Add(1)
				}
			})
		}
		writers.Wait()
		require.EqualValues(t, 16, failed.Load())
	})
}

func TestAGroupIsBounded(t *testing.T) {
	var most int
	c := newCommitter(Adaptive, func(g *group) error { most = max(most, len(g.buf)); return nil })
	records := make([]byte, maxGroupBytes/3)
	var writers sync.WaitGroup
	for range 12 {
		writers.Go(func() {
			if err := c.append(records, 1); err != nil {
				t.Error(err)
			}
		})
	}
	writers.Wait()
	c.close()
	require.LessOrEqual(t, most, maxGroupBytes)
}

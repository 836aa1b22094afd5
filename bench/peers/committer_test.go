package peers

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

// held is a committer whose commits wait until they are let go.
type held struct {
	committer
	groups chan []*attempt
	let    chan struct{}
}

func newHeld() *held {
	h := &held{groups: make(chan []*attempt, 100), let: make(chan struct{})}
	h.commit = func(group []*attempt) {
		<-h.let
		h.groups <- group
	}
	return h
}

func TestWhatWaitsIsOneGroupInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHeld()
		var all []*attempt
		var done atomic.Int32
		for range 6 {
			a := &attempt{}
			all = append(all, a)
			go func() {
				_ = h.do(a)
				done.Add(1)
			}()
			synctest.Wait()
		}
		h.let <- struct{}{}
		synctest.Wait()
		require.Equal(t, all[:1], <-h.groups, "the first one waited for nobody")
		require.EqualValues(t, 1, done.Load(), "and is answered while the others wait")
		h.let <- struct{}{}
		synctest.Wait()
		require.Equal(t, all[1:], <-h.groups)
		require.EqualValues(t, 6, done.Load())
		require.False(t, h.busy)
		require.Empty(t, h.queue)
	})
}

func TestGroupsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHeld()
		for _, size := range []int{1, maxGroupBytes + 1, maxGroupBytes, 1, maxGroupBytes - 1, 1} {
			go func() { _ = h.do(&attempt{size: size}) }()
			synctest.Wait()
		}
		close(h.let)
		synctest.Wait()
		close(h.groups)
		var sizes [][]int
		for group := range h.groups {
			var each []int
			for _, a := range group {
				each = append(each, a.size)
			}
			sizes = append(sizes, each)
		}
		require.Equal(t, [][]int{{1}, {maxGroupBytes + 1}, {maxGroupBytes}, {1, maxGroupBytes - 1}, {1}}, sizes)
	})
}

func TestEachGetsItsOwnAnswerAndOneCommitsAtATime(t *testing.T) {
	odd := errors.New("odd")
	var committing, appends atomic.Int32
	var c committer
	c.commit = func(group []*attempt) {
		require.EqualValues(t, 1, committing.Add(1))
		for _, a := range group {
			appends.Add(1)
			if a.size%2 == 1 {
				a.err = odd
			}
		}
		settle(group, nil)
		committing.Add(-1)
	}
	const writers, each = 64, 200
	var all sync.WaitGroup
	for range writers {
		all.Go(func() {
			for i := range each {
				err := c.do(&attempt{size: i})
				require.Equal(t, i%2 == 1, err == odd)
			}
		})
	}
	all.Wait()
	require.EqualValues(t, writers*each, appends.Load())
	require.False(t, c.busy)
}

func TestSettleKeepsWhatIsSettled(t *testing.T) {
	rejected, broken := errors.New("rejected"), errors.New("broken")
	group := []*attempt{{}, {err: rejected}, {}}
	settle(group, broken)
	require.Equal(t, []error{broken, rejected, broken}, []error{group[0].err, group[1].err, group[2].err})
}

package wal

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"opossum/internal/testmount"
)

// A quota, say, is no free space that one could have asked for.
func TestWantOfSpaceWhileWritingBeforehandIsNoError(t *testing.T) {
	if !testmount.Private(t) {
		return
	}
	disk := filepath.Join(t.TempDir(), "small")
	testmount.Tmpfs(t, disk, "size=700k", 0)
	b, err := BuildGeneration(disk, testID, 1, testClock, &Link{}, 1, nil)
	require.NoError(t, err)
	l, err := Open(disk, testID, []Segment{{Gen: 1}}, Witness{Gen: 1, End: b.End, Sum: b.Sum}, b.No, Options{RotateBytes: leastPrewritten})
	require.NoError(t, err)
	l.prepare()
	l.background.Wait()
	require.True(t, l.cramped.Load())
	require.EqualValues(t, 1+FrameHeaderBytes+headerBodyBytes, size(t, disk, 2), "all was given back")
	put(t, l, 3)
	require.NoError(t, l.Finish())
	require.NoError(t, l.Close())
}

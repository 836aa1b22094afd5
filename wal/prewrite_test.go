package wal

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"opossum/dcb"
)

// large appends a group of 8 KiB and syncs it. A successor that is to be built is built, or given up, when it returns.
func large(t *testing.T, l *Log) {
	t.Helper()
	p := l.Witness().Head + 1
	_, err := l.Append(p, 1, [][]byte{append(make([]byte, 8<<10), body(p)...)})
	require.NoError(t, err)
	require.NoError(t, l.Sync())
	l.background.Wait()
}

// fill appends until the log has rotated to generation gen.
func fill(t *testing.T, l *Log, gen uint64) {
	t.Helper()
	for l.Witness().Gen < gen {
		large(t, l)
	}
}

func size(t *testing.T, dir string, gen uint64) int64 {
	t.Helper()
	info, err := os.Stat(GenerationPath(dir, gen))
	require.NoError(t, err)
	return info.Size()
}

func TestFramesOverwriteWhatWasWrittenBeforehand(t *testing.T) {
	const rotate = leastPrewritten
	l, dir := create(t, Options{RotateBytes: rotate})
	put(t, l, 3)
	require.Equal(t, l.Witness().End, size(t, dir, 1), "who appends little writes no more than that")
	require.Equal(t, []string{genName(1), ackedFile}, names(t, dir))

	fill(t, l, 2)
	require.LessOrEqual(t, size(t, dir, 1), int64(rotate/earlyFactor), "the first generation has no space of that kind, and is left early")
	fill(t, l, 3)
	require.EqualValues(t, rotate, size(t, dir, 2), "no frame made it longer")
	put(t, l, 5)
	require.EqualValues(t, rotate, size(t, dir, 3))
	gens := generations(t, dir)
	require.Len(t, requireChain(t, gens), int(l.Witness().Head))
	require.Equal(t, l.Witness().End, gens[2].Size)
	require.EqualValues(t, rotate, gens[2].Size+gens[2].Room)

	// As it is after a kill, nobody opens it: only recovery may, and writes it anew.
	w := l.Witness()
	_, err := Open(dir, testID, []Segment{{Gen: 3, Last: w.Head}}, w, gens[2].LastNo(), Options{})
	require.ErrorIs(t, err, dcb.ErrCorrupt)

	require.NoError(t, l.Finish())
	require.NoError(t, l.Finish(), "again")
	require.Equal(t, w.End, size(t, dir, 3))
	require.Equal(t, w, l.Witness())
	require.NoError(t, l.Close())
	l = reopen(t, dir, Options{RotateBytes: rotate})
	put(t, l, 1)
	require.Equal(t, l.Witness().End, size(t, dir, 3), "it goes on where it ended")
	require.NoError(t, l.Close())
}

func TestAFrameLargerThanAllThatWasWrittenBeforehand(t *testing.T) {
	l, dir := create(t, Options{RotateBytes: leastPrewritten})
	fill(t, l, 2)
	p := l.Witness().Head + 1
	_, err := l.Append(p, 1, [][]byte{make([]byte, 3*leastPrewritten)})
	require.NoError(t, err)
	require.NoError(t, l.Sync())
	require.Greater(t, size(t, dir, l.Witness().Gen), int64(3*leastPrewritten))
	put(t, l, 3)
	requireChain(t, generations(t, dir))
	require.NoError(t, l.Finish())
	require.NoError(t, l.Close())
	require.NoError(t, reopen(t, dir, Options{}).Close())
}

func TestFinishReportsWhyItCannotCut(t *testing.T) {
	var failing error
	l, _ := create(t, Options{RotateBytes: leastPrewritten, Fdatasync: func(f *os.File) error {
		if failing != nil {
			return failing
		}
		return f.Sync()
	}})
	fill(t, l, 2)
	failing = os.ErrDeadlineExceeded
	require.ErrorIs(t, l.Finish(), failing)
	require.ErrorIs(t, l.Finish(), failing, "the first error is final")
	require.NoError(t, l.Close())
}

// Where space is scarce the log grows as it is written to, and is not left early for a successor that is no better.
func TestNothingIsWrittenBeforehandWhereSpaceIsScarce(t *testing.T) {
	spare, failing := uint64(3*leastPrewritten/2), error(nil) // what is written, and not as much again
	l, dir := create(t, Options{RotateBytes: leastPrewritten, Spare: func() (uint64, error) { return spare, failing }})
	fill(t, l, 2)
	put(t, l, 3)
	require.Equal(t, l.Witness().End, size(t, dir, 2))
	require.EqualValues(t, leastPrewritten/2, l.prepareAt)
	fill(t, l, 3)
	require.Greater(t, size(t, dir, 2), int64(leastPrewritten-(9<<10)))
	spare, failing = 2*leastPrewritten, os.ErrPermission
	fill(t, l, 4)
	put(t, l, 3)
	require.Equal(t, l.Witness().End, size(t, dir, 4), "who cannot be told takes nothing")
	failing = nil
	fill(t, l, 5)
	require.EqualValues(t, leastPrewritten, size(t, dir, 5), "there is space again")
	requireChain(t, generations(t, dir))
}

// Others may take the space that was there when writing beforehand began.
func TestWhatWasWrittenBeforehandIsGivenBackWhenSpaceBecomesScarce(t *testing.T) {
	asked := 0
	l, dir := create(t, Options{RotateBytes: leastPrewritten, Spare: func() (uint64, error) {
		asked++
		return uint64(2*leastPrewritten - (asked-1)*prewritePiece - asked/3), nil // the third time a byte is missing
	}})
	l.prepare()
	l.background.Wait()
	require.Equal(t, 3, asked)
	require.True(t, l.cramped.Load())
	require.EqualValues(t, 1+FrameHeaderBytes+headerBodyBytes, size(t, dir, 2))
	fill(t, l, 2)
	require.Equal(t, l.Witness().End, size(t, dir, 2))
	requireChain(t, generations(t, dir))
}

// A reader finds the end of the frames in a file that does not grow, and need not read what is behind it each time.
func TestAReaderFollowsThroughWhatWasWrittenBeforehand(t *testing.T) {
	l, dir := create(t, Options{RotateBytes: leastPrewritten})
	r := NewReader(dir, testID, 1)
	defer r.Close()
	var next dcb.Position
	sink := Sink{
		Filed: func(dcb.Position) error { return nil },
		Frame: func(_ uint64, f Frame) error { next = f.Last() + 1; return nil },
	}
	put(t, l, 1)
	require.NoError(t, r.Refresh(Known{}, sink))
	for gen := uint64(2); gen <= 4; gen++ {
		fill(t, l, gen)
		for range 12 { // more than is read at once
			large(t, l)
		}
		require.NoError(t, r.Refresh(Known{}, sink))
		require.Equal(t, l.Witness().Head+1, next)
		put(t, l, 1)
		require.NoError(t, r.Refresh(Known{}, sink))
		require.Equal(t, l.Witness().Head+1, next)
		require.LessOrEqual(t, len(r.buf), scanBytes)
		require.EqualValues(t, leastPrewritten, size(t, dir, gen))
	}
}

// TestCloseDoesNotWaitForRoom: what is built while the log is closed is of no use to anybody.
func TestCloseDoesNotWaitForRoom(t *testing.T) {
	const rotate = leastPrewritten
	asked := 0
	var l *Log
	var dir string
	opt := Options{RotateBytes: rotate, Spare: func() (uint64, error) {
		if asked++; asked == 2 { // in the middle of it, the log is closed
			l.closing.Store(true)
		}
		return 1 << 40, nil
	}}
	l, dir = create(t, opt)
	l.prepare()
	l.background.Wait()
	require.Equal(t, 2, asked)
	require.EqualValues(t, 1+FrameHeaderBytes+headerBodyBytes, size(t, dir, 2), "what was written is given back")
	require.NoError(t, l.Close())
}

package wal

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"opossum/dcb"
)

func init() { children["short write"] = childShortWrite }

// TestShortWriteIsFinal meets a real short write: a limit on the size of files, in a process of its own because the limit is
// one of the process. The kernel writes what fits and then refuses.
func TestShortWriteIsFinal(t *testing.T) {
	l, dir := create(t, Options{})
	put(t, l, 3)
	require.NoError(t, l.Close())
	before, err := ReadGeneration(dir, 1, false)
	require.NoError(t, err)

	cmd := exec.Command(os.Args[0], dir)
	cmd.Env = append(os.Environ(), childVariable+"=short write", "GORACE=atexit_sleep_ms=0")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))

	b, err := ReadGeneration(dir, 1, false)
	require.NoError(t, err)
	s := Scan(b, testID, 1)
	require.ErrorIs(t, s.Stop, errCut)
	require.Len(t, s.Commits, 4)
	require.EqualValues(t, 100, s.Size+s.Room-s.Valid, "the write was short, and nothing came behind it")
	require.Equal(t, before, b[:len(before)])
	a, err := ReadAcked(dir, testID)
	require.NoError(t, err)
	require.EqualValues(t, 4, a.Position)
	require.EqualValues(t, s.Valid, a.Offset)

	rebuild(t, dir)
	l = reopen(t, dir, Options{})
	put(t, l, 1)
	require.NoError(t, l.Close())
	require.Equal(t, bodiesTo(5), requireChain(t, generations(t, dir)))
}

// childShortWrite continues a log of three events, and fails at the fifth.
func childShortWrite(dir string) {
	check := func(ok bool, what ...any) {
		if !ok {
			fmt.Println(what...)
			os.Exit(1)
		}
	}
	b, err := ReadGeneration(dir, 1, false)
	check(err == nil, err)
	s := Scan(b, testID, 1)
	l, err := Open(dir, testID, []Segment{{Gen: 1, Last: 3}}, Witness{Gen: 1, End: s.Size, Sum: s.Sum, Head: 3}, s.LastNo(), Options{})
	check(err == nil, err)
	_, err = l.Append(4, 1, [][]byte{[]byte(body(4))})
	check(err == nil && l.Sync() == nil, err)

	var limit unix.Rlimit
	check(unix.Getrlimit(unix.RLIMIT_FSIZE, &limit) == nil)
	unlimited := limit
	limit.Cur = uint64(l.Witness().End) + 100
	check(unix.Setrlimit(unix.RLIMIT_FSIZE, &limit) == nil)
	_, err = l.Append(5, 1, [][]byte{make([]byte, 1000)})
	check(errors.Is(err, unix.EFBIG), "not a short write:", err)
	check(unix.Setrlimit(unix.RLIMIT_FSIZE, &unlimited) == nil)

	_, again := l.Append(5, 1, [][]byte{[]byte("retried")}) // now there would be room
	check(again == err, "retried:", again)
	check(l.Sync() == err)
	check(l.Durable() == dcb.Position(4))
	check(l.Close() == nil)
}

// TestFailedOpenLeaksNothing counts the descriptors of the process.
func TestFailedOpenLeaksNothing(t *testing.T) {
	l, dir := create(t, Options{RotateBytes: 600})
	for l.Stats().Rotations < 2 {
		put(t, l, 1)
		l.background.Wait()
	}
	w := l.Witness()
	var live []Segment
	for _, g := range *l.gens.Load() {
		live = append(live, Segment{Gen: g.no, Last: g.last})
	}
	require.NoError(t, l.Close())
	descriptors := func() int { return len(names(t, "/proc/self/fd")) }

	before := descriptors()
	for range 20 {
		_, err := Open(dir, testID, live, w, 99, Options{})
		require.ErrorIs(t, err, dcb.ErrCorrupt)
	}
	write(t, nil, dir, genName(w.Gen), "00000000000000000900.START")
	for range 20 {
		_, err := Open(dir, testID, live, w, 99, Options{})
		require.ErrorIs(t, err, dcb.ErrCorrupt)
	}
	require.InDelta(t, before, descriptors(), 3, "the runtime may have opened some of its own")
	require.NoError(t, os.Remove(dir+"/"+genName(w.Gen)+"/00000000000000000900.START"))

	before = descriptors()
	for range 20 {
		require.NoError(t, reopen(t, dir, Options{}).Close())
	}
	require.InDelta(t, before, descriptors(), 3)
}

//go:build unix

package opossum

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func init() {
	must := func(err error) {
		if err != nil {
			fmt.Print(err)
			os.Exit(0) // what was printed says it
		}
	}
	// read: opens OPOSSUM_TEST_DIR read-only and prints how many events it reads.
	childMains["read"] = func() {
		r, err := Open(os.Getenv("OPOSSUM_TEST_DIR"), readOnly)
		must(err)
		v, err := r.Read(ctxb, AllEvents(), ReadOptions{})
		must(err)
		events, err := collect(v.All())
		must(err)
		must(r.Refresh(ctxb))
		must(r.Close())
		fmt.Print(len(events), " events")
	}
	// read without descriptors: refreshes while it may open no file.
	childMains["read without descriptors"] = func() {
		r, err := Open(os.Getenv("OPOSSUM_TEST_DIR"), readOnly)
		must(err)
		var limit syscall.Rlimit
		must(syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit))
		none := limit
		none.Cur = 0
		must(syscall.Setrlimit(syscall.RLIMIT_NOFILE, &none))
		fmt.Println(r.Refresh(ctxb))
		_, err = r.Read(ctxb, AllEvents(), ReadOptions{})
		fmt.Println(err)
		must(syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit))
		fmt.Println(r.Refresh(ctxb))
		must(r.Close())
	}
}

// Who may only read the files of a store reads them: a store that was closed, one whose owner died, and one with an owner.
func TestAReadOnlyEngineNeedsNoRightToWrite(t *testing.T) {
	dir := filepath.Join(ordinaryDir(t), "store")
	e := openStore(t, dir, nil, hooks{})
	appendOK(t, e, nil, event("T"), event("T"))
	appendOK(t, e, nil, event("T"))
	require.Equal(t, "3 events", runInChild(t, "read", dir, true), "beside the owner")
	dead := filepath.Join(ordinaryDir(t), "dead")
	require.NoError(t, os.Rename(copyStore(t, e), dead))
	require.NoError(t, e.Close())
	for _, dir := range []string{dir, dead} {
		require.NoError(t, os.Chmod(dir, 0o555))
		before := tree(t, dir)
		require.Equal(t, "3 events", runInChild(t, "read", dir, true))
		require.Equal(t, before, tree(t, dir))
		require.NoError(t, os.Chmod(filepath.Join(dir, "wal"), 0o700))
		if os.Getuid() == 0 {
			out := runInChild(t, "read", dir, true)
			require.Contains(t, out, "permission denied")
			require.NotContains(t, out, ErrReadOnly.Error(), "the right to read is missing")
		}
		require.NoError(t, os.Chmod(dir, 0o755))
	}
}

// An error that is this process's own passes: too many open files now say nothing of the store.
func TestAReadOnlyEngineGoesOnWhenThereAreDescriptorsAgain(t *testing.T) {
	dir := t.TempDir()
	e := openStore(t, dir, nil, hooks{})
	appendOK(t, e, nil, event("T"))
	out := runInChild(t, "read without descriptors", dir, false)
	require.Regexp(t, "^opossum: refresh: .*too many open files\n<nil>\n<nil>\n$", out)
}

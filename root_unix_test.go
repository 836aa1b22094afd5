//go:build unix

package opossum

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func init() {
	// root: what another process can do with the root OPOSSUM_TEST_DIR and its contexts a, b and new.
	childMains["root"] = func() {
		say := func(what string, err error) {
			for _, s := range []error{ErrLocked, ErrReadOnly, ErrNoContext} {
				if errors.Is(err, s) {
					err = s
				}
			}
			fmt.Printf("%s: %v\n", what, err)
		}
		r, err := OpenRoot(os.Getenv("OPOSSUM_TEST_DIR"), &RootOptions{Create: true})
		say("root", err)
		if err != nil {
			return
		}
		names, err := r.List()
		say(fmt.Sprint("list ", names), err)
		for _, name := range []string{"a", "b", "new"} {
			_, err := r.Context(name)
			say("context "+name, err)
		}
		for _, name := range []string{"a", "b"} {
			say("delete "+name, r.Delete(name, ConfirmDelete))
		}
		say("close", r.Close())
	}
}

func TestTwoProcessesShareARootAndNoContext(t *testing.T) {
	dir := t.TempDir()
	fill(t, dir, "a", "b")
	r := rootIn(t, dir, nil, open)
	a := contextOK(t, r, "a")
	require.Equal(t, fmt.Sprintf("root: <nil>\nlist [a b]: <nil>\ncontext a: %v\ncontext b: <nil>\ncontext new: <nil>\ndelete a: %v\ndelete b: <nil>\nclose: <nil>\n",
		ErrLocked, ErrLocked), runInChild(t, "root", dir, false))
	holds(t, a, "a")
	require.Equal(t, []string{"a", "new"}, listOK(t, r))
	_, err := r.Context("b")
	require.ErrorIs(t, err, ErrNoContext)
}

// Who may not write is told so, and changes nothing; what a deletion has left keeps nobody out.
func TestARootWithoutTheRightToWrite(t *testing.T) {
	dir := filepath.Join(ordinaryDir(t), "root")
	fill(t, dir, "a", "b")
	left := leftover(t, dir, "c", 1)
	for _, name := range []string{"a", "b", "."} {
		require.NoError(t, os.Chmod(filepath.Join(dir, name), 0o555))
	}
	if os.Getuid() != 0 { // its owner may write below
		t.Cleanup(func() { _ = os.Chmod(dir, 0o755) })
		for _, name := range []string{"a", "b"} {
			require.NoError(t, os.Chmod(filepath.Join(dir, name, "LOCK"), 0o444))
		}
	}
	before := tree(t, dir)
	require.Equal(t, fmt.Sprintf("root: <nil>\nlist [a b]: <nil>\ncontext a: %[1]v\ncontext b: %[1]v\ncontext new: %[1]v\ndelete a: %[1]v\ndelete b: %[1]v\nclose: <nil>\n",
		ErrReadOnly), runInChild(t, "root", dir, true))
	require.Equal(t, fmt.Sprintf("root: %v\n", ErrReadOnly), runInChild(t, "root", filepath.Join(dir, "missing"), true))
	require.Equal(t, before, tree(t, dir))
	require.NoError(t, os.Chmod(dir, 0o755))
	r := rootIn(t, dir, nil, open)
	require.NoDirExists(t, left)
	require.Equal(t, []string{"a", "b"}, listOK(t, r))
}

// Read-only engines of another root are not asked. They end, and never show an empty store.
func TestADeletionEndsReadersWithAnError(t *testing.T) {
	dir := t.TempDir()
	fill(t, dir, "a")
	reader := contextOK(t, rootIn(t, dir, &RootOptions{Defaults: *readOnly}, open), "a")
	holds(t, reader, "a")
	require.NoError(t, rootIn(t, dir, nil, open).Delete("a", ConfirmDelete))
	require.ErrorIs(t, reader.Refresh(ctxb), ErrReopen)
}

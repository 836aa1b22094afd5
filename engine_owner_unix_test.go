//go:build unix

package opossum

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func init() {
	// open: opens OPOSSUM_TEST_DIR and prints the error.
	childMains["open"] = func() {
		e, err := Open(os.Getenv("OPOSSUM_TEST_DIR"), nil)
		if err == nil {
			fmt.Print("opened")
			_ = e.Close()
			return
		}
		for _, s := range []error{ErrLocked, ErrReadOnly, ErrNotStore, ErrVersion, ErrCorrupt} {
			if errors.Is(err, s) {
				fmt.Printf("[%v] ", s)
			}
		}
		fmt.Print(err)
	}
}

// openInChild returns what the child "open" prints; as an ordinary user if asked.
func openInChild(t *testing.T, dir string, ordinary bool) string {
	t.Helper()
	return runInChild(t, "open", dir, ordinary)
}

func runInChild(t *testing.T, child, dir string, ordinary bool) string {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	if ordinary && os.Getuid() == 0 {
		// The binary lies where only root may look.
		at := filepath.Join(ordinaryDir(t), "opossum.test")
		require.NoError(t, copyFile(exe, at))
		require.NoError(t, os.Chmod(at, 0o755))
		exe = at
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), "OPOSSUM_TEST_CHILD="+child, "OPOSSUM_TEST_DIR="+dir)
	cmd.Dir = "/"
	if ordinary && os.Getuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return string(out)
}

// ordinaryDir returns a temporary directory that every user may enter.
func ordinaryDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "opossum-ordinary-")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	require.NoError(t, os.Chmod(dir, 0o755))
	return dir
}

func TestASecondOpenerIsToldWhoOwnsTheStore(t *testing.T) {
	dir := t.TempDir()
	e := openStore(t, dir, nil, hooks{})
	appendOK(t, e, nil, event("T"))
	pid := fmt.Sprint("pid ", os.Getpid())
	for range 3 {
		_, err := Open(dir, nil)
		require.ErrorIs(t, err, ErrLocked)
		require.ErrorContains(t, err, pid)
		out := openInChild(t, dir, false)
		require.Contains(t, out, ErrLocked.Error())
		require.Contains(t, out, pid, "the owner's pid, not the child's")
		appendOK(t, e, nil, event("T"))
	}
	require.NoError(t, e.Close())
	require.Equal(t, "opened", openInChild(t, dir, false))
	e = openStore(t, dir, nil, hooks{})
	require.Equal(t, "clean", e.Recovery().Outcome)
	require.Len(t, checkDense(t, e), 4)
}

func TestAReadOnlyStoreIsRefusedUnharmed(t *testing.T) {
	top := ordinaryDir(t)
	for _, how := range []string{"store", "empty directory", "parent"} {
		dir := filepath.Join(top, strings.ReplaceAll(how, " ", "-"))
		if how == "store" {
			e := openStore(t, dir, nil, hooks{})
			appendOK(t, e, nil, event("T"))
			require.NoError(t, e.Close())
		} else {
			require.NoError(t, os.Mkdir(dir, 0o755))
		}
		require.NoError(t, os.Chmod(dir, 0o555))
		if os.Getuid() != 0 && how == "store" { // its owner may write below
			require.NoError(t, os.Chmod(filepath.Join(dir, "LOCK"), 0o444))
		}
		before := tree(t, dir)
		target := dir
		if how == "parent" {
			target = filepath.Join(dir, "new", "store")
		}
		out := openInChild(t, target, true)
		require.Contains(t, out, "["+ErrReadOnly.Error()+"]", how)
		require.Contains(t, out, dir, how)
		require.NotContains(t, out, ErrCorrupt.Error(), how)
		require.Equal(t, before, tree(t, dir), how)
		require.NoError(t, os.Chmod(dir, 0o755))
		if os.Getuid() != 0 && how == "store" {
			require.NoError(t, os.Chmod(filepath.Join(dir, "LOCK"), 0o644))
		}
		if how == "store" {
			e := openStore(t, dir, nil, hooks{})
			require.EqualValues(t, 2, appendOK(t, e, nil, event("T")))
			require.NoError(t, e.Close())
		}
	}
}

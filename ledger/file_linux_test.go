package ledger

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

const childVariable = "OPOSSUM_LEDGER_TEST_CHILD"

func init() {
	if os.Getenv(childVariable) != "" {
		childShortStore(os.Args[1])
	}
}

// TestStoreShortWrite meets a real short write, as on a full disk, in a process of its own because the limit is one of the process.
func TestStoreShortWrite(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, Store(dir, testState()))
	cmd := exec.Command(os.Args[0], dir)
	cmd.Env = append(os.Environ(), childVariable+"=1", "GORACE=atexit_sleep_ms=0")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))

	got, err := Load(dir)
	require.NoError(t, err)
	require.Equal(t, testState(), got)
	found, err := RemoveTemp(dir)
	require.NoError(t, err)
	require.False(t, found, "the failed attempt cleaned up")
}

func childShortStore(dir string) {
	var limit unix.Rlimit
	err := unix.Getrlimit(unix.RLIMIT_FSIZE, &limit)
	limit.Cur = 100
	err = errors.Join(err, unix.Setrlimit(unix.RLIMIT_FSIZE, &limit))
	s := testState()
	s.Epoch++
	if stored := Store(dir, s); err != nil || !errors.Is(stored, unix.EFBIG) {
		fmt.Println("not a short write:", err, stored)
		os.Exit(1)
	}
	os.Exit(0)
}

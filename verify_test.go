package opossum

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"opossum/recovery"
)

// atRestStore is a closed store of some events, of which the first three are filed.
func atRestStore(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "store")
	e := openStore(t, dir, nil, hooks{})
	for _, tag := range []Tag{"a", "b", "c"} {
		appendOK(t, e, nil, event("T", tag))
	}
	require.NoError(t, e.WaitMaterialized(ctxb, 3))
	require.NoError(t, e.Close())
	return dir
}

// calls are what may be done with a store at rest.
var calls = map[string]func(ctx context.Context, dir string) error{
	"verify": func(ctx context.Context, dir string) error {
		_, err := Verify(ctx, dir, nil)
		return err
	},
	"repair": func(ctx context.Context, dir string) error {
		_, err := Repair(ctx, dir, nil)
		return err
	},
	"dry repair": func(ctx context.Context, dir string) error {
		_, err := Repair(ctx, dir, &RepairOptions{DryRun: true})
		return err
	},
	"rebuild": func(ctx context.Context, dir string) error {
		_, err := RebuildIndex(ctx, dir, nil)
		return err
	},
}

func TestVerifyAndRepairKeepAwayFromAnOwner(t *testing.T) {
	dir := atRestStore(t)
	e := openStore(t, dir, nil, hooks{})
	for name, call := range calls {
		err := call(ctxb, dir)
		require.ErrorIs(t, err, ErrLocked, name)
		require.ErrorContains(t, err, "pid")
	}
	require.NoError(t, e.Close())
	for name, call := range calls {
		require.NoError(t, call(ctxb, dir), name)
	}
}

func TestAVerifyKeepsOwnersAwayAndOtherVerifiesNot(t *testing.T) {
	dir := atRestStore(t)
	tried := false
	_, err := Verify(ctxb, dir, &VerifyOptions{Progress: func(uint64, uint64) {
		if tried {
			return
		}
		tried = true
		_, err := Open(dir, nil)
		require.ErrorIs(t, err, ErrLocked)
		require.ErrorIs(t, calls["repair"](ctxb, dir), ErrLocked)
		require.NoError(t, calls["verify"](ctxb, dir))
		require.NoError(t, calls["dry repair"](ctxb, dir))
	}})
	require.NoError(t, err)
	require.True(t, tried)
	openStore(t, dir, nil, hooks{})
}

func TestVerifyNeedsNoLockFile(t *testing.T) {
	dir := atRestStore(t)
	require.NoError(t, os.Remove(filepath.Join(dir, recovery.LockFile)))
	before := storeTree(t, dir)
	for _, name := range []string{"verify", "dry repair"} {
		require.NoError(t, calls[name](ctxb, dir))
		require.Equal(t, before, storeTree(t, dir), name)
	}
}

func TestVerifyAndRepairOfWhatIsNoStore(t *testing.T) {
	cancelled, cancel := context.WithCancel(ctxb)
	cancel()
	foreign := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(foreign, "notes.txt"), nil, 0o644))
	file := filepath.Join(foreign, "notes.txt")
	newer := atRestStore(t)
	ledgerPath := filepath.Join(newer, "ledger.json")
	require.NoError(t, os.WriteFile(ledgerPath, []byte(`{"format": "opossum-ledger", "version": 2}`), 0o644))
	for name, call := range calls {
		before := storeTree(t, foreign)
		require.ErrorIs(t, call(ctxb, foreign), ErrNotStore, name)
		require.ErrorIs(t, call(ctxb, t.TempDir()), ErrNotStore, name)
		require.Equal(t, before, storeTree(t, foreign), "%s put something into a foreign directory", name)
		require.ErrorIs(t, call(ctxb, filepath.Join(foreign, "absent")), fs.ErrNotExist, name)
		require.Error(t, call(ctxb, file), name)
		require.ErrorIs(t, call(ctxb, newer), ErrVersion, name)
		require.ErrorIs(t, call(cancelled, atRestStore(t)), context.Canceled, name)
	}
}

func TestARepairedStoreOpens(t *testing.T) {
	dir := atRestStore(t)
	e := openStore(t, dir, nil, hooks{})
	lost := e.files.Path(2)
	require.NoError(t, e.Close())
	require.NoError(t, os.Remove(lost))
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "wal"))) // whose last generation still had it
	v, err := Verify(ctxb, dir, nil)
	require.NoError(t, err)
	require.False(t, v.Sound())
	_, err = Repair(ctxb, dir, nil)
	require.ErrorIs(t, err, ErrCorrupt)
	require.ErrorContains(t, err, lost)
	rep, err := Repair(ctxb, dir, &RepairOptions{AcceptLoss: true})
	require.NoError(t, err)
	require.True(t, rep.Done)
	v, err = Verify(ctxb, dir, nil)
	require.NoError(t, err)
	require.Empty(t, v.Findings)

	e = openStore(t, dir, nil, hooks{})
	require.EqualValues(t, 3, e.Head())
	require.Greater(t, e.Recovery().Epoch, uint64(1))
	all := checkDense(t, e)
	require.Equal(t, recovery.LostType, all[1].Event.Type)
	_, err = e.Append(ctxb, []Event{event("T", "b")}, failIfExists(ByTags("b")))
	require.True(t, errors.Is(err, ErrAlreadyExists), "the lost event is still seen by its tag: %v", err)
	appendOK(t, e, failIfExists(ByTags("d")), event("T", "d"))
}

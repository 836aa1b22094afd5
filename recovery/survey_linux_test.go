package recovery

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"opossum/dcb"
	"opossum/internal/index"
	"opossum/ledger"
	"opossum/wal"
)

// asked is a context that does something whenever one asks whether it has ended.
type asked struct {
	context.Context
	do func()
}

func (c asked) Err() error {
	c.do()
	return nil
}

// linkToItself makes a name that exists and cannot be opened, by nobody.
func linkToItself(t *testing.T, path string) {
	t.Helper()
	require.NoError(t, os.RemoveAll(path))
	require.NoError(t, os.Symlink(path, path))
}

// What keeps a survey from looking ends it, even if it is over by the next look: a survey that takes it for damage would be wrong.
func TestASurveyOfALogThatCannotBeReadIsAnError(t *testing.T) {
	f := ward(t)
	generation := f.get(f.path(3))
	linkToItself(t, f.path(3))
	ctx := asked{t.Context(), func() {
		if os.Remove(f.path(3)) == nil {
			f.put(f.path(3), generation)
		}
	}}
	_, err := Verify(ctx, f.dir, VerifyOptions{})
	require.ErrorIs(t, err, syscall.ELOOP)

	f = ward(t)
	linkToItself(t, wal.AckedPath(f.walDir))
	_, err = Verify(t.Context(), f.dir, VerifyOptions{})
	require.ErrorIs(t, err, syscall.ELOOP)

	f = ward(t)
	_, err = Verify(t.Context(), f.dir, VerifyOptions{Progress: func(uint64, uint64) { f.remove(filepath.Dir(f.path(4))) }})
	require.ErrorIs(t, err, fs.ErrNotExist, "what stood in it, nobody knows")
}

func TestAnIdentityThatCannotBeReadIsAnError(t *testing.T) {
	for name, path := range map[string]func(dir string) string{
		"generation": func(dir string) string { return wal.GenerationPath(dir, 1) },
		"ACKED":      wal.AckedPath,
	} {
		dir := t.TempDir()
		for gen := uint64(1); gen <= 2; gen++ {
			_, err := wal.BuildGeneration(dir, wal.StoreID{1}, gen, now, nil, 0, nil)
			require.NoError(t, err)
		}
		linkToItself(t, path(dir))
		s := &survey{ledger: ledger.State{Store: uuid.New()}} // of another store, which ACKED may yet agree with
		_, err := s.identity(dir, []uint64{1, 2})
		require.ErrorIs(t, err, syscall.ELOOP, name)
		require.NoError(t, s.ledgerErr, "%s: no judgement", name)
	}
}

// What was looked at is let go of, whatever came of it: an application that repairs a store goes on, and other systems delete nothing that is mapped.
func TestNothingStaysMapped(t *testing.T) {
	for name, do := range map[string]func(f *fixture){
		"verify": func(f *fixture) { f.verify() },
		"a repair that asks the index for lost events": func(f *fixture) {
			f.trim()
			f.remove(f.event(2))
			_, err := Repair(t.Context(), f.dir, RepairOptions{AcceptLoss: true})
			require.NoError(t, err)
		},
		"a load that fails": func(f *fixture) {
			o, _, err := f.recover()
			require.NoError(t, err)
			s, err := Inspect(f.dir, f.files, false)
			require.NoError(t, err)
			f.rotFrame(2, 0) // after it was inspected
			_, err = Load(o, s.Index, f.files, index.Config{Dir: filepath.Join(f.dir, IndexDir), Seed: f.id.Seed(), RecentBytes: 1 << 20}, index.NewPlaces(5))
			require.ErrorIs(t, err, dcb.ErrCorrupt)
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := ward(t)
			do(f)
			maps, err := os.ReadFile("/proc/self/maps")
			require.NoError(t, err)
			require.NotContains(t, string(maps), f.dir)
		})
	}
}

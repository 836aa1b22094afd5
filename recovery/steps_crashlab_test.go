//go:build crashlab && linux

package recovery

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"opossum/internal/index"
	"opossum/internal/segment"
	"opossum/internal/step"
	"opossum/ledger"
)

// pastErrors is the step that takes in what the system has to say of the process before.
const pastErrors = "sync " + EventsDir

// TestRecoveryMakesEachStepDurableBeforeTheNext: what a power cut would show, shown by the order of the steps. When one of them fails, recovery says
// so, and the next one loses nothing.
func TestRecoveryMakesEachStepDurableBeforeTheNext(t *testing.T) {
	whole := []string{
		"sync wal/00000001/00000000000000000001", "sync wal/00000002/00000000000000000001", "sync wal/00000003/00000000000000000001",
		"sync wal/00000004/00000000000000000001", // what is read back must be on the disk
		"mkdir quarantine", "create quarantine/wal-00000004-at-97.bin", "write quarantine/wal-00000004-at-97.bin",
		"sync quarantine/wal-00000004-at-97.bin", "sync quarantine", "sync .",
		pastErrors, "remove wal/00000005.tmp/00000000000000000001", "remove wal/00000005.tmp", "create wal/00000005.tmp", "write wal/00000005.tmp", "write wal/00000005.tmp", "write wal/00000005.tmp", "write wal/00000005.tmp",
		"sync wal/00000005.tmp/00000000000000000001", "sync wal/00000005.tmp", "sync wal/00000005.tmp", "rename wal/00000005", "sync wal",
		"create ledger.json.tmp", "write ledger.json.tmp", "sync ledger.json.tmp", "rename ledger.json", "sync .",
	}
	begun := threeGenerations(t)
	begun.file(1, 4)
	begun.ledger(func(l *ledger.State) { l.Materialized = 4 })
	begun.damage(4, func(b []byte) []byte { return append(b, "torn"...) })
	begun.litter()
	for fail := -1; ; fail++ {
		f := begun.clone()
		taken, err := step.Taken(f.dir, fail, func() error {
			o, _, err := f.recover()
			if err != nil {
				require.Zero(t, o)
			}
			return err
		})
		if fail >= len(taken) {
			break
		}
		if fail < 0 {
			require.NoError(t, err)
			require.Equal(t, whole, taken[:len(whole)])
			for _, later := range taken[len(whole):] {
				require.NotContains(t, later, "sync", "removals need none")
			}
		} else if taken[fail] == pastErrors {
			require.NoError(t, err, "an error that the process before has left ends nothing")
		} else {
			require.ErrorIs(t, err, step.ErrRefused, taken[fail])
		}
		f = openFixture(t, f.dir)
		f.requireEvents(9)
		require.FileExists(t, filepath.Join(f.dir, QuarantineDir, "wal-00000004-at-97.bin"))
	}
}

// TestACreationTellsOfEachStepThatFails, and the next one begins anew.
func TestACreationTellsOfEachStepThatFails(t *testing.T) {
	for fail := 0; ; fail++ {
		f := openFixture(t, t.TempDir())
		taken, err := step.Taken(f.dir, fail, func() error {
			_, _, err := f.recover()
			return err
		})
		if fail >= len(taken) {
			require.NoError(t, err)
			break
		}
		if taken[fail] != pastErrors {
			require.ErrorIs(t, err, step.ErrRefused, taken[fail])
		}
		openFixture(t, f.dir).requireEvents(0)
	}
}

// TestARepairTellsOfEachStepThatFails, and the next one takes it up.
func TestARepairTellsOfEachStepThatFails(t *testing.T) {
	for _, losses := range []bool{false, true} {
		for fail := 0; ; fail++ {
			f := hard(t, losses)
			o := RepairOptions{AcceptLoss: losses}
			taken, err := step.Taken(f.dir, fail, func() error {
				_, err := Repair(t.Context(), f.dir, o)
				return err
			})
			if fail >= len(taken) {
				require.NoError(t, err)
				break
			}
			require.ErrorIs(t, err, step.ErrRefused, taken[fail])
			_, err = Repair(t.Context(), f.dir, o)
			require.NoError(t, err, taken[fail])
			f.requireRepaired()
			if losses {
				f.requireAll(8, 1)
			} else {
				f.requireAll(9)
			}
		}
	}
}

// TestARebuildTellsOfEachStepThatFails, and the next one makes a whole index.
func TestARebuildTellsOfEachStepThatFails(t *testing.T) {
	begun := threeGenerations(t)
	begun.file(1, 9)
	begun.ledger(func(l *ledger.State) { l.Materialized = 9 })
	require.NoError(t, os.MkdirAll(filepath.Join(begun.dir, IndexDir), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(begun.dir, IndexDir, segmentName(1, 3)), []byte("old"), 0o644))
	for fail := 0; ; fail++ {
		f := begun.clone()
		taken, err := step.Taken(f.dir, fail, func() error {
			_, err := RebuildIndex(t.Context(), f.dir, RebuildOptions{})
			return err
		})
		if fail >= len(taken) {
			require.NoError(t, err)
			require.Equal(t, "sync index", taken[len(taken)-1])
			break
		}
		require.ErrorIs(t, err, step.ErrRefused, taken[fail])
		r, err := RebuildIndex(t.Context(), f.dir, RebuildOptions{})
		require.NoError(t, err)
		require.EqualValues(t, 9, r.Positions)
	}
}

// TestALoadTellsOfEachStepThatFails, be it of building what the index lacks, of removing what it does not need, or of sealing what memory cannot hold.
func TestALoadTellsOfEachStepThatFails(t *testing.T) {
	f := threeGenerations(t)
	f.file(1, 4)
	f.ledger(func(l *ledger.State) { l.Materialized = 4 })
	o, _, err := f.recover()
	require.NoError(t, err)
	seen := map[string]bool{}
	for fail := 0; ; fail++ {
		dir := filepath.Join(f.TempDir(), IndexDir)
		require.NoError(t, os.MkdirAll(dir, 0o755))
		old := segment.Range{First: 3, Last: 3}
		require.NoError(t, os.WriteFile(filepath.Join(dir, segmentName(old.First, old.Last)), []byte("old"), 0o644))
		taken, err := step.Taken(f.dir, fail, func() error {
			loaded, err := Load(o, index.Found{Remove: []segment.Range{old}}, f.files, index.Config{
				Dir: dir, Seed: f.id.Seed(), RecentBytes: 1, Damaged: func() {},
			}, index.NewPlaces(4))
			if err == nil {
				loaded.Index.Close()
			}
			return err
		})
		if fail >= len(taken) {
			require.NoError(t, err)
			break
		}
		seen[strings.Fields(taken[fail])[0]] = true
		require.ErrorIs(t, err, step.ErrRefused, taken[fail])
	}
	require.True(t, seen["sync"] && seen["remove"])
}

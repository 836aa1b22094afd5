//go:build crashlab && linux

package projection

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"opossum/internal/step"
)

// copyTree copies what a process that is killed now would leave.
func copyTree(t *testing.T, from string) string {
	to := t.TempDir()
	require.NoError(t, os.CopyFS(to, os.DirFS(from)))
	return to
}

// TestEveryStepOfASave: a history is followed, with its compactions, in a live store or a build, and one step of it fails. The process goes on, or is killed there and then:
// in either case the read model comes to what a fold from the start has. A kill is the failure of a step and the end, in a copy.
func TestEveryStepOfASave(t *testing.T) {
	h := pastEvents(rand.New(rand.NewPCG(3, 4)), 40, 4)
	for _, building := range []bool{false, true} {
		for fail := 0; ; fail++ {
			dir := t.TempDir()
			stores := filesAt(t, dir, "one")
			s := build(t, stores, testID, true)
			if !building {
				require.NoError(t, stores.Replace(testID))
			}
			n := 0
			batch := func() int { n++; return 1 + n%5 }
			taken, err := step.Taken(dir, fail, func() error {
				if err := follow(s, h[:20], batch); err != nil {
					return err
				}
				if err := s.(*fileStore).tryCompact(); err != nil {
					return err
				}
				return follow(s, h, batch)
			})
			if fail >= len(taken) {
				require.NoError(t, err)
				require.Greater(t, fail, 60)
				requireFolded(t, s, h)
				break
			}
			if err == nil {
				require.Contains(t, taken[fail], "remove", "only that can wait")
			}
			killed := copyTree(t, dir)
			requireAgrees(t, s)
			require.NoError(t, follow(s, h, batch), "after %s", taken[fail])
			requireFolded(t, s, h)
			require.NoError(t, stores.Close())
			for _, d := range []string{dir, killed} {
				again := filesAt(t, d, "one")
				s, err := reopen(again, building)
				require.NoError(t, err, "after %s", taken[fail])
				require.NoError(t, follow(s, h, batch), "after %s", taken[fail])
				requireFolded(t, s, h)
				require.NoError(t, again.Close())
				for _, e := range must(os.ReadDir(filepath.Join(d, map[bool]string{false: "students", true: buildDir + "/students"}[building]))) {
					if strings.HasPrefix(e.Name(), tempPrefix) {
						require.True(t, building, "after %s", taken[fail])
					}
				}
			}
		}
	}
}

// reopen opens a live store, or a build, that must not have to begin anew.
func reopen(f *files, building bool) (*fileStore, error) {
	path, in := f.livePath(testID.Name), f.live
	if building {
		path, in = f.buildPath(testID.Name), f.builds
	}
	s, err := f.openStore(path, testID)
	if err == nil {
		s.building = building
		f.opened(in, s)
	}
	return s, err
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// TestEveryStepIsAMomentOfDeath: the directory is copied before every single step of a history, with compactions, a rebuild and its replacement, and what is in each copy is
// opened in the same run of the system, as after a kill.
func TestEveryStepIsAMomentOfDeath(t *testing.T) {
	h := pastEvents(rand.New(rand.NewPCG(5, 6)), 30, 3)
	dir := t.TempDir()
	stores := filesAt(t, dir, "one")
	s := started(t, stores)
	moments := 0
	look := func(kind step.Kind, path string) error {
		moments++
		what := string(kind) + " " + path
		killed := filesAt(t, copyTree(t, dir), "one")
		defer func() { require.NoError(t, killed.Close()) }()
		for _, building := range []bool{false, true} {
			s, err := reopen(killed, building)
			if building && errors.Is(err, ErrUnfit) && (!exists(killed.buildPath(testID.Name)) || !exists(filepath.Join(killed.buildPath(testID.Name), logName)) ||
				len(must(os.ReadFile(filepath.Join(killed.buildPath(testID.Name), logName)))) == 0) {
				continue // there is none yet, or no more
			}
			require.NoError(t, err, "before %s", what)
			require.NoError(t, follow(s, h, func() int { return 4 }), "before %s", what)
			requireFolded(t, s, h)
		}
		return nil
	}
	n := 0
	batch := func() int { n++; return 1 + n%7 }
	err := watched(look, func() error {
		return errors.Join(follow(s, h[:15], batch), s.(*fileStore).tryCompact(), follow(s, h, batch), func() error {
			b, err := stores.Build(testID, true)
			if err != nil {
				return err
			}
			return errors.Join(follow(b, h[:20], batch), b.(*fileStore).tryCompact(), follow(b, h, batch), stores.Replace(testID), s.Close(), b.Close())
		}())
	})
	require.NoError(t, err)
	require.Greater(t, moments, 100)
}

// TestEveryStepOfAnOpening: who was killed at any step of a history is followed by one who is killed at any step of the opening. The third one, who is not, finds what a kill
// leaves; and what an opening has put right is so for one who believes nothing.
func TestEveryStepOfAnOpening(t *testing.T) {
	h := pastEvents(rand.New(rand.NewPCG(11, 12)), 30, 3)
	goesOn := func(dir, run, what string) {
		stores := filesAt(t, dir, run)
		s, err := stores.Live(testID)
		require.NoError(t, err, what)
		requireAgrees(t, s)
		require.NoError(t, s.Save(nil, s.Checkpoint())) // what was announced, and not made, must not become true by this
		beside := filesAt(t, copyTree(t, dir), run)
		k, err := beside.Live(testID)
		require.NoError(t, err, what)
		require.Equal(t, k.Index().Where(func(Info) bool { return true }), s.Index().Where(func(Info) bool { return true }), what)
		require.NoError(t, beside.Close())
		require.NoError(t, follow(s, h, func() int { return 4 }), what)
		requireFolded(t, s, h)
		require.NoError(t, stores.Close())
	}
	open := func(dir string, fail int) (taken []string, err error) {
		stores := filesAt(t, dir, "one")
		taken, err = step.Taken(dir, fail, func() error {
			_, err := stores.Live(testID)
			return err
		})
		require.NoError(t, stores.Close())
		return taken, err
	}
	deaths := 0
	for kill := 0; ; kill++ {
		dir := t.TempDir()
		stores := filesAt(t, dir, "one")
		s := started(t, stores)
		var killed string
		n, moment := 0, 0
		err := watched(func(step.Kind, string) error {
			if moment == kill {
				killed = copyTree(t, dir)
			}
			moment++
			return nil
		}, func() error { return follow(s, h, func() int { n++; return 1 + n%7 }) })
		require.NoError(t, err)
		require.NoError(t, stores.Close())
		if killed == "" {
			break
		}
		for fail := 0; ; fail++ {
			again := copyTree(t, killed)
			taken, err := open(again, fail)
			what := fmt.Sprintf("killed before step %d, and again at step %d of %q", kill, fail, taken)
			if fail >= len(taken) {
				require.NoError(t, err, what)
				goesOn(copyTree(t, again), "two", what)
				goesOn(again, "one", what)
				break
			}
			if !strings.HasPrefix(taken[fail], "remove") { // what is deleted can wait
				require.ErrorIs(t, err, step.ErrRefused, what)
			}
			deaths++
			goesOn(again, "one", what)
		}
	}
	require.Greater(t, deaths, 40)
}

// TestADiskThatFailsForAWhile: from some step on all fail, what would mend the first failure included. Then the disk is well again, and the process goes on; or it was killed.
func TestADiskThatFailsForAWhile(t *testing.T) {
	h := pastEvents(rand.New(rand.NewPCG(8, 9)), 25, 3)
	for fail := 0; ; fail++ {
		dir := t.TempDir()
		stores := filesAt(t, dir, "one")
		s := started(t, stores)
		n, taken := 0, 0
		batch := func() int { n++; return 1 + n%5 }
		err := step.Watched(func(step.Kind, string) error {
			if taken++; taken > fail {
				return step.ErrRefused
			}
			return nil
		}, func() error { return follow(s, h, batch) })
		if err == nil {
			require.Greater(t, fail, 40)
			break
		}
		killed := copyTree(t, dir)
		require.NoError(t, s.Save(nil, s.Checkpoint())) // what was announced, and not made, must not become true by this
		beside := filesAt(t, copyTree(t, dir), "two")   // where every file is held against the log
		k, err := beside.Live(testID)
		require.NoError(t, err, "after step %d", fail)
		require.Equal(t, k.Index().Where(func(Info) bool { return true }), s.Index().Where(func(Info) bool { return true }))
		require.NoError(t, follow(s, h, batch))
		requireFolded(t, s, h)
		again := filesAt(t, killed, "one")
		k, err = again.Live(testID)
		require.NoError(t, err)
		require.NoError(t, follow(k, h, batch))
		requireFolded(t, k, h)
		for _, f := range []*files{stores, beside, again} {
			require.NoError(t, f.Close())
		}
	}
}

// TestADiskThatFailsNowAndThen: any step may fail, those that would mend an earlier failure included, while the process tries again and again; or it is killed after any attempt.
func TestADiskThatFailsNowAndThen(t *testing.T) {
	for seed := range uint64(30) {
		r := rand.New(rand.NewPCG(seed, 13))
		h := pastEvents(r, 40, 4)
		dir := t.TempDir()
		stores := filesAt(t, dir, "one")
		s := started(t, stores)
		goesOn := func(dir, run string) {
			beside := filesAt(t, dir, run)
			s, err := beside.Live(testID)
			require.NoError(t, err, "seed %d", seed)
			requireAgrees(t, s)
			require.NoError(t, follow(s, h, func() int { return 3 }))
			requireFolded(t, s, h)
			require.NoError(t, beside.Close())
		}
		for failing := true; failing; {
			err := step.Watched(func(step.Kind, string) error {
				if r.IntN(4) == 0 {
					return step.ErrRefused
				}
				return nil
			}, func() error { return follow(s, h, func() int { return 1 + r.IntN(5) }) })
			if failing = err != nil; failing {
				require.ErrorIs(t, err, step.ErrRefused)
			}
			goesOn(copyTree(t, dir), "one")
		}
		requireFolded(t, s, h)
		goesOn(copyTree(t, dir), "two")
		require.NoError(t, stores.Close())
		goesOn(dir, "one")
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// watched does something, and calls look before each of its steps, but not of those that look makes.
func watched(look func(kind step.Kind, path string) error, do func() error) error {
	looking := false
	return step.Watched(func(kind step.Kind, path string) error {
		if looking {
			return nil
		}
		looking = true
		defer func() { looking = false }()
		return look(kind, path)
	}, do)
}

// TestEveryStepOfAReplacement: whatever fails, the old one or the new one is live, for those who have it open, and for the next opening; and it can be tried again.
func TestEveryStepOfAReplacement(t *testing.T) {
	for _, first := range []bool{true, false} {
		for fail := 0; ; fail++ {
			dir := t.TempDir()
			stores := openFiles(t, dir)
			var old Store
			if !first {
				old = started(t, stores)
				save(t, old, 10, testRecord("a", 5))
			}
			b := build(t, stores, testID, true)
			save(t, b, 15, testRecord("a", 14))
			save(t, b, 20, testRecord("a", 15))
			taken, err := step.Taken(dir, fail, func() error { return stores.Replace(testID) })
			if err == nil && fail >= len(taken) {
				require.GreaterOrEqual(t, fail, map[bool]int{true: 2, false: 4}[first])
				break
			}
			killed := openFiles(t, copyTree(t, dir))
			l, openErr := killed.Live(testID)
			switch {
			case err == nil:
				require.NoError(t, openErr)
				requireHas(t, l, 20, testRecord("a", 15))
			case first:
				require.ErrorIs(t, openErr, ErrUnfit)
			default:
				require.NoError(t, openErr)
				requireHas(t, l, 10, testRecord("a", 5))
				requireHas(t, old, 10, testRecord("a", 5))
			}
			if err != nil {
				require.ErrorIs(t, err, step.ErrRefused)
				require.NoError(t, stores.Replace(testID), "after %s", taken[fail])
			}
			requireHas(t, b, 20, testRecord("a", 15))
			if old != nil {
				requireHas(t, old, 10, testRecord("a", 5))
				require.NoError(t, old.Close())
			}
			require.NoError(t, stores.Close())
			requireHas(t, live(t, openFiles(t, dir), testID), 20, testRecord("a", 15))
		}
	}
}

// TestNothingIsSynced, and an announcement comes before the files, these before the checkpoint, and what is deleted goes after it.
func TestTheStepsOfASave(t *testing.T) {
	dir := t.TempDir()
	stores := openFiles(t, dir)
	s := started(t, stores)
	save(t, s, 10, testRecord("a", 5), testRecord("b", 6))
	taken, err := step.Taken(dir, -1, func() error {
		return s.Save([]Record{testRecord("c", 11), deletion("a", 12), testRecord("b", 13)}, Checkpoint{13, 13})
	})
	require.NoError(t, err)
	var got []string
	for _, what := range taken {
		kind, path, _ := strings.Cut(what, " ")
		if path = filepath.Base(path); strings.HasPrefix(path, tempPrefix) {
			path = "temp"
		}
		got = append(got, kind+" "+path)
	}
	require.Equal(t, []string{
		"write index.jsonl", "create c.json", "write c.json", "link c.json", "create temp", "write temp", "rename b.json", "write index.jsonl", "remove a.json",
	}, got)
}

// What cannot be written says so, with the name of the file and the reason.
func TestAFullDiskIsTold(t *testing.T) {
	dir := t.TempDir()
	stores := openFiles(t, dir)
	s := started(t, stores)
	_, err := step.Taken(dir, 2, func() error { return s.Save([]Record{testRecord("c", 11)}, Checkpoint{13, 13}) })
	require.ErrorIs(t, err, step.ErrRefused)
	var at *fs.PathError
	require.ErrorAs(t, err, &at)
	require.Equal(t, "c.json", at.Path)
	require.NotErrorIs(t, err, syscall.ENOENT)
	requireNone(t, s, "c")
}

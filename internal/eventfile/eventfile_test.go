package eventfile

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"pgregory.net/rapid"

	"opossum/dcb"
	"opossum/internal/codec"
)

// children are what this test binary does when a test starts it as a process of its own, each in the directory it is given.
var children = map[string]func(dir string) error{}

const childVariable = "EVENTFILE_TEST_CHILD"

func TestMain(m *testing.M) {
	if name := os.Getenv(childVariable); name != "" {
		if err := children[name](os.Args[1]); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

const top = dcb.Position(1<<64 - 1)

func event(p dcb.Position, data string) dcb.SequencedEvent {
	return dcb.SequencedEvent{Position: p, Event: dcb.Event{
		Type: "StudentEnrolled", Tags: []dcb.Tag{"student:7", "course:c1"}, Data: []byte(data), Time: time.Unix(1700000000, 7).UTC(),
	}}
}

func text(p dcb.Position) []byte { return codec.AppendText(nil, event(p, `{"student": 7}`)) }

func openStore(t testing.TB) *Store {
	t.Helper()
	s, err := Open(filepath.Join(t.TempDir(), "events"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// inEachWay runs f with a store for each way of writing that this system has.
func inEachWay(t *testing.T, f func(t *testing.T, s *Store)) {
	for name, force := range ways {
		t.Run(name, func(t *testing.T) {
			s := openStore(t)
			force(s)
			f(t, s)
		})
	}
}

func requireHolds(t testing.TB, s *Store, want dcb.SequencedEvent) {
	t.Helper()
	got, err := s.Read(want.Position)
	require.NoError(t, err)
	require.Equal(t, want, got)
}

// names lists everything below the store, with slashes.
func names(t testing.TB, s *Store) (all []string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(s.dir, func(path string, e fs.DirEntry, err error) error {
		rel, relErr := filepath.Rel(s.dir, path)
		if !e.IsDir() {
			all = append(all, filepath.ToSlash(rel))
		}
		return errors.Join(err, relErr)
	}))
	return all
}

// The layout is a format: a change of this list is a new version.
func TestLayout(t *testing.T) {
	inEachWay(t, func(t *testing.T, s *Store) {
		for _, p := range []dcb.Position{top, 1, 42, 10_000, 10_001, 20_000, 20_001} {
			require.NoError(t, s.Write(p, text(p)))
			requireHolds(t, s, event(p, `{"student": 7}`))
		}
		require.Equal(t, []string{
			"00000000000000000001/00000000000000000001.json",
			"00000000000000000001/00000000000000000042.json",
			"00000000000000000001/00000000000000010000.json",
			"00000000000000010001/00000000000000010001.json",
			"00000000000000010001/00000000000000020000.json",
			"00000000000000020001/00000000000000020001.json",
			"18446744073709550001/18446744073709551615.json",
		}, names(t, s))
		content, err := os.ReadFile(filepath.Join(s.dir, "00000000000000000001", "00000000000000000042.json"))
		require.NoError(t, err)
		require.Equal(t, string(text(42)), string(content))
	})
}

func TestNamesAreTheirOwnInverse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := dcb.Position(rapid.Uint64Min(1).Draw(t, "position"))
		first := ShardOf(p)
		require.True(t, first <= p && p-first < ShardPositions && first%ShardPositions == 1)
		require.Equal(t, fmt.Sprintf("%020d.json", p), fileName(p))
		got, ok := parseFileName(fileName(p), first)
		require.True(t, ok)
		require.Equal(t, p, got)
	})
	for _, name := range []string{"", ".json", "1.json", "00000000000000000000.json", "00000000000000010001.json", "+0000000000000000001.json",
		"0000000000000000000x.json", "00000000000000000001.json.bak", "00000000000000000001", "000000000000000000001.json", "99999999999999999999.json", ".tmp-1-1"} {
		_, ok := parseFileName(name, 1)
		require.False(t, ok, name)
	}
}

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	for range 2 { // creates, then finds
		s, err := Open(filepath.Join(dir, "events"))
		require.NoError(t, err)
		require.NoError(t, s.Close())
	}
	_, err := Open(filepath.Join(dir, "missing", "events"))
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "file"), nil, 0o600))
	_, err = Open(filepath.Join(dir, "file"))
	require.ErrorContains(t, err, filepath.Join(dir, "file"))
}

func TestRelativeDirectorySurvivesChdir(t *testing.T) {
	t.Chdir(t.TempDir())
	s, err := Open("events")
	require.NoError(t, err)
	t.Chdir(t.TempDir())
	for _, force := range ways {
		force(s)
		require.NoError(t, s.Write(1, text(1)))
		requireHolds(t, s, event(1, `{"student": 7}`))
	}
	require.NoError(t, s.Sync())
	require.NoError(t, s.Close())
}

func TestClosed(t *testing.T) {
	inEachWay(t, func(t *testing.T, s *Store) {
		require.NoError(t, s.Write(1, text(1)))
		require.NoError(t, s.Close())
		require.NoError(t, s.Close(), "closing twice")
		_, readErr := s.Read(1)
		_, _, highestErr := s.HighestValid(0)
		_, removeErr := s.RemoveTemp()
		_, _, usageErr := s.Usage()
		for _, err := range []error{s.Write(1, text(1)), s.Sync(), readErr, highestErr, removeErr, usageErr} {
			require.ErrorIs(t, err, fs.ErrClosed)
		}
	})
}

func TestPositionZeroHasNoFile(t *testing.T) {
	s := openStore(t)
	require.ErrorIs(t, s.Write(0, text(1)), fs.ErrInvalid)
	_, err := s.Read(0)
	require.ErrorIs(t, err, fs.ErrInvalid)
	require.Empty(t, names(t, s))
}

// Replay always rewrites: no state of the name may survive a Write.
func TestWriteReplacesWhateverIsThere(t *testing.T) {
	elsewhere := filepath.Join(t.TempDir(), "elsewhere")
	states := map[string]func(t *testing.T, path string){
		"same":   func(t *testing.T, path string) {},
		"empty":  func(t *testing.T, path string) { require.NoError(t, os.Truncate(path, 0)) },
		"short":  func(t *testing.T, path string) { require.NoError(t, os.Truncate(path, 10)) },
		"longer": func(t *testing.T, path string) { require.NoError(t, os.WriteFile(path, make([]byte, 9999), 0o600)) },
		"zeros": func(t *testing.T, path string) {
			require.NoError(t, os.WriteFile(path, make([]byte, len(text(7))), 0o600))
		},
		"missing": func(t *testing.T, path string) { require.NoError(t, os.Remove(path)) },
		"no shard": func(t *testing.T, path string) {
			require.NoError(t, os.RemoveAll(filepath.Dir(path)))
		},
		"link": func(t *testing.T, path string) {
			require.NoError(t, os.WriteFile(elsewhere, []byte("keep"), 0o600))
			require.NoError(t, os.Remove(path))
			require.NoError(t, os.Symlink(elsewhere, path))
		},
	}
	inEachWay(t, func(t *testing.T, s *Store) {
		for name, damage := range states {
			t.Run(name, func(t *testing.T) {
				require.NoError(t, s.Write(7, text(7)))
				damage(t, s.Path(7))
				require.NoError(t, s.Write(7, codec.AppendText(nil, event(7, "new"))))
				requireHolds(t, s, event(7, "new"))
				require.Equal(t, []string{"00000000000000000001/00000000000000000007.json"}, names(t, s))
			})
		}
	})
	kept, err := os.ReadFile(elsewhere)
	require.NoError(t, err)
	require.Equal(t, "keep", string(kept), "a Write must not follow a link")
}

func TestWriteOverDirectoryFailsAndLeavesNothing(t *testing.T) {
	inEachWay(t, func(t *testing.T, s *Store) {
		require.NoError(t, os.MkdirAll(filepath.Join(s.Path(7), "sub"), 0o755))
		err := s.Write(7, text(7))
		require.ErrorContains(t, err, s.Path(7))
		require.Empty(t, names(t, s))
	})
}

func TestReadRefusesDamage(t *testing.T) {
	good := text(7)
	write := func(b []byte) func(t *testing.T, path string) {
		return func(t *testing.T, path string) { require.NoError(t, os.WriteFile(path, b, 0o644)) }
	}
	flip := func(i int) []byte {
		b := slices.Clone(good)
		b[i] ^= 1
		return b
	}
	cases := map[string]struct {
		damage func(t *testing.T, path string)
		reason string
	}{
		"altered":       {write(flip(30)), "checksum does not match"},
		"altered sum":   {write(flip(len(good) - 6)), "checksum does not match"},
		"empty":         {write(nil), "too short"},
		"zeros":         {write(make([]byte, len(good))), "checksum line"},
		"truncated":     {write(good[:len(good)-1]), "checksum line"},
		"appended to":   {write(append(slices.Clone(good), "\n"...)), "checksum line"},
		"swapped":       {write(text(8)), "holds event 8"},
		"other program": {write([]byte(strings.Repeat(`{"position": 7}`, 20))), "checksum line"},
		"directory": {func(t *testing.T, path string) {
			require.NoError(t, os.Remove(path))
			require.NoError(t, os.Mkdir(path, 0o755))
		}, "not a regular file"},
		"link to the right file": {func(t *testing.T, path string) {
			require.NoError(t, os.Rename(path, path+".moved"))
			require.NoError(t, os.Symlink(path+".moved", path))
		}, "not a regular file"},
		"huge": {func(t *testing.T, path string) { require.NoError(t, os.Truncate(path, codec.MaxTextBytes+1)) }, "longer than any event"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := openStore(t)
			require.NoError(t, s.Write(7, good))
			c.damage(t, s.Path(7))
			got, err := s.Read(7)
			require.Zero(t, got)
			requireCorrupt(t, err, s.Path(7), c.reason)
		})
	}
}

func requireCorrupt(t *testing.T, err error, path, reason string) {
	t.Helper()
	var ce *dcb.CorruptError
	require.ErrorAs(t, err, &ce)
	require.ErrorIs(t, err, dcb.ErrCorrupt)
	require.Equal(t, path, ce.File)
	require.Contains(t, ce.Reason, reason)
	require.Contains(t, ce.Reason, "event 7", "which position it concerns")
}

func TestReadOfMissingFile(t *testing.T) {
	s := openStore(t)
	_, err := s.Read(1)
	require.ErrorIs(t, err, fs.ErrNotExist, "no shard")
	require.ErrorContains(t, err, s.Path(1))
	require.NoError(t, s.Write(2, text(2)))
	_, err = s.Read(1)
	require.ErrorIs(t, err, fs.ErrNotExist, "no file")
	require.NotErrorIs(t, err, dcb.ErrCorrupt)
}

// What Read returned must not change when its buffer is used again, and sizes around that of the buffer must not matter.
func TestReadsShareNoMemory(t *testing.T) {
	s := openStore(t)
	var want, got []dcb.SequencedEvent
	for i, size := range []int{0, 1, 3000, 4094, 4095, 4096, 4097, 70_000, 3, 200_000, 2} {
		ev := event(dcb.Position(i+1), strings.Repeat("x", size))
		if size == 0 {
			ev.Event.Data = nil
		}
		want = append(want, ev)
		require.NoError(t, s.Write(ev.Position, codec.AppendText(nil, ev)))
	}
	for _, ev := range want {
		back, err := s.Read(ev.Position)
		require.NoError(t, err)
		got = append(got, back)
	}
	require.Equal(t, want, got)
}

// Readers spin while files appear and are rewritten with texts of very different length.
func TestObserverSeesWholeOrNothing(t *testing.T) {
	const rounds = 200
	inEachWay(t, func(t *testing.T, s *Store) {
		short, long := event(1, "short"), event(1, strings.Repeat("long ", 12_000))
		require.NoError(t, s.Write(1, codec.AppendText(nil, short)))
		var done atomic.Bool
		var writers, readers errgroup.Group
		for range 2 {
			writers.Go(func() error {
				for i := range rounds {
					ev := short
					if i%2 == 0 {
						ev = long
					}
					if err := s.Write(1, codec.AppendText(nil, ev)); err != nil {
						return err
					}
				}
				return nil
			})
		}
		writers.Go(func() error { // positions 2 and up appear in order
			for p := dcb.Position(2); p < rounds; p++ {
				if err := s.Write(p, codec.AppendText(nil, event(p, string(long.Event.Data)))); err != nil {
					return err
				}
			}
			return nil
		})
		var rewritten, appeared int
		readers.Go(func() error {
			for ; !done.Load() || rewritten == 0; rewritten++ {
				got, err := s.Read(1)
				if err != nil {
					return err
				}
				if n := len(got.Event.Data); n != len(short.Event.Data) && n != len(long.Event.Data) {
					return fmt.Errorf("neither text: %d bytes of data", n)
				}
			}
			return nil
		})
		readers.Go(func() error {
			for p := dcb.Position(2); p < rounds; {
				allWritten := done.Load()
				_, err := s.Read(p)
				switch {
				case err == nil:
					p++
					appeared++
				case allWritten || !errors.Is(err, fs.ErrNotExist):
					return err
				}
			}
			return nil
		})
		err := writers.Wait()
		done.Store(true)
		require.NoError(t, readers.Wait())
		require.NoError(t, err)
		require.Equal(t, rounds-2, appeared)
		t.Logf("%d reads while rewriting", rewritten)
	})
}

// More shards than descriptors are kept, several writers in each, and one position that all of them write.
func TestConcurrentWritersInManyShards(t *testing.T) {
	inEachWay(t, func(t *testing.T, s *Store) {
		var g errgroup.Group
		for w := range 4 {
			g.Go(func() error {
				for i := range 100 {
					p := dcb.Position((i%12)*ShardPositions + w*1000 + i + 1)
					if err := errors.Join(s.Write(p, text(p)), s.Write(5_000, text(5_000))); err != nil {
						return err
					}
				}
				return nil
			})
		}
		require.NoError(t, g.Wait())
		require.NoError(t, s.Sync())
		files, _, err := s.Usage()
		require.NoError(t, err)
		require.Equal(t, 401, files)
		require.Len(t, names(t, s), 401, "and nothing else")
		for _, name := range names(t, s) {
			p, ok := parseDigits(strings.TrimSuffix(filepath.Base(name), fileSuffix))
			require.True(t, ok)
			requireHolds(t, s, event(p, `{"student": 7}`))
		}
	})
}

func TestSyncGoesOnAfterSync(t *testing.T) {
	inEachWay(t, func(t *testing.T, s *Store) {
		for _, perFile := range []bool{false, true} {
			s.perFile = perFile || !syncfsReports()
			for p := dcb.Position(9_990); p < 10_010; p++ {
				require.NoError(t, s.Write(p, text(p)))
			}
			require.NoError(t, s.Sync())
			require.NoError(t, s.Sync(), "nothing to do")
			positions, packs := s.pending.take()
			require.Empty(t, positions)
			require.Empty(t, packs)
		}
	})
}

func TestPerFileSyncRemembersWhatWasWritten(t *testing.T) {
	s := openStore(t)
	s.perFile = true
	for _, p := range []dcb.Position{10_001, 10_000, 3, 10_002, 3} {
		require.NoError(t, s.Write(p, text(p)))
	}
	require.Error(t, s.Write(0, nil))
	files, dirs := s.toSync(s.pending.take())
	require.Equal(t, []string{s.Path(3), s.Path(10_000), s.Path(10_001), s.Path(10_002)}, files)
	require.Equal(t, []string{s.shardPath(1), s.shardPath(10_001), s.dir, filepath.Dir(s.dir)}, dirs)
	files, dirs = s.toSync(s.pending.take())
	require.Empty(t, files)
	require.Empty(t, dirs)
}

func TestFailedSyncIsFinal(t *testing.T) {
	failures := map[string]func(t *testing.T, s *Store){
		"a file": func(t *testing.T, s *Store) {
			s.perFile = true
			require.NoError(t, s.Write(1, text(1)))
			require.NoError(t, os.Remove(s.Path(1)))
		},
		"a directory": func(t *testing.T, s *Store) {
			s.perFile = true
			s.pending.add(1)
			require.NoError(t, os.MkdirAll(filepath.Dir(s.Path(1)), 0o755))
			require.NoError(t, os.WriteFile(s.Path(1), text(1), 0o644))
			s.dir = filepath.Join(s.dir, "gone")
		},
		"the file system": func(t *testing.T, s *Store) {
			require.NoError(t, s.Write(1, text(1)))
			require.NoError(t, s.root.Close())
			t.Cleanup(func() { s.closed.Store(true) }) // root cannot be closed once more
		},
	}
	for name, fail := range failures {
		t.Run(name, func(t *testing.T) {
			s := openStore(t)
			fail(t, s)
			err := s.Sync()
			require.Error(t, err)
			s.perFile = true
			require.NoError(t, os.MkdirAll(s.dir, 0o755))
			require.NoError(t, s.syncEach(nil, nil), "a second try would succeed")
			require.Equal(t, err, s.Sync(), "and is not made")
		})
	}
}

func TestHighestValid(t *testing.T) {
	s := openStore(t)
	expect := func(above, want dcb.Position) {
		t.Helper()
		p, file, err := s.HighestValid(above)
		require.NoError(t, err)
		require.Equal(t, want, p)
		if want == 0 {
			require.Empty(t, file)
		} else {
			require.Equal(t, s.Path(want), file)
		}
	}
	expect(0, 0)
	for _, p := range []dcb.Position{1, 9_999, 10_000, 10_001, 30_000, 30_001} {
		require.NoError(t, s.Write(p, text(p)))
	}
	expect(0, 30_001)
	expect(30_000, 30_001)
	expect(30_001, 0)
	expect(top, 0)
	require.NoError(t, os.Truncate(s.Path(30_001), 20))
	expect(0, 30_000)
	expect(30_000, 0)
	require.NoError(t, os.Rename(s.Path(30_000), s.Path(29_999)))
	expect(9_999, 10_001)
	expect(10_000, 10_001)
	require.NoError(t, os.Truncate(s.Path(10_001), 0))
	expect(0, 10_000)
	expect(9_998, 10_000)
	expect(10_000, 0)

	// None of these is an event file.
	stray := func(name string) {
		path := filepath.Join(s.dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, text(9_000), 0o644))
	}
	stray("00000000000000000001/.tmp-1-1")
	stray("00000000000000000001/00000000000000020000.json")
	stray("00000000000000009000/00000000000000009000.json")
	stray("00000000000000040001")
	stray("notes.txt")
	require.NoError(t, os.Mkdir(s.Path(40), 0o755))
	expect(0, 10_000)

	require.NoError(t, s.Write(top, text(top)))
	expect(0, top)
	expect(top-1, top)
	expect(top, 0)
}

// It would be wasteful, and after a repair wrong, to look at what lies below.
func TestHighestValidReadsNothingBelow(t *testing.T) {
	s := openStore(t)
	for p := dcb.Position(9_995); p <= 10_005; p++ {
		require.NoError(t, s.Write(p, text(p)))
	}
	old := time.Unix(1, 0)
	for p := dcb.Position(9_995); p <= 10_005; p++ {
		require.NoError(t, os.Truncate(s.Path(p), 1))
		require.NoError(t, os.Chtimes(s.Path(p), old, time.Now())) // relatime then records the next read
	}
	p, _, err := s.HighestValid(10_002)
	require.NoError(t, err)
	require.Zero(t, p)
	requireUnread(t, s, old, 9_995, 10_002)
}

func TestHighestValidAgainstPlainSearch(t *testing.T) {
	root := t.TempDir()
	position := rapid.Custom(func(t *rapid.T) dcb.Position {
		return dcb.Position(rapid.SampledFrom([]uint64{1, 9_998, 10_000, 29_998}).Draw(t, "base") + rapid.Uint64Range(0, 4).Draw(t, "offset"))
	})
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp(root, "")
		require.NoError(t, err)
		s, err := Open(dir)
		require.NoError(t, err)
		defer s.Close()
		valid := map[dcb.Position]bool{}
		for range rapid.IntRange(0, 6).Draw(t, "files") {
			p := position.Draw(t, "position")
			valid[p] = rapid.Bool().Draw(t, "valid")
			content := text(p)
			if !valid[p] {
				content = content[:len(content)/2]
			}
			require.NoError(t, s.Write(p, content))
		}
		above := position.Draw(t, "above") - 1
		var want dcb.Position
		for p, ok := range valid {
			if ok && p > above {
				want = max(want, p)
			}
		}
		got, _, err := s.HighestValid(above)
		require.NoError(t, err)
		require.Equal(t, want, got)
	})
}

func TestRemoveTemp(t *testing.T) {
	s := openStore(t)
	require.NoError(t, s.Write(1, text(1)))
	require.NoError(t, s.Write(20_001, text(20_001)))
	kept := names(t, s)
	var want []string
	for _, name := range []string{"00000000000000000001/.tmp-0-1", "00000000000000020001/.tmp-", "00000000000000020001/.tmp-ff-2"} {
		want = append(want, filepath.Join(s.dir, filepath.FromSlash(name)))
		require.NoError(t, os.WriteFile(want[len(want)-1], []byte("half"), 0o644))
	}
	require.NoError(t, os.Mkdir(filepath.Join(s.shardPath(1), ".tmp-directory"), 0o755)) // not ours
	removed, err := s.RemoveTemp()
	require.NoError(t, err)
	require.Equal(t, want, removed)
	require.Equal(t, kept, names(t, s))
	removed, err = s.RemoveTemp()
	require.NoError(t, err)
	require.Empty(t, removed)
}

func TestUsage(t *testing.T) {
	s := openStore(t)
	files, size, err := s.Usage()
	require.NoError(t, err)
	require.Zero(t, files)
	require.Zero(t, size)
	large := bytes.Repeat([]byte("x"), 100_000)
	require.NoError(t, s.Write(1, large))
	require.NoError(t, s.Write(10_001, text(10_001)))
	require.NoError(t, os.WriteFile(filepath.Join(s.shardPath(1), ".tmp-1-1"), large, 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(s.dir, "notes"), large, 0o644))
	require.NoError(t, s.Sync())
	files, size, err = s.Usage()
	require.NoError(t, err)
	require.Equal(t, 2, files)
	require.GreaterOrEqual(t, size, int64(len(large)))
	require.Less(t, size, int64(2*len(large)))
}

func TestTempNamesNeverRepeat(t *testing.T) {
	a, b := newTempNames(), newTempNames()
	seen := map[string]bool{}
	var mu sync.Mutex
	var g errgroup.Group
	for _, n := range []*tempNames{&a, &b, &a, &b} {
		g.Go(func() error {
			for range 100 {
				name := n.next()
				mu.Lock()
				if seen[name] || !strings.HasPrefix(name, tempPrefix) {
					mu.Unlock()
					return fmt.Errorf("bad name %q", name)
				}
				seen[name] = true
				mu.Unlock()
			}
			return nil
		})
	}
	require.NoError(t, g.Wait())
}

func BenchmarkWrite(b *testing.B) {
	benchText := codec.AppendText(nil, event(1, `{"note": "`+strings.Repeat("abcdefgh", 32)+`"}`))
	for name, force := range ways {
		for _, writers := range []int{1, 2} {
			b.Run(fmt.Sprintf("way=%s/writers=%d/bytes=%d", name, writers, len(benchText)), func(b *testing.B) {
				s := openStore(b)
				force(s)
				var last atomic.Uint64
				b.ResetTimer()
				var g errgroup.Group
				for range writers {
					g.Go(func() error {
						for {
							p := last.Add(1)
							if p > uint64(b.N) {
								return nil
							}
							if err := s.Write(dcb.Position(p), benchText); err != nil {
								return err
							}
						}
					})
				}
				if err := g.Wait(); err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "files/s")
			})
		}
	}
}

func BenchmarkRewrite(b *testing.B) {
	s := openStore(b)
	p := dcb.Position(0)
	for b.Loop() {
		p = p%1000 + 1
		if err := s.Write(p, text(1)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRead(b *testing.B) {
	for _, size := range []int{16, 256, 4096} {
		b.Run(fmt.Sprintf("bytes=%d", size), func(b *testing.B) {
			s := openStore(b)
			for p := dcb.Position(1); p <= 1000; p++ {
				require.NoError(b, s.Write(p, codec.AppendText(nil, event(p, `"`+strings.Repeat("x", size)+`"`))))
			}
			b.ReportAllocs()
			p := dcb.Position(0)
			for b.Loop() {
				p = p%1000 + 1
				if _, err := s.Read(p); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkSync is one checkpoint of 1,000 new files: writing is not measured.
func BenchmarkSync(b *testing.B) {
	for _, perFile := range []bool{false, true} {
		b.Run(fmt.Sprintf("perFile=%t/files=1000", perFile), func(b *testing.B) {
			s := openStore(b)
			s.perFile = perFile || !syncfsReports()
			p := dcb.Position(0)
			for b.Loop() {
				b.StopTimer()
				for range 1000 {
					p++
					require.NoError(b, s.Write(p, text(p)))
				}
				b.StartTimer()
				if err := s.Sync(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

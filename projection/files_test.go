package projection

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"opossum/dcb"
)

// happened is an event of a history: of a key, or of none, which may end a life.
type happened struct {
	key string
	end bool
}

func pastEvents(r *rand.Rand, n, keys int) []happened {
	h := make([]happened, n)
	for i := range h {
		if r.IntN(10) > 0 {
			h[i] = happened{fmt.Sprintf("key%d", r.IntN(keys)), r.IntN(4) == 0}
		}
	}
	return h
}

// after is the record of a key after one more event.
func after(r Record, key string, h happened, p dcb.Position) Record {
	if h.end {
		return deletion(key, p)
	}
	at := testTime.Add(time.Duration(p) * time.Second)
	next := Record{Key: key, Position: p, Created: r.Created, Updated: at, Version: r.Version + 1, State: append(slices.Clone(r.State), '1'),
		Tags: []dcb.Tag{dcb.Tag(fmt.Sprint("v", r.Version%3))}}
	if r.Deleted() {
		next.Created = at
	}
	return next
}

// follow folds what a store does not have yet, and saves after each so many events.
func follow(s Store, h []happened, batch func() int) error {
	held := map[string]Record{}
	changed := map[string]bool{}
	left := batch()
	for p := s.Checkpoint().Position + 1; p <= dcb.Position(len(h)); p++ {
		e := h[p-1]
		if e.key != "" {
			r, ok := held[e.key]
			if !ok {
				var err error
				if r, err = s.Get(e.key); err != nil && !errors.Is(err, dcb.ErrNotFound) {
					return err
				}
				r.Key = e.key
			}
			changed[e.key] = true
			if p > r.Position && !(e.end && r.Deleted()) {
				r = after(r, e.key, e, p)
			}
			held[e.key] = r
		}
		if left--; left <= 0 || p == dcb.Position(len(h)) {
			var records []Record
			for key := range changed {
				if held[key].Position > 0 {
					records = append(records, held[key])
				}
			}
			slices.SortFunc(records, func(a, b Record) int { return strings.Compare(a.Key, b.Key) })
			if half := len(records) / 2; p%2 == 0 { // in pieces, of which only the last has the checkpoint, as many states are saved
				if err := s.Save(records[:half], s.Checkpoint()); err != nil {
					return err
				}
				records = records[half:]
			}
			if err := s.Save(records, Checkpoint{p, uint64(p)}); err != nil {
				return err
			}
			clear(changed)
			left = batch()
		}
	}
	return nil
}

// requireFolded fails unless a store has what a fold of everything from the start has.
func requireFolded(t require.TestingT, s Store, h []happened) {
	m := Memory()
	want, err := m.Build(testID, true)
	require.NoError(t, err)
	require.NoError(t, follow(want, h, func() int { return len(h) }))
	require.Equal(t, want.Checkpoint(), s.Checkpoint())
	all := func(Info) bool { return true }
	require.Equal(t, want.Index().Where(all), s.Index().Where(all))
	for _, i := range want.Index().Where(all) {
		w, err := want.Get(i.Key)
		require.NoError(t, err)
		got, err := s.Get(i.Key)
		require.NoError(t, err)
		require.Equal(t, w, got)
	}
}

// requireAgrees fails unless the index of a store says what its files are.
func requireAgrees(t require.TestingT, s Store) {
	for _, i := range s.Index().Where(func(Info) bool { return true }) {
		r, err := s.Get(i.Key)
		require.NoError(t, err)
		require.Equal(t, i, InfoOf(r))
	}
}

// filesAt opens stores in a run of the system.
func filesAt(t testing.TB, dir, run string) *files {
	s := openFiles(t, dir).(*files)
	s.session = func(string) string { return run }
	return s
}

// past is every text that each file of a directory had at some time.
type past map[string][][]byte

func (p past) look(t *testing.T, dir string) {
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		require.NoError(t, err)
		if texts := p[e.Name()]; len(texts) == 0 || !bytes.Equal(texts[len(texts)-1], text) {
			p[e.Name()] = append(texts, text)
		}
	}
}

// TestAnyPowerCut: of each file, and of the log, what a power cut leaves is chosen by chance from all that it ever was, or it is missing, cut, or rubbish. What opens is
// followed to what a fold from the start has; most of what is unfit would not be.
func TestAnyPowerCut(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	opened := 0
	for round := range 15 {
		h := pastEvents(r, 60, 1+r.IntN(8))
		base := t.TempDir()
		stores := filesAt(t, base, "one")
		s := started(t, stores)
		dir := filepath.Join(base, testID.Name)
		was := past{}
		was.look(t, dir)
		for n := 0; n < len(h); {
			n = min(len(h), n+1+r.IntN(12))
			require.NoError(t, follow(s, h[:n], func() int { return 1 + r.IntN(6) }))
			if r.IntN(6) == 0 {
				require.NoError(t, s.(*fileStore).tryCompact())
			}
			was.look(t, dir)
		}
		requireFolded(t, s, h)
		require.NoError(t, stores.Close())
		for range 30 {
			cut := t.TempDir()
			to := filepath.Join(cut, testID.Name)
			require.NoError(t, os.Mkdir(to, 0o755))
			gentle := r.IntN(2) == 0 // mostly what was last
			for name, texts := range was {
				text := texts[len(texts)-1]
				_, err := os.Stat(filepath.Join(dir, name))
				there := err == nil
				if !gentle || r.IntN(4) == 0 {
					text, there = texts[r.IntN(len(texts))], r.IntN(5) > 0
					if name == logName {
						there = true
					}
				}
				if other := was[fmt.Sprintf("key%d.json", r.IntN(8))]; name != logName && other != nil && r.IntN(60) == 0 { // as a swap may leave it
					text = other[r.IntN(len(other))]
				}
				if r.IntN(map[bool]int{true: 40, false: 8}[gentle]) == 0 {
					text = slices.Clone(text)
					switch n := r.IntN(len(text)); r.IntN(3) {
					case 0:
						text = text[:n]
					case 1:
						clear(text[n:])
					default:
						text[n] ^= 1 << r.IntN(8)
					}
				}
				if there {
					require.NoError(t, os.WriteFile(filepath.Join(to, name), text, 0o644))
				}
			}
			stores := filesAt(t, cut, "two")
			s, err := stores.Live(testID)
			if err != nil {
				require.ErrorIs(t, err, ErrUnfit)
				continue
			}
			opened++
			requireAgrees(t, s)
			if r.IntN(2) == 0 { // killed before it did anything
				require.NoError(t, s.Close())
				s = live(t, stores, testID)
			}
			require.NoError(t, follow(s, h, func() int { return 1 + r.IntN(20) }), "round %d", round)
			requireFolded(t, s, h)
			require.NoError(t, s.Close())
			s = live(t, stores, testID)
			requireFolded(t, s, h)
			require.NoError(t, stores.Close())
		}
	}
	require.Greater(t, opened, 30)
	t.Logf("opened %d of 450", opened)
}

// Nothing is read again after a kill; after a power cut everything is, and damage is found before anybody asks for the state.
func TestOpeningLooksAtFilesAfterAPowerCutOnly(t *testing.T) {
	dir := t.TempDir()
	stores := filesAt(t, dir, "one")
	s := started(t, stores)
	save(t, s, 10, testRecord("a", 5), testRecord("b", 6))
	file := filepath.Join(dir, testID.Name, "a.json")
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	for name, damage := range map[string]func(){
		"is missing":   func() { require.NoError(t, os.Remove(file)) },
		"cut short":    func() { require.NoError(t, os.WriteFile(file, text[:10], 0o644)) },
		"does not end": func() { require.NoError(t, os.WriteFile(file, make([]byte, len(text)), 0o644)) },
		"checksum does not match": func() {
			require.NoError(t, os.WriteFile(file, bytes.Replace(text, []byte("5"), []byte("4"), 1), 0o644))
		},
		"is of the state": func() { require.NoError(t, os.WriteFile(file, encodeRecord(testRecord("b", 5)), 0o644)) },
		"position 4":      func() { require.NoError(t, os.WriteFile(file, encodeRecord(testRecord("a", 4)), 0o644)) },
		"too short":       func() { require.NoError(t, os.WriteFile(file, nil, 0o644)) },
	} {
		damage()
		require.NoError(t, s.Close())
		if name != "is missing" { // which the list of the directory tells
			s = live(t, stores, testID)
			require.NoError(t, s.Close())
		}
		stores.session = func(string) string { return "two" }
		_, err = stores.Live(testID)
		require.ErrorIs(t, err, ErrUnfit, name)
		stores.session = func(string) string { return "one" }
		require.NoError(t, os.WriteFile(file, text, 0o644))
		s = live(t, stores, testID)
		damage()
		_, err = s.Get("a")
		require.ErrorIs(t, err, dcb.ErrCorrupt, name)
		require.ErrorContains(t, err, "a.json")
		require.NoError(t, os.WriteFile(file, text, 0o644))
		require.NoError(t, s.Close())
		s = live(t, stores, testID) // where it was verified, and is trusted again
	}
	requireHas(t, s, 10, testRecord("a", 5), testRecord("b", 6))
	// A copy is not trusted either, nor is anything where the system does not tell.
	require.NoError(t, s.Close())
	require.NoError(t, os.WriteFile(file, text[:10], 0o644))
	stores.session = func(string) string { return "" }
	_, err = stores.Live(testID)
	require.ErrorIs(t, err, ErrUnfit)
	require.NotEqual(t, "x", sessionOf(file))
}

// A file of the very position that the index says is not right if it says something else: nothing that this package has written there.
func TestAFileThatIsNotWhatTheIndexSays(t *testing.T) {
	dir := t.TempDir()
	stores := filesAt(t, dir, "one")
	s := started(t, stores)
	save(t, s, 10, testRecord("a", 5))
	require.NoError(t, s.Close())
	other := testRecord("a", 5)
	other.Version++
	require.NoError(t, os.WriteFile(filepath.Join(dir, testID.Name, "a.json"), encodeRecord(other), 0o644))
	stores.session = func(string) string { return "two" }
	_, err := stores.Live(testID)
	require.ErrorIs(t, err, ErrUnfit)
	require.ErrorContains(t, err, "not what the index says")
}

// A deletion above the checkpoint is found by who opens what a kill has left before the checkpoint was written, and by who comes after him.
func TestADeletionThatWasOnlyAnnounced(t *testing.T) {
	dir := t.TempDir()
	s := started(t, filesAt(t, dir, "one"))
	save(t, s, 10, testRecord("a", 5))
	save(t, s, 10, deletion("a", 15))
	for _, run := range []string{"one", "two"} {
		killed := t.TempDir()
		require.NoError(t, os.CopyFS(killed, os.DirFS(dir)))
		log := filepath.Join(killed, testID.Name, logName)
		text, err := os.ReadFile(log)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(log, text[:bytes.LastIndex(text, []byte(lineCheckpoint))], 0o644))
		stores := filesAt(t, killed, run)
		for range 2 {
			k := live(t, stores, testID)
			r, err := k.Get("a")
			require.NoError(t, err)
			require.Equal(t, deletion("a", 15), r)
			requireHas(t, k, 10)
			require.NoError(t, k.Close())
		}
	}
}

// A Save fails, and nobody can look at what it has left: until somebody can, nothing is saved, and what was announced is not said to be there.
func TestWhatCannotBeMendedIsNotVouchedFor(t *testing.T) {
	dir := t.TempDir()
	stores := filesAt(t, dir, "one")
	s := started(t, stores)
	save(t, s, 10, testRecord("b", 6))
	foreign := filepath.Join(testID.Name, "a.json")
	require.NoError(t, os.Mkdir(filepath.Join(dir, foreign), 0o755))
	require.Error(t, s.Save([]Record{testRecord("a", 12)}, Checkpoint{12, 12}))
	require.Error(t, s.Save([]Record{testRecord("c", 13)}, Checkpoint{13, 13}))
	require.Error(t, s.Save(nil, Checkpoint{15, 15}))
	requireHas(t, s, 10, testRecord("b", 6))

	killed := t.TempDir()
	require.NoError(t, os.CopyFS(killed, os.DirFS(dir)))
	for _, d := range []string{killed, dir} {
		require.NoError(t, os.Remove(filepath.Join(d, foreign)))
	}
	k := live(t, filesAt(t, killed, "one"), testID)
	requireHas(t, k, 10, testRecord("b", 6))
	requireNone(t, k, "a", "c")
	save(t, s, 15, testRecord("a", 12))
	requireHas(t, s, 15, testRecord("a", 12), testRecord("b", 6))
}

// A rebuilt read model and one that was followed are the same, byte for byte, but for the session.
func TestRebuiltEqualsFollowed(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	h := pastEvents(r, 400, 20)
	texts := map[string]string{}
	for _, batch := range []int{1, 7, 1000} {
		dir := t.TempDir()
		stores := openFiles(t, dir)
		s := build(t, stores, testID, true)
		if batch == 7 {
			require.NoError(t, stores.Replace(testID))
		}
		require.NoError(t, follow(s, h, func() int { return batch }))
		if batch != 7 {
			require.NoError(t, stores.Replace(testID))
		}
		require.NoError(t, stores.Close())
		log, err := Compacted(filepath.Join(dir, testID.Name))
		require.NoError(t, err)
		entries, err := os.ReadDir(filepath.Join(dir, testID.Name))
		require.NoError(t, err)
		for _, e := range entries {
			text := string(log)
			if e.Name() != logName {
				b, err := os.ReadFile(filepath.Join(dir, testID.Name, e.Name()))
				require.NoError(t, err)
				text = string(b)
			}
			if was, ok := texts[e.Name()]; ok {
				require.Equal(t, was, text)
			}
			require.True(t, batch == 1 || texts[e.Name()] != "", "%s: one more", e.Name())
			texts[e.Name()] = text
		}
		require.Len(t, entries, len(texts))
	}
}

func TestTheLogIsCompacted(t *testing.T) {
	dir := t.TempDir()
	stores := openFiles(t, dir)
	s := started(t, stores)
	for p := range dcb.Position(3000) {
		save(t, s, p+1, testRecord(fmt.Sprint(p%3), p+1))
		lines := s.(*fileStore).log.lines
		require.LessOrEqual(t, lines, 2*3+slackLines+3)
		if p%500 == 7 {
			text, err := os.ReadFile(filepath.Join(dir, testID.Name, logName))
			require.NoError(t, err)
			require.Equal(t, lines, bytes.Count(text, []byte{'\n'}))
		}
	}
	require.NoError(t, s.Close())
	text, err := os.ReadFile(filepath.Join(dir, testID.Name, logName))
	require.NoError(t, err)
	require.LessOrEqual(t, bytes.Count(text, []byte{'\n'}), 6)
	requireHas(t, live(t, stores, testID), 3000, testRecord("0", 2998), testRecord("1", 2999), testRecord("2", 3000))
}

// What a replacement leaves when its process is killed is put right by the next opening.
func TestTidy(t *testing.T) {
	for name, c := range map[string]struct {
		leave func(dir string) error
		want  dcb.Position
	}{
		"before":    {func(dir string) error { return nil }, 10},
		"moved out": {func(dir string) error { return os.Rename(dir+"/.build/students", dir+"/.next/students-7") }, 10},
		"half-way in two": {func(dir string) error {
			return errors.Join(os.Rename(dir+"/.build/students", dir+"/.next/students-7"), os.Rename(dir+"/students", dir+"/.gone/students-8"))
		}, 20},
		"exchanged": {func(dir string) error {
			return errors.Join(os.Rename(dir+"/students", dir+"/.next/students-7"), os.Rename(dir+"/.build/students", dir+"/students"))
		}, 20},
		"the last one counts": {func(dir string) error {
			return errors.Join(os.Rename(dir+"/students", dir+"/.next/students-7"), os.Rename(dir+"/.build/students", dir+"/.next/students-12"))
		}, 20},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			stores, err := Files(dir, slog.New(slog.DiscardHandler))
			require.NoError(t, err)
			save(t, started(t, stores), 10, testRecord("a", 5))
			save(t, build(t, stores, testID, true), 20, testRecord("a", 15))
			_, err = Files(dir, slog.New(slog.DiscardHandler))
			require.ErrorIs(t, err, dcb.ErrLocked)
			require.NoError(t, stores.Close())
			require.NoError(t, errors.Join(makeDirs(dir+"/.next"), makeDirs(dir+"/.gone")))
			require.NoError(t, c.leave(dir))
			again := openFiles(t, dir)
			require.Equal(t, c.want, live(t, again, testID).Checkpoint().Position)
			for _, d := range []string{nextDir, goneDir} {
				require.NoDirExists(t, filepath.Join(dir, d))
			}
			require.Equal(t, name == "before", again.Interrupted(testID))
		})
	}
}

func TestReplaceInTwoSteps(t *testing.T) {
	dir := t.TempDir()
	for _, d := range []string{"next", "live"} {
		require.NoError(t, os.Mkdir(filepath.Join(dir, d), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, d, d), nil, 0o644))
	}
	gone, err := exchangeInTwo(dir+"/next", dir+"/live", dir+"/gone")
	require.NoError(t, err)
	require.FileExists(t, filepath.Join(dir, "live", "next"))
	require.FileExists(t, filepath.Join(gone, "live"))
	require.NoDirExists(t, filepath.Join(dir, "next"))
	_, err = exchangeInTwo(dir+"/next", dir+"/live", dir+"/gone2")
	require.Error(t, err)
	require.FileExists(t, filepath.Join(dir, "live", "next"), "it is back")
}

// The files of one that was replaced are gone when it is closed.
func TestReplacedFilesGo(t *testing.T) {
	dir := t.TempDir()
	stores := openFiles(t, dir)
	old := started(t, stores)
	save(t, old, 10, testRecord("a", 5))
	b := build(t, stores, testID, true)
	save(t, b, 5, testRecord("a", 4))
	save(t, b, 10, testRecord("a", 6)) // swapped
	require.NoError(t, stores.Replace(testID))
	require.NoError(t, old.Close())
	var all []string
	require.NoError(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if !d.IsDir() {
			all = append(all, strings.TrimPrefix(path, dir))
		}
		return err
	}))
	require.ElementsMatch(t, []string{"/.lock", "/students/a.json", "/students/index.jsonl"}, all)
}

func TestALogThatIsGoneIsDamage(t *testing.T) {
	dir := t.TempDir()
	stores := filesAt(t, dir, "one")
	require.NoError(t, started(t, stores).Close())
	require.NoError(t, os.Remove(filepath.Join(dir, testID.Name, logName)))
	_, err := stores.Live(testID)
	require.ErrorIs(t, err, ErrUnfit)
	require.NotErrorIs(t, err, dcb.ErrNotFound)
}

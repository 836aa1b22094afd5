package wal

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"opossum/dcb"
)

func TestAppendSyncRead(t *testing.T) {
	l, dir := create(t, Options{})
	var places []Place
	end := l.Witness().End
	for p := dcb.Position(1); p <= 9; p += 3 {
		place, err := l.Append(p, 3, [][]byte{[]byte("one append;"), nil, []byte("another")})
		require.NoError(t, err)
		places = append(places, place)
		require.Equal(t, p-1, l.Durable())
		a, err := ReadAcked(dir, testID)
		require.NoError(t, err)
		require.Equal(t, p-1, a.Position, "written is not durable")
		require.EqualValues(t, (p-1)/3, l.Stats().Flushes.Count)

		require.NoError(t, l.Sync())
		w := l.Witness()
		require.Equal(t, end+1+FrameHeaderBytes+18, w.End)
		end = w.End
		require.Equal(t, p+2, w.Head)
		require.Equal(t, p+2, l.Durable())
		require.EqualValues(t, (p+2)/3, l.Stats().Flushes.Count)
		require.Equal(t, 1, l.Stats().Live)
		a, err = ReadAcked(dir, testID)
		require.NoError(t, err)
		require.Equal(t, Acked{Gen: 1, Offset: uint64(w.End), Position: w.Head}, a)
	}
	for _, place := range places {
		b := make([]byte, 18)
		require.NoError(t, l.ReadAt(place, b))
		require.Equal(t, "one append;another", string(b))
		require.Equal(t, filepath.Join(dir, "00000001", segmentFile), l.Path(place))
	}
	var corrupt *dcb.CorruptError
	require.ErrorAs(t, l.ReadAt(places[2], make([]byte, 19)), &corrupt, "beyond the end")
	require.EqualValues(t, places[2].Off, corrupt.Offset)
	require.ErrorIs(t, l.ReadAt(Place{Gen: 9}, nil), ErrTrimmed)

	require.NoError(t, l.Close())
	err := l.ReadAt(places[0], make([]byte, 18))
	require.ErrorIs(t, err, dcb.ErrClosed)
	require.NotErrorIs(t, err, ErrTrimmed, "a closed log does not say that everything is filed")
}

// TestFramesKnowWhatIsDurable: what a frame says of the past is what convicts damage in it later.
func TestFramesKnowWhatIsDurable(t *testing.T) {
	l, dir := create(t, Options{})
	type known struct {
		p   dcb.Position
		off int64
	}
	var want []known
	synced := known{0, l.Witness().End}
	for p := dcb.Position(1); p <= 20; p++ {
		want = append(want, synced)
		_, err := l.Append(p, 1, [][]byte{[]byte(body(p))})
		require.NoError(t, err)
		if p%3 == 0 {
			require.NoError(t, l.Sync())
			synced = known{p, l.Witness().End}
		}
	}
	var got []known
	for _, c := range generations(t, dir)[0].Commits {
		got = append(got, known{c.Durable, int64(c.DurableOff)})
	}
	require.Equal(t, want, got)
}

func TestSyncCounts(t *testing.T) {
	calls := 0
	l, _ := create(t, Options{Fdatasync: func(*os.File) error { calls++; return nil }, RotateBytes: 1000})
	var ten [][]byte
	for range 10 {
		ten = append(ten, []byte("event"))
	}
	_, err := l.Append(1, 10, ten)
	require.NoError(t, err)
	require.NoError(t, l.Sync())
	require.Equal(t, 1, calls)
	for range 200 {
		put(t, l, 1)
		l.background.Wait()
	}
	require.Positive(t, l.Stats().Rotations)
	require.Equal(t, 201, calls, "a rotation costs the appends no sync")
	require.EqualValues(t, 201, l.Stats().Flushes.Count)
}

func TestAppendRefusesWhatDoesNotFit(t *testing.T) {
	for name, bad := range map[string]struct {
		first  dcb.Position
		count  uint32
		bodies [][]byte
	}{
		"a gap":      {5, 1, nil},
		"once more":  {3, 1, nil},
		"no events":  {4, 0, nil},
		"too large":  {4, 1, [][]byte{make([]byte, MaxBodyBytes), {0}}},
		"position 0": {0, 1, nil},
	} {
		l, dir := create(t, Options{})
		put(t, l, 3)
		before := l.Witness()
		_, err := l.Append(bad.first, bad.count, bad.bodies)
		require.Error(t, err, name)
		_, again := l.Append(4, 1, nil)
		require.Same(t, err, again, name)
		require.Equal(t, before, l.Witness())
		require.NoError(t, l.Close())
		require.Equal(t, bodiesTo(3), requireChain(t, generations(t, dir)))
	}
}

// TestGenerationIsOneFile: frames of 16 MiB pass, and the two entries together are more than the size at which tidwall/wal would by default
// begin a second file.
func TestGenerationIsOneFile(t *testing.T) {
	l, dir := create(t, Options{})
	large := make([]byte, MaxBodyBytes)
	for i := range large {
		large[i] = byte(i * i)
	}
	for p := dcb.Position(1); p <= 2; p++ {
		place, err := l.Append(p, 1, [][]byte{large[:p], large[p:]})
		require.NoError(t, err)
		require.NoError(t, l.Sync())
		got := make([]byte, len(large))
		require.NoError(t, l.ReadAt(place, got))
		require.Equal(t, large, got)
	}
	require.Equal(t, []string{segmentFile}, names(t, filepath.Join(dir, genName(1))))
	require.NoError(t, l.Close())
	l = reopen(t, dir, Options{})
	require.EqualValues(t, 2, l.Durable())
	require.NoError(t, l.Close())
}

// TestRotation crosses many generations, and reopens between.
func TestRotation(t *testing.T) {
	l, dir := create(t, Options{RotateBytes: 600})
	for range 6 {
		for range 20 {
			put(t, l, 1)
			l.background.Wait() // so that the successor is there in time
		}
		w, rotations := l.Witness(), l.Stats().Rotations
		require.Greater(t, rotations, uint64(2))
		require.EqualValues(t, w.Head, l.Durable())
		a, err := ReadAcked(dir, testID)
		require.NoError(t, err)
		require.Equal(t, Acked{Gen: w.Gen, Offset: uint64(w.End), Position: w.Head}, a)
		gens := *l.gens.Load()
		for _, g := range gens[:len(gens)-1] {
			require.Nil(t, g.tail, "a sealed generation keeps nothing in memory")
		}
		require.NoError(t, l.Close())
		l = reopen(t, dir, Options{RotateBytes: 600})
		require.Equal(t, w, l.Witness())
	}
	require.NoError(t, l.Close())
	gens := generations(t, dir)
	require.Equal(t, bodiesTo(120), requireChain(t, gens))
	require.Greater(t, len(gens), 12)
	for _, g := range gens[:len(gens)-1] {
		require.NotEmpty(t, g.Commits, "generation %d is empty", g.Gen)
		require.LessOrEqual(t, g.Size, int64(700), "one frame more if the log was opened just before the end")
	}
}

// TestRotationProperty: whatever the sizes, the moments of syncs and how fast successors are built, no event is lost.
func TestRotationProperty(t *testing.T) {
	noSync := func(*os.File) error { return nil }
	rapid.Check(t, func(r *rapid.T) {
		l, dir := create(t, Options{RotateBytes: rapid.Int64Range(1, 3000).Draw(r, "rotate"), Fdatasync: noSync})
		var want []string
		next := dcb.Position(1)
		for range rapid.IntRange(1, 15).Draw(r, "groups") {
			b := make([]byte, rapid.IntRange(0, 1500).Draw(r, "bytes"))
			for i := range b {
				b[i] = byte(int(next) + i)
			}
			count := rapid.Uint32Range(1, 5).Draw(r, "count")
			place, err := l.Append(next, count, [][]byte{b})
			require.NoError(r, err)
			got := make([]byte, len(b))
			require.NoError(r, l.ReadAt(place, got))
			require.Equal(r, b, got)
			next += dcb.Position(count)
			want = append(want, string(b))
			if rapid.Bool().Draw(r, "sync") {
				require.NoError(r, l.Sync())
			}
			if rapid.Bool().Draw(r, "wait") {
				l.background.Wait()
			}
		}
		require.NoError(r, l.Close())
		gens := generations(t, dir)
		require.Equal(r, want, requireChain(t, gens))
		require.NoError(r, os.RemoveAll(dir))
	})
}

// TestRotationSyncsFirst: with relaxed flushing nothing may be written to a generation before all of the one before is durable.
func TestRotationSyncsFirst(t *testing.T) {
	var dir string
	durable := map[string]int64{}
	l, dir := create(t, Options{RotateBytes: 600, Fdatasync: func(f *os.File) error {
		fi, err := f.Stat()
		durable[f.Name()] = fi.Size()
		return err
	}})
	for p := dcb.Position(1); p <= 50; p++ { // never a Sync
		_, err := l.Append(p, 1, [][]byte{[]byte(body(p))})
		require.NoError(t, err)
		l.background.Wait()
		gens := *l.gens.Load()
		for _, g := range gens[:len(gens)-1] {
			fi, err := g.file.Stat()
			require.NoError(t, err)
			require.Equal(t, fi.Size(), durable[g.file.Name()], "generation %d", g.no)
			require.LessOrEqual(t, g.last, l.Durable())
		}
	}
	require.Greater(t, l.Stats().Rotations, uint64(5))
	require.NoError(t, l.Close())
	require.Equal(t, bodiesTo(50), requireChain(t, generations(t, dir)))
}

// TestSuccessorCannotBeBuilt: a file stands where the next generation should be. Appends go on, and rotation goes on when it
// is away.
func TestSuccessorCannotBeBuilt(t *testing.T) {
	l, dir := create(t, Options{RotateBytes: 1000})
	blocker := filepath.Join(dir, genName(2))
	write(t, nil, blocker)
	for range 50 {
		put(t, l, 1)
		l.background.Wait()
	}
	require.EqualValues(t, 1, l.Witness().Gen)
	require.Greater(t, l.Witness().End, int64(4000))
	require.Zero(t, l.Stats().Rotations)

	require.NoError(t, os.Remove(blocker))
	for range 50 {
		put(t, l, 1)
		l.background.Wait()
	}
	require.Greater(t, l.Stats().Rotations, uint64(2))
	require.NoError(t, l.Close())
	require.Equal(t, bodiesTo(100), requireChain(t, generations(t, dir)))
}

// TestHardLimit: a generation whose successor can never be built does not grow without end.
func TestHardLimit(t *testing.T) {
	l, dir := create(t, Options{RotateBytes: 1})
	blocker := filepath.Join(dir, genName(2))
	write(t, nil, blocker)
	large := make([]byte, MaxBodyBytes/2)
	_, err := l.Append(1, 1, [][]byte{large})
	require.NoError(t, err)
	require.NoError(t, l.Sync())
	before := l.Witness()

	_, err = l.Append(2, 1, [][]byte{large})
	require.ErrorContains(t, err, "cannot be built")
	require.Equal(t, before, l.Witness())
	fi, err := os.Stat(GenerationPath(dir, 1))
	require.NoError(t, err)
	require.Equal(t, before.End, fi.Size(), "nothing was written")

	require.NoError(t, l.Close())
	require.NoError(t, os.Remove(blocker))
	l = reopen(t, dir, Options{RotateBytes: 1})
	_, err = l.Append(2, 1, [][]byte{large})
	require.NoError(t, err, "the same append, waiting for the successor this time")
	require.EqualValues(t, 2, l.Witness().Gen)
	require.NoError(t, l.Close())
}

func TestCloseRemovesUnusedSuccessor(t *testing.T) {
	l, dir := create(t, Options{RotateBytes: 1 << 20})
	require.Equal(t, []string{genName(1), ackedFile}, names(t, dir))
	l.prepare()
	l.background.Wait()
	require.Equal(t, []string{genName(1), genName(2), ackedFile}, names(t, dir))
	put(t, l, 1)
	require.NoError(t, l.Close())
	require.Equal(t, []string{genName(1), ackedFile}, names(t, dir))
	require.NoError(t, reopen(t, dir, Options{}).Close())
}

// sealed returns a log with three sealed generations and a current one; every frame is durable.
func sealed(t *testing.T) (*Log, string, []*generation) {
	l, dir := create(t, Options{RotateBytes: 600})
	for len(*l.gens.Load()) < 4 {
		put(t, l, 1)
		l.background.Wait()
	}
	return l, dir, *l.gens.Load()
}

func TestTrim(t *testing.T) {
	l, dir, gens := sealed(t)
	head := l.Witness().Head
	ends := []dcb.Position{gens[0].last, gens[1].last, gens[2].last, head}

	trim := func(s dcb.Position, want int, first uint64) {
		t.Helper()
		n, err := l.Trim(s)
		require.NoError(t, err)
		require.Equal(t, want, n, "checkpoint %d of generations that end at %v", s, ends)
		require.Equal(t, first, l.FirstGeneration())
		require.EqualValues(t, first, generations(t, dir)[0].Gen)
		require.Equal(t, 5-int(first), l.Stats().Live)
	}
	trim(0, 0, 1)
	trim(ends[0]-1, 0, 1)
	trim(ends[0], 1, 2)
	require.ErrorIs(t, l.ReadAt(Place{Gen: 1}, make([]byte, 1)), ErrTrimmed)
	require.NoError(t, l.ReadAt(Place{Gen: 2}, make([]byte, 1)))
	trim(ends[0], 0, 2)
	trim(ends[2]-1, 1, 3)
	trim(head, 1, 4)
	trim(head+100, 0, 4)
	require.NoError(t, l.ReadAt(Place{Gen: 4}, make([]byte, 1)), "the current one stays")

	put(t, l, 1)
	require.NoError(t, l.Close())
	l = reopen(t, dir, Options{RotateBytes: 600})
	require.Equal(t, head+1, l.Witness().Head)
	trim(head+1, 0, 4)
	require.NoError(t, l.Close())
}

// What was there when the log was opened is durable: trimming waits for no sync.
func TestTrimAfterOpen(t *testing.T) {
	l, dir, _ := sealed(t)
	head := l.Witness().Head
	require.NoError(t, l.Close())
	l = reopen(t, dir, Options{})
	n, err := l.Trim(head)
	require.NoError(t, err)
	require.Equal(t, 3, n)
	require.NoError(t, l.Close())
}

// TestTrimWaitsForTheLink: right after a rotation the link frame may be lost to a power cut. If the generation before it were
// gone by then, no generation would be left to go on from.
func TestTrimWaitsForTheLink(t *testing.T) {
	l, dir := create(t, Options{RotateBytes: 600})
	for l.Stats().Rotations == 0 {
		l.background.Wait()
		p := l.Witness().Head + 1
		_, err := l.Append(p, 1, [][]byte{[]byte(body(p))})
		require.NoError(t, err)
		if l.Stats().Rotations == 0 {
			require.NoError(t, l.Sync())
		}
	}
	n, err := l.Trim(l.Witness().Head) // everything is filed
	require.NoError(t, err)
	require.Zero(t, n)
	require.EqualValues(t, 1, generations(t, dir)[0].Gen)

	require.NoError(t, l.Sync())
	n, err = l.Trim(l.Witness().Head)
	require.NoError(t, err)
	require.Equal(t, 1, n)
}

func TestLinkRepeatsTheCheckpoint(t *testing.T) {
	l, dir := create(t, Options{RotateBytes: 600})
	put(t, l, 2)
	_, err := l.Trim(2)
	require.NoError(t, err)
	for l.Stats().Rotations == 0 {
		put(t, l, 1)
		l.background.Wait()
	}
	require.NoError(t, l.Close())
	require.EqualValues(t, 2, generations(t, dir)[1].Link.Checkpoint)
}

// TestReadAtRacesWithRotationAndTrim: readers see the right bytes or that they are trimmed, and trimmed only when they are.
func TestReadAtRacesWithRotationAndTrim(t *testing.T) {
	l, _ := create(t, Options{RotateBytes: 1000, Fdatasync: func(*os.File) error { return nil }})
	const chunk = 12
	n := dcb.Position(rounds(500))
	var (
		mu      sync.RWMutex
		places  []Place
		trimmed dcb.Position
		wg      sync.WaitGroup
	)
	done := make(chan struct{})
	for i := range 3 {
		rnd := rand.New(rand.NewPCG(1, uint64(i)))
		wg.Go(func() {
			for buf := make([]byte, chunk); ; {
				select {
				case <-done:
					return
				default:
				}
				mu.RLock()
				if len(places) == 0 {
					mu.RUnlock()
					runtime.Gosched()
					continue
				}
				i := rnd.IntN(len(places))
				place := places[i]
				mu.RUnlock()
				err := l.ReadAt(place, buf)
				mu.RLock()
				gone := trimmed
				mu.RUnlock()
				p := dcb.Position(i + 1)
				if errors.Is(err, ErrTrimmed) && p <= gone {
					continue
				}
				if err != nil || string(buf) != body(p) {
					t.Errorf("position %d: %q, %v; trimmed up to %d", p, buf, err, gone)
					return
				}
				_ = l.Stats()
				_ = l.Durable()
			}
		})
	}
	wg.Go(func() { // the materializer
		for {
			select {
			case <-done:
				return
			default:
			}
			s := l.Durable() // once: it grows, and a difference of two readings may wrap
			s -= min(s, 50)
			mu.Lock()
			trimmed = s
			mu.Unlock()
			if _, err := l.Trim(s); err != nil {
				t.Error(err)
				return
			}
			runtime.Gosched()
		}
	})
	for p := dcb.Position(1); p <= n; p++ {
		place, err := l.Append(p, 1, [][]byte{[]byte(body(p))})
		require.NoError(t, err)
		require.NoError(t, l.Sync())
		mu.Lock()
		places = append(places, place)
		mu.Unlock()
		if p%15 == 0 {
			l.background.Wait() // so that there is a successor
		}
	}
	close(done)
	wg.Wait()
	require.Positive(t, l.Stats().Rotations)
	require.NoError(t, l.Close())
}

func TestNumbersComeFromFrames(t *testing.T) {
	dir := t.TempDir()
	b, err := BuildGeneration(dir, testID, 41, testClock, &Link{Prev: 40}, 1_000_001, nil)
	require.NoError(t, err)
	l, err := Open(dir, testID, []Segment{{Gen: 41, Last: 1_000_000}}, Witness{Gen: 41, End: b.End, Sum: b.Sum, Head: 1_000_000}, b.No, Options{})
	require.NoError(t, err)
	put(t, l, 3)
	last, err := l.w.tail.LastIndex()
	require.NoError(t, err)
	require.EqualValues(t, 5, last, "the index of tidwall/wal is the frame's number in its generation, not a position")
	require.EqualValues(t, 1_000_003, l.Durable())
	require.NoError(t, l.Close())
	require.EqualValues(t, 1_000_004, generations(t, dir)[0].Next())
}

// An error of the disk is neither the end of the file nor an answer.
func TestReadPlaceTellsWhatFails(t *testing.T) {
	f, err := os.OpenFile(filepath.Join(t.TempDir(), "unreadable"), os.O_CREATE|os.O_WRONLY, 0o644)
	require.NoError(t, err)
	defer f.Close()
	_, err = f.WriteString("written")
	require.NoError(t, err)
	err = readPlace(f, Place{Gen: 1}, make([]byte, 3))
	require.ErrorContains(t, err, "read 3 bytes at offset 0")
	require.NotErrorIs(t, err, dcb.ErrCorrupt)
	require.NotErrorIs(t, err, dcb.ErrClosed)
}

// A link frame knows that all before it is durable, and claims nothing of what comes behind it.
func TestALinkClaimsNothingBehindIt(t *testing.T) {
	l, dir := create(t, Options{RotateBytes: 600})
	for l.Stats().Rotations < 3 {
		put(t, l, 1)
		l.background.Wait()
	}
	require.NoError(t, l.Close())
	links := 0
	for _, g := range generations(t, dir) {
		b, err := ReadGeneration(dir, g.Gen, false)
		require.NoError(t, err)
		for _, f := range FindFrames(b, testID) {
			if f.Kind == KindLink {
				require.Equal(t, g.Base, f.First)
				require.Equal(t, g.Base-1, f.Durable)
				links++
			}
		}
	}
	require.Equal(t, 4, links)
}

func TestSettledTellsWhatIsNotDurable(t *testing.T) {
	l, _ := create(t, Options{})
	require.NoError(t, l.Finish())
	_, err := l.Append(1, 1, [][]byte{[]byte(body(1))})
	require.NoError(t, err)
	require.ErrorContains(t, l.Finish(), "are durable")
	require.NoError(t, l.Sync())
	require.NoError(t, l.Finish())
}

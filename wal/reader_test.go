package wal

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"opossum/dcb"
)

// follower takes what a reader hands out, checks that it is dense and right, and remembers places.
type follower struct {
	*Reader
	next   dcb.Position
	filed  dcb.Position // the highest position that it was told to be filed
	places map[dcb.Position]Place
}

func follow(dir string, next dcb.Position) *follower {
	return &follower{Reader: NewReader(dir, testID, next), next: next, places: map[dcb.Position]Place{}}
}

// refresh returns an error also if what is handed out is wrong. checkpoint is asked when something is said to be filed.
func (f *follower) refresh(known Known, checkpoint func() dcb.Position) error {
	return f.Refresh(known, Sink{
		Filed: func(upto dcb.Position) error {
			if upto < f.next || upto > checkpoint() {
				return &dcb.CorruptError{File: "the log", Reason: fmt.Sprintf("positions %d to %d are not filed", f.next, upto)}
			}
			f.next, f.filed = upto+1, upto
			return nil
		},
		Frame: func(gen uint64, c Frame) error {
			if c.First > f.next || c.Last() < f.next {
				return fmt.Errorf("a frame of %d to %d where %d is next", c.First, c.Last(), f.next)
			}
			each := len(body(1))
			for p := c.First; p <= c.Last(); p++ {
				at := int(p-c.First) * each
				if got := string(c.Body[at : at+each]); got != body(p) {
					return fmt.Errorf("position %d is %q", p, got)
				}
				if p >= f.next {
					f.places[p] = Place{Gen: gen, Off: uint32(int(c.BodyOffset) + at)}
				}
			}
			f.next = c.Last() + 1
			return nil
		},
	})
}

// readAll reads every place that is above the checkpoint, and those below that are still there.
func (f *follower) readAll(checkpoint dcb.Position) error {
	for p, at := range f.places {
		b := make([]byte, len(body(p)))
		err := f.ReadAt(at, b)
		if errors.Is(err, ErrTrimmed) && p <= checkpoint {
			continue
		}
		if err != nil || string(b) != body(p) {
			return fmt.Errorf("position %d at %v: %q, %w", p, at, b, err)
		}
	}
	return nil
}

func none() dcb.Position { return 0 }

// putGroup appends one group of n events and does not sync it.
func putGroup(t require.TestingT, l *Log, n int) {
	p := l.Witness().Head + 1
	var bodies [][]byte
	for i := range n {
		bodies = append(bodies, []byte(body(p+dcb.Position(i))))
	}
	_, err := l.Append(p, uint32(n), bodies)
	require.NoError(t, err)
}

func TestAReaderShowsWhatIsDurable(t *testing.T) {
	l, dir := create(t, Options{})
	f := follow(dir, 1)
	defer f.Close()
	require.NoError(t, f.refresh(Known{}, none))
	require.EqualValues(t, 1, f.Next(), "an empty log")

	putGroup(t, l, 2)
	require.NoError(t, f.refresh(Known{}, none))
	require.EqualValues(t, 1, f.Next(), "written is not durable")
	require.NoError(t, l.Sync())
	putGroup(t, l, 1)
	require.NoError(t, f.refresh(Known{}, none))
	require.EqualValues(t, 3, f.Next())
	require.EqualValues(t, 2, f.Durable())

	require.NoError(t, f.refresh(Known{Durable: 3}, none), "the ledger vouches for it")
	require.EqualValues(t, 4, f.Next())

	// A frame knows what was durable before it; ACKED may be lost or torn.
	putGroup(t, l, 1)
	require.NoError(t, l.Sync())
	putGroup(t, l, 1)
	write(t, []byte("no witness at all, but as long as one......"), dir, ackedFile)
	require.NoError(t, f.refresh(Known{}, none))
	require.EqualValues(t, 5, f.Next())

	require.NoError(t, f.refresh(Known{Relaxed: true}, none))
	require.EqualValues(t, 6, f.Next(), "a relaxed owner acknowledges before it syncs")
	require.EqualValues(t, 4, f.Durable())
	require.NoError(t, f.readAll(0))
}

// TestAReaderSettlesWhatItFindsFirst: without an owner nobody vouches for the last frames but the disk.
func TestAReaderSettlesWhatItFindsFirst(t *testing.T) {
	l, dir := create(t, Options{Fdatasync: func(*os.File) error { return nil }})
	put(t, l, 3)
	old, err := os.ReadFile(filepath.Join(dir, ackedFile))
	require.NoError(t, err)
	for range 4 { // more than a page behind the last that ACKED knows
		putGroup(t, l, 200)
	}
	require.NoError(t, l.Close())
	for _, acked := range [][]byte{old, []byte("torn"), nil} {
		write(t, acked, dir, ackedFile)
		f := follow(dir, 1)
		require.NoError(t, f.refresh(Known{}, none))
		require.EqualValues(t, 804, f.Next())
		require.EqualValues(t, 803, f.Durable())
		require.NoError(t, f.readAll(0))
		require.NoError(t, f.Close())
	}
}

// TestAReaderThatCannotSync: where the system does not let a reader sync, it shows what is vouched for; a failed sync is an error.
func TestAReaderThatCannotSync(t *testing.T) {
	l, dir := create(t, Options{})
	put(t, l, 3)
	putGroup(t, l, 1)
	require.NoError(t, l.Close())
	for err, shown := range map[error]dcb.Position{nil: 4, fs.ErrPermission: 3, syscall.EACCES: 3, syscall.EROFS: 3, syscall.EIO: 0} {
		f := follow(dir, 1)
		f.sync = func(*os.File) error { return err }
		got := f.refresh(Known{}, none)
		require.Equal(t, shown+1, f.Next(), "%v", err)
		if shown == 0 {
			require.ErrorIs(t, got, err)
		} else {
			require.NoError(t, got)
		}
		require.NoError(t, f.Close())

		f = follow(dir, 1)
		f.sync = func(*os.File) error { return errors.New("a sync that nobody needs") }
		require.NoError(t, f.refresh(Known{Durable: 4}, none))
		require.NoError(t, f.Close())
	}
}

// TestAReaderBelievesTheDiskAndNotTheCache: what a sync could not keep shows when the end is read again.
func TestAReaderBelievesTheDiskAndNotTheCache(t *testing.T) {
	l, dir := create(t, Options{})
	put(t, l, 3)
	putGroup(t, l, 1)
	putGroup(t, l, 1)
	end := l.Witness().End
	require.NoError(t, l.Close())
	f := follow(dir, 1)
	f.sync = func(*os.File) error { // as if the last frame had only been in memory
		return os.WriteFile(GenerationPath(dir, 1), append(readFile(t, GenerationPath(dir, 1))[:end-10:end-10], make([]byte, 10)...), 0o644)
	}
	require.NoError(t, f.refresh(Known{}, none))
	require.EqualValues(t, 5, f.Next())
	require.EqualValues(t, 4, f.Durable())
	require.NoError(t, f.Close())

	f = follow(dir, 1)
	f.sync = func(*os.File) error { // and here what was acknowledged is gone, too
		return os.WriteFile(GenerationPath(dir, 1), make([]byte, end), 0o644)
	}
	require.ErrorIs(t, f.refresh(Known{}, none), dcb.ErrCorrupt)
	require.EqualValues(t, 1, f.Next())
	require.NoError(t, f.Close())
}

func readFile(t testing.TB, path string) []byte {
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	return b
}

// TestAReaderThatStartsLate begins where a checkpoint tells it to, be it in the middle of a frame.
func TestAReaderThatStartsLate(t *testing.T) {
	l, dir := create(t, Options{})
	for range 4 {
		putGroup(t, l, 5)
		require.NoError(t, l.Sync())
	}
	for next := dcb.Position(1); next <= 21; next++ {
		f := follow(dir, next)
		require.NoError(t, f.refresh(Known{Durable: next - 1}, none))
		require.EqualValues(t, 21, f.Next())
		require.Len(t, f.places, int(21-next))
		require.NoError(t, f.Close())
	}
}

func TestAReaderAndTruncations(t *testing.T) {
	b := (&forge{id: testID, gen: 1}).header().link(Link{}, 1).commit(1, 1, body(1)).commit(2, 2, body(2)+body(3)).b
	at := starts(t, b)
	for n := range len(b) + 1 {
		if edge := slices.ContainsFunc(at, func(a int64) bool { return a-2 <= int64(n) && int64(n) <= a+2 }); !edge && n%5 != 0 {
			continue // each costs syncs
		}
		dir := t.TempDir()
		write(t, b[:n], GenerationPath(dir, 1))
		events := map[bool]dcb.Position{int64(n) >= at[3]: 1, int64(n) >= at[4]: 3}[true]
		f := follow(dir, 1)
		err := f.refresh(Known{}, none)
		if int64(n) < at[2] { // no generation in use
			require.ErrorIs(t, err, dcb.ErrCorrupt, "cut at %d", n)
		} else {
			require.NoError(t, err, "cut at %d", n)
		}
		require.Equal(t, events+1, f.Next(), "cut at %d", n)
		if int64(n) >= at[2] {
			write(t, b, GenerationPath(dir, 1)) // the owner goes on writing
			require.NoError(t, f.refresh(Known{Durable: 3}, none))
			require.EqualValues(t, 4, f.Next())
		}
		require.NoError(t, f.Close())

		f = follow(dir, 1)
		write(t, b[:n], GenerationPath(dir, 1))
		err = f.refresh(Known{Durable: 3}, none)
		require.Equal(t, n < len(b), errors.Is(err, dcb.ErrCorrupt), "position 3 is vouched for: cut at %d: %v", n, err)
		require.NoError(t, f.Close())
	}
}

// TestAReaderAndFlippedBits: what is damaged is not shown, and damage in front of what is intact and vouches for it is an error.
func TestAReaderAndFlippedBits(t *testing.T) {
	b := (&forge{id: testID, gen: 1}).header().link(Link{}, 1).commit(1, 1, body(1)).commit(2, 1, body(2)).commit(3, 1, body(3)).b
	at := starts(t, b)
	dir := t.TempDir()
	for i := range b { // one bit of each byte: each costs a sync
		bit := 8*i + i%8
		b[bit/8] ^= 1 << (bit % 8)
		write(t, b, GenerationPath(dir, 1))
		b[bit/8] ^= 1 << (bit % 8)
		f := follow(dir, 1)
		err := f.refresh(Known{}, none)
		if int64(bit/8) > at[4] { // in the last frame but its length: a torn write
			require.NoError(t, err, "bit %d", bit)
			require.EqualValues(t, 3, f.Next(), "bit %d", bit)
		} else if int64(bit/8) < at[4] {
			require.ErrorIs(t, err, dcb.ErrCorrupt, "bit %d", bit)
			require.EqualValues(t, 1, f.Next(), "nothing is handed out of a log that is damaged, bit %d", bit)
		}
		require.NoError(t, f.Close())
	}
}

func TestAReaderOfALogThatIsNotThere(t *testing.T) {
	dir := t.TempDir()
	require.ErrorIs(t, follow(filepath.Join(dir, "absent"), 1).refresh(Known{}, none), dcb.ErrCorrupt)
	require.ErrorIs(t, follow(dir, 1).refresh(Known{}, none), dcb.ErrCorrupt, "no generation in use")
	require.NoError(t, os.Mkdir(filepath.Join(dir, genName(1)), 0o755))
	var corrupt *dcb.CorruptError
	require.ErrorAs(t, follow(dir, 1).refresh(Known{}, none), &corrupt)
	require.Equal(t, GenerationPath(dir, 1), corrupt.File)
	require.Equal(t, []string{genName(1)}, names(t, dir), "nothing was made")
}

// TestAReaderJudgesGenerations gives it generations that do not go together.
func TestAReaderJudgesGenerations(t *testing.T) {
	one := func() *forge { return (&forge{id: testID, gen: 1}).header().link(Link{}, 1).commit(1, 1, body(1)) }
	link := func(prev *forge) Link { return Link{Prev: prev.gen, PrevEnd: uint64(len(prev.b)), PrevSum: prev.sum} }
	two := func(l Link, base dcb.Position) *forge {
		return (&forge{id: testID, gen: 2}).header().link(l, base).commit(base, 1, body(base))
	}
	header := func(gen uint64) []byte { return (&forge{id: testID, gen: gen}).header().b }
	wrongSum, tooLong := link(one()), link(one())
	wrongSum.PrevSum++
	tooLong.PrevEnd++
	torn := func(b []byte, n int) []byte { return b[:len(b)-n] }
	behindHole := two(link(one()), 2).b // its link is damaged, and a frame behind it knows that it was durable
	behindHole[len(header(2))+80] ^= 1

	for _, c := range []struct {
		name string
		gens map[uint64][]byte
		next dcb.Position // 0: damage
	}{
		{"they continue each other", map[uint64][]byte{1: one().b, 2: two(link(one()), 2).b}, 3},
		{"a successor not in use", map[uint64][]byte{1: one().b, 2: header(2)}, 2},
		{"a successor with a torn link", map[uint64][]byte{1: one().b, 2: two(link(one()), 2).b[:len(header(2))+50]}, 2},
		{"a torn end before a torn link", map[uint64][]byte{1: torn(one().b, 3), 2: two(link(one()), 2).b[:len(header(2))+50]}, 0},
		{"a torn end before a link", map[uint64][]byte{1: torn(one().b, 3), 2: two(link(one()), 2).b}, 0},
		{"a torn end and a successor not in use", map[uint64][]byte{1: torn(one().b, 3), 2: header(2)}, 1},
		{"the first is missing", map[uint64][]byte{2: two(link(one()), 2).b}, 0},
		{"another sum", map[uint64][]byte{1: one().b, 2: two(wrongSum, 2).b}, 0},
		{"another end", map[uint64][]byte{1: one().b, 2: two(tooLong, 2).b}, 0},
		{"another position", map[uint64][]byte{1: one().b, 2: two(link(one()), 3).b}, 0},
		{"a header that is damaged", map[uint64][]byte{1: one().b, 2: torn(header(2), 1)}, 0},
		{"an empty generation", map[uint64][]byte{1: one().b, 2: {}}, 0},
		{"a link that is damaged", map[uint64][]byte{1: one().b, 2: behindHole}, 0},
		{"a link to itself", map[uint64][]byte{2: two(Link{Prev: 2}, 2).b}, 0},
		{"a link to what was never begun", map[uint64][]byte{1: header(1), 2: two(link(one()), 2).b}, 0},
		{"what came before is not needed", map[uint64][]byte{2: two(Link{}, 1).b}, 2},
	} {
		dir := t.TempDir()
		for gen, b := range c.gens {
			write(t, b, GenerationPath(dir, gen))
		}
		f := follow(dir, 1)
		err := f.refresh(Known{}, none)
		if c.next == 0 {
			require.ErrorIs(t, err, dcb.ErrCorrupt, c.name)
		} else {
			require.NoError(t, err, c.name)
			require.Equal(t, c.next, f.Next(), c.name)
		}
		require.NoError(t, f.Close())
	}
}

// TestAReaderAndANumberUsedTwice: a successor that was not used is removed at Close, and the next owner builds another of its
// number. A reader that held on to the first would wait for ever.
func TestAReaderAndANumberUsedTwice(t *testing.T) {
	l, dir := create(t, Options{RotateBytes: 600})
	f := follow(dir, 1)
	defer f.Close()
	for l.Stats().Rotations == 0 && len(names(t, dir)) < 3 {
		put(t, l, 1)
		l.background.Wait()
		require.NoError(t, f.refresh(Known{}, none))
	}
	require.NoError(t, l.Close())
	require.NoError(t, f.refresh(Known{}, none))
	l = reopen(t, dir, Options{RotateBytes: 600})
	for l.Stats().Rotations < 3 {
		put(t, l, 1)
		l.background.Wait()
		require.NoError(t, f.refresh(Known{}, none))
		require.Equal(t, l.Witness().Head+1, f.Next())
	}
	require.NoError(t, l.Close())
}

// TestAReaderHoldsWhatItNeeds: an open descriptor stays readable when its file is deleted, until Trim lets go of it.
func TestAReaderHoldsWhatItNeeds(t *testing.T) {
	l, dir := create(t, Options{RotateBytes: 500})
	f := follow(dir, 1)
	defer f.Close()
	for l.Stats().Rotations < 3 {
		put(t, l, 1)
		l.background.Wait()
		require.NoError(t, f.refresh(Known{}, none))
	}
	head := l.Witness().Head
	n, err := l.Trim(head)
	require.NoError(t, err)
	require.Equal(t, 3, n)
	require.NoError(t, f.readAll(0))
	first, live := f.Live()
	require.EqualValues(t, 1, first)
	require.Equal(t, 4, live)

	require.NoError(t, f.Trim(head/2))
	require.NoError(t, f.readAll(head/2))
	require.NoError(t, f.Trim(head))
	require.NoError(t, f.readAll(head))
	first, live = f.Live()
	require.Equal(t, l.FirstGeneration(), first)
	require.Equal(t, 1, live, "the last one stays")
	require.ErrorIs(t, f.ReadAt(f.places[1], make([]byte, 12)), ErrTrimmed)

	require.NoError(t, f.Close())
	err = f.ReadAt(f.places[head], make([]byte, 12))
	require.ErrorIs(t, err, dcb.ErrClosed)
	require.NotErrorIs(t, err, ErrTrimmed)
}

// TestPlacesThatAreTrimmedWhileTheyAreRead: whoever reads meanwhile is told that the generation is gone, and nothing else.
func TestPlacesThatAreTrimmedWhileTheyAreRead(t *testing.T) {
	l, dir := create(t, Options{RotateBytes: 300, Fdatasync: func(*os.File) error { return nil }})
	for l.Stats().Rotations < 4 {
		put(t, l, 1)
		l.background.Wait()
	}
	head := l.Durable()
	for range 300 {
		f := follow(dir, 1)
		require.NoError(t, f.refresh(Known{Durable: head}, none))
		var wg, reading sync.WaitGroup
		reading.Add(3)
		for p := range dcb.Position(3) {
			wg.Go(func() {
				b := make([]byte, 12)
				err := f.ReadAt(f.places[p+1], b)
				reading.Done()
				for ; err == nil; err = f.ReadAt(f.places[p+1], b) {
					if string(b) != body(p+1) {
						t.Errorf("position %d is %q", p+1, b)
					}
				}
				if !errors.Is(err, ErrTrimmed) {
					t.Error(err)
				}
			})
		}
		reading.Wait()
		require.NoError(t, f.Trim(head))
		wg.Wait()
		require.NoError(t, f.readAll(head))
		require.NoError(t, f.Close())
	}
}

func TestAReaderOfAFileThatShrinks(t *testing.T) {
	l, dir := create(t, Options{})
	put(t, l, 3)
	f := follow(dir, 1)
	require.NoError(t, f.refresh(Known{}, none))
	require.NoError(t, os.Truncate(GenerationPath(dir, 1), 300))
	require.ErrorIs(t, f.refresh(Known{}, none), dcb.ErrCorrupt)
	require.NoError(t, f.Close())
}

// TestALinkVouchesForAllBeforeIt, even if nothing else does and nothing follows, and be it half written.
func TestALinkVouchesForAllBeforeIt(t *testing.T) {
	for _, link := range []int{beginBytes, beginBytes - 40} {
		one := (&forge{id: testID, gen: 1}).header().link(Link{}, 1)
		dir := t.TempDir()
		write(t, one.b, GenerationPath(dir, 1))
		f := follow(dir, 1)
		require.NoError(t, f.refresh(Known{}, none))
		one.commit(1, 1, body(1))
		write(t, one.b, GenerationPath(dir, 1))
		require.NoError(t, f.refresh(Known{}, none))
		require.Zero(t, f.Durable())
		require.EqualValues(t, 1, f.Next())
		two := (&forge{id: testID, gen: 2}).header().link(Link{Prev: 1, PrevEnd: uint64(len(one.b)), PrevSum: one.sum}, 2)
		write(t, two.b[:link], GenerationPath(dir, 2))
		require.NoError(t, f.refresh(Known{}, none))
		require.EqualValues(t, 2, f.Next())
		require.EqualValues(t, 1, f.Durable())
		require.NoError(t, f.Close())
	}
}

func TestAReaderGivesBackLargeBuffers(t *testing.T) {
	l, dir := create(t, Options{Fdatasync: func(*os.File) error { return nil }})
	for range 100 {
		putGroup(t, l, 1000)
	}
	require.NoError(t, l.Sync())
	f := follow(dir, 1)
	defer f.Close()
	require.NoError(t, f.refresh(Known{}, none))
	require.EqualValues(t, 100_001, f.Next())
	require.LessOrEqual(t, cap(f.buf), keptBytes)
}

// supersede does what recovery does after an unclean close: the last generation in use is written anew from the checkpoint on,
// and everything that is not needed is removed.
func supersede(t require.TestingT, dir string, checkpoint dcb.Position) {
	list, err := List(dir)
	require.NoError(t, err)
	var live []Scanned
	for _, gen := range list.Generations {
		b, err := ReadGeneration(dir, gen, false)
		require.NoError(t, err)
		if s := Scan(b, testID, gen); s.Linked {
			live = append(live, s)
		}
	}
	tail := live[len(live)-1]
	commits := slices.DeleteFunc(slices.Clone(tail.Commits), func(f Frame) bool { return f.Last() <= checkpoint })
	base := tail.Next()
	if len(commits) > 0 {
		base = commits[0].First
	}
	link := Link{Checkpoint: checkpoint, Supersedes: tail.Gen, SupersedesFrom: base}
	if base > checkpoint+1 {
		link.Prev, link.PrevEnd, link.PrevSum = tail.Link.Prev, tail.Link.PrevEnd, tail.Link.PrevSum
	}
	into := list.Generations[len(list.Generations)-1] + 1
	_, err = BuildGeneration(dir, testID, into, testClock, &link, base, commits)
	require.NoError(t, err)
	for _, gen := range list.Generations {
		i := slices.IndexFunc(live, func(s Scanned) bool { return s.Gen == gen })
		if i < 0 || gen == tail.Gen || live[i].Next()-1 <= checkpoint {
			require.NoError(t, RemoveGeneration(dir, gen))
		}
	}
}

// model is an owner that appends, syncs, rotates, checkpoints, dies and recovers, and what readers may see of it.
type model struct {
	t          *rapid.T
	dir        string
	l          *Log
	durable    dcb.Position // known to be, by what a reader can see
	onDisk     dcb.Position // synced by anybody
	checkpoint dcb.Position
	readers    []*follower
}

func (m *model) known() Known {
	return Known{Durable: m.durable}
}

// kill ends the owner. A power cut also takes back a part of what was not synced, and leaves garbage.
func (m *model) kill() {
	path, w := GenerationPath(m.dir, m.l.w.generation.no), m.l.Witness()
	require.NoError(m.t, m.l.Close())
	if rapid.Bool().Draw(m.t, "power cut") {
		b, err := os.ReadFile(path)
		require.NoError(m.t, err)
		s := Scan(b, testID, m.l.w.generation.no)
		require.NoError(m.t, s.Stop)
		floor := int64(beginBytes)
		for _, f := range s.Commits {
			if f.Last() <= m.onDisk {
				floor = f.End
			}
		}
		end := rapid.Int64Range(floor, w.End).Draw(m.t, "end")
		tail := make([]byte, rapid.IntRange(0, 50).Draw(m.t, "garbage"))
		for i := range tail {
			tail[i] = byte(i) * rapid.SampledFrom([]byte{0, 1}).Draw(m.t, "zeroes")
		}
		require.NoError(m.t, os.WriteFile(path, append(b[:end:end], tail...), 0o644))
	}
	m.look() // with nobody to ask
	supersede(m.t, m.dir, m.checkpoint)
	m.look()
	m.open()
	m.durable, m.onDisk = m.l.Witness().Head, m.l.Witness().Head // as the ledger says now
}

func (m *model) open() {
	var live []Segment
	var tail Scanned
	list, err := List(m.dir)
	require.NoError(m.t, err)
	for _, gen := range list.Generations {
		b, err := ReadGeneration(m.dir, gen, false)
		require.NoError(m.t, err)
		tail = Scan(b, testID, gen)
		require.NoError(m.t, tail.Stop)
		live = append(live, Segment{Gen: gen, Last: tail.Next() - 1})
	}
	w := Witness{Gen: tail.Gen, End: tail.Size, Sum: tail.Sum, Head: tail.Next() - 1}
	m.l, err = Open(m.dir, testID, live, w, tail.LastNo(), Options{RotateBytes: 700, Fdatasync: func(*os.File) error { return nil }})
	require.NoError(m.t, err)
}

// look refreshes all readers, opens one more, and checks each.
func (m *model) look() {
	next := m.checkpoint + 1
	if len(m.readers) > 0 && rapid.Bool().Draw(m.t, "an older checkpoint") {
		next = m.readers[0].next
	}
	if len(m.readers) == 3 {
		require.NoError(m.t, m.readers[0].Close())
		m.readers = m.readers[1:]
	}
	m.readers = append(m.readers, follow(m.dir, next))
	for _, f := range m.readers {
		fresh := !f.settled
		require.NoError(m.t, f.refresh(m.known(), func() dcb.Position { return m.checkpoint }))
		require.Equal(m.t, f.next, f.Next())
		shown := f.next - 1
		if fresh {
			m.onDisk = max(m.onDisk, shown)
		}
		require.GreaterOrEqual(m.t, shown, m.durable, "what is durable is shown")
		require.LessOrEqual(m.t, shown, m.onDisk, "what is not on the disk is not shown")
		require.NoError(m.t, f.readAll(m.checkpoint))
		require.NoError(m.t, f.Trim(m.checkpoint))
		require.NoError(m.t, f.readAll(m.checkpoint))
	}
}

// TestReadersOfALogThatLives: whatever an owner does, readers show everything that is durable and nothing else, without a gap.
func TestReadersOfALogThatLives(t *testing.T) {
	parent := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp(parent, "")
		require.NoError(t, err)
		_, err = BuildGeneration(dir, testID, 1, testClock, &Link{}, 1, nil)
		require.NoError(t, err)
		m := &model{t: t, dir: dir}
		m.open()
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 11).Draw(t, "step") {
			case 0, 1, 2, 3:
				putGroup(t, m.l, rapid.IntRange(1, 12).Draw(t, "events"))
				m.l.background.Wait()
			case 4, 5:
				require.NoError(t, m.l.Sync())
			case 6, 7, 8:
				m.look()
			case 9, 10:
				m.checkpoint = dcb.Position(rapid.Uint64Range(uint64(m.checkpoint), uint64(m.l.Durable())).Draw(t, "checkpoint"))
				_, err := m.l.Trim(m.checkpoint)
				require.NoError(t, err)
			case 11:
				m.kill()
			}
			m.durable = max(m.durable, m.l.Durable())
			m.onDisk = max(m.onDisk, m.durable)
		}
		m.look()
		for _, f := range m.readers {
			require.NoError(t, f.Close())
		}
		require.NoError(t, m.l.Close())
		require.NoError(t, os.RemoveAll(dir))
	})
}

// TestReadersBesideAnOwnerAtWork: an owner appends, rotates and trims as fast as it can; readers come, follow and go.
func TestReadersBesideAnOwnerAtWork(t *testing.T) {
	l, dir := create(t, Options{RotateBytes: 700, Fdatasync: func(*os.File) error { return nil }})
	var acked, checkpoint atomic.Uint64
	stop := make(chan struct{})
	var wg sync.WaitGroup
	at := func(n *atomic.Uint64) dcb.Position { return dcb.Position(n.Load()) }
	for range 3 {
		wg.Go(func() {
			for round := 0; ; round++ {
				select {
				case <-stop:
					return
				default:
				}
				f := follow(dir, at(&checkpoint)+1)
				for range 20 {
					want, s := at(&acked), at(&checkpoint)
					err := f.refresh(Known{Durable: s}, func() dcb.Position { return at(&checkpoint) })
					if err == nil && f.next <= want {
						err = fmt.Errorf("it shows %d where %d was acknowledged", f.next-1, want)
					}
					err = errors.Join(err, f.readAll(at(&checkpoint)), f.Trim(s))
					if err != nil {
						t.Errorf("round %d: %v", round, err)
						return
					}
				}
				if err := f.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range rounds(1000) {
		putGroup(t, l, 3)
		require.NoError(t, l.Sync())
		acked.Store(uint64(l.Durable()))
		l.background.Wait() // or it would outrun the building of successors
		if l.Durable()%7 == 0 {
			checkpoint.Store(uint64(l.Durable()) - 5) // in ledger.json before the log is trimmed
			_, err := l.Trim(at(&checkpoint))
			require.NoError(t, err)
		}
	}
	close(stop)
	wg.Wait()
	require.Greater(t, l.Stats().Rotations, uint64(rounds(1000)/20))
	require.NoError(t, l.Close())
}

// TestAReaderOfALogThatLostEvents: a relaxed owner can lose what it acknowledged, and a reader that has seen it must not go on.
func TestAReaderOfALogThatLostEvents(t *testing.T) {
	l, dir := create(t, Options{})
	put(t, l, 2)
	synced := l.Witness().End
	putGroup(t, l, 3)
	f := follow(dir, 1)
	defer f.Close()
	require.NoError(t, f.refresh(Known{Relaxed: true}, none))
	require.EqualValues(t, 6, f.Next())
	require.NoError(t, l.Close())
	require.NoError(t, os.Truncate(GenerationPath(dir, 1), synced))
	supersede(t, dir, 0)
	require.ErrorIs(t, f.refresh(Known{Relaxed: true}, none), ErrRewound)
	require.ErrorIs(t, f.refresh(Known{Durable: 5}, none), dcb.ErrCorrupt, "what is vouched for cannot be lost")
}

func TestAnErrorOfTheSinkEndsRefreshAtOnce(t *testing.T) {
	l, dir := create(t, Options{})
	put(t, l, 3)
	r := NewReader(dir, testID, 1)
	defer r.Close()
	calls := 0
	broken := &dcb.CorruptError{Reason: "a record"}
	sink := Sink{Frame: func(uint64, Frame) error { calls++; return broken }}
	require.ErrorIs(t, r.Refresh(Known{}, sink), broken)
	require.Equal(t, 1, calls)
}

// TestContinueEqualsScan: a file that is read in pieces, whole frames or not, is what it is when it is read at once.
func TestContinueEqualsScan(t *testing.T) {
	b := small()
	b = append(b, small()[:90]...) // and something that is no frame of it
	rapid.Check(t, func(t *rapid.T) {
		end := rapid.IntRange(0, len(b)).Draw(t, "end")
		want := Scan(b[:end], testID, smallGen)
		got := Scanned{Gen: smallGen}
		var commits []Frame
		for at := int64(0); ; {
			at = rapid.Int64Range(at, int64(end)).Draw(t, "at")
			got = got.Continue(b[got.Valid:max(at, got.Valid)], testID)
			commits = append(commits, got.Commits...)
			if at == int64(end) {
				break
			}
		}
		require.Equal(t, want.LastNo(), got.LastNo())
		require.Equal(t, want.Next(), got.Next())
		require.Len(t, commits, len(want.Commits))
		for i := range commits {
			require.Equal(t, want.Commits[i], commits[i])
		}
		got.Commits, got.passed, got.next = want.Commits, 0, 0
		require.Equal(t, want, got)
	})
}

// TestAWitnessThatIsBeingWritten: a reader that meets ACKED half written reads it again.
func TestAWitnessThatIsBeingWritten(t *testing.T) {
	old, now := Acked{Gen: 1, Offset: 2, Position: 3}, Acked{Gen: 4, Offset: 5, Position: 6}
	from, to := old.encode(testID), now.encode(testID)
	for n := 9; n < len(to); n++ { // where they differ
		half := append(bytes.Clone(to[:n]), from[n:]...)
		for _, c := range []struct {
			reads [][]byte
			want  Acked
		}{
			{[][]byte{half, to}, now},
			{[][]byte{nil, half, to}, Acked{}}, // none yet
			{[][]byte{half, from, to}, old},
			{[][]byte{half, half, to}, Acked{}}, // what never makes sense is silent
		} {
			a, err := readAckedBeside(func() ([]byte, error) {
				b := c.reads[0]
				c.reads = c.reads[1:]
				return b, nil
			}, testID)
			require.NoError(t, err)
			require.Equal(t, c.want, a, "%d bytes", n)
		}
	}
	broken := errors.New("a disk")
	_, err := readAckedBeside(func() ([]byte, error) { return nil, broken }, testID)
	require.ErrorIs(t, err, broken)
}

// An error of the sink ends a Refresh even if it looks like damage: what looks like damage in the log is looked at again.
func TestASinkIsNotAskedAgain(t *testing.T) {
	l, dir := create(t, Options{})
	put(t, l, 3)
	calls := 0
	refused := &dcb.CorruptError{File: "elsewhere", Reason: "refused"}
	sink := Sink{
		Filed: func(dcb.Position) error { return nil },
		Frame: func(uint64, Frame) error { calls++; return refused },
	}
	require.ErrorIs(t, NewReader(dir, testID, 1).Refresh(Known{}, sink), error(refused))
	require.Equal(t, 1, calls)

	var failed bool
	require.Error(t, Sink{Filed: func(dcb.Position) error { return refused }}.noting(&failed).Filed(1))
	require.True(t, failed)
}

// What looks like damage is looked at again, also if nothing was handed out before.
func TestAReaderBelievesNoDamageThatPasses(t *testing.T) {
	l, dir := create(t, Options{})
	put(t, l, 3)
	putGroup(t, l, 1)
	require.NoError(t, l.Close())
	for damaged := 1; damaged <= looks; damaged++ {
		f := follow(dir, 1)
		n := 0
		f.sync = func(*os.File) error {
			if n++; n <= damaged {
				return &dcb.CorruptError{File: "the log", Reason: "so it seems"}
			}
			return nil
		}
		err := f.refresh(Known{}, none)
		if damaged == looks {
			require.ErrorIs(t, err, dcb.ErrCorrupt)
			require.Equal(t, looks, n)
		} else {
			require.NoError(t, err, "damaged %d times", damaged)
			require.EqualValues(t, 5, f.Next())
		}
		require.NoError(t, f.Close())
	}
}

// A generation that cannot be read any more is an error, and neither damage nor an end.
func TestAReaderTellsWhatItCannotRead(t *testing.T) {
	l, dir := create(t, Options{})
	put(t, l, 3)
	require.NoError(t, os.Remove(AckedPath(dir)))
	r := NewReader(dir, testID, 1)
	r.sync = func(f *os.File) error { return f.Close() }
	err := r.Refresh(Known{}, Sink{
		Filed: func(dcb.Position) error { return nil },
		Frame: func(uint64, Frame) error { return nil },
	})
	require.ErrorIs(t, err, os.ErrClosed)
	require.NotErrorIs(t, err, dcb.ErrCorrupt)

	f, err := os.OpenFile(GenerationPath(dir, 1), os.O_WRONLY, 0)
	require.NoError(t, err)
	defer f.Close()
	b, err := r.read(&followed{no: 1, file: f}, 100)
	require.ErrorContains(t, err, "follow generation 1")
	require.NotErrorIs(t, err, dcb.ErrCorrupt)
	require.Empty(t, b)
}

func TestAReaderHasNothingOfAGenerationItDoesNotHold(t *testing.T) {
	l, dir := create(t, Options{})
	put(t, l, 3)
	r := NewReader(dir, testID, 1)
	require.ErrorIs(t, r.ReadAt(Place{Gen: 1}, make([]byte, 1)), ErrTrimmed, "nothing was read yet")
	first, n := r.Live()
	require.Zero(t, first)
	require.Zero(t, n)
}

package wal

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"opossum/dcb"
)

// The 25 known hazards of tidwall/wal v1.2.1, and the test that shows each cannot reach a store through this package.
// "never" means that the call which has the hazard is not made here.
//
//	 1 no checksum                         TestScanEveryFlippedBit
//	 2 torn tail makes Open fail           TestScanEveryTruncation, TestTornTailIsRebuilt
//	 3 zero bytes parse as entries         TestScanZeroTail
//	 4 continuity is not checked           TestScanRefuses (missing, swapped), TestStrayFilesAreRefused; between generations: recovery
//	 5 no directory syncs                  TestBuildGenerationPublishesWhole (order of steps); the power cut itself: crashlab
//	 6 a write error leaves a phantom      TestWriteErrorIsFinal
//	 7 short write, then retry             TestShortWriteIsFinal
//	 8 a sync error is forgotten           TestSyncErrorIsFinal
//	 9 cycle() fails half way              TestGenerationIsOneFile; never cycles
//	10 a batch is not atomic               TestGroupIsOneEntry
//	11 concurrent Reads race               TestReadAtRacesWithRotationAndTrim; tidwall's Read: never
//	12 Sync holds the write lock           TestReadersDoNotWaitForSync; tidwall's Sync: never while in use
//	13 own descriptor becomes stale        TestSyncsTheFileThatIsWritten
//	14 TruncateFront copies                never truncates: TestTrim
//	15 START and END are trusted           TestStrayFilesAreRefused
//	16 leftover temporary files            TestList, TestBuildGenerationReplacesLeftovers
//	17 a failed truncate cannot be closed  never truncates
//	18 two openers                         the LOCK, tested in the root
//	19 Open does not sync the tail         TestReadGeneration; recovery rewrites the tail of every unclean close
//	20 the tail stays in memory            TestRotation: a sealed generation holds no tail
//	21 huge lengths                        TestScanHugeLengths
//	22 a failed Open leaks a descriptor    TestFailedOpenLeaksNothing
//	23 no read-only mode                   TestReadGeneration
//	24 indexes depend on AllowEmpty        TestNumbersComeFromFrames
//	25 Open changes its options            TestTidwallOptionsAreFresh

func TestMain(m *testing.M) {
	if child := children[os.Getenv(childVariable)]; child != nil {
		child(os.Args[1])
		return
	}
	goleak.VerifyTestMain(m)
}

// children are what this binary does instead of testing when it is started with childVariable: what would harm the
// other tests of a process.
var children = map[string]func(dir string){}

const childVariable = "OPOSSUM_WAL_TEST_CHILD"

var (
	testID    = StoreID{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}
	otherID   = StoreID{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 17}
	testClock = time.Unix(1_700_000_000, 0)
)

// forge makes the bytes of a generation without files, and unlike the log it makes wrong ones too.
type forge struct {
	id  StoreID
	gen uint64
	no  uint64
	sum uint64
	b   []byte
}

// frame appends a frame with the next number, chained to the one before.
func (g *forge) frame(f Frame, body []byte) *forge {
	f.No, f.Prev = g.no+1, g.sum
	return g.raw(f, body)
}

// raw appends a frame as it is.
func (g *forge) raw(f Frame, body []byte) *forge {
	buf := append(make([]byte, FrameHeaderBytes), body...)
	g.sum = sealFrame(buf, g.id, g.gen, f)
	g.no = f.No
	return g.entry(buf)
}

func (g *forge) entry(frame []byte) *forge {
	g.b = append(binary.AppendUvarint(g.b, uint64(len(frame))), frame...)
	return g
}

func (g *forge) header() *forge { return g.frame(Frame{Kind: KindHeader}, headerBody(g.id, testClock)) }

func (g *forge) link(l Link, base dcb.Position) *forge {
	return g.frame(Frame{Kind: KindLink, First: base, Durable: base - 1}, l.encode())
}

func (g *forge) commit(first dcb.Position, count uint32, body string) *forge {
	return g.frame(Frame{Kind: KindCommit, First: first, Count: count, Durable: first - 1, DurableOff: uint64(len(g.b))}, []byte(body))
}

var (
	smallLink   = Link{Prev: 6, PrevEnd: 4096, PrevSum: 0x1122334455667788, Checkpoint: 90, Supersedes: 6, SupersedesFrom: 100}
	smallBodies = []string{"the body of two events", "of one"}
)

const (
	smallGen  = 7
	smallBase = 100
)

// small is a generation of header, link and two commits.
func small() []byte {
	g := forge{id: testID, gen: smallGen}
	return g.header().link(smallLink, smallBase).commit(100, 2, smallBodies[0]).commit(102, 1, smallBodies[1]).b
}

// starts returns where the entries of an intact generation start, and where the last one ends.
func starts(t require.TestingT, b []byte) []int64 {
	out := []int64{0}
	for len(b) > 0 {
		_, size, err := nextEntry(b)
		require.NoError(t, err)
		out = append(out, out[len(out)-1]+int64(size))
		b = b[size:]
	}
	return out
}

// requirePrefix expects that got holds exactly the first n frames of the intact generation want, and nothing else.
func requirePrefix(t require.TestingT, want, got Scanned, n int) {
	require.EqualValues(t, n, got.LastNo())
	require.Equal(t, n >= 1, got.Header)
	require.Equal(t, n >= 2, got.Linked)
	if n >= 2 {
		require.Equal(t, want.Link, got.Link)
		require.Equal(t, want.Base, got.Base)
	}
	require.Len(t, got.Commits, max(0, n-2))
	for i, f := range got.Commits {
		require.Equal(t, want.Commits[i], f)
	}
}

// create makes the log of a new store in a new directory and opens it.
func create(t testing.TB, opt Options) (*Log, string) {
	t.Helper()
	dir := t.TempDir()
	b, err := BuildGeneration(dir, testID, 1, testClock, &Link{}, 1, nil)
	require.NoError(t, err)
	require.Equal(t, Built{Gen: 1, No: 2, End: b.End, Sum: b.Sum, Base: 1, Next: 1}, b)
	l, err := Open(dir, testID, []Segment{{Gen: 1}}, Witness{Gen: 1, End: b.End, Sum: b.Sum}, b.No, opt)
	require.NoError(t, err)
	t.Cleanup(func() {
		if !t.Failed() { // a test that closed it itself has seen the error that counts
			_ = l.Close()
		}
	})
	return l, dir
}

// generations scans what a directory holds, without the successors that were never used.
func generations(t testing.TB, dir string) []Scanned {
	t.Helper()
	list, err := List(dir)
	require.NoError(t, err)
	var out []Scanned
	for _, gen := range list.Generations {
		b, err := ReadGeneration(dir, gen, false)
		require.NoError(t, err)
		if s := Scan(b, testID, gen); s.Linked {
			out = append(out, s)
		} else {
			require.True(t, s.Header, "generation %d: %v", gen, s.Stop)
		}
	}
	return out
}

// requireChain expects intact generations that continue each other, and returns the bodies of their frames.
func requireChain(t testing.TB, gens []Scanned) []string {
	t.Helper()
	var bodies []string
	for i, g := range gens {
		require.NoError(t, g.Stop, "generation %d", g.Gen)
		if i > 0 {
			p := gens[i-1]
			require.Equal(t, p.Gen, g.Link.Prev)
			require.EqualValues(t, p.Size, g.Link.PrevEnd)
			require.Equal(t, p.Sum, g.Link.PrevSum)
			require.Equal(t, p.Next(), g.Base)
		}
		for _, c := range g.Commits {
			bodies = append(bodies, string(c.Body))
		}
	}
	return bodies
}

// reopen opens a log that ended without damage, as recovery would after a clean close.
func reopen(t testing.TB, dir string, opt Options) *Log {
	t.Helper()
	gens := generations(t, dir)
	requireChain(t, gens)
	var live []Segment
	for _, g := range gens {
		live = append(live, Segment{Gen: g.Gen, Last: g.Next() - 1})
	}
	tail := gens[len(gens)-1]
	w := Witness{Gen: tail.Gen, End: tail.Size, Sum: tail.Sum, Head: tail.Next() - 1}
	l, err := Open(dir, testID, live, w, tail.LastNo(), opt)
	require.NoError(t, err)
	return l
}

// rebuild writes the intact frames of the last generation into the next one, as recovery does after an unclean close.
func rebuild(t testing.TB, dir string) {
	t.Helper()
	gens := generations(t, dir)
	tail := gens[len(gens)-1]
	link := tail.Link
	link.Supersedes, link.SupersedesFrom = tail.Gen, tail.Base
	_, err := BuildGeneration(dir, testID, tail.Gen+1, testClock, &link, tail.Base, tail.Commits)
	require.NoError(t, err)
	require.NoError(t, RemoveGeneration(dir, tail.Gen))
}

// put appends one event per group, each group synced, with bodies that name their positions.
func put(t testing.TB, l *Log, n int) {
	t.Helper()
	for range n {
		p := l.Witness().Head + 1
		_, err := l.Append(p, 1, [][]byte{[]byte(body(p))})
		require.NoError(t, err)
		require.NoError(t, l.Sync())
	}
}

func body(p dcb.Position) string { return fmt.Sprintf("event %06d", p) }

func bodiesTo(p dcb.Position) []string {
	var out []string
	for q := dcb.Position(1); q <= p; q++ {
		out = append(out, body(q))
	}
	return out
}

func names(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func write(t testing.TB, b []byte, path ...string) {
	t.Helper()
	file := filepath.Join(path...)
	require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
	require.NoError(t, os.WriteFile(file, b, 0o644))
}

// rounds is how often a randomized test repeats; fewer with -short.
func rounds(n int) int {
	if testing.Short() {
		return max(1, n/10)
	}
	return n
}

package index

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"opossum/dcb"
	"opossum/internal/segment"
)

// drawList draws ascending positions with runs and leaps, enough for several chunks.
func drawList(t *rapid.T, most int) []dcb.Position {
	var out []dcb.Position
	p := dcb.Position(0)
	for range rapid.IntRange(0, most).Draw(t, "length") {
		p += dcb.Position(rapid.OneOf(rapid.Just(1), rapid.IntRange(1, 4), rapid.IntRange(1, 200)).Draw(t, "step"))
		out = append(out, p)
	}
	return out
}

func postings(ps []dcb.Position) *Postings {
	l := new(Postings)
	for _, p := range ps {
		l.add(p)
	}
	return l
}

func window(ps []dcb.Position, after, upto dcb.Position) []dcb.Position {
	return slices.DeleteFunc(slices.Clone(ps), func(p dcb.Position) bool { return p <= after || p > upto })
}

func drain(o order, c cursor) (out []dcb.Position) {
	for k := c.peek(); k != done; k = c.peek() {
		out = append(out, o.position(k))
		c.seek(k + 1)
	}
	return out
}

func directed(o order, ps []dcb.Position) []dcb.Position {
	ps = slices.Clone(ps)
	if o.backwards {
		slices.Reverse(ps)
	}
	return ps
}

func TestAPostingListEqualsItsPositions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ps := drawList(t, 100)
		l := postings(ps)
		bound := rapid.OneOf(rapid.Uint64Range(0, 300), rapid.Uint64Range(0, 20_000), rapid.Just(uint64(math.MaxUint64)))
		after, upto := dcb.Position(bound.Draw(t, "after")), dcb.Position(bound.Draw(t, "upto"))
		want := window(ps, after, upto)
		require.Equal(t, len(ps) == 0, l.empty())

		var first dcb.Position
		if len(want) > 0 {
			first = want[0]
		}
		require.Equal(t, first, l.firstAfter(after, upto))
		pieces := l.pieces(after, upto)
		for _, p := range pieces {
			require.NotEmpty(t, p)
		}
		require.True(t, slices.Equal(want, slices.Concat(pieces...)))
		for _, o := range []order{{false}, {true}} {
			require.True(t, slices.Equal(directed(o, want), drain(o, newListed(o, l, after, upto))))
		}
	})
}

func TestAPostingListOfManyChunks(t *testing.T) {
	const n = 3*maxChunk + 5000
	l := new(Postings)
	for p := dcb.Position(1); p <= n; p++ {
		l.add(2 * p)
		if p < 100 || p%1000 == 0 { // in every state of growth
			require.Equal(t, 2*p, l.firstAfter(2*p-1, math.MaxUint64))
			require.Zero(t, l.firstAfter(2*p, math.MaxUint64))
			require.EqualValues(t, 2, l.firstAfter(0, math.MaxUint64))
		}
	}
	for p := dcb.Position(0); p < n; p++ {
		require.Equal(t, 2*p+2, l.firstAfter(2*p, math.MaxUint64))
		require.Equal(t, 2*p+2, l.firstAfter(2*p+1, 2*p+2))
		require.Zero(t, l.firstAfter(2*p, 2*p+1))
	}
	require.Len(t, slices.Concat(l.pieces(0, math.MaxUint64)...), n)
}

// drawCursor draws a tree of cursors and the positions that it should yield.
func drawCursor(t *rapid.T, o order, depth int, after, upto dcb.Position) (cursor, []dcb.Position) {
	kind := rapid.IntRange(0, 3).Draw(t, "kind")
	if depth == 0 {
		kind = 0
	}
	switch kind {
	case 1, 2:
		var parts []cursor
		var sets [][]dcb.Position
		for range rapid.IntRange(1, 4).Draw(t, "parts") {
			c, ps := drawCursor(t, o, depth-1, after, upto)
			parts, sets = append(parts, c), append(sets, ps)
		}
		if kind == 1 {
			all := slices.Concat(sets...)
			slices.Sort(all)
			return newUnion(parts), slices.Compact(all)
		}
		return newBoth(parts), slices.DeleteFunc(slices.Clone(sets[0]), func(p dcb.Position) bool {
			return slices.ContainsFunc(sets, func(s []dcb.Position) bool { return !slices.Contains(s, p) })
		})
	case 3:
		if after >= upto {
			return none{}, nil
		}
		var ps []dcb.Position
		for p := after + 1; p <= upto; p++ {
			ps = append(ps, p)
		}
		return newSpan(o, after, upto), ps
	}
	ps := drawList(t, 40)
	return newListed(o, postings(ps), after, upto), window(ps, after, upto)
}

func TestCursorsEqualNaiveSets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := order{rapid.Bool().Draw(t, "backwards")}
		after, upto := dcb.Position(rapid.IntRange(0, 120).Draw(t, "after")), dcb.Position(rapid.IntRange(0, 120).Draw(t, "upto"))
		c, set := drawCursor(t, o, 3, after, upto)
		want := directed(o, set)
		// Seeks at random: a cursor never goes back, and yields the first key at or after the one sought.
		for i := 0; ; {
			k := c.peek()
			require.Equal(t, k, c.peek(), "looking does not move")
			if k == done {
				require.Equal(t, len(want), i, "it ended before %v", want[i:])
				break
			}
			require.Less(t, i, len(want), "it yields %d beyond its end", o.position(k))
			require.Equal(t, want[i], o.position(k))
			to := k + 1
			if rapid.Bool().Draw(t, "leap") {
				to = k + uint64(rapid.IntRange(0, 60).Draw(t, "by"))
				if to < k {
					to = done
				}
			}
			c.seek(to)
			for i < len(want) && o.key(want[i]) < to {
				i++
			}
		}
		c.seek(done)
		require.EqualValues(t, uint64(done), c.peek())
	})
}

func stage(r *Recent, p dcb.Position, e dcb.Event) { r.Stage(p, r.Intern(nil, &e)) }

func openIndex(t *testing.T, recentBytes int64, ranges ...segment.Range) *Index {
	t.Helper()
	ix, err := Open(Config{Dir: filepath.Join(t.TempDir(), "index"), Seed: 7, RecentBytes: recentBytes, Damaged: func() {}}, ranges)
	require.NoError(t, err)
	t.Cleanup(ix.Close)
	return ix
}

// firstMatch asks the present view.
func (ix *Index) firstMatch(q dcb.Query, after, upto dcb.Position) (dcb.Position, error) {
	v, err := ix.Acquire()
	if err != nil {
		return 0, err
	}
	defer v.Release()
	return v.FirstMatch(q, after, upto)
}

// positions drains an iterator.
func (ix *Index) positions(q dcb.Query, after, upto dcb.Position, backwards bool) (out []dcb.Position, err error) {
	it, err := ix.Iterate(q, after, upto, backwards)
	if err != nil {
		return nil, err
	}
	defer it.Close()
	for p, ok := it.Next(); ok; p, ok = it.Next() {
		out = append(out, p)
	}
	if _, again := it.Next(); again {
		return nil, errors.New("the end is not the end")
	}
	return out, it.Err()
}

// change does at random what happens beside reading: a new memory part, a seal of a part or of all, a merge, opening again.
func change(t *rapid.T, ix *Index, head dcb.Position) *Index {
	switch rapid.IntRange(0, 9).Draw(t, "change") {
	case 0, 1:
		ix.Rotate(head)
	case 2, 3:
		require.NoError(t, ix.Seal(dcb.Position(rapid.IntRange(0, int(head)).Draw(t, "seal"))))
	case 4:
		_, err := ix.Merge(context.Background())
		require.NoError(t, err)
	case 5:
		require.NoError(t, ix.Seal(head))
		ix.Close()
		found, err := Find(ix.cfg.Dir, ix.cfg.Seed)
		require.NoError(t, err)
		require.Empty(t, found.Damaged)
		require.Empty(t, found.Remove, "what was merged is removed")
		again, err := Open(ix.cfg, found.Ranges)
		require.NoError(t, err)
		require.Equal(t, head, again.Base())
		return again
	}
	return ix
}

func TestTheIndexEqualsAScan(t *testing.T) {
	types, tags := []string{"A", "B", "C"}, []dcb.Tag{"x", "y", "z"}
	dir, n := t.TempDir(), 0
	rapid.Check(t, func(t *rapid.T) {
		n++
		ix, err := Open(Config{Dir: filepath.Join(dir, fmt.Sprint(n)), Seed: 7, RecentBytes: 1 << 20, Damaged: func() {}}, nil)
		require.NoError(t, err)
		defer func() { ix.Close() }()
		var events []dcb.Event
		for i := range rapid.IntRange(0, 60).Draw(t, "events") {
			e := dcb.Event{
				Type: rapid.SampledFrom(types).Draw(t, "type"),
				Tags: rapid.SliceOfNDistinct(rapid.SampledFrom(tags), 0, 3, rapid.ID[dcb.Tag]).Draw(t, "tags"),
			}
			events = append(events, e)
			stage(ix.Active(), dcb.Position(i+1), e)
			ix = change(t, ix, dcb.Position(i+1))
		}
		for range 5 {
			q := dcb.AllEvents()
			if rapid.IntRange(0, 9).Draw(t, "all") > 0 {
				q = dcb.Query{}
				for range rapid.IntRange(1, 3).Draw(t, "items") {
					it := dcb.QueryItem{
						Types: rapid.SliceOfN(rapid.SampledFrom(append([]string{"?"}, types...)), 0, 3).Draw(t, "types"),
						Tags:  rapid.SliceOfN(rapid.SampledFrom(append([]dcb.Tag{"?"}, tags...)), 0, 3).Draw(t, "tags"),
					}
					if len(it.Types)+len(it.Tags) == 0 {
						it.Types = types
					}
					q = q.Or(dcb.Match(it))
				}
			}
			after := dcb.Position(rapid.IntRange(0, len(events)).Draw(t, "after"))
			upto := dcb.Position(rapid.IntRange(0, len(events)).Draw(t, "upto"))
			want := []dcb.Position{}
			for i, e := range events {
				if p := dcb.Position(i + 1); p > after && p <= upto && q.Matches(e) {
					want = append(want, p)
				}
			}
			var first dcb.Position
			if len(want) > 0 {
				first = want[0]
			}
			got, err := ix.firstMatch(q, after, upto)
			require.NoError(t, err)
			require.Equal(t, first, got)
			for _, backwards := range []bool{false, true} {
				got, err := ix.positions(q, after, upto, backwards)
				require.NoError(t, err)
				require.True(t, slices.Equal(directed(order{backwards}, want), got), "%v, want %v", got, want)
			}
		}
	})
}

func TestPlanMerge(t *testing.T) {
	repeat := func(n int, size uint64) []uint64 { return slices.Repeat([]uint64{size}, n) }
	const big, mid = tierZero*fanIn + 1, tierZero + 1
	for _, c := range []struct {
		name  string
		sizes []uint64
		i, j  int
	}{
		{"nothing", nil, 0, 0},
		{"too few", repeat(fanIn-1, 1), 0, 0},
		{"enough", repeat(fanIn, 1), 0, fanIn},
		{"all there are", repeat(fanIn+5, tierZero), 0, fanIn + 5},
		{"of the lowest tier first", append(repeat(fanIn, mid), repeat(fanIn, 1)...), fanIn, 2 * fanIn},
		{"then of the next", append(repeat(fanIn, mid), repeat(fanIn-1, 1)...), 0, fanIn},
		{"behind a large one", append([]uint64{big}, repeat(fanIn, 5)...), 1, 1 + fanIn},
		{"a large one takes in what stands before it", append(append(repeat(4, 1), big), repeat(fanIn-1, 1)...), 0, 5},
		{"and only that", append(append(repeat(2, mid), 1, 1), repeat(2, mid)...), 2, 5},
		{"never beyond what a segment can hold", repeat(fanIn, 1<<30), 0, 0},
	} {
		i, j := planMerge(c.sizes, mostMerge)
		require.Equal(t, [2]int{c.i, c.j}, [2]int{i, j}, c.name)
	}
	large, small := repeat(fanIn, smallMerge/fanIn), repeat(fanIn, 2)
	i, j := planMerge(append(slices.Clone(large), small...), smallMerge)
	require.Equal(t, [2]int{fanIn, 2 * fanIn}, [2]int{i, j})
	i, j = planMerge(large, smallMerge)
	require.Equal(t, i, j)
}

// However segments come, their number stays small and each position is written a few times.
func TestMergingKeepsSegmentsFew(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		most := rapid.SampledFrom([]uint64{1, 100, 10_000, 1_000_000}).Draw(t, "largest")
		var sizes []uint64
		var written, total uint64
		for range 2000 {
			n := rapid.Uint64Range(1, most).Draw(t, "size")
			sizes, total = append(sizes, n), total+n
			for i, j := planMerge(sizes, mostMerge); i < j; i, j = planMerge(sizes, mostMerge) {
				sum := uint64(0)
				for _, s := range sizes[i:j] {
					sum += s
				}
				written += sum
				sizes = slices.Replace(sizes, i, j, sum)
			}
			require.LessOrEqual(t, len(sizes), 7*(fanIn-1))
		}
		require.LessOrEqual(t, written, (tierZero/fanIn+12)*total)
	})
}

func TestPlansDoNotReachOverWhatIsBlocked(t *testing.T) {
	sizes := slices.Repeat([]uint64{1}, 3*fanIn)
	blocked := make([]bool, len(sizes))
	plan := func() [2]int {
		i, j := planAround(sizes, blocked, mostMerge)
		return [2]int{i, j}
	}
	require.Equal(t, [2]int{0, 3 * fanIn}, plan())
	blocked[fanIn] = true
	require.Equal(t, [2]int{0, fanIn}, plan())
	blocked[0] = true
	require.Equal(t, [2]int{fanIn + 1, 3 * fanIn}, plan())
	blocked[len(sizes)-1] = true
	require.Equal(t, [2]int{fanIn + 1, 3*fanIn - 1}, plan())
	blocked[2*fanIn] = true
	require.Equal(t, [2]int{}, plan())
}

// load is how segments come in a simulation, and how fast they are merged.
type load struct {
	positions, perSecond uint64
	size                 func(i int) uint64 // of the i-th segment
	mergedPerSecond      uint64             // positions, by each goroutine that merges
	alone                bool               // large runs are waited for
}

// simulate plays Merge, as upkeep calls it, without disk and clock. It returns how many segments there were at most, and how often a position was merged.
func (l load) simulate() (segments int, amplification float64) {
	type work struct{ positions, first, left uint64 } // left is in ticks, of which a merged position takes perSecond and an arriving one mergedPerSecond
	var sizes, firsts []uint64
	var large, small *work
	var written, head uint64
	start := func(most uint64) *work {
		blocked := make([]bool, len(sizes))
		for i, first := range firsts {
			blocked[i] = large != nil && first >= large.first && first < large.first+large.positions
		}
		i, j := planAround(sizes, blocked, most)
		if i == j {
			return nil
		}
		w := &work{first: firsts[i]}
		for _, n := range sizes[i:j] {
			w.positions += n
		}
		w.left = w.positions * l.perSecond
		written += w.positions
		return w
	}
	finish := func(w *work) {
		i, _ := slices.BinarySearch(firsts, w.first)
		j, _ := slices.BinarySearch(firsts, w.first+w.positions)
		sizes, firsts = slices.Replace(sizes, i, j, w.positions), slices.Replace(firsts, i, j, w.first)
	}
	for i := 0; head < l.positions; i++ {
		n := l.size(i)
		for left := n * l.mergedPerSecond; left > 0; { // until the next segment comes
			if large == nil && small == nil {
				if w := start(mostMerge); w != nil && w.positions >= largeMerge {
					large = w
				} else {
					small = w
				}
			}
			if large != nil && small == nil && !l.alone {
				small = start(largeMerge)
			}
			step := left
			for _, w := range []*work{large, small} {
				if w != nil {
					step = min(step, w.left)
				}
			}
			left -= step
			for _, w := range []**work{&large, &small} {
				if *w == nil {
					continue
				}
				if (*w).left -= step; (*w).left == 0 {
					finish(*w)
					*w = nil
				}
			}
		}
		sizes, firsts, head = append(sizes, n), append(firsts, head+1), head+n
		segments = max(segments, len(sizes))
	}
	return segments, float64(written) / float64(head)
}

// Under sustained load segments come in the sizes of full memory parts, of checkpoints, or both, and merging takes its time.
func TestSegmentsStayFewUnderSustainedLoad(t *testing.T) {
	parts := func(int) uint64 { return 54_000 }
	checkpoints := func(int) uint64 { return 8192 }
	second := func(int) uint64 { return 100_000 }
	both := func(i int) uint64 { return []uint64{8192, 8192, 8192, 8192, 8192, 8192, 4848, 54_000}[i%8] }
	trickle := func(i int) uint64 { return 1 + uint64(i*7919%500) }
	for _, c := range []struct {
		name     string
		load     load
		segments int
		written  float64
	}{
		{"full parts, 10M", load{positions: 10e6, perSecond: 100_000, size: parts, mergedPerSecond: 1e6}, 18, 2},
		{"full parts, 100M", load{positions: 100e6, perSecond: 100_000, size: parts, mergedPerSecond: 1e6}, 26, 3},
		{"checkpoints, 10M", load{positions: 10e6, perSecond: 100_000, size: checkpoints, mergedPerSecond: 1e6}, 25, 3},
		{"checkpoints, 100M", load{positions: 100e6, perSecond: 100_000, size: checkpoints, mergedPerSecond: 1e6}, 32, 4},
		{"a second's, 100M", load{positions: 100e6, perSecond: 100_000, size: second, mergedPerSecond: 1e6}, 24, 3},
		{"parts and checkpoints, 100M", load{positions: 100e6, perSecond: 100_000, size: both, mergedPerSecond: 1e6}, 32, 4},
		{"slow merging, 100M", load{positions: 100e6, perSecond: 200_000, size: parts, mergedPerSecond: 600_000}, 55, 3},
		{"a trickle, 1M", load{positions: 1e6, perSecond: 100, size: trickle, mergedPerSecond: 1e6}, 30, 3},
	} {
		segments, written := c.load.simulate()
		c.load.alone = true
		alone, _ := c.load.simulate()
		t.Logf("%s: %d segments at most, %d if large runs are waited for; each position merged %.2f times", c.name, segments, alone, written)
		require.LessOrEqual(t, segments, c.segments, c.name)
		require.LessOrEqual(t, written, c.written, c.name)
		require.LessOrEqual(t, segments, alone, c.name)
	}
}

// count returns how many terms a dictionary holds.
func (d *dictionary) count() (n int) {
	for i := range d.shards {
		t := *d.shards[i].table.Load()
		for j := range t {
			if l := t[j].Load(); l != nil && l != removed {
				n++
			}
		}
	}
	return n
}

func TestADictionaryOfManyTermsFindsEach(t *testing.T) {
	var d dictionary
	d.init()
	const n = 20_000
	for i := range n {
		term := fmt.Sprint("term:", i, strings.Repeat("/long", i%10))
		l := d.intern(term)
		require.Same(t, l, d.lookup(term))
		if i%3 == 0 {
			d.release(l)
			require.Nil(t, d.lookup(term))
		} else {
			l.add(dcb.Position(i))
		}
	}
	for i := range n {
		l := d.lookup(fmt.Sprint("term:", i, strings.Repeat("/long", i%10)))
		require.Equal(t, i%3 == 0, l == nil, "%d", i)
		if l != nil {
			require.EqualValues(t, i, l.firstAfter(0, n))
		}
	}
	require.Equal(t, n-(n+2)/3, d.count())
}

func TestADictionaryOfAppendsThatAreAllRejectedStaysSmall(t *testing.T) {
	var d dictionary
	d.init()
	for i := range 200_000 {
		d.release(d.intern(fmt.Sprint(i)))
	}
	require.Zero(t, d.count())
	slots := 0
	for i := range d.shards {
		slots += len(*d.shards[i].table.Load())
	}
	require.LessOrEqual(t, slots, shards*firstSlot)
}

func TestReleasedTermsLeaveNothingBehind(t *testing.T) {
	r := newRecent(0)
	kept := dcb.Event{Type: "Kept", Tags: []dcb.Tag{"kept", "shared"}}
	lost := dcb.Event{Type: "Lost", Tags: []dcb.Tag{"lost", "shared"}}
	a, b, c := r.Intern(nil, &lost), r.Intern(nil, &kept), r.Intern(nil, &lost)
	require.Equal(t, []int{2, 3}, []int{r.types.count(), r.tags.count()})
	r.Release(a)
	require.NotNil(t, r.tags.lookup("lost"), "another append still holds it")
	r.Stage(1, b)
	r.Release(c)
	require.Equal(t, []int{1, 2}, []int{r.types.count(), r.tags.count()})
	require.EqualValues(t, 1, r.tags.lookup("shared").firstAfter(0, 1))

	again := r.Intern(nil, &kept)
	r.Release(again)
	require.EqualValues(t, 1, r.tags.lookup("kept").firstAfter(0, 1), "what was staged stays")
	require.Nil(t, r.types.lookup("Lost"))
}

func TestATermInternedTwiceByOneBatchIsReleasedTwice(t *testing.T) {
	r := newRecent(0)
	e := dcb.Event{Type: "T", Tags: []dcb.Tag{"a"}}
	x, y := r.Intern(nil, &e), r.Intern(nil, &e)
	r.Release(x)
	require.Equal(t, 1, r.types.count())
	r.Release(y)
	require.Zero(t, r.types.count()+r.tags.count())
}

// Many goroutines intern terms and then stage or release, as appends do; readers look on. One stages at a time, so each
// position must be found under its terms, and what was only released must be gone.
func TestInterningStagingReleasingAndReadingAtOnce(t *testing.T) {
	ix := openIndex(t, 1<<30)
	r := ix.Active()
	const workers, each, names = 8, 400, 7
	var lock sync.Mutex
	var head atomic.Uint64
	var staged []dcb.Event
	var wg sync.WaitGroup
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				upto := dcb.Position(head.Load()) // first, as readers must
				all, err := ix.positions(dcb.ByTypes("T"), 0, upto, false)
				for i, p := range all {
					if p != dcb.Position(i+1) {
						t.Errorf("found %d where %d is next", p, i+1)
						return
					}
				}
				if len(all) != int(upto) || err != nil {
					t.Errorf("found %d of %d, %v", len(all), upto, err)
					return
				}
			}
		})
	}
	for w := range workers {
		wg.Go(func() {
			for n := range each {
				e := dcb.Event{Type: "T", Tags: []dcb.Tag{dcb.Tag(fmt.Sprint("w", w, "/", n)), dcb.Tag(fmt.Sprint("shared:", n%names))}}
				if n%3 == 0 { // contended and short-lived
					e.Tags[1] = dcb.Tag(fmt.Sprint("brief:", n))
				}
				terms := r.Intern(nil, &e)
				if (n+w)%2 == 0 {
					r.Release(terms)
					continue
				}
				lock.Lock()
				p := dcb.Position(head.Load() + 1)
				r.Stage(p, terms)
				staged = append(staged, e)
				head.Store(uint64(p))
				lock.Unlock()
			}
		})
	}
	wg.Wait()
	close(stop)
	readers.Wait()
	want := map[dcb.Tag]bool{}
	for i, e := range staged {
		p := dcb.Position(i + 1)
		for _, tag := range e.Tags {
			want[tag] = true
			at, err := ix.firstMatch(dcb.ByTags(tag), p-1, p)
			require.NoError(t, err)
			require.Equal(t, p, at, "%s at %d", tag, p)
		}
	}
	require.Equal(t, len(want), r.tags.count(), "no garbage terms")
}

func TestPlacesAreFoundUntilTheyAreTrimmed(t *testing.T) {
	for _, base := range []dcb.Position{0, 1, 5000} {
		pl := NewPlaces(base)
		const n = 5*placeChunk + 17
		gen := func(p dcb.Position) uint32 { return 1 + uint32((p-base)/6000) }
		for p := base + 1; p <= base+n; p++ {
			_, ok := pl.Get(p)
			require.False(t, ok)
			pl.Set(p, Place{Gen: gen(p), Off: uint32(p), Len: 9})
			at, ok := pl.Get(p)
			require.True(t, ok)
			require.Equal(t, Place{gen(p), uint32(p), 9}, at)
		}
		for _, p := range []dcb.Position{0, base, base + n + 1, math.MaxUint64} {
			_, ok := pl.Get(p)
			require.False(t, ok, "%d", p)
		}
		for g := uint64(0); g <= 5; g++ {
			pl.Trim(g)
			for p := base + 1; p <= base+n; p++ {
				at, ok := pl.Get(p)
				if uint64(gen(p)) >= g {
					require.True(t, ok, "%d is in generation %d and only those before %d are gone", p, gen(p), g)
				}
				require.True(t, !ok || at.Off == uint32(p))
			}
		}
		_, ok := pl.Get(base + 1)
		require.False(t, ok, "trimming frees something")
		pl.Set(base+n+1, Place{Gen: 9, Off: 1, Len: 1})
		_, ok = pl.Get(base + n + 1)
		require.True(t, ok)
	}
}

func TestPlacesAreSetTrimmedAndReadAtOnce(t *testing.T) {
	pl := NewPlaces(0)
	const n = 20 * placeChunk
	var head atomic.Uint64
	var wg sync.WaitGroup
	wg.Go(func() {
		for p := dcb.Position(1); p <= n; p++ {
			pl.Set(p, Place{Gen: 1 + uint32(p/placeChunk), Off: uint32(p), Len: 1})
			head.Store(uint64(p))
		}
	})
	wg.Go(func() {
		for h := head.Load(); h < n; h = head.Load() {
			pl.Trim(h / placeChunk) // the newest stay
		}
	})
	for range 2 {
		wg.Go(func() {
			for h := head.Load(); h < n; h = head.Load() {
				at, ok := pl.Get(dcb.Position(h))
				if ok && at.Off != uint32(h) {
					t.Errorf("%d is at %+v", h, at)
					return
				}
			}
		})
	}
	wg.Wait()
	_, ok := pl.Get(n)
	require.True(t, ok)
}

// Sealing sorts by pieces of terms: beginnings of each other, zeros, and long ones that differ late.
func TestListsAreSortedByTheirTerms(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		terms := rapid.SliceOfDistinct(rapid.Custom(func(t *rapid.T) string {
			same := rapid.SampledFrom([]string{"", "student:", strings.Repeat("x", 14), strings.Repeat("x", 15), strings.Repeat("x", 16), strings.Repeat("\x00", 30)})
			return same.Draw(t, "beginning") + string(rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 'a', 255}), 0, 40).Draw(t, "rest"))
		}), rapid.ID).Draw(t, "terms")
		lists := make([]keyed, len(terms))
		for i, term := range terms {
			lists[i] = keyed{pieceOf(term), &Postings{term: term}}
		}
		sortByTerm(lists, pieceBytes)
		slices.Sort(terms)
		for i, term := range terms {
			require.Equal(t, term, lists[i].list.term)
		}
	})
}

package segment

import (
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"opossum/dcb"
)

var ranges = []Range{{1, 1}, {1, 10}, {100, 5000}, {7, 1 << 32}, {1 << 40, 1<<40 + math.MaxUint32}, {math.MaxUint64 - 9999, math.MaxUint64}}

func someRandom(t *rapid.T) *rand.Rand {
	return rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		rng := someRandom(rt)
		r := rapid.SampledFrom(ranges).Draw(rt, "range")
		m := randomModel(rng, r, rapid.SampledFrom([]int{0, 1, 5, 60, 1500}).Draw(rt, "terms"))
		dir := t.TempDir()
		build(rt, dir, r, m)
		s, err := Open(dir, testSeed, r)
		require.NoError(rt, err)
		defer func() { require.NoError(rt, s.Close()) }()
		require.Equal(rt, r, s.Range())
		require.EqualValues(rt, len(readFile(rt, s.Path())), s.Size())
		for range 30 {
			key := randomKey(rng)
			requireList(rt, s, key, m[key])
		}
		keys := m.keys()
		for range min(30, len(keys)) {
			key := keys[rng.IntN(len(keys))]
			requireList(rt, s, key, m[key])
			requireWindows(rt, rng, s, key, m[key])
		}
		requireHolds(rt, s, m)
	})
}

func requireList(t require.TestingT, s *Segment, key string, want []dcb.Position) {
	l, err := s.Find(Kind(key[0]), key[1:])
	require.NoError(t, err)
	require.EqualValues(t, len(want), l.Len())
	var got []dcb.Position
	for ps, err := range l.Each() {
		require.NoError(t, err)
		got = append(got, ps...)
	}
	require.Equal(t, want, got)
}

// requireWindows asks for random windows of one list, and compares with the slice.
func requireWindows(t require.TestingT, rng *rand.Rand, s *Segment, key string, ps []dcb.Position) {
	l, err := s.Find(Kind(key[0]), key[1:])
	require.NoError(t, err)
	for range 10 {
		after, upto := near(rng, s.Range(), ps), near(rng, s.Range(), ps)
		window := slices.DeleteFunc(slices.Clone(ps), func(p dcb.Position) bool { return p <= after || p > upto })
		first, err := l.FirstAfter(after, upto)
		require.NoError(t, err)
		if len(window) == 0 {
			require.Zero(t, first)
		} else {
			require.Equal(t, window[0], first)
		}
		has, err := l.Contains(upto)
		require.NoError(t, err)
		require.Equal(t, slices.Contains(ps, upto), has)
		for _, backwards := range []bool{false, true} {
			requireCursor(t, rng, s.Range(), l, after, upto, backwards, slices.Clone(window))
		}
	}
}

// near draws a position in or close to the list, or anywhere.
func near(rng *rand.Rand, r Range, ps []dcb.Position) dcb.Position {
	switch rng.IntN(4) {
	case 0:
		return dcb.Position(rng.Uint64())
	case 1:
		return r.First + dcb.Position(uintN(rng, r.span()))
	case 2:
		return []dcb.Position{0, r.First - 1, r.First, r.Last, math.MaxUint64}[rng.IntN(5)]
	}
	return ps[rng.IntN(len(ps))] + dcb.Position(rng.IntN(3)) - 1
}

// requireCursor walks by steps and leaps, and compares with the window.
func requireCursor(t require.TestingT, rng *rand.Rand, r Range, l List, after, upto dcb.Position, backwards bool, window []dcb.Position) {
	if backwards {
		slices.Reverse(window)
	}
	reached := func(p, target dcb.Position) bool { return !backwards && p >= target || backwards && p <= target }
	c := l.Cursor(after, upto, backwards)
	for range 200 {
		p, ok := c.Peek()
		require.Equal(t, len(window) > 0, ok)
		require.NoError(t, c.Err())
		if !ok {
			c.Seek(near(rng, r, []dcb.Position{1}))
			_, ok = c.Peek()
			require.False(t, ok, "the end is the end")
			return
		}
		require.Equal(t, window[0], p)
		target := p // the next one, one close by, or any
		switch rng.IntN(4) {
		case 0:
			target = near(rng, r, window)
		case 1:
			target = window[min(len(window)-1, rng.IntN(300))]
		default:
			if backwards {
				target--
			} else {
				target++
			}
		}
		if !backwards && target == 0 {
			target = math.MaxUint64
		}
		c.Seek(target)
		for len(window) > 0 && !reached(window[0], target) {
			window = window[1:]
		}
		if !backwards && p == math.MaxUint64 && target == math.MaxUint64 {
			return // there is no position to leave the last one for
		}
	}
}

func TestMergeEqualsBuildingAtOnce(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		rng := someRandom(rt)
		r := rapid.SampledFrom(ranges[1:]).Draw(rt, "range")
		m := randomModel(rng, r, rapid.SampledFrom([]int{1, 60, 1500}).Draw(rt, "terms"))
		whole, dir := t.TempDir(), t.TempDir()
		build(rt, whole, r, m)
		var inputs []*Segment
		for rest := r; ; {
			cut := rest.First + dcb.Position(uintN(rng, rest.span()))
			if len(inputs) == 4 || rng.IntN(4) == 0 {
				cut = rest.Last
			}
			piece := Range{rest.First, cut}
			build(rt, dir, piece, m.part(piece))
			in, err := Open(dir, testSeed, piece)
			require.NoError(rt, err)
			defer func() { require.NoError(rt, in.Close()) }()
			inputs = append(inputs, in)
			if cut == r.Last {
				break
			}
			rest.First = cut + 1
		}
		got, err := Merge(t.Context(), dir, testSeed, inputs)
		require.NoError(rt, err)
		require.Equal(rt, r, got)
		require.Equal(rt, readFile(rt, whole, Name(r)), readFile(rt, dir, Name(r)))
	})
}

func TestLongTerms(t *testing.T) {
	r := Range{1, 1000}
	m := model{}
	for i := range 5 {
		b := make([]byte, maxKeyBytes-i)
		for j := range b {
			b[j] = byte(i * j)
		}
		b[0] = byte(Tag)
		m[string(b)] = []dcb.Position{dcb.Position(i + 1), 500}
	}
	dir := t.TempDir()
	build(t, dir, r, m)
	s := open(t, dir, r)
	requireHolds(t, s, m)
	for _, key := range slices.Collect(maps.Keys(m)) {
		requireList(t, s, key, m[key])
	}
}

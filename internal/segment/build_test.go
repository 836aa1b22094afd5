package segment

import (
	"context"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"opossum/dcb"
)

func names(t testing.TB, dir string) (out []string) {
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func TestBuilderRefuses(t *testing.T) {
	one := []dcb.Position{15}
	term := func(kind Kind, term string, ps ...dcb.Position) func(*Builder) error {
		return func(b *Builder) error { return errors.Join(b.Term(kind, term), b.Positions(ps)) }
	}
	for name, c := range map[string]struct{ before, wrong func(*Builder) error }{
		"kind 0":               {nil, term(0, "a", 15)},
		"kind 3":               {nil, term(3, "a", 15)},
		"empty term":           {nil, term(Tag, "", 15)},
		"long term":            {nil, term(Tag, strings.Repeat("x", 65_536), 15)},
		"same term":            {term(Tag, "b", 15), term(Tag, "b", 16)},
		"lower term":           {term(Tag, "b", 15), term(Tag, "a", 16)},
		"lower kind":           {term(Tag, "b", 15), term(Type, "c", 16)},
		"no position":          {func(b *Builder) error { return b.Term(Tag, "a") }, term(Tag, "b", 15)},
		"no position, commit":  {func(b *Builder) error { return b.Term(Tag, "a") }, (*Builder).Commit},
		"positions first":      {nil, func(b *Builder) error { return b.Positions(one) }},
		"below the range":      {nil, term(Tag, "a", 9)},
		"above the range":      {nil, term(Tag, "a", 21)},
		"same position":        {nil, term(Tag, "a", 15, 15)},
		"same position, later": {term(Tag, "a", 15), func(b *Builder) error { return b.Positions(one) }},
		"lower position":       {nil, term(Tag, "a", 15, 14)},
		"after commit":         {(*Builder).Commit, term(Tag, "a", 15)},
		"after abort":          {(*Builder).Abort, term(Tag, "a", 15)},
		"commit twice":         {(*Builder).Commit, (*Builder).Commit},
		"commit after abort":   {(*Builder).Abort, (*Builder).Commit},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			b, err := Create(dir, testSeed, Range{10, 20})
			require.NoError(t, err)
			if c.before != nil {
				require.NoError(t, c.before(b))
			}
			published := len(names(t, dir)) == 1 && names(t, dir)[0] == Name(Range{10, 20})
			err = c.wrong(b)
			require.Error(t, err)
			require.NotErrorIs(t, err, dcb.ErrCorrupt, "the caller is wrong, not the disk")
			first := b.Term(Tag, "z")
			require.Error(t, first, "an error is final")
			require.Equal(t, first, b.Positions(one))
			require.Equal(t, first, b.Commit())
			require.NoError(t, b.Abort())
			require.NoError(t, b.Abort())
			if !published {
				require.Empty(t, names(t, dir))
			}
		})
	}
}

func TestRangesThatCannotBe(t *testing.T) {
	for _, r := range []Range{{}, {0, 1}, {2, 1}, {1, 1<<32 + 1}, {1, math.MaxUint64}} {
		_, err := Create(t.TempDir(), testSeed, r)
		require.Error(t, err, r)
		_, err = Open(t.TempDir(), testSeed, r)
		require.Error(t, err, r)
		require.NotErrorIs(t, err, fs.ErrNotExist)
	}
	for _, r := range []Range{{1, 1}, {1, 1 << 32}, {math.MaxUint64, math.MaxUint64}} {
		_, err := Open(t.TempDir(), testSeed, r)
		require.ErrorIs(t, err, fs.ErrNotExist, r)
	}
}

func TestDirectoryIsMade(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "index")
	build(t, dir, smallRange, small())
	requireHolds(t, open(t, dir, smallRange), small())

	_, err := Create(filepath.Join(dir, "a", "b"), testSeed, smallRange)
	require.ErrorIs(t, err, fs.ErrNotExist, "only the last directory is")
	_, err = Create(filepath.Join(dir, Name(smallRange)), testSeed, smallRange)
	require.Error(t, err, "a file in the place of the directory")
}

// Until Commit there is only a temporary name; Commit replaces a file of the same name in one step.
func TestCommitPublishesWhole(t *testing.T) {
	dir := t.TempDir()
	build(t, dir, smallRange, model{"\x01Old": {100}})
	old := open(t, dir, smallRange)
	b, err := Create(dir, testSeed, smallRange)
	require.NoError(t, err)
	require.NoError(t, b.Term(Type, "New"))
	require.NoError(t, b.Positions([]dcb.Position{101}))
	list, err := ListDir(dir)
	require.NoError(t, err)
	require.Equal(t, []Range{smallRange}, list.Ranges)
	require.Len(t, list.Temps, 1)
	require.NoError(t, open(t, dir, smallRange).Verify())
	require.NoError(t, b.Commit())
	require.Equal(t, []string{Name(smallRange)}, names(t, dir))
	requireHolds(t, open(t, dir, smallRange), model{"\x01New": {101}})
	requireHolds(t, old, model{"\x01Old": {100}})
}

// A name that cannot be taken makes Commit fail; nothing is left but the error.
func TestFailedCommitLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, Name(smallRange), "x"), 0o755))
	b, err := Create(dir, testSeed, smallRange)
	require.NoError(t, err)
	require.Error(t, b.Commit())
	require.Equal(t, []string{Name(smallRange)}, names(t, dir))
	require.NoError(t, b.Abort())
	_, err = Open(dir, testSeed, smallRange)
	require.Error(t, err, "a directory is no segment")
	require.NotErrorIs(t, err, fs.ErrNotExist)
}

// Two builders of one range do not disturb each other; the last to commit counts.
func TestTwoBuilders(t *testing.T) {
	dir := t.TempDir()
	var builders []*Builder
	for _, term := range []string{"A", "B"} {
		b, err := Create(dir, testSeed, smallRange)
		require.NoError(t, err)
		require.NoError(t, b.Term(Type, term))
		require.NoError(t, b.Positions([]dcb.Position{100}))
		builders = append(builders, b)
	}
	require.NoError(t, builders[1].Commit())
	require.NoError(t, builders[0].Commit())
	requireHolds(t, open(t, dir, smallRange), model{"\x01A": {100}})
}

func TestEmptySegment(t *testing.T) {
	dir := t.TempDir()
	build(t, dir, smallRange, model{})
	s := open(t, dir, smallRange)
	requireHolds(t, s, model{})
	l, err := s.Find(Tag, "a")
	require.NoError(t, err)
	require.Zero(t, l)
}

func TestZeroList(t *testing.T) {
	var l List
	require.Zero(t, l.Len())
	p, err := l.FirstAfter(0, math.MaxUint64)
	require.NoError(t, err)
	require.Zero(t, p)
	for _, p := range []dcb.Position{0, 1, math.MaxUint64} {
		has, err := l.Contains(p)
		require.NoError(t, err)
		require.False(t, has)
	}
	c := l.Cursor(0, math.MaxUint64, true)
	_, ok := c.Peek()
	require.False(t, ok)
	c.Seek(5)
	require.NoError(t, c.Err())
	for range l.Each() {
		require.Fail(t, "the zero List is empty")
	}
}

func TestCloseTwice(t *testing.T) {
	dir := t.TempDir()
	build(t, dir, smallRange, small())
	s, err := Open(dir, testSeed, smallRange)
	require.NoError(t, err)
	require.NoError(t, s.Close())
	require.NoError(t, s.Close())
}

func TestMergeRefuses(t *testing.T) {
	dir := t.TempDir()
	var inputs []*Segment
	for _, r := range []Range{{1, 10}, {11, 20}, {21, 30}, {1 << 32, 1<<32 + 5}, {31, 1<<32 - 1}} {
		build(t, dir, r, model{"\x01A": {r.First}})
		inputs = append(inputs, open(t, dir, r))
	}
	before := names(t, dir)
	for name, in := range map[string][]*Segment{
		"nothing":  nil,
		"gap":      {inputs[0], inputs[2]},
		"order":    {inputs[1], inputs[0]},
		"twice":    {inputs[0], inputs[0]},
		"too wide": {inputs[0], inputs[1], inputs[2], inputs[4], inputs[3]},
	} {
		_, err := Merge(t.Context(), dir, testSeed, in)
		require.Error(t, err, name)
		require.Equal(t, before, names(t, dir), name)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Merge(ctx, dir, testSeed, inputs[:3])
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, before, names(t, dir))

	r, err := Merge(t.Context(), dir, testSeed, inputs[:3])
	require.NoError(t, err)
	require.Equal(t, Range{1, 30}, r)
	requireHolds(t, open(t, dir, r), model{"\x01A": {1, 11, 21}})
	require.Len(t, names(t, dir), len(before)+1, "inputs are not removed")
}

// Stopping an iteration early is no error and leaves nothing behind.
func TestIterationsStop(t *testing.T) {
	dir := t.TempDir()
	build(t, dir, smallRange, small())
	s := open(t, dir, smallRange)
	for e, err := range s.All() {
		require.NoError(t, err)
		require.Equal(t, Entry{Type, "Enrolled", e.List}, e)
		break
	}
	l, err := s.Find(Tag, "student:7")
	require.NoError(t, err)
	for ps, err := range l.Each() {
		require.NoError(t, err)
		require.Len(t, ps, listBlock)
		break
	}
}

func TestAskingAllocatesNothing(t *testing.T) {
	if raceEnabled {
		return // the race detector allocates
	}
	dir := t.TempDir()
	r := Range{1, 2000}
	build(t, dir, r, benchTerms(2000, false))
	s := open(t, dir, r)
	for _, key := range []string{"\x01EventType1", "\x02course:77", "\x02order:1234", "\x02absent"} {
		require.Zero(t, testing.AllocsPerRun(100, func() {
			l, err := s.Find(Kind(key[0]), key[1:])
			require.NoError(t, err)
			_, err = l.FirstAfter(700, 1500)
			require.NoError(t, err)
		}), key)
	}
}

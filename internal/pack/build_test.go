package pack

import (
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"opossum/dcb"
	"opossum/internal/codec"
)

func TestBuilderRefuses(t *testing.T) {
	add := func(recs ...[]byte) func(*Builder) error {
		return func(b *Builder) error {
			for _, rec := range recs {
				if err := b.Add(rec); err != nil {
					return err
				}
			}
			return nil
		}
	}
	otherStore := codec.AppendRecord(nil, event(101))
	codec.Stamp(otherStore, testSeed+1, 101)
	damaged := record(101)
	damaged[len(damaged)-1] ^= 1
	whole := add(records(smallRange)...)
	for name, c := range map[string]struct{ before, wrong func(*Builder) error }{
		"another position":   {nil, add(record(102))},
		"the same again":     {add(record(101)), add(record(101))},
		"another store":      {nil, add(otherStore)},
		"not stamped":        {nil, add(codec.AppendRecord(nil, event(101)))},
		"damaged":            {nil, add(damaged)},
		"cut":                {nil, add(record(101)[:50])},
		"two at once":        {nil, add(append(record(101), record(102)...))},
		"nothing":            {nil, add(nil)},
		"too large":          {nil, add(stamped(dcb.Event{Type: "A", Data: make([]byte, maxRecordBytes)}, 101))},
		"behind the end":     {whole, add(record(110))},
		"commit of none":     {nil, (*Builder).Commit},
		"commit, one less":   {add(records(Range{101, 108})...), (*Builder).Commit},
		"after commit":       {func(b *Builder) error { _ = whole(b); return b.Commit() }, add(record(110))},
		"after abort":        {(*Builder).Abort, add(record(101))},
		"commit twice":       {func(b *Builder) error { _ = whole(b); return b.Commit() }, (*Builder).Commit},
		"commit after abort": {func(b *Builder) error { _ = whole(b); return b.Abort() }, (*Builder).Commit},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			b, err := Create(dir, testSeed, smallRange)
			require.NoError(t, err)
			if c.before != nil {
				require.NoError(t, c.before(b))
			}
			published := len(names(t, dir)) == 1 && names(t, dir)[0] == Name(smallRange)
			err = c.wrong(b)
			require.Error(t, err)
			require.NotErrorIs(t, err, dcb.ErrCorrupt, "the caller is wrong, not the disk")
			require.Equal(t, err, b.Add(record(101)), "an error is final")
			require.Equal(t, err, b.Commit())
			require.NoError(t, b.Abort())
			require.NoError(t, b.Abort())
			if published {
				requireHolds(t, open(t, dir, smallRange), records(smallRange))
			} else {
				require.Empty(t, names(t, dir))
			}
		})
	}
}

// What Add is given may be used again at once.
func TestAddKeepsNothing(t *testing.T) {
	dir := t.TempDir()
	b, err := Create(dir, testSeed, smallRange)
	require.NoError(t, err)
	for _, rec := range records(smallRange) {
		require.NoError(t, b.Add(rec))
		clear(rec)
	}
	require.NoError(t, b.Commit())
	requireHolds(t, open(t, dir, smallRange), records(smallRange))
}

func TestRangesThatCannotBe(t *testing.T) {
	for _, r := range []Range{{}, {0, 1}, {2, 1}, {1, 1<<20 + 1}, {1, math.MaxUint64}} {
		_, err := Create(t.TempDir(), testSeed, r)
		require.Error(t, err, r)
		_, err = Open(t.TempDir(), testSeed, r)
		require.Error(t, err, r)
		require.NotErrorIs(t, err, fs.ErrNotExist)
	}
	for _, r := range []Range{{1, 1}, {1, 1 << 20}, {math.MaxUint64, math.MaxUint64}} {
		_, err := Open(t.TempDir(), testSeed, r)
		require.ErrorIs(t, err, fs.ErrNotExist, r)
	}
}

func TestDirectoryIsMade(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "packs")
	build(t, dir, smallRange, records(smallRange))
	requireHolds(t, open(t, dir, smallRange), records(smallRange))

	_, err := Create(filepath.Join(dir, "a", "b"), testSeed, smallRange)
	require.ErrorIs(t, err, fs.ErrNotExist, "only the last directory is")
	_, err = Create(filepath.Join(dir, Name(smallRange)), testSeed, smallRange)
	require.Error(t, err, "a file in the place of the directory")
}

// Until Commit there is only a temporary name; Commit replaces a file of the same name in one step.
func TestCommitPublishesWhole(t *testing.T) {
	dir, r := t.TempDir(), Range{5, 5}
	before, after := stamped(dcb.Event{Type: "Old"}, 5), stamped(dcb.Event{Type: "New"}, 5)
	build(t, dir, r, [][]byte{before})
	old := open(t, dir, r)
	b, err := Create(dir, testSeed, r)
	require.NoError(t, err)
	require.NoError(t, b.Add(after))
	list, err := ListDir(dir)
	require.NoError(t, err)
	require.Equal(t, []Range{r}, list.Ranges)
	require.Len(t, list.Temps, 1)
	requireHolds(t, open(t, dir, r), [][]byte{before})
	require.NoError(t, b.Commit())
	require.Equal(t, []string{Name(r)}, names(t, dir))
	requireHolds(t, open(t, dir, r), [][]byte{after})
	requireHolds(t, old, [][]byte{before})
}

// A name that cannot be taken makes Commit fail; Abort leaves nothing.
func TestFailedCommit(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, Name(smallRange), "x"), 0o755))
	b, err := Create(dir, testSeed, smallRange)
	require.NoError(t, err)
	for _, rec := range records(smallRange) {
		require.NoError(t, b.Add(rec))
	}
	err = b.Commit()
	require.Error(t, err)
	require.Equal(t, err, b.Commit())
	require.NoError(t, b.Abort())
	require.Equal(t, []string{Name(smallRange)}, names(t, dir))
	_, err = Open(dir, testSeed, smallRange)
	requireDamage(t, err, filepath.Join(dir, Name(smallRange)))
}

// Abort does not mind if somebody has tidied up.
func TestAbortOfWhatIsGone(t *testing.T) {
	dir := t.TempDir()
	b, err := Create(dir, testSeed, smallRange)
	require.NoError(t, err)
	require.NoError(t, RemoveTemp(dir, names(t, dir)[0]))
	require.NoError(t, b.Abort())
}

// Two builders of one range do not disturb each other; the last to commit counts.
func TestTwoBuilders(t *testing.T) {
	dir, r := t.TempDir(), Range{5, 5}
	var builders []*Builder
	recs := [][]byte{stamped(dcb.Event{Type: "A"}, 5), stamped(dcb.Event{Type: "B"}, 5)}
	for _, rec := range recs {
		b, err := Create(dir, testSeed, r)
		require.NoError(t, err)
		require.NoError(t, b.Add(rec))
		builders = append(builders, b)
	}
	require.NoError(t, builders[1].Commit())
	require.NoError(t, builders[0].Commit())
	requireHolds(t, open(t, dir, r), recs[:1])
}

package recovery

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"opossum/dcb"
	"opossum/internal/index"
	"opossum/internal/segment"
	"opossum/ledger"
	"opossum/wal"
)

func between(first, last dcb.Position) segment.Range { return segment.Range{First: first, Last: last} }

func TestPlanIndex(t *testing.T) {
	type ranges = []segment.Range
	for name, c := range map[string]struct {
		sound        ranges
		materialized dcb.Position
		want         indexPlan
	}{
		"a new store":                      {nil, 0, indexPlan{}},
		"nothing filed, nothing indexed":   {ranges{}, 0, indexPlan{}},
		"whole":                            {ranges{between(1, 5), between(6, 9)}, 7, indexPlan{keep: ranges{between(1, 5), between(6, 9)}}},
		"all missing":                      {nil, 7, indexPlan{build: ranges{between(1, 7)}}},
		"the end missing":                  {ranges{between(1, 5)}, 7, indexPlan{keep: ranges{between(1, 5)}, build: ranges{between(6, 7)}}},
		"the start missing":                {ranges{between(6, 9)}, 7, indexPlan{keep: ranges{between(6, 9)}, build: ranges{between(1, 5)}}},
		"gaps between":                     {ranges{between(2, 2), between(4, 4)}, 5, indexPlan{keep: ranges{between(2, 2), between(4, 4)}, build: ranges{between(1, 1), between(3, 3), between(5, 5)}}},
		"a gap that only the log can fill": {ranges{between(1, 5), between(9, 10), between(11, 12)}, 5, indexPlan{keep: ranges{between(1, 5)}, drop: ranges{between(9, 10), between(11, 12)}}},
		"a gap across the checkpoint":      {ranges{between(1, 5), between(9, 10)}, 6, indexPlan{keep: ranges{between(1, 5)}, drop: ranges{between(9, 10)}, build: ranges{between(6, 6)}}},
		"a gap that ends at it":            {ranges{between(1, 5), between(9, 10)}, 8, indexPlan{keep: ranges{between(1, 5), between(9, 10)}, build: ranges{between(6, 8)}}},
	} {
		require.Equal(t, c.want, planIndex(c.sound, c.materialized), name)
	}
}

// indexed builds a segment of the fixture's own events.
func (f *fixture) indexed(first, last dcb.Position) (path string) {
	f.Helper()
	dir := filepath.Join(f.dir, IndexDir)
	_, err := index.Build(f.Context(), dir, f.id.Seed(), between(first, last), func(p dcb.Position) (dcb.Event, error) { return event(p), nil })
	require.NoError(f, err)
	return filepath.Join(dir, segment.Name(between(first, last)))
}

// loadInPlace loads with the store's own index, and closes it again.
func (f *fixture) loadInPlace() (Opened, Loaded) {
	f.Helper()
	o, _, err := f.recover()
	require.NoError(f, err)
	s, err := Inspect(f.dir, f.files, false)
	require.NoError(f, err)
	loaded, err := Load(o, s.Index, f.files, index.Config{
		Dir: filepath.Join(f.dir, IndexDir), Seed: f.id.Seed(), RecentBytes: 1 << 20, Damaged: func() {},
	}, index.NewPlaces(o.Report.Materialized))
	require.NoError(f, err)
	for p := dcb.Position(1); p <= o.Report.Head; p++ {
		it, err := loaded.Index.Iterate(dcb.ByTags(event(p).Tags[1]), 0, o.Report.Head, false)
		require.NoError(f, err)
		at, _ := it.Next()
		require.NoError(f, it.Err())
		require.Equal(f, p, at)
		it.Close()
	}
	loaded.Index.Close()
	return o, loaded
}

func TestLoadBuildsWhatIsMissingAndRemovesWhatIsSuperseded(t *testing.T) {
	f := newFixture(t)
	f.append(20, 25, 30)
	f.file(1, 20)
	f.ledger(func(l *ledger.State) { l.Materialized = 20 })
	f.indexed(1, 5)
	f.indexed(6, 10)
	f.indexed(1, 10) // merged; the process died before it removed the two
	damaged := f.indexed(11, 15)
	beyond := f.indexed(24, 25) // what came before it was lost
	require.NoError(t, os.Truncate(damaged, 50))
	temp := filepath.Join(f.dir, IndexDir, ".tmp-killed")
	require.NoError(t, os.WriteFile(temp, nil, 0o644))

	_, loaded := f.loadInPlace()
	require.Equal(t, []segment.Range{between(11, 20)}, loaded.Built)
	require.NoFileExists(t, temp)
	require.NoFileExists(t, beyond)
	s, err := Inspect(f.dir, f.files, false)
	require.NoError(t, err)
	require.Equal(t, index.Found{Ranges: []segment.Range{between(1, 10), between(11, 20)}}, s.Index)

	before := tree(t, f.dir)
	_, loaded = f.loadInPlace()
	require.Empty(t, loaded.Built)
	require.Equal(t, before, tree(t, f.dir), "the second time there is nothing to do")

	// One that is built in the place of a damaged one of the same name stays.
	require.NoError(t, os.Truncate(filepath.Join(f.dir, IndexDir, segment.Name(between(11, 20))), 50))
	_, loaded = f.loadInPlace()
	require.Equal(t, []segment.Range{between(11, 20)}, loaded.Built)
	require.Equal(t, before, tree(t, f.dir))
}

// A long tail of the log is not held in memory as a whole.
func TestLoadSealsATailThatExceedsTheMemory(t *testing.T) {
	f := newFixture(t)
	var lasts []dcb.Position
	for p := dcb.Position(100); p <= 3000; p += 100 {
		lasts = append(lasts, p)
	}
	f.append(lasts...)
	o, _, err := f.recover()
	require.NoError(t, err)
	cfg := index.Config{Dir: filepath.Join(f.dir, IndexDir), Seed: f.id.Seed(), RecentBytes: 64 << 10, Damaged: func() {}}
	loaded, err := Load(o, index.Found{}, f.files, cfg, index.NewPlaces(0))
	require.NoError(t, err)
	defer loaded.Index.Close()
	s := loaded.Index.Stats()
	require.Positive(t, s.Seals)
	require.Less(t, s.RecentBytes, int64(128<<10))
}

func TestADamagedSegmentIsNoWitness(t *testing.T) {
	f := newFixture(t)
	f.append(3, 6)
	require.NoError(t, os.Truncate(f.indexed(1, 6), 40))
	f.loseLastFrame()
	f.silenceAcked()
	o, _ := f.loadInPlace()
	require.EqualValues(t, 3, o.Report.Head)
}

// A record that is not what its frame's sum says it should be: no accident of the disk, but never an event.
func TestLoadRefusesAFrameWhoseRecordsAreMalformed(t *testing.T) {
	f := newFixture(t)
	require.NoError(t, wal.RemoveGeneration(f.walDir, 1))
	frame := f.frame(3, 4)
	frame.Body[len(frame.Body)-1] ^= 1 // the frame is sealed afterwards
	f.generation(1, &wal.Link{}, 1, f.frame(1, 2), frame)
	o, _, err := f.recover()
	require.NoError(t, err)
	_, err = f.load(o, index.NewPlaces(0))
	require.ErrorIs(t, err, dcb.ErrCorrupt)
}

// What is to be kept is passed over, and all that is not is removed.
func TestRemoveSegmentsRemovesAllButWhatIsKept(t *testing.T) {
	dir := t.TempDir()
	ranges := []segment.Range{{First: 1, Last: 2}, {First: 3, Last: 4}, {First: 5, Last: 6}}
	for _, r := range ranges {
		require.NoError(t, os.WriteFile(filepath.Join(dir, segmentName(r.First, r.Last)), nil, 0o644))
	}
	require.NoError(t, removeSegments(dir, ranges, ranges[1:2], nil))
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, left, 1)
	require.Equal(t, segmentName(3, 4), left[0].Name())
}

// Between recovery and loading nothing may vanish, not even whole frames at the end.
func TestLoadRefusesALogThatBecameShorter(t *testing.T) {
	f := threeGenerations(t)
	o, _, err := f.recover()
	require.NoError(t, err)
	b, err := os.ReadFile(f.path(o.Tail.Gen))
	require.NoError(t, err)
	g := wal.Scan(b, f.id, o.Tail.Gen)
	require.Greater(t, len(g.Commits), 1)
	last := g.Commits[len(g.Commits)-1]
	f.damage(o.Tail.Gen, func(b []byte) []byte { return b[:last.Offset] })
	_, err = f.load(o, index.NewPlaces(0))
	require.ErrorIs(t, err, dcb.ErrCorrupt)
}

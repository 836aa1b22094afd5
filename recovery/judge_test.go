package recovery

import (
	"maps"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"opossum/dcb"
	"opossum/wal"
)

// The end of the log is known if ACKED says it, or if the last generation in use is there up to its end, wherever that is.
func TestTheEndIsKnownByAckedOrByTheLastGenerationInUse(t *testing.T) {
	whole := scanned(1, 1, 2)
	whole.Linked = true
	rotten := wal.Scanned{Gen: 2, Stop: errTest, Size: 500}
	landmark := rotten
	landmark.Later = []wal.Frame{{Kind: wal.KindCommit, End: 400}, {Kind: wal.KindCommit, End: 500}}
	short := rotten
	short.Later = []wal.Frame{{Kind: wal.KindCommit, End: 400}}
	for name, c := range map[string]struct {
		acked wal.Acked
		gens  []wal.Scanned
		ends  map[uint64]wal.Kind
		known bool
	}{
		"nothing":                                   {},
		"ACKED":                                     {acked: wal.Acked{Gen: 1}, gens: []wal.Scanned{rotten}, known: true},
		"a whole generation":                        {gens: []wal.Scanned{whole}, known: true},
		"a successor that is not in use":            {gens: []wal.Scanned{whole, unused(2)}, known: true},
		"only what is not in use":                   {gens: []wal.Scanned{unused(2)}},
		"a rotten one behind":                       {gens: []wal.Scanned{whole, rotten}},
		"one whose last frame ends the file":        {gens: []wal.Scanned{whole, landmark}, known: true},
		"one whose last frame does not":             {gens: []wal.Scanned{whole, short}},
		"a copy of the rotten one up to its end":    {gens: []wal.Scanned{whole, rotten}, ends: map[uint64]wal.Kind{2: wal.KindCommit}, known: true},
		"a copy of it that is not in use":           {gens: []wal.Scanned{whole, rotten}, ends: map[uint64]wal.Kind{2: wal.KindHeader}, known: true},
		"a copy of a later one, and that is in use": {gens: []wal.Scanned{rotten}, ends: map[uint64]wal.Kind{3: wal.KindCommit}, known: true},
	} {
		s := &survey{ends: map[uint64]wal.Kind{}}
		maps.Copy(s.ends, c.ends)
		s.log.acked, s.log.gens = c.acked, c.gens
		require.Equal(t, c.known, s.endKnown(), name)
	}
}

// Frames that continue each other are one landmark; between those that do not, something is damaged.
func TestRegionsAreWhatLiesBetweenLandmarks(t *testing.T) {
	commit := func(first uint64, count uint32, at int64, prev, sum uint64) wal.Frame {
		return wal.Frame{Kind: wal.KindCommit, First: dcb.Position(first), Count: count, Offset: at, End: at + 100, Prev: prev, Sum: sum}
	}
	g := wal.Scanned{Gen: 1, Header: true, Linked: true, Base: 1, Valid: 200, Size: 1000, Sum: 5, Stop: errTest}
	require.Equal(t, []region{{200, Span{1, 0}}}, regions(g), "nothing is known of it")
	g.Later = []wal.Frame{
		commit(3, 1, 300, 77, 6), commit(4, 1, 400, 6, 7), // the second continues the first
		commit(2, 1, 500, 7, 8),        // passed already: data
		{Kind: wal.KindLink, First: 9}, // no landmark
		commit(6, 2, 600, 55, 9),       // 5 is missing before it
	}
	require.Equal(t, []region{{200, Span{1, 2}}, {500, Span{5, 5}}, {700, Span{8, 0}}}, regions(g))
	g.Size = 700
	require.Equal(t, []region{{200, Span{1, 2}}, {500, Span{5, 5}}}, regions(g), "up to the end of the file")
	g.Later = []wal.Frame{commit(1, 1, 600, 5, 6)}
	require.Equal(t, []region{{200, Span{1, 0}}}, regions(g), "bytes between that stand for nothing")
	g.Stop = nil
	require.Empty(t, regions(g))
}

// Two repairs may end within a second.
func TestEachRepairHasItsOwnQuarantine(t *testing.T) {
	f := newFixture(t)
	var all []string
	for range 3 {
		f.put(newQuarantine(f.dir).dir+"/file", []byte("kept"))
		to, err := newQuarantine(f.dir).finish(now.Add(time.Millisecond))
		require.NoError(t, err)
		require.FileExists(t, to+"/file")
		require.NotContains(t, all, to)
		all = append(all, to)
	}
	to, err := newQuarantine(f.dir).finish(now)
	require.NoError(t, err)
	require.Empty(t, to, "nothing was put aside")
}

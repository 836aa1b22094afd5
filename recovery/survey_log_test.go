package recovery

import (
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"opossum/dcb"
	"opossum/ledger"
	"opossum/wal"
)

func TestTheLogsOwnGenerationsAreAChain(t *testing.T) {
	linked := func(gen, prev uint64) wal.Scanned {
		return wal.Scanned{Gen: gen, Header: true, Linked: true, Link: wal.Link{Prev: prev}}
	}
	c := chain{generations: []uint64{2, 3, 5, 7, 8}}
	require.True(t, c.holds(8), "nothing is known yet")
	c.follow(linked(8, 7))
	require.True(t, c.holds(7))
	require.False(t, c.holds(5), "7 is there")
	c.follow(linked(5, 1))
	require.True(t, c.holds(7), "who does not belong to it says nothing")
	c.follow(linked(7, 6))
	require.True(t, c.holds(5), "6 is not there, so it may be any before it")
	c.follow(wal.Scanned{Gen: 5})
	require.True(t, c.holds(3), "one that is damaged does not tell which is next")
	require.True(t, c.holds(2))
	c.follow(linked(3, 0))
	require.False(t, c.holds(2), "there is none before it")
}

func TestARecordOfTheLiveLogIsBetterThanOneThatIsLeft(t *testing.T) {
	l := &logSurvey{records: map[dcb.Position]record{}}
	rec := newFixture(t).bodies(1, 1)[0]
	at := func() string { return l.records[1].path }
	l.note(1, "left", 0, rec, false)
	l.note(1, "left, too", 0, rec, false)
	require.Equal(t, "left", at(), "one is as good as the other")
	l.note(1, "live", 0, rec, true)
	require.Equal(t, "live", at())
	l.note(1, "left", 0, rec, false)
	l.note(1, "live, too", 0, rec, true)
	require.Equal(t, "live", at())
}

// What is behind the damage in a generation that was superseded may be of a future that was cut.
func TestADamagedPartIsBelievedUpToWhatSupersededIt(t *testing.T) {
	l := &logSurvey{live: []uint64{4, 6}, gens: []wal.Scanned{
		{Gen: 3, Linked: true, Base: 2}, {Gen: 4, Linked: true, Base: 10}, {Gen: 5, Linked: true, Base: 15}, {Gen: 6, Linked: true, Base: 20},
	}}
	require.EqualValues(t, uint64(math.MaxUint64), l.ownUpto(4), "it is live")
	require.EqualValues(t, 9, l.ownUpto(3))
	require.EqualValues(t, 19, l.ownUpto(5))
	require.EqualValues(t, uint64(math.MaxUint64), l.ownUpto(7), "nothing came behind it")
	l.gens[3].Linked = false
	require.EqualValues(t, uint64(math.MaxUint64), l.ownUpto(5), "what is not in use has no base")
}

func TestTheIdentityIsThatOfMostAndThenOfTheNewest(t *testing.T) {
	ids := []uuid.UUID{uuid.New(), uuid.New(), uuid.New()}
	own := ids[2]
	for name, c := range map[string]struct {
		written []int // under which identity each generation was written, from 1 on; -1: it is missing
		ledger  bool  // is sound, and of ids[2]
		acked   bool  // and agrees with it
		want    uuid.UUID
	}{
		"nothing tells":          {want: uuid.Nil},
		"the ledger alone":       {ledger: true, want: own},
		"of two the newest":      {written: []int{0, 1}, want: ids[1]},
		"most":                   {written: []int{0, 0, 1}, want: ids[0]},
		"a missing one":          {written: []int{0, -1}, want: ids[0]},
		"ledger and log":         {written: []int{2}, ledger: true, want: own},
		"another store's ledger": {written: []int{0, 0}, ledger: true, want: ids[0]},
		"ACKED is of the ledger": {written: []int{0, 0}, ledger: true, acked: true, want: own},
	} {
		dir := t.TempDir()
		var gens []uint64
		for i, id := range c.written {
			gen := uint64(i + 1)
			gens = append(gens, gen)
			if id >= 0 {
				_, err := wal.BuildGeneration(dir, wal.StoreID(ids[id]), gen, now, nil, 0, nil)
				require.NoError(t, err)
			}
		}
		s := &survey{ledgerErr: os.ErrNotExist}
		if c.ledger {
			s.ledgerErr, s.ledger = nil, ledger.State{Store: own}
		}
		if c.acked {
			require.NoError(t, wal.WriteAcked(dir, wal.StoreID(own), wal.Acked{Gen: 1, Offset: 97}))
		}
		got, err := s.identity(dir, gens)
		require.NoError(t, err, name)
		require.Equal(t, c.want, uuid.UUID(got), name)
	}
}

// A frame may be intact and its records not: it is told where, and what was whole is kept.
func TestAFrameWithoutItsRecordsIsTold(t *testing.T) {
	f := newFixture(t)
	whole := f.frame(3, 4)
	one := len(f.bodies(3, 3)[0])
	for name, c := range map[string]struct {
		body   []byte
		kept   []dcb.Position
		at     int
		broken Span
	}{
		"whole":            {body: whole.Body, kept: []dcb.Position{3, 4}},
		"one too few":      {body: whole.Body[:one], kept: []dcb.Position{3}, at: one, broken: Span{4, 4}},
		"nothing":          {at: 0, broken: Span{3, 4}},
		"more behind them": {body: append(append([]byte(nil), whole.Body...), 1, 2, 3), kept: []dcb.Position{3, 4}, at: len(whole.Body), broken: Span{4, 4}},
	} {
		l := &logSurvey{id: f.id, records: map[dcb.Position]record{}}
		path := filepath.Join(f.dir, "log")
		l.frame(path, wal.Frame{First: 3, Count: 2, BodyOffset: 1000, Body: c.body}, true)
		var kept []dcb.Position
		for p := range dcb.Position(6) {
			if r, ok := l.records[p]; ok {
				require.Equal(t, record{path: path, off: r.off, bytes: r.bytes, live: true, sum: r.sum}, r)
				kept = append(kept, p)
			}
		}
		require.Equal(t, c.kept, kept, name)
		if c.broken == (Span{}) {
			require.Empty(t, l.broken, name)
			continue
		}
		require.Len(t, l.broken, 1, name)
		b := l.broken[0]
		require.Equal(t, path, b.file)
		require.EqualValues(t, 1000+c.at, b.offset, name)
		require.Equal(t, c.broken, b.Span, name)
	}
}

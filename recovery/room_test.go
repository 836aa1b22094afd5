package recovery

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"opossum/dcb"
	"opossum/ledger"
	"opossum/wal"
)

// zeroed returns b with zeros from offset at on, and more of them behind it: as a disk leaves it that lost the writes into room.
func zeroed(b []byte, at int64) []byte {
	clear(b[at:])
	return append(b, make([]byte, 64<<10)...)
}

// A frame that the disk lost out of room looks like room: every witness alone must convict it, and a repair must know what is lost.
func TestAFrameLostOutOfRoomIsRefusedWhoeverTheWitnessIs(t *testing.T) {
	for name, w := range lossWitnesses {
		for frames, left := range map[int]dcb.Position{1: 3, 2: 0} {
			t.Run(name, func(t *testing.T) {
				f := newFixture(t)
				f.append(3, 5)
				w.prepare(f)
				var at int64
				f.damage(1, func(b []byte) []byte {
					g := wal.Scan(b, f.id, 1)
					at = g.Commits[len(g.Commits)-frames].Offset
					return zeroed(b, at)
				})
				before := tree(t, f.dir)
				_, _, err := f.recover()
				requireCorrupt(t, err, f.path(1), at, w.says)
				require.Equal(t, before, tree(t, f.dir), "a refusal must change nothing")
				require.False(t, f.verify().Sound())
				if name == "ACKED" {
					rep, err := Repair(t.Context(), f.dir, RepairOptions{})
					require.ErrorIs(t, err, dcb.ErrCorrupt, "not without consent")
					require.Equal(t, []Loss{{Span: Span{left + 1, 5}, Cut: true}}, rep.Lost)
				}
			})
		}
	}
}

// The middle of the log is lost: what is behind it convicts.
func TestAHoleOfZerosInTheMiddleIsRefused(t *testing.T) {
	f := newFixture(t)
	f.append(2, 3, 4, 5)
	f.silenceAcked()
	b, err := os.ReadFile(f.path(1))
	require.NoError(t, err)
	g := wal.Scan(b, f.id, 1)
	for _, n := range []int{1, 2} {
		for name, hole := range map[string][2]int64{
			"whole frames":        {g.Commits[1].Offset, g.Commits[n].End},
			"a header and a half": {g.Commits[1].Offset, g.Commits[n].End - 7},
			"bodies":              {g.Commits[1].BodyOffset, g.Commits[n].End},
			"from within":         {g.Commits[1].Offset + 9, g.Commits[n].End},
		} {
			t.Run(name, func(t *testing.T) {
				c := f.clone()
				c.damage(1, func(b []byte) []byte {
					clear(b[hole[0]:hole[1]])
					return append(b, make([]byte, 4096)...)
				})
				_, _, err := c.recover()
				requireCorrupt(t, err, c.path(1), g.Commits[1].Offset, "proves that it was durable")
			})
		}
	}
}

// Of a group that nobody was promised the last page may reach the disk alone.
func TestATornGroupOfWhichOnlyTheEndIsThereIsCutAndKept(t *testing.T) {
	f := newFixture(t)
	f.append(2, 5)
	longer := f.clone()
	log := openAsIs(longer)
	_, err := log.Append(6, 40, f.bodies(6, 45))
	require.NoError(t, err)
	_, err = log.Append(46, 5, f.bodies(46, 50))
	require.NoError(t, err)
	require.NoError(t, log.Close())
	more, err := os.ReadFile(longer.path(1))
	require.NoError(t, err)
	g := wal.Scan(more, f.id, 1)
	at := g.Commits[2].Offset
	for name, gone := range map[string]int64{"the header": g.Commits[2].BodyOffset - at, "half": 2000, "all but the next": g.Commits[2].End - at} {
		t.Run(name, func(t *testing.T) {
			c := f.clone()
			tail := append(make([]byte, gone), more[at+gone:]...)
			c.damage(1, func(b []byte) []byte { return append(append(b, tail...), make([]byte, 9000)...) })
			o := c.requireEvents(5)
			kept, err := os.ReadFile(o.Report.Quarantined[0])
			require.NoError(t, err)
			require.Equal(t, tail, kept)
		})
	}
}

func TestALostEndOfASealedGenerationIsRefused(t *testing.T) {
	f := threeGenerations(t)
	var at int64
	f.damage(1, func(b []byte) []byte {
		g := wal.Scan(b, f.id, 1)
		at = g.Commits[len(g.Commits)-1].Offset
		return zeroed(b, at)
	})
	_, _, err := f.recover()
	requireCorrupt(t, err, f.path(1), at, "the generation ends at position")
}

// A log whose first generation is all zeros behind its link, and no ledger: nothing that creation makes looks so.
func TestRoomIsNotWhatCreationLeaves(t *testing.T) {
	f := newFixture(t)
	f.append(3, 5)
	f.damage(1, func(b []byte) []byte { return zeroed(b, linkEnd) })
	require.NoError(t, os.Remove(filepath.Join(f.dir, ledger.FileName)))
	before := tree(t, f.dir)
	_, _, err := f.recover()
	require.ErrorIs(t, err, dcb.ErrCorrupt)
	require.Equal(t, before, tree(t, f.dir))
	require.False(t, f.verify().Sound())
}

// The last generation stands in the wrong place, room and all: repair finds the end of the log in it.
func TestRepairKnowsTheEndInAGenerationWithRoomInTheWrongPlace(t *testing.T) {
	for name, room := range map[string]int{"without room": 0, "with room": 300 << 10} {
		t.Run(name, func(t *testing.T) {
			f := ward(t)
			f.remove(filepath.Dir(f.path(4)))
			f.remove(wal.AckedPath(f.walDir))
			f.damage(3, func(b []byte) []byte { return append(b, make([]byte, room)...) })
			f.swap(f.event(3), f.path(3))
			rep := f.repair(RepairOptions{})
			require.Empty(t, rep.Lost)
			f.requireAll(9)
		})
	}
}

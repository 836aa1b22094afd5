package recovery

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"opossum/dcb"
	"opossum/internal/codec"
	"opossum/internal/eventfile"
)

// Files are read in chunks, and none is forgotten, be it alone in the last one. Not all are read at once: that would take a thread for each.
func TestEveryEventFileIsReadAndFewAtATime(t *testing.T) {
	for _, n := range []dcb.Position{0, 1, 2, checkChunk - 1, checkChunk, checkChunk + 1, 12*checkChunk + 1} {
		s := &survey{dir: t.TempDir()}
		dir := filepath.Join(s.dir, EventsDir)
		text := func(p dcb.Position) []byte {
			return codec.AppendText(nil, dcb.SequencedEvent{Position: p, Event: event(p)})
		}
		for p := dcb.Position(1); p <= n; p++ {
			require.NoError(t, os.MkdirAll(filepath.Dir(eventfile.Path(dir, p)), 0o755))
			require.NoError(t, os.WriteFile(eventfile.Path(dir, p), text(p), 0o644))
		}
		begun := uint64(0)
		m := newMeter(func(done, total uint64) { begun = max(begun, total-done) })
		require.NoError(t, s.files.gather(t.Context(), s, new(comparison), m))
		require.Equal(t, spanOf(1, n), s.files.good)
		require.Empty(t, s.files.bad)
		require.LessOrEqual(t, begun, uint64((runtime.GOMAXPROCS(0)+1)*checkChunk), "%d files", n)
	}
}

// Where the index is damaged, what it knows of a lost event elsewhere still counts.
func TestADamagedListHidesNoOtherTerm(t *testing.T) {
	f := newFixture(t)
	const last = 12_000
	f.flip(f.indexed(1, last), 5000) // in the second block, where lists of types are, and no term
	s := &survey{dir: f.dir}
	s.log.id = f.id
	c, err := s.index.gather(t.Context(), s, newMeter(nil))
	require.NoError(t, err)
	require.NoError(t, c.close())
	terms, err := s.index.termsOf(t.Context(), spanOf(1, last))
	require.NoError(t, err)
	types := 0
	for p := dcb.Position(1); p <= last; p++ {
		require.ElementsMatch(t, event(p).Tags, terms[p].Tags, "position %d", p)
		if terms[p].Type != "" {
			require.Equal(t, event(p).Type, terms[p].Type)
			types++
		}
	}
	require.Less(t, types, last, "nothing was damaged")
}

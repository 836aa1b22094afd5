package recovery

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"opossum/dcb"
	"opossum/internal/eventfile"
	"opossum/internal/index"
	"opossum/wal"
)

// A disk that reads differently the second time must not make the log shorter in silence.
func TestASecondReadThatDiffersIsRefused(t *testing.T) {
	dir := t.TempDir()
	files, err := eventfile.Open(filepath.Join(dir, EventsDir))
	require.NoError(t, err)
	defer func() { require.NoError(t, files.Close()) }()
	now := time.Unix(1_800_000_000, 0)
	state, err := Inspect(dir, files, false)
	require.NoError(t, err)
	plan, err := Decide(state)
	require.NoError(t, err)
	opened, err := Apply(dir, state, plan, files, false, now)
	require.NoError(t, err)

	log, err := wal.Open(filepath.Join(dir, WALDir), wal.StoreID(opened.Ledger.Store), opened.Live, opened.Tail, opened.TailNo, wal.Options{})
	require.NoError(t, err)
	for p := range dcb.Position(4) {
		_, err := log.Append(p+1, 1, [][]byte{[]byte("not a record, and nobody looks")})
		require.NoError(t, err)
		require.NoError(t, log.Sync())
	}
	end := log.Witness().End
	require.NoError(t, log.Close())

	state, err = Inspect(dir, files, false)
	require.NoError(t, err)
	plan, err = Decide(state)
	require.NoError(t, err)
	require.Equal(t, Recovered, plan.Outcome)
	path := wal.GenerationPath(filepath.Join(dir, WALDir), 1)
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	b[end-40] ^= 1 // after the decision
	require.NoError(t, os.WriteFile(path, b, 0o644))
	_, err = Apply(dir, state, plan, files, false, now)
	require.ErrorIs(t, err, dcb.ErrCorrupt)
	require.FileExists(t, path, "nothing is removed")

	whole := Opened{WALDir: filepath.Join(dir, WALDir), Ledger: opened.Ledger, Live: []wal.Segment{{Gen: 1, Last: 4}}, Report: Report{Head: 4}}
	_, err = Load(whole, index.Found{}, files, index.Config{Dir: filepath.Join(dir, IndexDir), RecentBytes: 1 << 20}, index.NewPlaces(0))
	require.ErrorIs(t, err, dcb.ErrCorrupt)
}

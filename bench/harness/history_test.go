package harness

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"opossum"
)

// small is a history of 20 products.
var small = History{Workload: Default, Events: 200}

// made makes a history in a new directory.
func made(t testing.TB, h History) (dir string) {
	dir = t.TempDir()
	_, err := h.Make(t.Context(), dir)
	require.NoError(t, err)
	return dir
}

func readRecords(records []byte) (events []opossum.SequencedEvent, err error) {
	err = decodeRecords(bytes.NewReader(records), func(e opossum.SequencedEvent) bool {
		e = kept(e)
		events = append(events, e)
		return true
	})
	return events, err
}

func TestAHistoryIsInTheStoreAndInTheRecords(t *testing.T) {
	dir := made(t, small)
	var want []opossum.SequencedEvent
	for i, e := range take(Default.Stream(0), small.Events, 7) {
		e.Time = time.UnixMilli(1767225600_000 + int64(i)).UTC()
		e.Tags = append(e.Tags, opossum.Tag("product:"+strconv.Itoa(i%20)))
		want = append(want, opossum.SequencedEvent{Position: opossum.Position(i + 1), Event: e})
	}
	require.Equal(t, want, readOpossum(t, filepath.Join(dir, historyStore)))
	file, err := os.ReadFile(filepath.Join(dir, historyRecords))
	require.NoError(t, err)
	records, err := readRecords(file)
	require.NoError(t, err)
	require.Equal(t, want, records)

	store, err := opossum.Open(filepath.Join(dir, historyStore), nil)
	require.NoError(t, err)
	require.EqualValues(t, small.Events, store.Materialized(), "all of it is filed")
	require.NoError(t, store.Close())
}

func TestDamagedRecordsAreErrors(t *testing.T) {
	path := filepath.Join(t.TempDir(), historyRecords)
	require.NoError(t, History{Workload: Default, Events: 10}.writeRecords(path))
	intact, err := os.ReadFile(path)
	require.NoError(t, err)
	borders := map[int]bool{} // where one record ends and the next begins
	for at := 0; at < len(intact); at += recordHeader + int(binary.LittleEndian.Uint32(intact[at:])) {
		borders[at] = true
	}
	require.Len(t, borders, 10)
	for i := range intact {
		damaged := bytes.Clone(intact)
		damaged[i] ^= 0x10
		_, err := readRecords(damaged)
		require.Error(t, err, "byte %d", i)
		if !borders[i] {
			_, err = readRecords(intact[:i])
			require.Error(t, err, "cut at %d", i)
		}
	}
	tooLong := bytes.Clone(intact)
	tooLong[3] = 0x80
	_, err = readRecords(tooLong)
	require.ErrorIs(t, err, errDamagedRecord)
	require.NotErrorIs(t, err, io.ErrUnexpectedEOF, "2 GiB were asked for")
}

package harness

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cespare/xxhash/v2"
	"github.com/stretchr/testify/require"
	"github.com/tidwall/wal"

	"opossum"
)

// readers read back what a way has stored, each in its own manner and without the code that wrote it.
var readers = map[string]func(t *testing.T, dir string) []opossum.SequencedEvent{
	"file-per-event":         readFiles,
	"file-per-event-indexed": readFilesIndexed,
	"file-per-batch":         readFiles,
	"growing-file": func(t *testing.T, dir string) []opossum.SequencedEvent {
		all, err := os.ReadFile(filepath.Join(dir, "events.log"))
		require.NoError(t, err)
		return readFrames(t, split(t, all))
	},
	"prewritten": func(t *testing.T, dir string) []opossum.SequencedEvent {
		all, err := os.ReadFile(filepath.Join(dir, "ring.log"))
		require.NoError(t, err)
		return readFrames(t, split(t, all))
	},
	"bare-log": func(t *testing.T, dir string) []opossum.SequencedEvent { return readFrames(t, entries(t, dir)) },
	"opossum":  readOpossum,
}

func TestEachWayStoresWhatItIsGiven(t *testing.T) {
	const rotate = 16 << 10 // several generations
	ways := append(Ways(), Prewritten(1<<20), FilePerEventIndexed())
	for i, w := range ways {
		if w.Name == "bare-log" {
			ways[i] = BareLog(Adaptive, rotate)
		}
	}
	for f := opossum.FlushBatch; f.Valid(); f++ {
		ways = append(ways, OpossumFlushing(f))
	}
	for _, way := range ways {
		for _, load := range []struct{ writers, events, perAppend int }{{1, 10, 1}, {16, 100, 7}} {
			t.Run(fmt.Sprintf("%s/%d writers", way.Name, load.writers), func(t *testing.T) {
				dir := t.TempDir()
				target, err := way.Open(dir, OpenOptions{Flush: true})
				if errors.Is(err, errors.ErrUnsupported) {
					require.Empty(t, os.Getenv("CI"), "CI must prove it: %v", err)
					t.Skip(err)
				}
				require.NoError(t, err)
				fleet := NewFleet(Default, Append, load.writers, load.perAppend)
				for range 2 { // a fleet goes on where it was
					result, err := fleet.Run(t.Context(), target, Limit{Events: load.events})
					require.NoError(t, err)
					require.Equal(t, load.events, result.Events)
				}
				require.NoError(t, target.Close())

				read, known := readers[way.Name]
				if !known { // a strategy
					read = readOpossum
				}
				stored := read(t, dir)
				require.Len(t, stored, 2*load.events)
				requireGenuine(t, stored, load.writers)
			})
		}
	}
}

// requireGenuine checks that positions are dense and that each event is the one its writer made.
func requireGenuine(t *testing.T, stored []opossum.SequencedEvent, writers int) {
	made := map[opossum.Tag]opossum.Event{}
	for writer := range writers {
		for _, e := range take(Default.Stream(writer), 2*len(stored), 1) {
			made[e.Tags[0]] = e
		}
	}
	positions := map[opossum.Position]bool{}
	for _, s := range stored {
		require.LessOrEqual(t, s.Position, opossum.Position(len(stored)))
		positions[s.Position] = true
		want, found := made[s.Event.Tags[0]]
		require.True(t, found, "stored twice or never made: %s", s.Event.Tags[0])
		delete(made, s.Event.Tags[0])
		require.Equal(t, want.Type, s.Event.Type)
		require.Equal(t, want.Tags, s.Event.Tags)
		require.Equal(t, string(want.Data), string(s.Event.Data))
	}
	require.Len(t, positions, len(stored))
}

func readFiles(t *testing.T, dir string) (events []opossum.SequencedEvent) {
	err := filepath.WalkDir(filepath.Join(dir, "events"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		var f eventFile
		require.NoError(t, json.Unmarshal(text, &f))
		require.Equal(t, eventPath(dir, f.Position), path)
		events = append(events, opossum.SequencedEvent{
			Position: opossum.Position(f.Position),
			Event:    opossum.Event{Type: f.Type, Tags: f.Tags, Data: f.Data},
		})
		return nil
	})
	require.NoError(t, err)
	return events
}

// readFilesIndexed checks that the index files list exactly the events of their type and tags.
func readFilesIndexed(t *testing.T, dir string) []opossum.SequencedEvent {
	events := readFiles(t, dir)
	want := map[string][]uint64{}
	slices.SortFunc(events, func(a, b opossum.SequencedEvent) int { return cmp.Compare(a.Position, b.Position) })
	for _, e := range events {
		want["EventType/"+e.Event.Type] = append(want["EventType/"+e.Event.Type], uint64(e.Position))
		for _, tag := range e.Event.Tags {
			want["Tags/"+string(tag)] = append(want["Tags/"+string(tag)], uint64(e.Position))
		}
	}
	found := map[string][]uint64{}
	files, err := filepath.Glob(filepath.Join(dir, "Indices", "*", "*"))
	require.NoError(t, err)
	for _, path := range files {
		var index fileIndex
		require.NoError(t, readJSON(path, &index))
		name, err := filepath.Rel(filepath.Join(dir, "Indices"), strings.TrimSuffix(path, ".json"))
		require.NoError(t, err)
		found[name] = index.Positions
	}
	require.Equal(t, want, found)
	return events
}

func TestOnlyStoresTakeConditions(t *testing.T) {
	for _, way := range append(Ways(), Prewritten(1<<20), FilePerEventIndexed()) {
		dir := t.TempDir()
		target, err := way.Open(dir, OpenOptions{})
		if errors.Is(err, errors.ErrUnsupported) {
			continue
		}
		require.NoError(t, err)
		err = target.Append(t.Context(), Default.Stream(0).Next(1), &opossum.Condition{FailIfMatch: opossum.AllEvents()})
		if _, isStore := target.(Store); isStore {
			require.NoError(t, err, way.Name)
		} else {
			require.ErrorIs(t, err, errors.ErrUnsupported, way.Name)
		}
		require.Equal(t, way.Store, err == nil)
		require.NoError(t, target.Close())
	}
}

func readOpossum(t *testing.T, dir string) (events []opossum.SequencedEvent) {
	e, err := opossum.Open(dir, nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, e.Close()) }()
	view, err := e.Read(t.Context(), opossum.AllEvents(), opossum.ReadOptions{})
	require.NoError(t, err)
	for event, err := range view.All() {
		require.NoError(t, err)
		events = append(events, event)
	}
	return events
}

// entries returns the entries of all generations.
func entries(t *testing.T, dir string) (frames [][]byte) {
	filled := 0
	for no := 1; ; no++ {
		path := filepath.Join(dir, strconv.Itoa(no))
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			require.NotZero(t, filled)
			return frames
		}
		log, err := wal.Open(path, &wal.Options{AllowEmpty: true, SegmentSize: math.MaxInt})
		require.NoError(t, err)
		last, err := log.LastIndex()
		require.NoError(t, err)
		for i := uint64(1); i <= last; i++ {
			entry, err := log.Read(i)
			require.NoError(t, err)
			frames = append(frames, entry)
			filled = no
		}
		require.NoError(t, log.Close())
	}
}

// split returns the frames that follow each other in a file, up to what is none.
func split(t *testing.T, all []byte) (frames [][]byte) {
	for len(all) >= frameHeader && binary.LittleEndian.Uint32(all) == frameMagic {
		n := frameHeader + int(binary.LittleEndian.Uint32(all[36:]))
		require.LessOrEqual(t, n, len(all))
		frames = append(frames, all[:n])
		all = all[n:]
	}
	return frames
}

// readFrames checks sums, chain and positions of the frames and returns their events.
func readFrames(t *testing.T, frames [][]byte) (events []opossum.SequencedEvent) {
	var before uint64
	for _, f := range frames {
		sum := binary.LittleEndian.Uint64(f[64:])
		require.Equal(t, before, binary.LittleEndian.Uint64(f[56:]), "the sum of the last frame")
		before = sum
		binary.LittleEndian.PutUint64(f[64:], 0)
		require.Equal(t, xxhash.Sum64(f), sum)
		require.EqualValues(t, len(events)+1, binary.LittleEndian.Uint64(f[24:]), "first position")
		require.EqualValues(t, len(events), binary.LittleEndian.Uint64(f[40:]), "all before was durable")

		body := f[frameHeader:]
		for range binary.LittleEndian.Uint32(f[32:]) {
			n := recordHeader + int(binary.LittleEndian.Uint32(body))
			events = append(events, opossum.SequencedEvent{
				Position: opossum.Position(len(events) + 1),
				Event:    readRecord(t, body[:n]),
			})
			body = body[n:]
		}
		require.Empty(t, body)
	}
	return events
}

func readRecord(t *testing.T, record []byte) (e opossum.Event) {
	payload := record[recordHeader:]
	require.Equal(t, xxhash.Sum64(payload), binary.LittleEndian.Uint64(record[4:]))
	require.Zero(t, payload[0], "no flags")
	rest := payload[1+8+4:]
	uvarint := func() int {
		n, size := binary.Uvarint(rest)
		require.Positive(t, size)
		rest = rest[size:]
		return int(n)
	}
	text := func() string {
		n := uvarint()
		s := string(rest[:n])
		rest = rest[n:]
		return s
	}
	e.Type = text()
	for range uvarint() {
		e.Tags = append(e.Tags, opossum.Tag(text()))
	}
	require.Zero(t, uvarint(), "no metadata")
	e.Data = rest
	return e
}

func TestARingBeginsAgainAtItsStart(t *testing.T) {
	dir := t.TempDir()
	m, err := openRing(dir, 16<<10)
	require.NoError(t, err)
	log := newEventLog(m, OpenOptions{Flush: true}, alone)
	_, err = NewFleet(Default, Append, 1, 1).Run(t.Context(), log, Limit{Events: 100})
	require.NoError(t, err)
	require.NoError(t, log.Close())

	all, err := os.ReadFile(filepath.Join(dir, "ring.log"))
	require.NoError(t, err)
	require.Len(t, all, 16<<10, "it does not grow")
	link := all[:frameHeader]
	require.EqualValues(t, kindLink, binary.LittleEndian.Uint32(link[4:]))
	require.EqualValues(t, m.at.generation, binary.LittleEndian.Uint64(link[8:]))
	require.Greater(t, m.at.generation, uint64(2))
}

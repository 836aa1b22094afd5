package projection

import (
	"bytes"
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"opossum/dcb"
)

// testLog is one with two checkpoints, a session, a deletion above the checkpoint, and an announcement.
func testLog() (text []byte, ends []int) {
	sum := newExtent()
	add := func(b []byte) {
		text = append(text, b...)
		sum.add(b)
		ends = append(ends, len(text))
	}
	add(appendHeading(nil, testID))
	add(appendCheckpoint(sum.sum, nil, Checkpoint{}))
	add(appendSession(nil, "one \"run\""))
	add(appendInfo(nil, InfoOf(goldenRecords["plain"])))
	add(appendInfo(nil, InfoOf(testRecord("gone", 3))))
	add(appendDeletion(nil, "gone", 20))
	add(appendDeletion(nil, "c2", 50))
	add(appendCheckpoint(sum.sum, nil, Checkpoint{42, 40}))
	add(appendInfo(nil, InfoOf(testRecord("c3", 60))))
	return text, ends
}

func TestGoldenLog(t *testing.T) {
	text, ends := testLog()
	golden(t, "index.jsonl", text)
	l, err := readLog(text)
	require.NoError(t, err)
	require.Equal(t, testID, l.id)
	require.Equal(t, Checkpoint{42, 40}, l.at)
	require.Equal(t, map[string]dcb.Position{"c2": 50}, l.tombs)
	require.Equal(t, []Info{InfoOf(goldenRecords["plain"])}, l.index.Where(func(Info) bool { return true }))
	require.Equal(t, "one \"run\"", l.session)
	require.Equal(t, []change{{info: InfoOf(testRecord("c3", 60))}}, l.tail)
	require.Empty(t, l.rot)
	require.EqualValues(t, ends[7], l.sound.size)
	require.EqualValues(t, len(text), l.whole.size)
	require.Equal(t, 9, l.whole.lines)

	short := compact(l.id, l.index, l.tombs, l.at)
	golden(t, "compact.jsonl", short)
	again, err := readLog(short)
	require.NoError(t, err)
	require.Equal(t, short, compact(again.id, again.index, again.tombs, again.at))
}

// A log that is cut anywhere says what its last checkpoint says, and every flipped bit is noticed there: what is said is what a checkpoint has vouched for.
func TestADamagedLogSaysWhatACheckpointSaid(t *testing.T) {
	text, ends := testLog()
	at := func(n int) (want Checkpoint, usable bool) {
		switch {
		case n >= ends[7]:
			return Checkpoint{42, 40}, true
		case n >= ends[1]:
			return Checkpoint{}, true
		}
		return Checkpoint{}, false
	}
	for n := range text {
		l, err := readLog(text[:n])
		want, usable := at(n)
		require.Equal(t, usable, err == nil, "cut at %d", n)
		require.True(t, err != nil || l.at == want && l.rot == "", "cut at %d", n)
		zeros := append(bytes.Clone(text[:n]), make([]byte, len(text)-n)...)
		l, err = readLog(zeros)
		require.Equal(t, usable, err == nil, "zero from %d", n)
		require.True(t, err != nil || l.at == want, "zero from %d", n)
		for bit := range 8 {
			text[n] ^= 1 << bit
			l, err := readLog(text)
			require.Equal(t, n >= ends[1], err == nil, "bit %d of byte %d", bit, n)
			if err == nil {
				want, _ := at(n)
				require.Equal(t, want, l.at)
			}
			text[n] ^= 1 << bit
		}
	}
}

func TestALogOfAnotherFormatIsTold(t *testing.T) {
	text, _ := testLog()
	_, err := readLog(bytes.Replace(text, []byte(`"formatVersion":1`), []byte(`"formatVersion":2`), 1))
	require.ErrorContains(t, err, `version 2, this is "opossum-readmodel" version 1`)
}

func FuzzReadLog(f *testing.F) {
	text, ends := testLog()
	f.Add(text)
	f.Add(text[ends[1]:])
	f.Fuzz(func(t *testing.T, more []byte) {
		head, _ := testLog()
		l, err := readLog(append(head[:ends[1]:ends[1]], more...))
		require.NoError(t, err, "a checkpoint is there")
		require.LessOrEqual(t, l.sound.size, l.whole.size)
		short := compact(l.id, l.index, l.tombs, l.at)
		if fmt.Sprint(l.tombs) == "map[]" {
			again, err := readLog(short)
			require.NoError(t, err)
			require.Equal(t, l.index.Len(), again.index.Len())
		}
	})
}

// The index follows a map of tags, whatever is put and removed.
func TestTheIndexForgets(t *testing.T) {
	x := NewIndex()
	const n = 100
	for i := range n {
		x.Put(InfoOf(testRecord(fmt.Sprint(i), dcb.Position(i+1))))
		x.Put(InfoOf(testRecord(fmt.Sprint(i), dcb.Position(i+1)))) // again
	}
	require.Len(t, x.Tagged("all"), n)
	require.Len(t, x.Tagged("all", "mod:1"), 15)
	require.Empty(t, x.Tagged())
	require.Empty(t, x.Tagged("all", "none"))
	for i := range n {
		require.Len(t, x.Tagged("all"), n-i)
		x.Remove(fmt.Sprint(i))
		x.Remove(fmt.Sprint(i))
	}
	require.Empty(t, x.keys)
	require.Zero(t, x.Len())
}

// The examples of the page are what is written.
func TestThePageShowsWhatIsWritten(t *testing.T) {
	page, err := os.ReadFile("../docs/format/readmodel.md")
	require.NoError(t, err)
	require.Contains(t, string(page), string(encodeRecord(goldenRecords["plain"])))
	sum := newExtent()
	text := compact(testID, NewIndex(), nil, Checkpoint{})
	text = appendSession(text, "cbf7a1d9-3a5f-4e2b-88d7-247a3998a164 254:0 2147483676 10027404")
	text = appendInfo(text, InfoOf(goldenRecords["plain"]))
	text = appendDeletion(text, "gone", 20)
	sum.add(text)
	text = append(text, appendCheckpoint(sum.sum, nil, Checkpoint{42, 40})...)
	require.Contains(t, string(page), string(text))
}

package pack

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"opossum/dcb"
	"opossum/internal/codec"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testSeed = 0x1122334455667788

// smallRange is the range of the pack of the golden file: three blocks, the last one of a single record.
var smallRange = Range{101, 109}

// event is the event at p of the packs of these tests: alike in all, and yet each its own.
func event(p dcb.Position) dcb.Event {
	e := dcb.Event{
		Type: "Seen", Tags: []dcb.Tag{dcb.Tag(fmt.Sprintf("n:%d", p)), "kind:test"},
		Time: time.Unix(1_700_000_000, int64(p)).UTC(),
		Data: fmt.Appendf(nil, `{"n":%d,"text":"%s"}`, p, strings.Repeat("all the same, ", 150)),
	}
	switch p % 4 {
	case 1:
		e.ID = uuid.UUID{0: byte(p), 15: 1}
	case 2:
		e.Metadata = map[string]string{"user": "ann", "host": "a"}
	case 3:
		e.Tags, e.Data[0] = nil, 0xff
	}
	return e
}

// stamped is the record of e at p.
func stamped(e dcb.Event, p dcb.Position) []byte {
	b := codec.AppendRecord(nil, e)
	codec.Stamp(b, testSeed, p)
	return b
}

func record(p dcb.Position) []byte { return stamped(event(p), p) }

func records(r Range) (out [][]byte) {
	for p := r.First; p <= r.Last; p++ {
		out = append(out, record(p))
	}
	return out
}

func build(t require.TestingT, dir string, r Range, records [][]byte) {
	b, err := Create(dir, testSeed, r)
	require.NoError(t, err)
	for _, rec := range records {
		require.NoError(t, b.Add(rec))
	}
	require.NoError(t, b.Commit())
	require.NoError(t, b.Abort(), "harmless after Commit")
}

func open(t require.TestingT, dir string, r Range) *Pack {
	p, err := Open(dir, testSeed, r)
	require.NoError(t, err)
	if t, ok := t.(testing.TB); ok {
		t.Cleanup(func() { require.NoError(t, p.Close()) })
	}
	return p
}

// requireHolds reads everything, by blocks and by positions.
func requireHolds(t require.TestingT, p *Pack, records [][]byte) {
	r := p.Range()
	require.EqualValues(t, len(records), r.Len())
	n := 0
	for i := range p.Blocks() {
		raw, err := p.Block(i)
		require.NoError(t, err)
		require.Len(t, raw, p.RawBytes(i))
		at := p.Positions(i)
		require.Equal(t, r.First+dcb.Position(n), at.First)
		require.True(t, bytes.Equal(bytes.Join(records[n:n+int(at.Len())], nil), raw), "block %d", i)
		for pos := at.First; n < int(at.Last-r.First)+1; n, pos = n+1, pos+1 {
			require.Equal(t, i, p.BlockOf(pos))
			rec, err := p.Record(i, raw, pos)
			require.NoError(t, err)
			require.True(t, bytes.Equal(records[n], rec), "position %d", pos)
			require.NoError(t, codec.CheckRecord(rec, testSeed, pos))
		}
	}
	require.Len(t, records, n)
}

// requireDamage: err is damage of the file at path, and says where.
func requireDamage(t require.TestingT, err error, path string) {
	var ce *dcb.CorruptError
	require.ErrorAs(t, err, &ce)
	require.ErrorIs(t, err, dcb.ErrCorrupt)
	require.NotErrorIs(t, err, dcb.ErrVersion)
	require.Equal(t, path, ce.File)
	require.Contains(t, ce.Reason, "positions ")
	require.GreaterOrEqual(t, ce.Offset, int64(0))
}

func names(t testing.TB, dir string) (out []string) {
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func readFile(t require.TestingT, path ...string) []byte {
	b, err := os.ReadFile(filepath.Join(path...))
	require.NoError(t, err)
	return b
}

func writeFile(t require.TestingT, b []byte, path ...string) {
	require.NoError(t, os.WriteFile(filepath.Join(path...), b, 0o644))
}

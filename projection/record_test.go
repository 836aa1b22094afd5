package projection

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"opossum/dcb"
)

var update = flag.Bool("update", false, "write the golden files anew; changed ones need a new format version")

// goldenRecords are the states that docs/format/readmodel.md is about.
var goldenRecords = map[string]Record{
	"plain": {Key: "c1", Position: 42, Created: time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC), Updated: time.Date(2026, 11, 23, 10, 5, 0, 123456789, time.UTC), Version: 13,
		State: []byte(`{"title":"Logic","seats":30}`), Tags: []dcb.Tag{"student:7", "student:8"}},
	"odd":     {Key: "\xff\"\n", Position: 1<<64 - 1, Version: 1, State: []byte("\"\u2028,\\n  \\\"checksum\\\"\""), Tags: []dcb.Tag{"a\"b\\c\x01ü"}},
	"deleted": {Key: "c2", Position: 43},
}

func golden(t *testing.T, name string, text []byte) {
	path := filepath.Join("testdata", "readmodel", name)
	if *update {
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, text, 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), string(text))
}

func TestGoldenRecords(t *testing.T) {
	for name, r := range goldenRecords {
		text := encodeRecord(r)
		golden(t, name+".json", text)
		got, err := decodeRecord(text)
		require.NoError(t, err)
		require.Equal(t, r.Created.UTC(), got.Created)
		got.Created, got.Updated, r.Created, r.Updated = time.Time{}, time.Time{}, time.Time{}, time.Time{}
		require.Equal(t, r, got)
	}
}

// Every truncation, every flipped bit, and whatever is put behind it, is noticed; so are zero bytes.
func TestADamagedRecordIsNoRecord(t *testing.T) {
	for name, r := range goldenRecords {
		text := encodeRecord(r)
		for n := range text {
			_, err := decodeRecord(text[:n])
			require.Error(t, err, "%s cut at %d", name, n)
			zeros := append(append([]byte{}, text[:n]...), make([]byte, len(text)-n)...)
			_, err = decodeRecord(zeros)
			require.Error(t, err, "%s zero from %d", name, n)
			for bit := range 8 {
				text[n] ^= 1 << bit
				_, err := decodeRecord(text)
				require.Error(t, err, "%s: bit %d of byte %d", name, bit, n)
				text[n] ^= 1 << bit
			}
		}
		for _, more := range []string{"\n", " ", "\x00", "x", string(text)} {
			_, err := decodeRecord([]byte(string(text) + more))
			require.Error(t, err)
		}
	}
}

// One record has one text: what is said in another way is refused, though its checksum is right.
func TestOtherTextsOfARecordAreNone(t *testing.T) {
	plain := string(encodeRecord(goldenRecords["plain"]))
	for from, to := range map[string]string{
		`"position": 42`: `"position": 042`, `": 13`: `": -13`, `:00Z"`: `:00+00:00"`, `.123456789Z`: `.1234567890Z`, `["student:7", `: `["student:7",`, `"c1"`: `"\u0063\u0031"`,
		`  "key"`: ` "key"`, `{"title"`: ` {"title"`, `30}`: `30`, `"tags": [`: `"tags": [, `, `"version": 13`: `"deleted": true`, `"key": "c1"`: `"key": ""`,
		`"key": "c1",`: `"keyBase64": "YzE=",`, `": 42`: `": 0`, `": 42,`: `": 42`, `title`: "t\xfftle",
	} {
		require.Contains(t, plain, from)
		_, err := decodeRecord(resealed(strings.Replace(plain, from, to, 1)))
		require.ErrorContains(t, err, "though its checksum matches", "%s for %s", to, from)
	}
	_, err := decodeRecord(resealed(plain))
	require.NoError(t, err)
}

// resealed puts the right checksum under a text.
func resealed(text string) []byte {
	body := text[:len(text)-textSumBytes]
	return sealed([]byte(body))
}

func TestRecordsComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := Record{Key: rapid.OneOf(rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) })).Draw(t, "key"),
			Position: dcb.Position(rapid.Uint64Min(1).Draw(t, "position"))}
		if r.Key == "" {
			r.Key = "k"
		}
		if rapid.Bool().Draw(t, "deleted") {
			requireComesBack(t, r)
			return
		}
		r.Version = rapid.Uint64().Draw(t, "version")
		r.Created = time.Unix(rapid.Int64Range(-62167219200, 253402300799).Draw(t, "created"), rapid.Int64Range(0, 999999999).Draw(t, "nanos")).UTC()
		r.Updated = r.Created
		r.State = []byte(rapid.SampledFrom([]string{`null`, `1`, `{"a":[1,2]}`, `"x\n"`, `[ 1 ]`, "{\n\"a\":1\n}"}).Draw(t, "state"))
		for _, tag := range rapid.SliceOfN(rapid.String(), 0, 3).Draw(t, "tags") {
			r.Tags = append(r.Tags, dcb.Tag(tag))
		}
		requireComesBack(t, r)
	})
}

func requireComesBack(t *rapid.T, r Record) {
	require.NoError(t, checkRecord(r))
	got, err := decodeRecord(encodeRecord(r))
	require.NoError(t, err)
	require.Equal(t, r, got)
	i := InfoOf(r)
	line := appendInfo(nil, i)
	ch, ok := parseChange(line)
	require.True(t, ok, "%s", line)
	require.Equal(t, change{info: i}, ch)
}

func FuzzDecodeRecord(f *testing.F) {
	for _, r := range goldenRecords {
		text := encodeRecord(r)
		f.Add(text, false)
		f.Add(text[:len(text)-textSumBytes], true)
	}
	f.Fuzz(func(t *testing.T, text []byte, seal bool) {
		if seal { // or the checksum would refuse all
			text = sealed(text)
		}
		r, err := decodeRecord(text)
		if err == nil {
			require.Equal(t, string(text), string(encodeRecord(r)))
			require.NoError(t, checkRecord(r))
		}
	})
}

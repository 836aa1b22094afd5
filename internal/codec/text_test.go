package codec

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/cespare/xxhash/v2"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"opossum/dcb"
)

var updateTextGolden = flag.Bool("update-text-golden", false, "rewrite testdata/text; a changed file means a new format version")

func textTestEvent() dcb.SequencedEvent {
	return dcb.SequencedEvent{Position: 42, Event: dcb.Event{
		ID:       uuid.MustParse("0190b5a5-7c6e-7d3a-9f00-000000000001"),
		Type:     "StudentEnrolled",
		Tags:     []dcb.Tag{"student:7", "course:c1"},
		Data:     []byte(`{"student": 7}`),
		Metadata: map[string]string{"user": "ann", "host": "a\"b\\c"},
		Time:     time.Date(2026, 11, 23, 10, 0, 0, 123456789, time.UTC),
	}}
}

// textTestWith is a small event with the given data.
func textTestWith(data string) dcb.SequencedEvent {
	ev := textTestEvent()
	ev.Event.ID, ev.Event.Metadata, ev.Event.Data = uuid.Nil, nil, []byte(data)
	return ev
}

// textTestSeal appends a correct checksum to a body, so that a test reaches what lies behind the checksum.
func textTestSeal(body string) []byte {
	return appendTextSum([]byte(body), xxhash.Sum64String(body))
}

// requireSameEvent compares after the normalisation that the contract allows: nil is empty, time is in UTC.
func requireSameEvent(t require.TestingT, want, got dcb.SequencedEvent) {
	require.Equal(t, want.Position, got.Position)
	w, g := want.Event, got.Event
	require.Equal(t, w.ID, g.ID)
	require.Equal(t, w.Type, g.Type)
	require.True(t, slices.Equal(w.Tags, g.Tags), "tags %q, %q", w.Tags, g.Tags)
	require.True(t, maps.Equal(w.Metadata, g.Metadata), "metadata %q, %q", w.Metadata, g.Metadata)
	require.True(t, bytes.Equal(w.Data, g.Data), "data %q, %q", w.Data, g.Data)
	require.True(t, w.Time.Equal(g.Time), "time %v, %v", w.Time, g.Time)
	require.Equal(t, time.UTC, g.Time.Location())
}

func TestTextGolden(t *testing.T) {
	least := dcb.SequencedEvent{Position: 1, Event: dcb.Event{Type: "T", Time: time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC)}}
	for name, ev := range map[string]dcb.SequencedEvent{
		"full":   textTestEvent(),
		"least":  least,
		"lines":  textTestWith("{\n  \"checksum\": \"xxh64:0000000000000000\"\n}"),
		"text":   textTestWith("plain \"text\"\n\x00\u2028\x7f\U0001F9AB"),
		"base64": textTestWith("\xff\x00"),
		"deep":   textTestWith(strings.Repeat("[", 64) + strings.Repeat("]", 64)),
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join("testdata", "text", name+".json")
			got := AppendText(nil, ev)
			if *updateTextGolden {
				require.NoError(t, os.WriteFile(file, got, 0o644))
			}
			want, err := os.ReadFile(file)
			require.NoError(t, err)
			require.Equal(t, string(want), string(got))
			back, err := ParseText(want)
			require.NoError(t, err)
			requireSameEvent(t, ev, back)
		})
	}
}

// The form of each piece of data is part of the format.
func TestTextDataForms(t *testing.T) {
	nested := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	objects := func(n int) string { return strings.Repeat(`{"a":`, n) + "1" + strings.Repeat("}", n) }
	forms := map[string][]string{
		textData: {
			`null`, `true`, `false`, `0`, `-0`, `-0.0e-00`, `1E+400`, `123456789012345678901234567890.5`, `""`, `{}`, `[ ]`,
			`{"a":1,"a":2}`, "{\n\t\"a\" :\r\n[1 , 2]\n}", `"\ud800"`, `"\u0000\/"`, "\"\x7f\u2028\ufffd\U0001F9AB\"",
			nested(63), objects(63), `[` + nested(62) + `,` + nested(62) + `]`,
			"{\n  \"checksum\": \"xxh64:0000000000000000\"\n}",
		},
		textDataText: {
			` 1`, `1 `, "1\n", "\ufeff1", `nul`, `nulls`, `True`, `01`, `-`, `+1`, `1.`, `.5`, `1e`, `1e+`, `0x1`, `NaN`, `1 2`, `[`, `]`,
			`[1`, `[1,]`, `[,1]`, `[1 2]`, `[}`, `{]`, `{`, `{"a"`, `{"a":`, `{"a":1`, `{"a":1,}`, `{"a" 1}`, `{1:1}`, `{,}`, `'a'`, `"`, `"a`, `"a"b`,
			`"\`, `"\"`, `"\x"`, `"\u12"`, `"\u12g4"`, `"\u`, "\"\x00\"", "\"\n\"", "\x00", "\"\\\x00\"", "1\x00", "plain text", `/* c */ 1`, "\u00a01",
			nested(64), objects(64), `[` + nested(62) + `,` + nested(63) + `]`, nested(20000),
		},
		textDataBase64: {"\xff", "\"\xff\"", "{\"a\xc0\xaf\":1}", "\"\xed\xa0\x80\"", "\"\xf4\x90\x80\x80\"", "ab\xc3"},
	}
	for form, all := range forms {
		for _, data := range all {
			ev := textTestWith(data)
			text := AppendText(nil, ev)
			require.Contains(t, string(text), form, "data %.80q", data)
			require.True(t, json.Valid(text), "data %.80q", data)
			back, err := ParseText(text)
			require.NoError(t, err, "data %.80q", data)
			require.Equal(t, data, string(back.Event.Data))
		}
	}
	require.NotContains(t, string(AppendText(nil, textTestWith(""))), "data")
}

func TestTextOfAllCodePoints(t *testing.T) {
	var all strings.Builder
	for r := rune(0); r <= utf8.MaxRune; r++ {
		if utf8.ValidRune(r) {
			all.WriteRune(r)
		}
	}
	ev := textTestWith("")
	ev.Event.Metadata = map[string]string{"all": all.String(), "": ""}
	ev.Event.Data = []byte(all.String())
	text := AppendText(nil, ev)
	back, err := ParseText(text)
	require.NoError(t, err)
	requireSameEvent(t, ev, back)
	requireAgreesWithJSON(t, ev, text)
}

// requireAgreesWithJSON reads text with encoding/json, as other programs do, and expects the same event.
func requireAgreesWithJSON(t require.TestingT, ev dcb.SequencedEvent, text []byte) {
	var got struct {
		Position   uint64
		ID         uuid.UUID
		Type       string
		Tags       []dcb.Tag
		Time       time.Time
		Metadata   map[string]string
		Data       json.RawMessage
		DataText   string
		DataBase64 []byte
		Checksum   string
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	require.NoError(t, dec.Decode(&got), "%s", text)
	require.NotNil(t, got.Tags, "tags are always present")
	require.NotEmpty(t, got.Checksum)
	requireSameEvent(t, ev, dcb.SequencedEvent{Position: dcb.Position(got.Position), Event: dcb.Event{
		ID: got.ID, Type: got.Type, Tags: got.Tags, Time: got.Time.UTC(), Metadata: got.Metadata,
		Data: slices.Concat(got.Data, []byte(got.DataText), got.DataBase64),
	}})
}

// textTestEvents draws valid events that favour the corners of the format.
func textTestEvents() *rapid.Generator[dcb.SequencedEvent] {
	str := rapid.OneOf(rapid.String(), rapid.StringOfN(rapid.RuneFrom([]rune("\"\\/\b\f\n\r\t\x00\x1f\x7f\u0080\u2028\ufeff\ufffd\U0001F9ABa")), 0, 12, -1))
	term := str.Filter(func(s string) bool { return s != "" })
	data := rapid.OneOf(
		rapid.SliceOf(rapid.Byte()),
		rapid.Map(str, func(s string) []byte { return []byte(s) }),
		rapid.Map(textTestJSON(3), func(s string) []byte { return []byte(s) }),
		rapid.Map(rapid.StringMatching(`[ \[\]{}",:0-9eE+\-\\ntrufalsx\n]{0,12}`), func(s string) []byte { return []byte(s) }),
	)
	return rapid.Custom(func(t *rapid.T) dcb.SequencedEvent {
		e := dcb.Event{
			Type:     term.Draw(t, "type"),
			Data:     data.Draw(t, "data"),
			Metadata: rapid.MapOfN(str, str, 0, 4).Draw(t, "metadata"),
			Time: time.Unix(rapid.Int64Range(-62167219200, 253402300799).Draw(t, "seconds"), rapid.Int64Range(0, 999999999).Draw(t, "nanoseconds")).
				In(time.FixedZone("", rapid.IntRange(-50000, 50000).Draw(t, "zone"))),
		}
		for _, s := range rapid.SliceOfNDistinct(term, 0, 20, rapid.ID[string]).Draw(t, "tags") {
			e.Tags = append(e.Tags, dcb.Tag(s))
		}
		if rapid.Bool().Draw(t, "has ID") {
			copy(e.ID[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "ID"))
		}
		return dcb.SequencedEvent{Position: dcb.Position(rapid.Uint64Min(1).Draw(t, "position")), Event: e}
	})
}

// textTestJSON draws JSON values with white space inside, nested up to depth.
func textTestJSON(depth int) *rapid.Generator[string] {
	scalar := rapid.OneOf(
		rapid.SampledFrom([]string{`null`, `true`, `false`, `-0`, `1e9`, `12345678901234567890`, `"\ud83e\udd9b"`, `"\u0000"`}),
		rapid.Map(rapid.String(), func(s string) string { return string(AppendString(nil, s)) }),
	)
	if depth == 0 {
		return scalar
	}
	list := rapid.SliceOfN(textTestJSON(depth-1), 0, 4)
	return rapid.OneOf(scalar,
		rapid.Map(list, func(l []string) string { return "[" + strings.Join(l, ",\n  ") + "]" }),
		rapid.Map(list, func(l []string) string {
			for i := range l {
				l[i] = `"checksum" : ` + l[i]
			}
			return "{\n" + strings.Join(l, ",\n  ") + "\n}"
		}))
}

func TestTextRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ev := textTestEvents().Draw(t, "event")
		require.NoError(t, ev.Event.Validate())
		text := AppendText([]byte("before"), ev)
		require.Equal(t, "before", string(text[:6]))
		text = text[6:]
		original := slices.Clone(text)
		back, err := ParseText(text)
		require.NoError(t, err, "%q", text)
		requireSameEvent(t, ev, back)
		requireAgreesWithJSON(t, ev, text)
		require.Equal(t, original, AppendText(nil, back), "one event, one text")
		clear(text) // what was returned must not change with the bytes it came from
		requireSameEvent(t, ev, back)
	})
}

// embeddable is judged against encoding/json and a plain count of the depth.
func TestTextEmbeddableAgainstJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		data := textTestEvents().Draw(t, "event").Event.Data
		if i := rapid.IntRange(0, len(data)).Draw(t, "cut"); rapid.Bool().Draw(t, "damage") {
			data = slices.Concat(data[:i], data[min(i+1, len(data)):])
		}
		if utf8.Valid(data) {
			require.Equal(t, embeddableByJSON(data), embeddable(data), "%q", data)
		}
	})
}

func embeddableByJSON(data []byte) bool {
	if !json.Valid(data) || len(bytes.Trim(data, " \t\r\n")) != len(data) {
		return false
	}
	depth, deepest := 0, 0
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	for {
		tok, err := dec.Token()
		if err != nil {
			return deepest <= 63
		}
		switch tok {
		case json.Delim('['), json.Delim('{'):
			depth++
			deepest = max(deepest, depth)
		case json.Delim(']'), json.Delim('}'):
			depth--
		}
	}
}

func TestTextNoticesEachDamage(t *testing.T) {
	for _, ev := range []dcb.SequencedEvent{textTestEvent(), textTestWith("plain\n"), textTestWith("\xff\xfe")} {
		text := AppendText(nil, ev)
		refuse := func(what string, damaged []byte) {
			t.Helper()
			got, err := ParseText(damaged)
			var te *TextError
			require.ErrorAs(t, err, &te, what)
			require.Zero(t, got, what)
			require.True(t, te.Offset >= 0 && te.Offset <= int64(len(damaged)), "%s: offset %d", what, te.Offset)
			require.NotEmpty(t, te.Reason, what)
		}
		for bit := range len(text) * 8 {
			damaged := slices.Clone(text)
			damaged[bit/8] ^= 1 << (bit % 8)
			refuse(fmt.Sprintf("bit %d", bit), damaged)
		}
		for n := range text {
			refuse(fmt.Sprintf("cut to %d", n), text[:n:n])
			refuse(fmt.Sprintf("first %d missing", n+1), text[n+1:])
			refuse(fmt.Sprintf("byte %d missing", n), slices.Delete(slices.Clone(text), n, n+1))
		}
		for _, tail := range []string{"\n", " ", "\x00", "}", string(text)} {
			refuse("appended", append(slices.Clone(text), tail...))
			refuse("prepended", append([]byte(tail), text...))
		}
		refuse("zeros", make([]byte, len(text)))
	}
}

// Behind a correct checksum the form is still judged, and by exactly one spelling.
func TestTextIsStrict(t *testing.T) {
	good := string(AppendText(nil, textTestEvent()))
	good = good[:len(good)-textSumBytes]
	_, err := ParseText(textTestSeal(good))
	require.NoError(t, err, "the unchanged body")

	for _, c := range []struct{ name, old, new string }{
		{"nothing", good, ""},
		{"position 0", "42", "0"},
		{"leading zero", "42", "042"},
		{"no position", "42", ""},
		{"signed position", "42", "+42"},
		{"fraction", "42", "42.0"},
		{"position beyond 64 bits", "42", "18446744073709551616"},
		{"capital ID", "7c6e", "7C6E"},
		{"ID in braces", `0190b5a5-7c6e-7d3a-9f00-000000000001`, `{0190b5a5-7c6e-7d3a-9f00-000000000001}`},
		{"zero ID", "0190b5a5-7c6e-7d3a-9f00-000000000001", uuid.Nil.String()},
		{"empty ID", "0190b5a5-7c6e-7d3a-9f00-000000000001", ""},
		{"empty type", `"StudentEnrolled"`, `""`},
		{"no type", `  "type": "StudentEnrolled",` + "\n", ""},
		{"type is a number", `"StudentEnrolled"`, `7`},
		{"needless escape", "StudentEnrolled", `\u0053tudentEnrolled`},
		{"escaped solidus", "StudentEnrolled", `\/`},
		{"long form of an escape", "StudentEnrolled", `\u000a`},
		{"escape in capitals", "StudentEnrolled", `\u001F`},
		{"half an escape", "StudentEnrolled", `\u00`},
		{"raw control character", "StudentEnrolled", "a\tb"},
		{"not UTF-8", "StudentEnrolled", "\xff"},
		{"no tags", `  "tags": ["student:7", "course:c1"],` + "\n", ""},
		{"duplicate tag", "course:c1", "student:7"},
		{"empty tag", "course:c1", ""},
		{"comma after the last tag", `"course:c1"]`, `"course:c1", ]`},
		{"comma before the first tag", `["student:7"`, `[, "student:7"`},
		{"tags without a space", `", "c`, `","c`},
		{"tags do not end", `"course:c1"]`, `"course:c1"`},
		{"tags null", `["student:7", "course:c1"]`, `null`},
		{"other zone", "789Z", "789+00:00"},
		{"trailing zero", "123456789Z", "120Z"},
		{"comma in the time", "00.123", "00,123"},
		{"no such day", "11-23", "02-30"},
		{"empty metadata", `"host": "a\"b\\c", "user": "ann"`, ""},
		{"metadata out of order", `"host"`, `"z"`},
		{"duplicate key", `"host"`, `"user"`},
		{"metadata without a space", `"user": `, `"user":`},
		{"metadata value is a number", `"ann"`, `7`},
		{"metadata does not end", `"ann"}`, `"ann"`},
		{"unknown field", `  "data"`, `  "date"`},
		{"data is not JSON", `{"student": 7}`, `{"student": 7`},
		{"data with white space before", `{"student": 7}`, ` {"student": 7}`},
		{"data with white space after", `{"student": 7}`, `{"student": 7} `},
		{"data not UTF-8", `{"student": 7}`, "\"\xff\""},
		{"text not UTF-8", `"data": {"student": 7}`, "\"dataText\": \"\xff\""},
		{"no data at all", `{"student": 7}`, ``},
		{"empty text", `"data": {"student": 7}`, `"dataText": ""`},
		{"text and then more", `"data": {"student": 7}`, `"dataText": "a" `},
		{"two forms of data", `"data": {"student": 7}`, `"dataText": "a",` + "\n" + `  "data": 7`},
		{"empty base64", `"data": {"student": 7}`, `"dataBase64": ""`},
		{"base64 without padding", `"data": {"student": 7}`, `"dataBase64": "/w"`},
		{"base64 with loose bits", `"data": {"student": 7}`, `"dataBase64": "/x=="`},
		{"base64 with a line end", `"data": {"student": 7}`, `"dataBase64": "/w=` + "\n" + `="`},
		{"base64 does not end", `"data": {"student": 7}`, `"dataBase64": "/w==`},
		{"carriage returns", ",\n", ",\r\n"},
		{"comma missing at the end", "7},\n", "7}\n"},
	} {
		body := strings.ReplaceAll(good, c.old, c.new)
		require.NotEqual(t, good, body, c.name)
		got, err := ParseText(textTestSeal(body))
		require.Error(t, err, c.name)
		require.Zero(t, got, c.name)
	}
}

// Which form AppendText chooses may change; a reader takes what is there.
func TestTextReadsAnyFormOfData(t *testing.T) {
	for _, form := range []string{`"dataText": "7"`, `"dataBase64": "Nw=="`, `"data": 7`} {
		body := strings.Replace(string(AppendText(nil, textTestWith("7"))), `"data": 7`, form, 1)
		got, err := ParseText(textTestSeal(body[:len(body)-textSumBytes]))
		require.NoError(t, err, form)
		requireSameEvent(t, textTestWith("7"), got)
	}
}

func TestTextErrorSaysWhere(t *testing.T) {
	body := string(AppendText(nil, textTestEvent()))
	body = strings.Replace(body[:len(body)-textSumBytes], `"tags"`, `"tag"`, 1)
	_, err := ParseText(textTestSeal(body))
	var te *TextError
	require.True(t, errors.As(err, &te))
	require.Equal(t, int64(strings.Index(body, ",\n  \"tag\"")), te.Offset)
	require.Equal(t, fmt.Sprintf("event text at offset %d: %s", te.Offset, te.Reason), err.Error())
}

// The largest record cannot make a text that a reader refuses as too long.
func TestTextStaysBelowItsBound(t *testing.T) {
	const n = dcb.MaxAppendBytes / 64 // the ratio is what counts
	for _, ev := range []dcb.SequencedEvent{
		textTestWith(strings.Repeat("\x01", n)),
		textTestWith(strings.Repeat("\xff", n)),
		{Position: 1<<64 - 1, Event: dcb.Event{Type: strings.Repeat("\x01", dcb.MaxTypeBytes), ID: uuid.Max, Metadata: map[string]string{strings.Repeat("\x01", n): ""}}},
	} {
		require.LessOrEqual(t, len(AppendText(nil, ev)), 6*len(AppendRecord(nil, ev.Event))+4096)
	}
}

func FuzzParseText(f *testing.F) {
	for _, data := range []string{"", `{"a":[1,"\u0000"]}`, "text\n", "\xff"} {
		text := AppendText(nil, textTestWith(data))
		f.Add(text)
		f.Add(text[:len(text)-textSumBytes])
	}
	f.Add(AppendText(nil, textTestEvent()))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = ParseText(b) // must not panic
		sealed := textTestSeal(string(b))
		ev, err := ParseText(sealed)
		if err != nil {
			return
		}
		again := AppendText(nil, ev)
		back, err := ParseText(again)
		if err != nil {
			t.Fatalf("accepted %q, but not its own %q: %v", sealed, again, err)
		}
		requireSameEvent(t, ev, back)
		if field := []byte("\n  \"data"); !bytes.Equal(before(sealed, field), before(again, field)) {
			t.Fatalf("accepted two spellings: %q and %q", sealed, again)
		}
	})
}

// before returns what precedes the line that starts with field, or the checksum line. No string holds a raw line end, so the
// first occurrence is the field.
func before(text, field []byte) []byte {
	head, _, found := bytes.Cut(text, field)
	if !found {
		head, _, _ = bytes.Cut(text, []byte("\n"+textSumPrefix))
	}
	return head
}

func FuzzTextData(f *testing.F) {
	for _, data := range []string{"", "null", `{"a":[1,2]}`, "text", "\xff", `"\ud800"`, strings.Repeat("[", 64)} {
		f.Add([]byte(data))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		ev := textTestWith(string(data))
		text := AppendText(nil, ev)
		back, err := ParseText(text)
		require.NoError(t, err)
		require.True(t, bytes.Equal(data, back.Event.Data))
		requireAgreesWithJSON(t, ev, text)
		if utf8.Valid(data) {
			require.Equal(t, embeddableByJSON(data), embeddable(data))
		}
	})
}

func BenchmarkText(b *testing.B) {
	json256 := `{"student": 7, "note": "` + strings.Repeat("abc ", 58) + `"}`
	text256 := strings.Repeat("plain text with \"one\" quote or two\n", 8)[:256]
	for name, data := range map[string]string{"json": json256, "text": text256, "binary": strings.Repeat("\xff\x00", 128), "json64k": `["` + strings.Repeat("abcdefgh", 8192) + `"]`} {
		ev := textTestEvent()
		ev.Event.Data = []byte(data)
		text := AppendText(nil, ev)
		b.Run("append/data="+name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(text)))
			buf := make([]byte, 0, 2*len(text))
			for b.Loop() {
				AppendText(buf, ev)
			}
		})
		b.Run("parse/data="+name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				if _, err := ParseText(text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

package main

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"opossum"
)

// Every kind of data comes back byte for byte.
func TestDataComesBack(t *testing.T) {
	for name, data := range map[string]string{
		"nothing":                 "",
		"an object":               `{"a":1}`,
		"an object with spaces":   `{ "a" : [1,  2] }`,
		"null":                    `null`,
		"a number":                `1e400`,
		"JSON on two lines":       "{\n\"a\":1}",
		"JSON with a line end":    "{}\n",
		"JSON after a space":      " {}",
		"twice the same member":   `{"a":1,"a":2}`,
		"what HTML would escape":  `{"a":"<&>"}`,
		"an escaped character":    `"\u00e9\/"`,
		"a line separator":        "\"\u2028\"",
		"text":                    "plain",
		"text with control bytes": "\x00\x1b\r\n\t",
		"bytes":                   "\xff\x00",
		"JSON of invalid UTF-8":   "\"\xff\"",
		"half a surrogate pair":   `"\ud800"`,
	} {
		t.Run(name, func(t *testing.T) {
			ev := opossum.SequencedEvent{Position: 7, Event: opossum.Event{
				ID: uuid.MustParse("01900000-0000-7000-8000-000000000001"), Type: "T", Tags: []opossum.Tag{"a<b", "c"},
				Data: []byte(data), Metadata: map[string]string{"k": "v"}, Time: time.Unix(1, 2).UTC(),
			}}
			line, err := appendLine(nil, ev)
			require.NoError(t, err)
			assert.NotContains(t, string(line), "\n")
			back, err := parseEvent(line)
			require.NoError(t, err, "%s", line)
			assertEqualEvent(t, ev.Event, back)
		})
	}
}

func assertEqualEvent(t *testing.T, want, got opossum.Event) {
	t.Helper()
	assert.Equal(t, string(want.Data), string(got.Data))
	want.Data, got.Data = nil, nil
	assert.Equal(t, want, got)
}

func TestParseRefusesWhatItWouldAlter(t *testing.T) {
	_, err := parseEvent([]byte("{\"type\":\"\xff\"}"))
	assert.ErrorContains(t, err, "not valid UTF-8")
	_, err = parseEvent([]byte(`{"type":"T","data":1,"dataBase64":""}`))
	assert.ErrorContains(t, err, "more than one of")
	_, err = parseEvent([]byte(`[]`))
	assert.ErrorContains(t, err, "not an event")
}

func TestExcerptIsSafeToPrint(t *testing.T) {
	assert.Equal(t, `a\x1b[2Jb`, excerpt([]byte("a\x1b[2Jb")))
	assert.Equal(t, "(1 byte of binary data)", excerpt([]byte{0xff}))
	long := make([]byte, 0, 400)
	for range 100 {
		long = append(long, "é€"...)
	}
	assert.Regexp(t, `^[é€]+\.\.\. \(500 bytes\)$`, excerpt(long))
	assert.Equal(t, `"a b"`, word("a b"))
	assert.Equal(t, "course:c1", word("course:c1"))
	assert.Equal(t, `"\x1b"`, word("\x1b"))
}

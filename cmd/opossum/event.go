package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"opossum"
)

// eventText is the JSON form of an event as input: what `append` takes, what `read --json` prints, and what event files
// hold. Data is in exactly one of three places, so that its bytes come back as they were:
//
//	data        valid JSON, embedded as it is
//	dataText    other text
//	dataBase64  all else
//
// Position and Checksum are what a store adds. They are accepted as input and ignored, so that what was read from one
// store can be appended to another.
type eventText struct {
	Position opossum.Position  `json:"position"`
	ID       string            `json:"id"`
	Type     string            `json:"type"`
	Tags     []opossum.Tag     `json:"tags"`
	Time     string            `json:"time"`
	Metadata map[string]string `json:"metadata"`
	Data     json.RawMessage   `json:"data"`
	Text     *string           `json:"dataText"`
	Base64   *string           `json:"dataBase64"`
	Checksum string            `json:"checksum"`
}

// parseEvent reads one line of input. It is strict: a misspelt name or bytes that are not UTF-8 would otherwise be
// dropped or replaced in silence.
func parseEvent(line []byte) (opossum.Event, error) {
	if !utf8.Valid(line) {
		return opossum.Event{}, errors.New("not valid UTF-8 (put binary data into dataBase64)")
	}
	var t eventText
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&t); err != nil {
		return opossum.Event{}, fmt.Errorf("not an event: %w", noEOF(err))
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return opossum.Event{}, errors.New("more than one JSON object in the line")
	}
	return t.event()
}

// noEOF keeps the end of a line from reading like the end of the input.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("incomplete JSON")
	}
	return err
}

func (t eventText) event() (ev opossum.Event, err error) {
	ev = opossum.Event{Type: t.Type, Tags: t.Tags, Metadata: t.Metadata}
	if t.ID != "" {
		if ev.ID, err = uuid.Parse(t.ID); err != nil {
			return ev, fmt.Errorf("id %q: %w", t.ID, err)
		}
	}
	if t.Time != "" {
		if ev.Time, err = time.Parse(time.RFC3339Nano, t.Time); err != nil {
			return ev, fmt.Errorf("time %q is not in the form 2006-01-02T15:04:05Z", t.Time)
		}
	}
	if ev.Data, err = t.bytes(); err != nil {
		return ev, err
	}
	return ev, ev.Validate()
}

// bytes returns the data from the one place where it is.
func (t eventText) bytes() ([]byte, error) {
	given := 0
	for _, has := range []bool{t.Data != nil, t.Text != nil, t.Base64 != nil} {
		if has {
			given++
		}
	}
	switch {
	case given > 1:
		return nil, errors.New("more than one of data, dataText and dataBase64")
	case t.Text != nil:
		return []byte(*t.Text), nil
	case t.Base64 != nil:
		data, err := base64.StdEncoding.DecodeString(*t.Base64)
		if err != nil {
			return nil, fmt.Errorf("dataBase64: %w", err)
		}
		return data, nil
	}
	return t.Data, nil
}

// appendLine appends ev in its JSON form to buf, as one line without the line end. The line is put together by hand,
// because encoding/json rewrites the white space of embedded data, and its bytes have to come back as they were.
func appendLine(buf []byte, ev opossum.SequencedEvent) ([]byte, error) {
	for i, m := range membersOf(ev) {
		buf = append(buf, "{,"[min(i, 1)], '"')
		buf = append(buf, m.name...)
		buf = append(buf, '"', ':')
		if raw, ok := m.value.(json.RawMessage); ok {
			buf = append(buf, raw...)
			continue
		}
		text, err := marshal(m.value)
		if err != nil {
			return nil, fmt.Errorf("event %d: %s: %w", ev.Position, m.name, err)
		}
		buf = append(buf, text...)
	}
	return append(buf, '}'), nil
}

type member struct {
	name  string
	value any
}

// membersOf returns what there is to say about ev, in the order of event files.
func membersOf(ev opossum.SequencedEvent) []member {
	e := ev.Event
	m := []member{{"position", ev.Position}}
	if e.ID != uuid.Nil {
		m = append(m, member{"id", e.ID.String()})
	}
	m = append(m, member{"type", e.Type}, member{"tags", append([]opossum.Tag{}, e.Tags...)},
		member{"time", e.Time.UTC().Format(time.RFC3339Nano)})
	if len(e.Metadata) > 0 {
		m = append(m, member{"metadata", e.Metadata})
	}
	switch {
	case len(e.Data) == 0:
		return m
	case embeddable(e.Data):
		return append(m, member{"data", json.RawMessage(e.Data)})
	case utf8.Valid(e.Data):
		return append(m, member{"dataText", string(e.Data)})
	default:
		return append(m, member{"dataBase64", e.Data}) // a []byte is base64 in encoding/json
	}
}

// marshal is json.Marshal without the escapes that only HTML needs.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}

// embeddable reports whether data can stand in a line as it is: valid JSON in valid UTF-8, without line ends, which would
// break the line, and without surrounding white space, which would not come back.
func embeddable(data []byte) bool {
	return len(data) > 0 && len(bytes.TrimSpace(data)) == len(data) && !bytes.ContainsAny(data, "\r\n") &&
		utf8.Valid(data) && json.Valid(data)
}

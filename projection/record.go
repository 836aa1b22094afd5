package projection

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/cespare/xxhash/v2"

	"opossum/dcb"
	"opossum/internal/codec"
)

// The text of a record is one JSON object. Fields have a fixed order, one to a line; docs/format/readmodel.md is the page for readers of it.
//
//	{
//	  "key": "c1",
//	  "position": 42,
//	  "version": 13,
//	  "created": "2026-11-23T10:00:00Z",
//	  "updated": "2026-11-23T10:05:00Z",
//	  "tags": ["student:7"],
//	  "state": {...},
//	  "checksum": "xxh64:9a3c..."
//	}
//
// Of a deleted one only the key and the position are left, and "deleted": true. The checksum is over all bytes before its own line. That line and the brace have a fixed
// length, so a reader finds them from the end, whatever the state contains, and the state ends where they begin.
const (
	textOpen     = "{\n  "
	textNext     = ",\n  "
	textDeleted  = ",\n  \"deleted\": true"
	textSum      = ",\n  \"checksum\": \"xxh64:"
	textEnd      = "\"\n}\n"
	sumLine      = len(",\n") // where the line of the checksum begins in textSum
	textSumBytes = len(textSum) + 16 + len(textEnd)
)

// encodeRecord returns the text of a record, from which [decodeRecord] returns an equal one with its times in UTC. REQUIRES: checkRecord found nothing.
func encodeRecord(r Record) []byte {
	b := make([]byte, 0, 300+len(r.Key)+len(r.State))
	b = appendKey(append(b, textOpen...), r.Key, ": ")
	b = append(append(b, textNext...), `"position": `...)
	b = strconv.AppendUint(b, uint64(r.Position), 10)
	if r.Deleted() {
		b = append(b, textDeleted...)
	} else {
		b = append(append(b, textNext...), `"version": `...)
		b = strconv.AppendUint(b, r.Version, 10)
		b = append(append(b, textNext...), `"created": `...)
		b = appendTime(b, r.Created)
		b = append(append(b, textNext...), `"updated": `...)
		b = appendTime(b, r.Updated)
		b = append(append(b, textNext...), `"tags": [`...)
		b = appendTags(b, r.Tags, ", ")
		b = append(append(b, ']'), textNext...)
		b = append(append(b, `"state": `...), r.State...)
	}
	return sealed(b)
}

// sealed appends the end of a text to what comes before.
func sealed(b []byte) []byte {
	sum := xxhash.Sum64(append(b, textSum[:sumLine]...))
	return fmt.Appendf(b, textSum+"%016x"+textEnd, sum)
}

// decodeRecord returns the record whose text b is; it shares no memory with b. It accepts what encodeRecord returns, and nothing else. The checksum is judged first, so that
// rot is called rot.
func decodeRecord(b []byte) (Record, error) {
	n := len(b) - textSumBytes
	if n < 0 {
		return Record{}, fmt.Errorf("%d bytes are too short for a state", len(b))
	}
	body, tail := b[:n], b[n:]
	if !bytes.HasPrefix(tail, []byte(textSum)) || !bytes.HasSuffix(tail, []byte(textEnd)) {
		return Record{}, errors.New("does not end in a checksum line: cut short, appended to or not a state")
	}
	if want := fmt.Appendf(nil, textSum+"%016x"+textEnd, xxhash.Sum64(b[:n+sumLine])); !bytes.Equal(tail, want) {
		return Record{}, errors.New("checksum does not match")
	}
	c := cutter{b: body}
	var r Record
	c.must(textOpen)
	r.Key = c.key(": ")
	c.must(textNext + `"position": `)
	r.Position = dcb.Position(c.number())
	if !c.has(textDeleted) {
		c.must(textNext + `"version": `)
		r.Version = c.number()
		c.must(textNext + `"created": `)
		r.Created = c.time()
		c.must(textNext + `"updated": `)
		r.Updated = c.time()
		c.must(textNext + `"tags": [`)
		r.Tags = c.tags(", ")
		c.must(textNext + `"state": `)
		r.State = slices.Clone(c.rest())
	}
	if !c.done() || checkRecord(r) != nil || !bytes.Equal(encodeRecord(r), b) { // one record has one text
		return Record{}, errors.New("not a state, though its checksum matches")
	}
	return r, nil
}

// checkRecord returns an error for what is no record, or has no text.
func checkRecord(r Record) error {
	switch {
	case r.Key == "":
		return errors.New("the key is empty")
	case r.Position == 0:
		return fmt.Errorf("the state of %.80q has no position", r.Key)
	case r.Deleted():
		return nil
	case !json.Valid(r.State) || !utf8.Valid(r.State) || len(r.State) != len(bytes.TrimSpace(r.State)):
		return fmt.Errorf("the state of %.80q is not JSON", r.Key)
	}
	for _, t := range r.Tags {
		if !utf8.ValidString(string(t)) {
			return fmt.Errorf("the state of %.80q: tag %.80q: %w", r.Key, t, dcb.ErrNotUTF8)
		}
	}
	for _, t := range []time.Time{r.Created, r.Updated} {
		if y := t.UTC().Year(); y < 0 || y > 9999 {
			return fmt.Errorf("the state of %.80q: %w", r.Key, dcb.ErrTimeRange)
		}
	}
	return nil
}

// appendKey appends a key and what it is called. A key that is no text is written in base64: JSON has no other place for it.
func appendKey(b []byte, key, colon string) []byte {
	if utf8.ValidString(key) {
		return codec.AppendString(append(append(b, `"key"`...), colon...), key)
	}
	b = append(append(append(b, `"keyBase64"`...), colon...), '"')
	return append(base64.StdEncoding.AppendEncode(b, []byte(key)), '"')
}

func appendTime(b []byte, t time.Time) []byte {
	return append(t.UTC().AppendFormat(append(b, '"'), time.RFC3339Nano), '"')
}

func appendTags(b []byte, tags []dcb.Tag, comma string) []byte {
	for i, t := range tags {
		if i > 0 {
			b = append(b, comma...)
		}
		b = codec.AppendString(b, t)
	}
	return b
}

// cutter takes a text apart, from the front. After the first failure nothing is found any more, so that callers need not look after each step. It is lax in what an
// element looks like: who needs one text for one value encodes what was found, and compares.
type cutter struct {
	b      []byte
	failed bool
}

// has moves over lit if it comes next.
func (c *cutter) has(lit string) bool {
	if c.failed || len(c.b) < len(lit) || string(c.b[:len(lit)]) != lit {
		return false
	}
	c.b = c.b[len(lit):]
	return true
}

func (c *cutter) must(lit string) { c.failed = !c.has(lit) || c.failed }

func (c *cutter) done() bool { return !c.failed && len(c.b) == 0 }

func (c *cutter) rest() []byte {
	rest := c.b
	c.b = nil
	return rest
}

func (c *cutter) key(colon string) string {
	if c.has(`"keyBase64"` + colon) {
		key, err := base64.StdEncoding.DecodeString(c.text())
		c.failed = c.failed || err != nil
		return string(key)
	}
	c.must(`"key"` + colon)
	return c.text()
}

// text moves over a string of JSON, and returns a copy.
func (c *cutter) text() string {
	c.must(`"`)
	for i := 0; !c.failed && i < len(c.b); i++ {
		switch c.b[i] {
		case '"':
			text := string(c.b[:i])
			c.b = c.b[i+1:]
			return text
		case '\\':
			return c.escaped(i)
		}
	}
	c.failed = true
	return ""
}

// escaped moves over the rest of a string that has a backslash at from.
func (c *cutter) escaped(from int) (text string) {
	for i := from; i < len(c.b); i++ {
		switch c.b[i] {
		case '\\':
			i++
		case '"':
			c.failed = json.Unmarshal(slices.Concat([]byte{'"'}, c.b[:i+1]), &text) != nil
			c.b = c.b[i+1:]
			return text
		}
	}
	c.failed = true
	return ""
}

func (c *cutter) number() uint64 {
	end := 0
	for end < len(c.b) && '0' <= c.b[end] && c.b[end] <= '9' {
		end++
	}
	n, err := strconv.ParseUint(string(c.b[:end]), 10, 64)
	c.failed = c.failed || err != nil
	c.b = c.b[end:]
	return n
}

func (c *cutter) time() time.Time {
	t, err := time.Parse(time.RFC3339Nano, c.text())
	c.failed = c.failed || err != nil
	return t.UTC()
}

// tags moves over tags and the bracket behind them.
func (c *cutter) tags(comma string) (tags []dcb.Tag) {
	for !c.failed && !c.has("]") {
		if tags != nil {
			c.must(comma)
		}
		tags = append(tags, dcb.Tag(c.text()))
	}
	return tags
}

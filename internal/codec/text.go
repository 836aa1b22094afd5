package codec

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/cespare/xxhash/v2"
	"github.com/google/uuid"

	"opossum/dcb"
)

// MaxTextBytes bounds the text of any event that fits into an append: no byte of a record takes more than six bytes of
// text (a control character and its \u00xx), and the fixed fields less than the rest. A longer file is not an event.
const MaxTextBytes = 6*dcb.MaxAppendBytes + 4096

// The text of an event is one JSON object. Fields have a fixed order, one to a line; those in brackets may be missing.
// docs/format/event-file.md is the page for readers of the format; writer and parser share these pieces of it.
//
//	{
//	  "position": 42,
//	  ["id": "0190...",]
//	  "type": "StudentEnrolled",
//	  "tags": ["student:7", "course:c1"],
//	  "time": "2026-11-23T10:00:00.123456789Z",
//	  ["metadata": {"user": "ann"},]
//	  ["data": {"student": 7}, | "dataText": "seven", | "dataBase64": "/w==",]
//	  "checksum": "xxh64:9a3c..."
//	}
//
// The checksum is over all bytes before its own line. That line and the brace have a fixed length, so a reader finds them
// from the end, whatever data contains, and data ends where they begin.
const (
	textPosition   = "{\n  \"position\": "
	textID         = ",\n  \"id\": \""
	textType       = ",\n  \"type\": "
	textTags       = ",\n  \"tags\": ["
	textTime       = ",\n  \"time\": \""
	textMetadata   = ",\n  \"metadata\": {"
	textData       = ",\n  \"data\": "
	textDataText   = ",\n  \"dataText\": "
	textDataBase64 = ",\n  \"dataBase64\": \""
	textBodyEnd    = ",\n"
	textSumPrefix  = "  \"checksum\": \"xxh64:"
	textSumSuffix  = "\"\n}\n"

	textSumBytes = len(textSumPrefix) + 16 + len(textSumSuffix)
)

// maxTextDataDepth is how deeply arrays and objects may nest in data that is embedded. With the object around it that makes
// 64, the smallest limit among the common JSON readers; deeper data goes into dataText rather than into a file that half
// the tools refuse.
const maxTextDataDepth = 63

// TextError says why bytes are not the text of an event.
type TextError struct {
	Offset int64  // where in the text it was noticed
	Reason string // what is wrong there
}

func (e *TextError) Error() string {
	return fmt.Sprintf("event text at offset %d: %s", e.Offset, e.Reason)
}

// AppendText appends the text of ev, from which [ParseText] returns an equal event with its time in UTC.
// REQUIRES: ev.Event is valid and ev.Position is not 0.
func AppendText(dst []byte, ev dcb.SequencedEvent) []byte {
	start := len(dst)
	e := &ev.Event
	dst = append(dst, textPosition...)
	dst = strconv.AppendUint(dst, uint64(ev.Position), 10)
	if e.ID != uuid.Nil {
		dst = append(dst, textID...)
		dst = append(dst, e.ID.String()...)
		dst = append(dst, '"')
	}
	dst = append(dst, textType...)
	dst = AppendString(dst, e.Type)
	dst = append(dst, textTags...)
	for i, t := range e.Tags {
		if i > 0 {
			dst = append(dst, ", "...)
		}
		dst = AppendString(dst, t)
	}
	dst = append(dst, ']')
	dst = append(dst, textTime...)
	dst = e.Time.UTC().AppendFormat(dst, time.RFC3339Nano)
	dst = append(dst, '"')
	if len(e.Metadata) > 0 {
		dst = appendTextMetadata(dst, e.Metadata)
	}
	if len(e.Data) > 0 {
		dst = appendTextData(dst, e.Data)
	}
	dst = append(dst, textBodyEnd...)
	return appendTextSum(dst, xxhash.Sum64(dst[start:]))
}

// appendTextMetadata sorts the keys: one event, one text.
func appendTextMetadata(dst []byte, metadata map[string]string) []byte {
	var few [8]string // mostly enough, and not on the heap
	keys := few[:0]
	for k := range metadata {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	dst = append(dst, textMetadata...)
	for i, k := range keys {
		if i > 0 {
			dst = append(dst, ", "...)
		}
		dst = AppendString(dst, k)
		dst = append(dst, ": "...)
		dst = AppendString(dst, metadata[k])
	}
	return append(dst, '}')
}

// appendTextData picks the most readable of the three forms that brings data back byte for byte.
func appendTextData(dst, data []byte) []byte {
	switch {
	case !utf8.Valid(data):
		dst = append(dst, textDataBase64...)
		dst = base64.StdEncoding.AppendEncode(dst, data)
		return append(dst, '"')
	case embeddable(data):
		dst = append(dst, textData...)
		return append(dst, data...)
	default:
		dst = append(dst, textDataText...)
		return AppendString(dst, data)
	}
}

func appendTextSum(dst []byte, sum uint64) []byte {
	const digits = "0123456789abcdef"
	dst = append(dst, textSumPrefix...)
	for shift := 60; shift >= 0; shift -= 4 {
		dst = append(dst, digits[sum>>shift&0xf])
	}
	return append(dst, textSumSuffix...)
}

// textEscapes holds for each byte that must not stand in a JSON string as it is what stands there instead. Nothing else is
// escaped: U+2028 and DEL are legal in JSON, and what people wrote should be what grep finds.
var textEscapes = func() (t [256]string) {
	for c := range 0x20 {
		t[c] = fmt.Sprintf(`\u%04x`, c)
	}
	t['\b'], t['\f'], t['\n'], t['\r'], t['\t'] = `\b`, `\f`, `\n`, `\r`, `\t`
	t['"'], t['\\'] = `\"`, `\\`
	return t
}()

// AppendString appends s as a string of JSON, in which only what JSON forbids is escaped. REQUIRES: s is valid UTF-8.
func AppendString[S ~string | ~[]byte](dst []byte, s S) []byte {
	dst = append(dst, '"')
	from := 0
	for i := range len(s) {
		if esc := textEscapes[s[i]]; esc != "" {
			dst = append(dst, s[from:i]...)
			dst = append(dst, esc...)
			from = i + 1
		}
	}
	dst = append(dst, s[from:]...)
	return append(dst, '"')
}

// ParseText returns the event whose text b is; it shares no memory with b. Every error is a [*TextError].
//
// It accepts only what AppendText writes, in form and in content, with one freedom: a text may hold its data in another of
// the three forms than AppendText chooses today. The checksum is judged first, so that rot is called rot.
func ParseText(b []byte) (dcb.SequencedEvent, error) {
	if err := verifyText(b); err != nil {
		return dcb.SequencedEvent{}, err
	}
	p := textParser{body: b[:len(b)-textSumBytes]}
	ev := p.event()
	if p.err != nil {
		return dcb.SequencedEvent{}, p.err
	}
	if err := ev.Event.Validate(); err != nil {
		return dcb.SequencedEvent{}, &TextError{Offset: 0, Reason: err.Error()}
	}
	return ev, nil
}

// verifyText checks the lines from the checksum on, byte by byte, against what they must be.
func verifyText(b []byte) error {
	n := len(b) - textSumBytes
	if n < 0 {
		return &TextError{Offset: int64(len(b)), Reason: fmt.Sprintf("%d bytes are too short for an event", len(b))}
	}
	var want [textSumBytes]byte
	appendTextSum(want[:0], xxhash.Sum64(b[:n]))
	if bytes.Equal(b[n:], want[:]) {
		return nil
	}
	if !bytes.HasPrefix(b[n:], []byte(textSumPrefix)) || !bytes.HasSuffix(b, []byte(textSumSuffix)) {
		return &TextError{Offset: int64(n), Reason: "does not end in a checksum line: cut short, appended to or not an event"}
	}
	return &TextError{Offset: 0, Reason: fmt.Sprintf("checksum does not match: text has xxh64:%x, its checksum line is %q",
		xxhash.Sum64(b[:n]), b[n:len(b)-len(textSumSuffix)])}
}

// textParser takes apart a body that the checksum has vouched for, and still trusts none of it. The first failure is kept
// in err; from then on nothing is found any more, so that callers need not look after each step.
type textParser struct {
	body []byte // all bytes before the checksum line
	pos  int
	err  error
}

func (p *textParser) event() (ev dcb.SequencedEvent) {
	if !utf8.Valid(p.body) {
		p.fail("not valid UTF-8")
		return ev
	}
	e := &ev.Event
	ev.Position = p.position()
	if p.has(textID) {
		e.ID = p.uuid()
	}
	p.must(textType)
	e.Type = string(p.quoted())
	e.Tags = p.tags()
	e.Time = p.time()
	if p.has(textMetadata) {
		e.Metadata = p.metadata()
	}
	e.Data = p.data()
	p.must(textBodyEnd)
	if p.pos != len(p.body) {
		p.fail("more than an event")
	}
	return ev
}

func (p *textParser) fail(reason string) {
	if p.err == nil {
		p.err = &TextError{Offset: int64(p.pos), Reason: reason}
	}
}

// has moves over lit if it comes next.
func (p *textParser) has(lit string) bool {
	rest := p.body[p.pos:]
	if p.err != nil || len(rest) < len(lit) || string(rest[:len(lit)]) != lit {
		return false
	}
	p.pos += len(lit)
	return true
}

func (p *textParser) must(lit string) {
	if !p.has(lit) {
		p.fail(fmt.Sprintf("expected %q", lit))
	}
}

// upTo moves over everything before the next c, and over c.
func (p *textParser) upTo(c byte) []byte {
	n := bytes.IndexByte(p.body[p.pos:], c)
	if p.err != nil || n < 0 {
		p.fail(fmt.Sprintf("expected %q", c))
		return nil
	}
	out := p.body[p.pos : p.pos+n]
	p.pos += n + 1
	return out
}

func (p *textParser) position() dcb.Position {
	p.must(textPosition)
	end := p.pos
	for end < len(p.body) && '0' <= p.body[end] && p.body[end] <= '9' {
		end++
	}
	digits := string(p.body[p.pos:end])
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil || digits[0] == '0' {
		p.fail("not a position")
	}
	p.pos = end
	return dcb.Position(n)
}

func (p *textParser) uuid() uuid.UUID {
	text := p.upTo('"')
	id, err := uuid.ParseBytes(text)
	if err != nil || id == uuid.Nil || id.String() != string(text) { // uuid also takes braces, capitals and more
		p.fail("not an ID")
	}
	return id
}

func (p *textParser) tags() (tags []dcb.Tag) {
	p.must(textTags)
	for !p.has("]") && p.err == nil {
		if len(tags) > 0 {
			p.must(", ")
		}
		tags = append(tags, dcb.Tag(p.quoted()))
	}
	return tags
}

func (p *textParser) time() time.Time {
	p.must(textTime)
	text := string(p.upTo('"'))
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil || t.UTC().Format(time.RFC3339Nano) != text { // other zones, trailing zeros
		p.fail("not a time")
	}
	return t.UTC()
}

func (p *textParser) metadata() map[string]string {
	m := make(map[string]string)
	last := ""
	for more := true; more && p.err == nil; more = !p.has("}") {
		if len(m) > 0 {
			p.must(", ")
		}
		k := string(p.quoted())
		if len(m) > 0 && k <= last {
			p.fail("metadata keys out of order")
		}
		last = k
		p.must(": ")
		m[k] = string(p.quoted())
	}
	return m
}

// data returns a copy of the data in whichever form comes next, nil if none does.
func (p *textParser) data() (data []byte) {
	switch {
	case p.has(textData):
		return p.embedded()
	case p.has(textDataText):
		data = slices.Clone(p.quoted())
	case p.has(textDataBase64):
		data = p.base64()
	default:
		return nil
	}
	if len(data) == 0 {
		p.fail("empty data is not written")
	}
	return data
}

// embedded takes all that is left but the end of the body: only so can data contain anything at all.
func (p *textParser) embedded() []byte {
	end := len(p.body) - len(textBodyEnd)
	if end < p.pos || !embeddable(p.body[p.pos:end]) {
		p.fail("data is not a JSON value")
		return nil
	}
	data := slices.Clone(p.body[p.pos:end])
	p.pos = end
	return data
}

func (p *textParser) base64() []byte {
	text := p.upTo('"')
	data, err := base64.StdEncoding.Strict().AppendDecode(nil, text)
	if err != nil || base64.StdEncoding.EncodedLen(len(data)) != len(text) { // the decoder passes over line ends
		p.fail("not base64")
	}
	return data
}

// quoted returns what the string that comes next stands for; it may share memory with the body.
func (p *textParser) quoted() []byte {
	p.must(`"`)
	var unescaped []byte
	from := p.pos
	for p.err == nil && p.pos < len(p.body) {
		switch c := p.body[p.pos]; {
		case c == '"' && unescaped == nil:
			p.pos++
			return p.body[from : p.pos-1]
		case c == '"':
			p.pos++
			return append(unescaped, p.body[from:p.pos-1]...)
		case c == '\\':
			unescaped = append(unescaped, p.body[from:p.pos]...)
			unescaped = append(unescaped, p.escape())
			from = p.pos
		case c < ' ':
			p.fail("control character in a string")
		default:
			p.pos++
		}
	}
	p.fail("string does not end")
	return nil
}

// escape moves over an escape that AppendString writes, and returns the byte that it stands for.
func (p *textParser) escape() byte {
	for _, c := range []byte("\"\\\n\r\t\b\f") {
		if p.has(textEscapes[c]) {
			return c
		}
	}
	for c := range byte(' ') {
		if p.has(textEscapes[c]) {
			return c
		}
	}
	p.fail("unknown escape")
	return 0
}

// embeddable reports whether data, valid UTF-8, is one JSON value of RFC 8259 with no white space around it that nests no
// deeper than maxTextDataDepth. It is not left to encoding/json, whose idea of valid JSON changes between its versions:
// what was embedded once must be accepted for ever.
func embeddable(data []byte) bool {
	s := jsonScan{b: data}
	return s.value(maxTextDataDepth) && s.i == len(data)
}

// jsonScan moves over the parts of a JSON text; each method reports whether its part came next.
type jsonScan struct {
	b []byte
	i int
}

// peek returns the next byte, 0 at the end; no part of JSON starts or goes on with a 0.
func (s *jsonScan) peek() byte {
	if s.i < len(s.b) {
		return s.b[s.i]
	}
	return 0
}

func (s *jsonScan) eat(c byte) bool {
	if s.i < len(s.b) && s.b[s.i] == c {
		s.i++
		return true
	}
	return false
}

func (s *jsonScan) space() {
	for c := s.peek(); c == ' ' || c == '\n' || c == '\r' || c == '\t'; c = s.peek() {
		s.i++
	}
}

// value recurses at most depth deep.
func (s *jsonScan) value(depth int) bool {
	switch c := s.peek(); {
	case c == '{':
		return depth > 0 && s.list('{', '}', func() bool {
			if !s.string() {
				return false
			}
			s.space()
			if !s.eat(':') {
				return false
			}
			s.space()
			return s.value(depth - 1)
		})
	case c == '[':
		return depth > 0 && s.list('[', ']', func() bool { return s.value(depth - 1) })
	case c == '"':
		return s.string()
	case c == 't':
		return s.literal("true")
	case c == 'f':
		return s.literal("false")
	case c == 'n':
		return s.literal("null")
	default:
		return s.number()
	}
}

// list moves over elements between open and end, with commas and white space.
func (s *jsonScan) list(open, end byte, element func() bool) bool {
	s.eat(open)
	s.space()
	if s.eat(end) {
		return true
	}
	for {
		if !element() {
			return false
		}
		s.space()
		if s.eat(end) {
			return true
		}
		if !s.eat(',') {
			return false
		}
		s.space()
	}
}

func (s *jsonScan) string() bool {
	if !s.eat('"') {
		return false
	}
	for s.i < len(s.b) {
		c := s.b[s.i]
		s.i++
		switch {
		case c == '"':
			return true
		case c < ' ':
			return false
		case c == '\\' && !s.escape():
			return false
		}
	}
	return false
}

// escape moves over what follows a backslash. Any four hexadecimal digits will do after \u: a surrogate without its partner
// is grammatical, and nobody decodes it here.
func (s *jsonScan) escape() bool {
	c := s.peek()
	s.i++
	if c != 'u' {
		return c != 0 && bytes.IndexByte([]byte(`"\/bfnrt`), c) >= 0
	}
	for range 4 {
		c := s.peek()
		if !(isDigit(c) || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F') {
			return false
		}
		s.i++
	}
	return true
}

func (s *jsonScan) literal(lit string) bool {
	if !bytes.HasPrefix(s.b[s.i:], []byte(lit)) {
		return false
	}
	s.i += len(lit)
	return true
}

func (s *jsonScan) number() bool {
	s.eat('-')
	if !s.eat('0') && !s.digits() {
		return false
	}
	if s.eat('.') && !s.digits() {
		return false
	}
	if s.eat('e') || s.eat('E') {
		if !s.eat('+') {
			s.eat('-')
		}
		return s.digits()
	}
	return true
}

// digits moves over one digit or more.
func (s *jsonScan) digits() bool {
	from := s.i
	for isDigit(s.peek()) {
		s.i++
	}
	return s.i > from
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

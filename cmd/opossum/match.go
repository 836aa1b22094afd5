package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/rivo/uniseg"

	"opossum"
	"opossum/dcb"
)

// parseItem reads the text of a query in the syntax that queryHelp describes. The error is a *queryError. What it returns
// without an error is a valid item, and formatItem prints it back.
func parseItem(text string) (opossum.QueryItem, error) {
	p := itemParser{text: text}
	for p.skipSpace(); p.at < len(text); p.skipSpace() {
		if err := p.word(); err != nil {
			return opossum.QueryItem{}, err
		}
	}
	if len(p.item.Types)+len(p.item.Tags) == 0 {
		return p.item, p.wrong(p.at, "the query is empty: expected type= or tag=")
	}
	return p.item, nil
}

// formatItem prints an item so that parseItem reads it.
func formatItem(item opossum.QueryItem) string {
	var words []string
	if len(item.Types) > 0 {
		types := make([]string, len(item.Types))
		for i, t := range item.Types {
			types[i] = word(t)
		}
		words = append(words, "type="+strings.Join(types, ","))
	}
	for _, tag := range item.Tags {
		words = append(words, "tag="+word(string(tag)))
	}
	return strings.Join(words, " ")
}

// queryError says what is wrong with the text of a query, and where.
type queryError struct {
	text    string
	at      int // byte offset in text; its length if something is missing at the end
	problem string
}

// Error is three lines: the problem, the text, and a caret below the place.
func (e *queryError) Error() string {
	column := uniseg.StringWidth(printable(e.text[:e.at]))
	return fmt.Sprintf("%s\n  %s\n  %s^", e.problem, printable(e.text), strings.Repeat(" ", column))
}

// itemParser goes through a text from left to right. Each method reads from at on and leaves it behind what it has read.
type itemParser struct {
	text string
	at   int
	item opossum.QueryItem
}

func (p *itemParser) wrong(at int, format string, args ...any) error {
	return &queryError{p.text, at, fmt.Sprintf(format, args...)}
}

func (p *itemParser) rest() string { return p.text[p.at:] }

func (p *itemParser) skipSpace() {
	p.at = len(p.text) - len(strings.TrimLeftFunc(p.rest(), unicode.IsSpace))
}

// take reads c if it comes next.
func (p *itemParser) take(c byte) bool {
	if p.at < len(p.text) && p.text[p.at] == c {
		p.at++
		return true
	}
	return false
}

// until reads what comes before the first rune that is an end.
func (p *itemParser) until(end func(rune) bool) string {
	n := strings.IndexFunc(p.rest(), end)
	if n < 0 {
		n = len(p.rest())
	}
	p.at += n
	return p.text[p.at-n : p.at]
}

func (p *itemParser) word() error {
	start := p.at
	key := p.until(func(r rune) bool { return r == '=' || unicode.IsSpace(r) })
	if !p.take('=') {
		return p.wrong(start, "%s has no key: expected type= or tag=", word(key))
	}
	switch key {
	case "type":
		if len(p.item.Types) > 0 {
			return p.wrong(start, "a second type=: expected all types in the first, separated by commas")
		}
		return p.types()
	case "tag":
		return p.tag()
	default:
		return p.wrong(start, "unknown key %s=: expected type= or tag=", word(key))
	}
}

func (p *itemParser) types() error {
	for more := true; more; more = p.take(',') {
		start := p.at
		t, err := p.value("type")
		if err != nil {
			return err
		}
		if slices.Contains(p.item.Types, t) {
			return p.wrong(start, "duplicate type %s", word(t))
		}
		if len(p.item.Types) == dcb.MaxItemTerms {
			return p.wrong(start, "more than %s types", comma(dcb.MaxItemTerms))
		}
		p.item.Types = append(p.item.Types, t)
	}
	return p.endOfWord()
}

func (p *itemParser) tag() error {
	start := p.at
	text, err := p.value("tag")
	if err != nil {
		return err
	}
	tag := opossum.Tag(text)
	if slices.Contains(p.item.Tags, tag) {
		return p.wrong(start, "duplicate tag %s", word(text))
	}
	if len(p.item.Tags) == dcb.MaxItemTerms {
		return p.wrong(start, "more than %s tags", comma(dcb.MaxItemTerms))
	}
	p.item.Tags = append(p.item.Tags, tag)
	if p.at < len(p.text) && p.text[p.at] == ',' {
		return p.wrong(p.at, `a comma in a tag: expected a space and tag= before another tag, or quotes as in tag="a,b"`)
	}
	return p.endOfWord()
}

// endOfWord refuses what sticks to a value.
func (p *itemParser) endOfWord() error {
	next, _ := utf8.DecodeRuneInString(p.rest())
	switch {
	case p.at == len(p.text) || unicode.IsSpace(next):
		return nil
	case next == '"':
		return p.wrong(p.at, `a quote inside of a value: expected it around the whole value, as in tag="a b"`)
	default:
		return p.wrong(p.at, "something follows a closing quote: expected a space")
	}
}

// value reads a type or a tag, which kind says.
func (p *itemParser) value(kind string) (v string, err error) {
	start := p.at
	if p.take('"') {
		v, err = p.quoted(start)
	} else {
		v = p.until(func(r rune) bool { return r == ',' || r == '"' || unicode.IsSpace(r) })
	}
	switch {
	case err != nil:
		return "", err
	case v == "":
		return "", p.wrong(start, "empty value: expected a %s", kind)
	case len(v) > min(dcb.MaxTypeBytes, dcb.MaxTagBytes):
		return "", p.wrong(start, "a %s of %s: no event has one longer than %s", kind, counted(len(v), "byte"), comma(dcb.MaxTagBytes))
	case !utf8.ValidString(v):
		return "", p.wrong(start, "a %s that is not valid UTF-8", kind)
	}
	return v, nil
}

// quoted reads the rest of a value whose opening quote, at start, has been read. It has Go's escapes, which strconv
// reads one by one, so that a wrong one has a place.
func (p *itemParser) quoted(start int) (string, error) {
	var b []byte
	for p.at < len(p.text) {
		if p.take('"') {
			return string(b), nil
		}
		r, multibyte, tail, err := strconv.UnquoteChar(p.rest(), '"')
		if err != nil {
			return "", p.wrong(p.at, `unknown escape: expected one of Go's, such as \" \\ \n \u00e9`)
		}
		if multibyte {
			b = utf8.AppendRune(b, r)
		} else {
			b = append(b, byte(r))
		}
		p.at = len(p.text) - len(tail)
	}
	return "", p.wrong(start, "unclosed quote: expected another one at the end of the value")
}

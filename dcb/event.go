package dcb

import (
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
)

// Limits of one event and one append. An append must also fit into one frame of the log, because the frame's checksum
// is what makes it wholly there or wholly absent.
const (
	MaxTypeBytes   = 65_535   // length of Event.Type
	MaxTagBytes    = 65_535   // length of one Tag
	MaxTags        = 1_024    // tags of one event
	MaxAppendBytes = 16 << 20 // encoded bytes of all events of one append
)

// Position is the place of an event in the one total order of a store. 1 is the first event, 0 is before everything;
// positions are dense: they have no gaps.
type Position uint64

// Tag marks what an event is about, for example "course:c1". It is opaque: opossum compares its bytes and nothing else.
type Tag string

// Event is what a writer appends.
type Event struct {
	// ID is optional; the zero UUID means none. Events with IDs make an append repeatable, see the engine's Append.
	ID uuid.UUID
	// Type is not empty, valid UTF-8, at most MaxTypeBytes.
	Type string
	// Tags are each not empty, valid UTF-8, at most MaxTagBytes, and none occurs twice; at most MaxTags. Order is kept.
	Tags []Tag
	// Data is opaque and comes back byte for byte; nil and empty are equal.
	Data []byte
	// Metadata is valid UTF-8 in keys and values; nil and empty are equal.
	Metadata map[string]string
	// Time is set to now by the append if it is the zero Time. It comes back in UTC, to the nanosecond; years 0 to 9999.
	Time time.Time
}

// SequencedEvent is an event with its place in the order.
type SequencedEvent struct {
	Position Position
	Event    Event
}

// Validate reports the first rule that e breaks, as an error that Is [ErrInvalidEvent] and the narrower sentinel, or nil.
// It does not judge the encoded size, which only the encoder knows.
func (e Event) Validate() error {
	if err := checkTerm(e.Type, MaxTypeBytes, ErrEmptyType, ErrTypeTooLong); err != nil {
		return fmt.Errorf("type %s: %w", quote(e.Type), err)
	}
	if len(e.Tags) > MaxTags {
		return fmt.Errorf("%d tags: %w", len(e.Tags), ErrTooManyTags)
	}
	for i, t := range e.Tags {
		if err := checkTerm(string(t), MaxTagBytes, ErrEmptyTag, ErrTagTooLong); err != nil {
			return fmt.Errorf("tag %d %s: %w", i, quote(string(t)), err)
		}
	}
	if i := duplicate(e.Tags); i >= 0 {
		return fmt.Errorf("tag %d %s: %w", i, quote(string(e.Tags[i])), ErrDuplicateTag)
	}
	for k, v := range e.Metadata {
		if !utf8.ValidString(k) || !utf8.ValidString(v) {
			return fmt.Errorf("metadata %s: %w", quote(k), ErrNotUTF8)
		}
	}
	if y := e.Time.UTC().Year(); y < 0 || y > 9999 {
		return fmt.Errorf("time in year %d: %w", y, ErrTimeRange)
	}
	return nil
}

// checkTerm judges a type or tag; empty and long are the sentinels of its kind.
func checkTerm(s string, maxBytes int, empty, long error) error {
	switch {
	case s == "":
		return empty
	case len(s) > maxBytes:
		return long
	case !utf8.ValidString(s):
		return ErrNotUTF8
	}
	return nil
}

// duplicate returns the index of the first tag that occurred before, or -1. Few tags are compared pair by pair, which
// allocates nothing; the bound keeps the worst case linear.
func duplicate(tags []Tag) int {
	const few = 16
	if len(tags) <= few {
		for i := range tags {
			for j := range i {
				if tags[i] == tags[j] {
					return i
				}
			}
		}
		return -1
	}
	seen := make(map[Tag]struct{}, len(tags))
	for i, t := range tags {
		if _, ok := seen[t]; ok {
			return i
		}
		seen[t] = struct{}{}
	}
	return -1
}

// quote shortens s for an error message.
func quote(s string) string {
	const most = 64
	if len(s) > most {
		return fmt.Sprintf("%q... (%d bytes)", s[:most], len(s))
	}
	return fmt.Sprintf("%q", s)
}

package projection

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/cespare/xxhash/v2"

	"opossum/dcb"
	"opossum/internal/name"
)

// Definition says what a read model is made of: which events, in which states, by which key. It is a value without state of its own.
//
// The functions must be pure: what they return depends on their arguments alone, or a rebuilt read model differs from the one that followed. They are called by one goroutine
// that follows and one that rebuilds, at the same time. They must not wait for the runner or its models, which may be waiting for them.
type Definition[S any] struct {
	// Name is that of the read model and of its directory: 1 to 64 of a-z, 0-9, -, _ and ., beginning with a letter or a digit, not ending with a dot, no device of
	// Windows.
	Name string
	// Version is raised by whoever changes what the states mean: Key, Apply, Related, Tags or the type S. What was kept of another version, or of another Query, is
	// rebuilt. At least 1.
	Version int
	// Query matches the events that are applied.
	Query dcb.Query
	// Key returns the key of the state that an event belongs to; "" if to none. There should be one for each thing of the domain, not for each event.
	Key func(e dcb.SequencedEvent) string
	// Apply returns the state after an event. It is given nil if there is none, and may change what it is given; nil deletes the state. After an error, or a panic, the
	// event is tried again later, and never left out. The event is shared with Related, and so are the related ones with other events: they are not to be changed.
	//
	// S is kept as JSON. A state may be written and read back between any two events, or stay in memory for many, so nothing may depend on what encoding/json does not keep,
	// such as unexported fields, or whether a number in an interface is an int. A state that has no JSON, or does not come back from it, is an error of its event.
	Apply func(state *S, e Event) (*S, error)
	// Related returns a query for what else Apply needs to know of an event; the zero Query: nothing. nil: never anything. Apply finds the answer in Event.Related.
	Related func(e dcb.SequencedEvent) dcb.Query
	// Tags returns by which tags a state is found, see [Model.Tagged]. nil: by none.
	Tags func(state S) []dcb.Tag
}

// Event is what Apply is given.
type Event struct {
	dcb.SequencedEvent
	// Related are the events that match what Related asked for, ascending, of those before this one: never later ones, so that a rebuild sees what was seen live.
	Related []dcb.SequencedEvent
}

// ErrInvalidDefinition marks a definition that cannot be used. The error names the field.
var ErrInvalidDefinition = errors.New("invalid definition of a read model")

// Validate returns nil, or an error that Is [ErrInvalidDefinition] and names the field; of a query also dcb.ErrInvalidQuery.
func (d Definition[S]) Validate() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w %q: %w", ErrInvalidDefinition, d.Name, fmt.Errorf(format, args...))
	}
	if err := name.Check("read model", d.Name); err != nil {
		return bad("Name: %w", err)
	}
	if d.Version < 1 {
		return bad("Version is %d, want at least 1", d.Version)
	}
	if err := d.Query.Validate(); err != nil {
		return bad("Query: %w", err)
	}
	if d.Key == nil {
		return bad("Key is missing")
	}
	if d.Apply == nil {
		return bad("Apply is missing")
	}
	return nil
}

// identity is what the definition folds from a store.
func (d Definition[S]) identity(store string) Identity {
	return Identity{Name: d.Name, Version: d.Version, Query: fingerprint(d.Query), Store: store}
}

// fingerprint tells queries apart: the items in their order, each name with its length.
func fingerprint(q dcb.Query) string {
	sum := xxhash.New()
	add := func(kind byte, s string) {
		_, _ = sum.Write(append(strconv.AppendInt([]byte{kind}, int64(len(s)), 10), ':')) // a hash does not fail
		_, _ = sum.WriteString(s)
	}
	q.Terms(func(types []string, tags []dcb.Tag) {
		add('i', "")
		for _, t := range types {
			add('t', t)
		}
		for _, t := range tags {
			add('g', string(t))
		}
	})
	return fmt.Sprintf("xxh64:%016x", sum.Sum64())
}

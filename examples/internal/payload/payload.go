// Package payload is what an event says: a Go value, kept as JSON.
//
// An application has a page like this one, with what suits it: another format, versions of payloads, or code that is generated.
package payload

import (
	"encoding/json"
	"fmt"
	"time"

	"opossum"
)

// Payload is what events of one type say.
type Payload interface {
	// EventType is the type of the event. It is no name of a Go type: those can be renamed, what is stored can not.
	EventType() string
	// Tags is what the event is about, and by which it will be found. They follow from the payload, so that they can always be made anew; each begins with a prefix that says what
	// it is; and they have no personal data, because tags are in indices, logs and error messages: what identifies a person is hashed.
	Tags() []opossum.Tag
}

// Events returns what decisions return: events that happen now and say that.
func Events(now time.Time, payloads ...Payload) ([]opossum.Event, error) {
	events := make([]opossum.Event, len(payloads))
	for i, p := range payloads {
		data, err := json.Marshal(p)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.EventType(), err)
		}
		events[i] = opossum.Event{Type: p.EventType(), Tags: p.Tags(), Data: data, Time: now}
	}
	return events, nil
}

// Of returns what an event says. It panics if e is of another type or has another form: projections apply only what they have asked for and what this program has written, and
// opossum.Decide makes of the panic an error that names projection and position.
func Of[P Payload](e opossum.SequencedEvent) P {
	var p P
	if want := p.EventType(); e.Event.Type != want {
		panic(fmt.Errorf("event %d is a %s, not a %s", e.Position, e.Event.Type, want))
	}
	if err := json.Unmarshal(e.Event.Data, &p); err != nil {
		panic(fmt.Errorf("event %d, %s: %w", e.Position, e.Event.Type, err))
	}
	return p
}

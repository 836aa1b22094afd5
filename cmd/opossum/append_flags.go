package main

import (
	"errors"
	"fmt"
	"iter"

	"github.com/google/uuid"
	"github.com/spf13/pflag"

	"opossum"
)

// appendFlags are the flags of `append`.
type appendFlags struct {
	batch        bool
	id           uuid.UUID // the zero UUID: not given
	after        uint64
	failIfMatch  queryFlag
	failIfExists queryFlag
}

// check refuses what means nothing.
func (f *appendFlags) check(flags *pflag.FlagSet) error {
	if flags.Changed("after") && !f.failIfMatch.given() {
		return usagef("--after says where --fail-if-match begins to look: give both")
	}
	if flags.Changed("id") && f.id == uuid.Nil {
		return usagef("--id: the zero UUID is the ID of no event")
	}
	return nil
}

// condition returns what guards the append, or nil.
func (f *appendFlags) condition() *opossum.Condition {
	if !f.failIfMatch.given() && !f.failIfExists.given() {
		return nil
	}
	return &opossum.Condition{
		FailIfMatch:  f.failIfMatch.clause(),
		After:        opossum.Position(f.after),
		FailIfExists: f.failIfExists.clause(),
	}
}

// one reports whether all events are one append.
func (f *appendFlags) one() bool { return f.batch || f.id != uuid.Nil || f.condition() != nil }

// gather returns the events of the one append.
func (f *appendFlags) gather(events iter.Seq2[inputEvent, error]) ([]opossum.Event, error) {
	var gathered []opossum.Event
	size := 0
	for in, err := range events {
		if err != nil {
			return nil, err
		}
		if size += in.size; size > maxBatchBytes {
			return nil, fmt.Errorf("%s: the batch exceeds %s: %w", in.place, bytesText(maxBatchBytes), opossum.ErrTooLarge)
		}
		if len(gathered) > 0 {
			err = f.another()
		}
		if err == nil && f.id != uuid.Nil {
			err = setID(&in.event, f.id)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", in.place, err)
		}
		gathered = append(gathered, in.event)
	}
	return gathered, nil
}

// another returns why there may be no second event, or nil.
func (f *appendFlags) another() error {
	switch {
	case f.id != uuid.Nil:
		return errors.New("a second event, but --id is the ID of one")
	case !f.batch:
		return errors.New("a second event, but the condition is for one append: --batch makes one of all events")
	default:
		return nil
	}
}

func setID(ev *opossum.Event, id uuid.UUID) error {
	if ev.ID != uuid.Nil && ev.ID != id {
		return fmt.Errorf("the event has the ID %s, --id says %s", ev.ID, id)
	}
	ev.ID = id
	return nil
}

// refusal words a failed condition; any other error stays what it is.
func (f *appendFlags) refusal(err error) error {
	var failed *opossum.ConditionFailedError
	if !errors.As(err, &failed) {
		return err
	}
	text := fmt.Sprintf("condition failed: the event at position %d, after %d, matches --fail-if-match %s", failed.Position, f.after, &f.failIfMatch)
	if failed.Exists {
		text = fmt.Sprintf("condition failed: the event at position %d matches --fail-if-exists %s", failed.Position, &f.failIfExists)
	}
	return &reworded{text, err}
}

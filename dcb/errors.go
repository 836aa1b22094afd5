package dcb

import (
	"errors"
	"fmt"
)

// Sentinels for errors.Is, grouped by when they occur. Errors that concern one item of the input wrap one of them and
// say in their text which item it was.
var (
	// ErrNoEvents: an append of no events.
	ErrNoEvents = errors.New("no events to append")
	// ErrInvalidEvent: an event that breaks a rule of [Event]. The narrower sentinels below say which rule.
	ErrInvalidEvent = errors.New("invalid event")
	// ErrInvalidQuery: a query, condition or read bound that means nothing. The narrower sentinels below say why.
	ErrInvalidQuery = errors.New("invalid query")
	// ErrTooLarge: an append that does not fit into one frame of the log ([MaxAppendBytes]), or an event that alone
	// breaks a size limit.
	ErrTooLarge = errors.New("too large")

	// ErrConditionFailed: an event after Condition.After matches FailIfMatch. Read again, decide again, retry.
	ErrConditionFailed = errors.New("append condition failed")
	// ErrAlreadyExists: an event matches Condition.FailIfExists. Retrying does not help.
	ErrAlreadyExists = errors.New("a matching event already exists")

	// ErrNotFound: no event matches.
	ErrNotFound = errors.New("no matching event")
	// ErrClosed: the engine was closed, or the root of contexts.
	ErrClosed = errors.New("engine is closed")
	// ErrLocked: another process, or another engine of this one, owns the directory.
	ErrLocked = errors.New("store is locked by another owner")
	// ErrReadOnly: the store cannot be written to.
	ErrReadOnly = errors.New("store is read-only")
	// ErrReopen: a read-only engine has shown what may have ceased to be true: an owner that acknowledged before it synced was
	// recovered, or the directory was exchanged. Open the store again; positions saved elsewhere may be of a lost future.
	ErrReopen = errors.New("store must be opened again")
	// ErrNotStore: the directory holds other things than a store.
	ErrNotStore = errors.New("not an opossum store")
	// ErrNotRoot: the directory is itself a store, and not a root of contexts.
	ErrNotRoot = errors.New("not a root of contexts")
	// ErrNoContext: the root has no context of that name, and none was to be created.
	ErrNoContext = errors.New("no such context")
	// ErrVersion: the store was written by a newer version whose format this one does not know.
	ErrVersion = errors.New("unknown format version")
	// ErrInvalidOption: an option outside its range.
	ErrInvalidOption = errors.New("invalid option")

	// ErrPoisoned: an earlier write or sync failed, so nothing more is written until the store is opened again. The
	// append that got this error was certainly not written.
	ErrPoisoned = errors.New("engine is poisoned by an earlier write error")
	// ErrOutcomeUnknown: the append was staged, and then the write failed or its context ended. It may or may not be
	// found after reopening. Give events an ID and a condition, and repeat the append: it happens once.
	ErrOutcomeUnknown = errors.New("outcome of the append is unknown")
	// ErrDiskFull: free space is below the floor. Nothing was written; the append may be repeated when there is room.
	ErrDiskFull = errors.New("disk is full")
	// ErrCorrupt: stored bytes are not what was written. Details by errors.As with *CorruptError.
	ErrCorrupt = errors.New("store is corrupt")
)

// The ways in which an event can be invalid; each Is ErrInvalidEvent as well.
var (
	ErrEmptyType    error = &reason{"empty type", []error{ErrInvalidEvent}}
	ErrTypeTooLong  error = &reason{"type longer than 65,535 bytes", []error{ErrInvalidEvent, ErrTooLarge}}
	ErrEmptyTag     error = &reason{"empty tag", []error{ErrInvalidEvent}}
	ErrDuplicateTag error = &reason{"duplicate tag", []error{ErrInvalidEvent}}
	ErrTagTooLong   error = &reason{"tag longer than 65,535 bytes", []error{ErrInvalidEvent, ErrTooLarge}}
	ErrTooManyTags  error = &reason{"more than 1,024 tags", []error{ErrInvalidEvent, ErrTooLarge}}
	ErrNotUTF8      error = &reason{"not valid UTF-8", []error{ErrInvalidEvent}}
	ErrTimeRange    error = &reason{"time outside the years 0 to 9999", []error{ErrInvalidEvent}}
)

// The ways in which a query, condition or read bound can be invalid; each Is ErrInvalidQuery as well.
var (
	ErrNoItems      error = &reason{"query without items (use AllEvents to match everything)", []error{ErrInvalidQuery}}
	ErrEmptyItem    error = &reason{"query item with neither types nor tags", []error{ErrInvalidQuery}}
	ErrBadTerm      error = &reason{"type or tag that no event can have", []error{ErrInvalidQuery}}
	ErrTooManyItems error = &reason{"query with more than 4,096 items, or an item with more than 4,096 types or tags", []error{ErrInvalidQuery, ErrTooLarge}}
	ErrNoClause     error = &reason{"condition without a clause", []error{ErrInvalidQuery}}
	ErrBadLimit     error = &reason{"negative limit", []error{ErrInvalidQuery}}
)

// reason is a sentinel that belongs to broader ones.
type reason struct {
	text    string
	parents []error
}

func (r *reason) Error() string   { return r.text }
func (r *reason) Unwrap() []error { return r.parents }

// ConditionFailedError says which event made a condition fail. It Is [ErrAlreadyExists] if Exists, else [ErrConditionFailed].
type ConditionFailedError struct {
	Position Position // of a matching event; it is readable by the time the error is returned
	Exists   bool     // the FailIfExists clause failed, not FailIfMatch
}

func (e *ConditionFailedError) Error() string {
	return fmt.Sprintf("%v: event %d matches", e.Unwrap(), e.Position)
}

// Unwrap returns the sentinel of the clause that failed.
func (e *ConditionFailedError) Unwrap() error {
	if e.Exists {
		return ErrAlreadyExists
	}
	return ErrConditionFailed
}

// CorruptError names the place of damage. It Is [ErrCorrupt].
type CorruptError struct {
	File   string // path of the damaged file
	Offset int64  // byte offset of the damage in it, as near as can be told
	Reason string // what is wrong, and which positions it concerns
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("%v: %s at offset %d: %s", ErrCorrupt, e.File, e.Offset, e.Reason)
}

// Unwrap returns ErrCorrupt.
func (e *CorruptError) Unwrap() error { return ErrCorrupt }

package opossum

import (
	"opossum/dcb"
	"opossum/decision"
)

// Sentinels for errors.Is; their contracts stand in package dcb, with narrower ones for each way in which an
// event or a query can be invalid.
var (
	ErrConditionFailed = dcb.ErrConditionFailed
	ErrAlreadyExists   = dcb.ErrAlreadyExists
	ErrInvalidEvent    = dcb.ErrInvalidEvent
	ErrInvalidQuery    = dcb.ErrInvalidQuery
	ErrInvalidOption   = dcb.ErrInvalidOption
	ErrNoEvents        = dcb.ErrNoEvents
	ErrTooLarge        = dcb.ErrTooLarge
	ErrNotFound        = dcb.ErrNotFound
	ErrClosed          = dcb.ErrClosed
	ErrLocked          = dcb.ErrLocked
	ErrReadOnly        = dcb.ErrReadOnly
	ErrReopen          = dcb.ErrReopen
	ErrNotStore        = dcb.ErrNotStore
	ErrNotRoot         = dcb.ErrNotRoot
	ErrNoContext       = dcb.ErrNoContext
	ErrVersion         = dcb.ErrVersion
	ErrPoisoned        = dcb.ErrPoisoned
	ErrOutcomeUnknown  = dcb.ErrOutcomeUnknown
	ErrDiskFull        = dcb.ErrDiskFull
	ErrCorrupt         = dcb.ErrCorrupt

	ErrInvalidProjection  = decision.ErrInvalidProjection
	ErrProjectionPanicked = decision.ErrProjectionPanicked
)

// Details for errors.As.
type (
	ConditionFailedError = dcb.ConditionFailedError
	CorruptError         = dcb.CorruptError
	PanicError           = decision.PanicError // of a projection
)

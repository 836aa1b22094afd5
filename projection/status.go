package projection

import (
	"errors"
	"time"

	"opossum/dcb"
)

var (
	// ErrNotBuilt marks a read model that has no states to be read yet: it is being built, or waits for that. errors.Is finds what keeps it, too.
	ErrNotBuilt = errors.New("read model not built")
	// ErrUnknown marks a name that no read model of the runner has.
	ErrUnknown = errors.New("no such read model")
	// ErrParked marks a read model that has stopped at an event that it cannot apply. The error names the event and says why. It goes on with [Runner.Resume].
	ErrParked = errors.New("read model parked")
)

// State is what a read model is doing.
type State string

// The states.
const (
	Following State = "following" // up to date, or on the way there
	Retrying  State = "retrying"  // something failed, and is tried again
	Parked    State = "parked"    // at an event that cannot be applied, until Resume
	Paused    State = "paused"    // until Resume
	Unbuilt   State = "unbuilt"   // there is nothing to follow with, until it is rebuilt
	Stopped   State = "stopped"   // the runner is closed, or the store of the events is
)

// Status is how a read model is.
type Status struct {
	Name     string       `json:"name"`
	Version  int          `json:"version"`
	State    State        `json:"state"`
	Position dcb.Position `json:"position"` // everything up to here is in its states
	Lag      uint64       `json:"lag"`      // positions from there to what is durable
	Events   uint64       `json:"events"`   // that were applied
	States   int          `json:"states"`   // how many there are
	Unfit    string       `json:"unfit,omitempty"`
	Error    string       `json:"error,omitempty"`     // of the last attempt, if it failed
	FailedAt dcb.Position `json:"failed_at,omitempty"` // the event that could not be applied
	Attempts int          `json:"attempts,omitempty"`  // that failed in a row
	Rebuild  *Progress    `json:"rebuild,omitempty"`   // that is going on, or has failed
}

// Progress is how far a rebuild is.
type Progress struct {
	Name     string       `json:"name"`
	Started  time.Time    `json:"started"`
	Resumed  dcb.Position `json:"resumed,omitempty"`  // where it went on from what an earlier one had left
	Position dcb.Position `json:"position"`           // everything up to here is in the new states
	Until    dcb.Position `json:"until"`              // where it ends; it moves with what is appended meanwhile
	Events   uint64       `json:"events"`             // that were applied
	Waiting  bool         `json:"waiting,omitempty"`  // others are rebuilt first
	Error    string       `json:"error,omitempty"`    // of the last attempt, if it failed
	Attempts int          `json:"attempts,omitempty"` // that failed
}

// Done returns the part that is done, from 0 to 1.
func (p Progress) Done() float64 {
	if p.Until == 0 {
		return 0
	}
	return float64(p.Position) / float64(p.Until)
}

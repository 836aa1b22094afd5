package projection

import (
	"errors"
	"time"

	"opossum/dcb"
)

// ErrUnfit marks what is kept of a read model and cannot be gone on with: there is nothing, it is of another version, query or store, or it is damaged. The error says
// which, and names the file. It is rebuilt.
var ErrUnfit = errors.New("read model unfit")

// Identity is what a read model was folded from, and by what. What is kept of another identity is unfit.
type Identity struct {
	Name    string `json:"name"`
	Version int    `json:"version"`
	Query   string `json:"query"` // a fingerprint of the query
	Store   string `json:"store"` // that the events are from
}

// Record is the state of one key.
type Record struct {
	Key      string
	Position dcb.Position // of the last event that it includes
	Created  time.Time    // the time of the first event of this state; a deleted state begins anew
	Updated  time.Time    // the time of the last one
	Version  uint64       // how many events it includes, from 1
	State    []byte       // JSON, compact; nil: deleted by the event at Position
	Tags     []dcb.Tag    // by which it is found; no duplicates
}

// Deleted reports whether there is no state any more.
func (r Record) Deleted() bool { return r.State == nil }

// Checkpoint is how far a read model has come.
type Checkpoint struct {
	Position dcb.Position // every event up to here that belongs to it is in its states
	Events   uint64       // so many were applied
}

// Store keeps the states of one read model. One goroutine saves; reads are safe beside it. Its errors are those of the file system, ErrClosed after Close, and
// dcb.ErrCorrupt, naming the file, for what is damaged.
type Store interface {
	// Checkpoint returns the last one that was saved.
	Checkpoint() Checkpoint
	// Get returns the record of a key; after a crash it may include more than the checkpoint. dcb.ErrNotFound: there is none. A deleted one may be remembered for a while:
	// it is returned as such, so that an event from before its deletion does not bring it back.
	Get(key string) (Record, error)
	// Save keeps records, and then the checkpoint: whatever crashes, the states include at least what the checkpoint says. Nothing is synced. The records of one call have
	// different keys, and positions above those that are kept. A checkpoint may come alone.
	Save(records []Record, at Checkpoint) error
	// Index returns the index of what is kept. It follows Save.
	Index() *Index
	// Close ends it. What is kept stays.
	Close() error
}

// Stores keeps the read models of a runner: of each the live one, and the one that is built to replace it. Different names may be used concurrently.
type Stores interface {
	// Live opens the live store of a read model. The error Is ErrUnfit if it has to be rebuilt first, and dcb.ErrNotFound as well if there is nothing at all.
	Live(id Identity) (Store, error)
	// Build opens the store that is to replace it, empty, or as a rebuild that was interrupted has left it, if that has the same identity and is undamaged. fresh: always empty.
	Build(id Identity, fresh bool) (Store, error)
	// Interrupted reports whether Build, not fresh, would go on with what a rebuild that was interrupted has left.
	Interrupted(id Identity) bool
	// Replace makes the store of Build the live one: atomically, for other processes as well. REQUIRES: it is open, and nobody saves to it. It goes on under the new
	// name. The store that was live, if any, is readable until it is closed, and then removed.
	Replace(id Identity) error
	// Close ends what is open.
	Close() error
}

package child

import (
	"time"

	"github.com/google/uuid"

	"opossum"
	"opossum/crashlab/internal/invariant"
	"opossum/crashlab/internal/readmodel"
	"opossum/internal/workload"
)

// What a child can do.
const (
	Append = "append" // append and report until it is killed, or until done
	Open   = "open"   // only open the store, report its head, and wait to be killed
	Check  = "check"  // recover the store and judge it: invariant.Check
	Repair = "repair" // opossum.Repair
	Strain = "strain" // append on through errors, and judge every answer
	Rot    = "rot"    // look at a damaged store: invariant.Examine
	Look   = "look"   // look at a store that is, or has yet to be, repaired: invariant.Mending
	// CheckModels opens the store and judges its read models: readmodel.Check.
	CheckModels = "models"
	// Register makes registrations, one after the other, and reports what came of each.
	Register = "register"
)

// How a child that appends has the events filed.
const (
	AsItComes = ""
	Paused    = "paused"
	Resumed   = "resumed"  // not before all is appended; then all is checkpointed before "done"
	Prompted  = "prompted" // checkpoints on demand, as often as they go
	Waited    = "waited"   // all is checkpointed before "done"
)

// When a child that appends has shards packed, or packs unpacked, beside what the store does by itself. REQUIRES: filing is not Paused.
const (
	Never  = ""
	Beside = "beside" // the appends, as often as it goes
	AtLast = "last"   // before "done"
)

// Task is what a child is told.
type Task struct {
	Do    string
	Dir   string
	Shape string // of invariant.Shapes
	Loose int    // its LooseEvents this time

	// Append.
	First   uint64 // the number of the first append: a multiple of workload.IDsPerWriter, plus workload.Large or workload.Contested
	Writers int
	Appends int             // of each writer
	Filing  string          // AsItComes and so on
	Repack  string          // Never and so on: with LooseEvents KeepLoose packs are unpacked, else shards are packed
	Pace    time.Duration   // each writer rests up to so long, a random while, after each append
	Assure  int             // every so manieth append of a writer is made with WhenDurable, or followed by Sync or WaitDurable; 0: none
	Close   bool            // close the store before "done"
	Models  *readmodel.Plan `json:",omitempty"` // keep read models meanwhile, rebuild them now and then, and wait for them before "done"; Open keeps them as well
	End     bool            // end after "done", with status 0, instead of waiting to be killed

	// Check.
	Witness   *workload.Witness `json:",omitempty"`
	PowerCut  bool              // see invariant.Order, here and below
	Recovered *opossum.Position `json:",omitempty"`
	Seed      uint64
	Beside    bool
	Deep      bool
	Another   uint64 // the number of an append to be made at the end

	AcceptLoss bool // Repair

	// CheckModels, beside Seed, Another and Models, of which the version counts: see readmodel.Order.
	Kept   map[string]int `json:",omitempty"`
	Rotten bool

	// Strain, beside First, Appends and End.
	Passes bool   // the errors pass, if need be after "waiting": then filing must go on
	Limit  uint64 // no file may become larger; 0: as it is

	// Rot, beside Witness and Seed.
	Damaged string // the file, relative to Dir
	Mend    bool   // repair the store instead of opening it

	// Look, beside Witness.
	Head, Gone opossum.Position // see invariant.Mending
	Repaired   bool

	Registrations []Registration // Register
}

// Registration registers an address, unless it is registered: the append whose condition must hold for ever once it was acknowledged.
type Registration struct {
	Address string
	ID      uuid.UUID // of the event: a retry has the one of before, somebody else another
	Match   bool      // under FailIfMatch after 0, instead of FailIfExists
}

// Outcomes of a registration, as the child reports them.
const (
	Registered = "registered"
	Taken      = "taken" // by somebody before: the condition refused it, with the right error
)

// Lines that a child reports beside those for the witness (workload.ReadLine and so on) and the history (invariant.AckLine, invariant.DurableLine).
const (
	lineOpen     = "open %d %d"   // head, microseconds that opening took
	lineBegin    = "begin"        // it is about to open the store
	lineClosing  = "closing"      // it is about to close it
	lineFiled    = "filed %d"     // everything up to this position is checkpointed
	lineRepacked = "repacked"     // shards are packed, or unpacked
	lineKept     = "kept %s %d"   // a read model of a version can be read
	lineDone     = "done"         // it has done everything
	linePoison   = "poisoned"     // the engine is
	lineWaiting  = "waiting"      // from now on filing must go on
	lineError    = "error %s"     // an append or another call failed, as it may when the disk does; the text is quoted
	lineVerdict  = "verdict %s"   // of a check, as JSON
	lineWrong    = "violation %s" // what a check found, quoted
)

// Examined is what came of looking at a damaged store.
type Examined struct {
	invariant.Diagnosis
	Violation string // empty: everything that must be, is
}

// ModelsJudged is what came of a check of read models.
type ModelsJudged struct {
	readmodel.Verdict
	Violation string // empty: everything that must be, is
}

// Result is what came of a check.
type Result struct {
	invariant.Verdict
	Violation string // empty: everything that must be, is
}

package recovery

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"opossum/dcb"
	"opossum/internal/eventfile"
	"opossum/internal/step"
	"opossum/internal/storage"
	"opossum/ledger"
	"opossum/wal"
)

// Opened is a store ready to be served: what wal.Open and the engine need.
type Opened struct {
	WALDir string
	Ledger ledger.State
	Live   []wal.Segment
	Tail   wal.Witness
	TailNo uint64
	Report Report
}

// Report says what opening a store found and did. Its String is a sentence.
type Report struct {
	Outcome      string        `json:"outcome"` // created, clean or recovered; read-only if nothing was done
	Head         dcb.Position  `json:"head"`
	Materialized dcb.Position  `json:"materialized"`
	Replayed     uint64        `json:"replayed"`              // events in the log that are not yet filed
	CutBytes     int64         `json:"cutBytes"`              // of a torn, never acknowledged tail
	Quarantined  []string      `json:"quarantined,omitempty"` // files that keep what was cut
	IndexBuilt   uint64        `json:"indexBuilt"`            // positions whose index was missing or damaged, and built from event files
	Epoch        uint64        `json:"epoch"`
	EpochRaised  bool          `json:"epochRaised"` // visible events may be gone: positions saved elsewhere may be of a lost future
	Took         time.Duration `json:"tookNs"`
}

// String returns the report as one line for people.
func (r Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: head %d", r.Outcome, r.Head)
	if r.Replayed > 0 {
		fmt.Fprintf(&b, ", replayed %d events from the log", r.Replayed)
	}
	if r.CutBytes > 0 {
		fmt.Fprintf(&b, ", cut a torn tail of %d bytes, kept in %s", r.CutBytes, strings.Join(r.Quarantined, ", "))
	}
	if r.IndexBuilt > 0 {
		fmt.Fprintf(&b, ", built the missing index of %d positions", r.IndexBuilt)
	}
	if r.EpochRaised {
		fmt.Fprintf(&b, ", epoch raised to %d", r.Epoch)
	}
	fmt.Fprintf(&b, " (%v)", r.Took.Round(10*time.Microsecond))
	return b.String()
}

// Apply carries out a plan: quarantine, new generation, ledger, removals, each durable before the next. A crash in
// between leaves a directory from which Inspect and Decide come to the same events again. relaxed says how the coming owner flushes.
func Apply(dir string, s State, p Plan, files *eventfile.Store, relaxed bool, now time.Time) (Opened, error) {
	o, err := apply(dir, s, p, files, relaxed, now)
	if err != nil {
		return Opened{}, fmt.Errorf("recovery: %w", err)
	}
	o.Report.Outcome = p.Outcome.String()
	o.Report.Head, o.Report.Materialized = p.Head, p.Materialized
	o.Report.Replayed = uint64(p.Head - p.Materialized)
	o.Report.Epoch, o.Report.EpochRaised = o.Ledger.Epoch, p.RaiseEpoch
	return o, nil
}

func apply(dir string, s State, p Plan, files *eventfile.Store, relaxed bool, now time.Time) (Opened, error) {
	walDir := filepath.Join(dir, WALDir)
	o := Opened{WALDir: walDir, Ledger: s.Ledger, Live: p.Live, Tail: p.Tail, TailNo: p.TailNo}
	if err := o.quarantine(dir, p.Cuts); err != nil {
		return o, err
	}
	if p.Outcome != Clean {
		files.Settle() // the files above the checkpoint are written anew
	}
	switch p.Outcome {
	case Created:
		if err := o.create(walDir, p, files, now); err != nil {
			return o, err
		}
	case Recovered:
		if err := o.rewrite(walDir, s, *p.Rewrite, now); err != nil {
			return o, err
		}
	}
	if o.Tail.Head != p.Head {
		return o, fmt.Errorf("the log now ends at position %d, where the plan says %d", o.Tail.Head, p.Head)
	}
	if p.RaiseEpoch {
		o.Ledger.Epoch++
	}
	// What was just built is durable and as good as a clean close: a second recovery finds nothing to do. A relaxed owner
	// gets no witness before it closes: what it acknowledges can vanish without a trace, and the log would end as it does now.
	if p.Outcome != Clean || s.Ledger.Relaxed || relaxed {
		o.Ledger.Relaxed, o.Ledger.Clean = relaxed, EndOf(o.Tail)
		if relaxed {
			o.Ledger.Clean = nil
		}
		if err := ledger.Store(dir, o.Ledger); err != nil {
			return o, err
		}
	}
	return o, o.tidy(dir, walDir, p, files)
}

// EndOf puts a witness of the log into the ledger's words.
func EndOf(w wal.Witness) *ledger.End {
	return &ledger.End{Generation: w.Gen, Offset: w.End, Sum: sumText(w.Sum), Head: w.Head}
}

// quarantine copies the cut bytes aside, durably, before anything drops them.
func (o *Opened) quarantine(dir string, cuts []Cut) error {
	for _, c := range cuts {
		b, err := wal.ReadGeneration(filepath.Join(dir, WALDir), c.Gen, false)
		if err != nil {
			return err
		}
		q := filepath.Join(dir, QuarantineDir)
		if err := step.Mkdir(q, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		path := filepath.Join(q, fmt.Sprintf("wal-%08d-at-%d.bin", c.Gen, c.Offset))
		if err := writeDurably(path, c.of(b)); err != nil {
			return err
		}
		o.Report.CutBytes += c.Bytes
		o.Report.Quarantined = append(o.Report.Quarantined, path)
	}
	return nil
}

// of returns the bytes of the cut, as far as b, the generation read again, has them.
func (c Cut) of(b []byte) []byte {
	size := int64(len(b))
	return b[min(c.Offset, size):min(c.Offset+c.Bytes, size)]
}

func writeDurably(path string, b []byte) error {
	f, err := step.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o666)
	if err != nil {
		return err
	}
	if err := errors.Join(step.Write(f, b), step.Sync(f), f.Close()); err != nil {
		return err
	}
	return errors.Join(step.SyncDir(filepath.Dir(path)), step.SyncDir(filepath.Dir(filepath.Dir(path))))
}

// create makes the log of a new store; what an unfinished creation left is removed first.
func (o *Opened) create(walDir string, p Plan, files *eventfile.Store, now time.Time) error {
	if err := step.Mkdir(walDir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	for _, gen := range p.RemoveGens {
		if err := wal.RemoveGeneration(walDir, gen); err != nil {
			return err
		}
	}
	id, err := uuid.NewRandom()
	if err != nil {
		return err
	}
	o.Ledger = ledger.State{Store: id, Epoch: 1}
	if err := files.Bind(wal.StoreID(id).Seed()); err != nil {
		return err
	}
	b, err := wal.BuildGeneration(walDir, wal.StoreID(id), 1, now, &wal.Link{}, 1, nil)
	if err != nil {
		return err
	}
	o.begin(b)
	return nil
}

// rewrite writes the live part of the tail anew. It reads the tail again, and that must show what the plan rests on: a disk
// that reads differently the second time must not make the log shorter.
func (o *Opened) rewrite(walDir string, s State, r Rewrite, now time.Time) error {
	id := wal.StoreID(o.Ledger.Store)
	b, err := wal.ReadGeneration(walDir, r.From, false)
	if err != nil {
		return err
	}
	g := wal.Scan(b, id, r.From)
	i := slices.IndexFunc(s.Generations, func(g wal.Scanned) bool { return g.Gen == r.From })
	if seen := s.Generations[i]; g.Valid != seen.Valid || g.Sum != seen.Sum {
		return &dcb.CorruptError{File: wal.GenerationPath(walDir, r.From), Offset: min(g.Valid, seen.Valid), Reason: "two reads of the log differ"}
	}
	built, err := wal.BuildGeneration(walDir, id, r.Into, now, &r.Link, r.Base, g.Commits[r.Skip:])
	if err != nil {
		return err
	}
	o.begin(built)
	return nil
}

// begin makes a generation just built the one in which appends go on.
func (o *Opened) begin(b wal.Built) {
	o.Tail = wal.Witness{Gen: b.Gen, End: b.End, Sum: b.Sum, Head: b.Next - 1}
	o.TailNo = b.No
	o.Live = append(o.Live, wal.Segment{Gen: b.Gen, Last: b.Next - 1})
}

// tidy removes what nothing refers to any more.
func (o *Opened) tidy(dir, walDir string, p Plan, files *eventfile.Store) error {
	for _, name := range p.RemoveTemps {
		if err := wal.RemoveTemp(walDir, name); err != nil {
			return err
		}
	}
	if p.Outcome != Created { // create has removed them, before it used their numbers again
		for _, gen := range p.RemoveGens {
			if err := wal.RemoveGeneration(walDir, gen); err != nil {
				return err
			}
		}
	}
	if err := storage.RemoveTemp(dir); err != nil { // of a doctor, too, who is not the owner that closed
		return err
	}
	// They have borne witness. What a power cut left of them must not stand in the way of what is filed anew. After a clean close there are none,
	// but a recovery that was interrupted here counts as one.
	if err := files.RemovePacksAbove(p.Materialized); err != nil {
		return err
	}
	if p.Outcome == Clean {
		// Packing in idle time begins before anything else: an owner who was killed in it leaves a store that looks closed, and half a pack.
		_, err := files.RemovePackTemp()
		return err
	}
	if _, err := ledger.RemoveTemp(dir); err != nil {
		return err
	}
	_, err := files.RemoveTemp()
	return err
}

package wal

import (
	"errors"
	"os"
	"sync/atomic"

	"opossum/dcb"
)

// ErrRewound is returned by Refresh when the log ends before what was already handed out. Only an owner that acknowledges
// before it syncs can cause that, or someone who puts an old copy in place.
var ErrRewound = errors.New("the log ends before what was already read")

// Known is what a reader is told by ledger.json, which must have been read before the call of Refresh.
type Known struct {
	// Durable is the highest position that it vouches for: the checkpoint, or the head of a clean close.
	Durable dcb.Position
	// Relaxed says that the owner acknowledges before it syncs. Then every intact frame is handed out.
	Relaxed bool
}

// Sink takes what a Reader hands out, in ascending order. An error of it ends Refresh, which returns it as it is.
type Sink struct {
	// Filed is told that the log no longer holds the positions from the next one up to upto: all of them must be filed.
	Filed func(upto dcb.Position) error
	// Frame is given a commit frame. It may begin before the next position and never behind it. Its body is valid during the
	// call only.
	Frame func(gen uint64, f Frame) error
}

// Reader follows a log that somebody else may be writing, trimming and recovering. It takes no lock, creates and changes nothing:
// it reads by own descriptors, which stay readable when their files are deleted.
//
// It hands out what is known to be durable, because what was once read must be there for ever, and a frame that is
// intact in memory may never reach the disk: what ledger.json and ACKED vouch for, what a later frame knew as durable,
// and everything before a link frame. Without an owner there may be nobody to vouch for the last frames, and ACKED, which
// is never synced, may be old after a power cut; so the first Refresh makes durable itself, by fdatasync on its own
// descriptor, what it finds intact.
//
// A torn tail is what has not been written yet. Damage in front of what is known to be durable is an error that Is
// ErrCorrupt, as in recovery.
//
// Refresh, Trim and Close are for one goroutine at a time. ReadAt and Live may be called by any, at any time.
type Reader struct {
	dir     string
	id      StoreID
	next    dcb.Position // of the next event to hand out
	durable dcb.Position // the highest known so far
	settled bool         // the first Refresh has succeeded
	buf     []byte
	sync    func(*os.File) error // settleOpen; tests make it fail

	gens atomic.Pointer[[]*followed] // in use, ascending; the last is where the log ends
}

// followed is a generation that is being read. It has been linked: the number of one that was not may be used again.
type followed struct {
	no   uint64
	file *os.File
	at   Scanned // behind the last frame that was handed out
}

// NewReader returns a reader of the log in dir that hands out the events from position next on. It opens nothing yet.
func NewReader(dir string, id StoreID, next dcb.Position) *Reader {
	r := &Reader{dir: dir, id: id, next: next, sync: settleOpen}
	r.gens.Store(new([]*followed))
	return r
}

// looks is how often the log is looked at before damage is believed: what looks like damage may be an owner at work, who
// deletes a generation between its being listed and opened. Each look sees a later state.
const looks = 32

// keptBytes is the largest buffer that is kept between refreshes.
const keptBytes = 1 << 20

// Refresh hands out everything that is durable, or acknowledged, at the time of the call and was not handed out yet.
//
// Errors: ErrCorrupt, for damage and for files that are missing; ErrRewound; those of the sink and of the file system. After any
// error but that of the sink Refresh may be called again.
func (r *Reader) Refresh(known Known, sink Sink) error {
	acked, err := readAckedBeside(func() ([]byte, error) { return readAckedBytes(r.dir) }, r.id)
	if err != nil {
		return err
	}
	r.durable = max(r.durable, known.Durable, acked.Position)
	for look := 1; ; look++ {
		sunk := false
		err := r.pass(known.Relaxed, sink.noting(&sunk))
		if cap(r.buf) > keptBytes {
			r.buf = nil
		}
		if sunk || look == looks || !errors.Is(err, dcb.ErrCorrupt) && !errors.Is(err, ErrRewound) {
			return err
		}
	}
}

// noting sets *failed when a function of the sink returns an error.
func (s Sink) noting(failed *bool) Sink {
	return Sink{
		Filed: func(upto dcb.Position) error {
			err := s.Filed(upto)
			*failed = err != nil
			return err
		},
		Frame: func(gen uint64, f Frame) error {
			err := s.Frame(gen, f)
			*failed = err != nil
			return err
		},
	}
}

// Next returns the position after the last one that was handed out. REQUIRES: no Refresh is running.
func (r *Reader) Next() dcb.Position { return r.next }

// Durable returns the highest position that was known to be durable at the last Refresh. REQUIRES: no Refresh is running.
func (r *Reader) Durable() dcb.Position { return r.durable }

// ReadAt fills b from the place p, which a frame that was handed out has named. Its errors are those of Log.ReadAt.
func (r *Reader) ReadAt(p Place, b []byte) error {
	g := r.find(p.Gen)
	if g == nil {
		return trimmed(p)
	}
	err := readPlace(g.file, p, b)
	if errors.Is(err, dcb.ErrClosed) && r.find(p.Gen) == nil {
		return trimmed(p) // while we looked
	}
	return err
}

// Path returns the file that p is in, for messages.
func (r *Reader) Path(p Place) string { return GenerationPath(r.dir, p.Gen) }

// Live returns the number of the oldest generation in use, and how many there are; 0 before the first Refresh.
func (r *Reader) Live() (first uint64, n int) {
	gens := *r.gens.Load()
	if len(gens) == 0 {
		return 0, 0
	}
	return gens[0].no, len(gens)
}

// Trim lets go of the generations of which everything that was handed out is filed at the checkpoint s. The last one stays.
func (r *Reader) Trim(s dcb.Position) error {
	gens := *r.gens.Load()
	var rest, gone []*followed
	for i, g := range gens {
		if i < len(gens)-1 && g.at.Next()-1 <= s {
			gone = append(gone, g)
		} else {
			rest = append(rest, g)
		}
	}
	if len(gone) == 0 {
		return nil
	}
	r.gens.Store(&rest)
	var errs []error
	for _, g := range gone {
		errs = append(errs, g.file.Close())
	}
	return errors.Join(errs...)
}

// Close releases the files.
func (r *Reader) Close() error {
	var errs []error
	for _, g := range *r.gens.Load() {
		errs = append(errs, g.file.Close())
	}
	return errors.Join(errs...)
}

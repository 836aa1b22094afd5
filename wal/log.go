package wal

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"opossum/dcb"
	"opossum/internal/step"
)

// DefaultRotateBytes is the size at which a generation is followed by the next. tidwall/wal keeps the whole tail in
// memory and grows that copy by a quarter at a time, so that each byte is copied some five times: with 32 MiB the page faults
// of ever new buffers took 13 % of an append's processor time, with 8 MiB the buffers are used again. Smaller generations
// would sync their successors more often than that saves.
const DefaultRotateBytes = 8 << 20

// MaxRotateBytes keeps every offset, up to the hard limit of a generation, within the 32 bits of Place.Off.
const MaxRotateBytes = 512 << 20

// hardRotateFactor times RotateBytes, and one frame, is how far a generation may grow while its successor cannot be built (say, for want
// of space): appends go on instead of failing for something that is not theirs.
const hardRotateFactor = 4

// A sync that makes a file longer commits the file system's journal as well; where frames overwrite what is already part of the file, it is one write and a flush, in
// half the time. So a generation that is built beforehand is filled with zeros to its full size (prewrite).
const (
	// leastPrewritten is the RotateBytes from which that is done: below it is not worth the syncs of its own.
	leastPrewritten = 1 << 20

	// prewritePiece is how much is written and synced at a time: so long may a sync of the appends have to wait for it.
	prewritePiece = 256 << 10

	// earlyFactor: a generation without such space (the first one, or the first since Open) is left as soon as it has this part of its
	// full size, so that a program that appends less than half of that writes no more than it appends.
	earlyFactor = 32
)

// ErrTrimmed is returned by ReadAt for a generation that was deleted because all of it is filed.
var ErrTrimmed = errors.New("the log generation was trimmed")

// Place says where in the log some bytes are.
type Place struct {
	Gen uint64
	Off uint32 // of the generation's file; generations are bounded far below 4 GiB
}

// Options of a Log; the zero value is the default.
type Options struct {
	RotateBytes int64 // 0: DefaultRotateBytes; at most MaxRotateBytes
	Logger      *slog.Logger
	Now         func() time.Time
	// Spare returns the bytes of free space that nobody lays claim to: what is written beforehand takes of that alone. nil: there is enough.
	Spare func() (uint64, error)
	// Fdatasync and Write stand in for the real calls in tests that make them fail. nil: the real ones.
	Fdatasync func(*os.File) error
	Write     func(real func() error) error
}

// Witness is the end of the log as a clean close records it: if the log ends exactly so, nothing happened since.
type Witness struct {
	Gen  uint64
	End  int64
	Sum  uint64
	Head dcb.Position
}

// Segment is a live generation of the log, found intact by recovery, which hands it to Open.
type Segment struct {
	Gen  uint64
	Last dcb.Position // of its events; its base - 1 if it has none
}

// Log is the open log. Append, Sync and Witness are for one goroutine at a time; ReadAt, Trim, Durable, FirstGeneration and
// Stats may be called by any, at any time until Close.
type Log struct {
	dir string
	id  StoreID
	opt Options

	w         frameWriter  // the current generation
	next      dcb.Position // of the next event
	syncedEnd int64        // how much of the current generation is durable
	acked     *os.File
	broken    error // the first error; final

	durable    atomic.Uint64
	anchored   atomic.Uint64 // the newest generation whose link frame is durable; those before it can be trimmed
	checkpoint atomic.Uint64 // newest, repeated in link frames
	flushes    flushes
	rotations  atomic.Uint64

	mu   sync.Mutex                    // for changes of gens
	gens atomic.Pointer[[]*generation] // live, ascending; the last is the current one

	successor  chan *frameWriter // the generation built beforehand
	preparing  atomic.Bool
	cramped    atomic.Bool // there was no space to write beforehand
	prepareAt  int64       // size of the current generation at which the next one is built
	closing    atomic.Bool // what is built now is not needed any more
	background sync.WaitGroup
}

// Open opens a log that recovery has found, or made, intact: the live generations in order, of which the last is
// continued after the end that w describes. REQUIRES: the caller holds the store's lock.
func Open(dir string, id StoreID, live []Segment, w Witness, lastNo uint64, opt Options) (*Log, error) {
	if opt.RotateBytes == 0 {
		opt.RotateBytes = DefaultRotateBytes
	}
	if opt.RotateBytes < 0 || opt.RotateBytes > MaxRotateBytes {
		return nil, fmt.Errorf("wal: open: RotateBytes %d: %w", opt.RotateBytes, dcb.ErrInvalidOption)
	}
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Spare == nil {
		opt.Spare = func() (uint64, error) { return math.MaxUint64, nil }
	}
	if opt.Fdatasync == nil {
		opt.Fdatasync = step.Datasync
	}
	if opt.Write == nil {
		opt.Write = func(real func() error) error { return real() }
	}
	l := &Log{dir: dir, id: id, opt: opt, next: w.Head + 1, syncedEnd: w.End, successor: make(chan *frameWriter, 1)}
	l.prepareAt = l.rotateAt() / 2
	l.flushes.init()
	l.durable.Store(uint64(w.Head))
	l.anchored.Store(w.Gen)
	if err := l.open(live, w, lastNo); err != nil {
		return nil, fmt.Errorf("wal: open: %w", err)
	}
	return l, nil
}

func (l *Log) open(live []Segment, w Witness, lastNo uint64) (err error) {
	var gens []*generation
	defer func() {
		if err != nil {
			err = errors.Join(err, closeAll(gens))
		}
	}()
	// Before tidwall/wal may touch anything: it would create what is missing.
	path := GenerationPath(l.dir, w.Gen)
	if fi, err := os.Stat(path); err != nil {
		return err
	} else if fi.Size() != w.End {
		return &dcb.CorruptError{File: path, Offset: w.End, Reason: fmt.Sprintf("the file has %d bytes where %d were verified", fi.Size(), w.End)}
	}
	for _, s := range live[:len(live)-1] {
		f, err := os.Open(GenerationPath(l.dir, s.Gen))
		if err != nil {
			return err
		}
		gens = append(gens, &generation{no: s.Gen, path: filepath.Join(l.dir, genName(s.Gen)), file: f, last: s.Last})
	}
	cur, err := openGeneration(filepath.Join(l.dir, genName(w.Gen)), w.Gen)
	if err != nil {
		return err
	}
	gens = append(gens, cur)
	// A pair assertion on the way back: tidwall must have understood the file as our scanner did.
	if last, err := cur.tail.LastIndex(); err != nil || last != lastNo {
		return fmt.Errorf("generation %d: tidwall/wal sees %d entries where %d were verified: %w", w.Gen, last, lastNo, errors.Join(err, dcb.ErrCorrupt))
	}
	l.acked, err = step.OpenFile(filepath.Join(l.dir, ackedFile), os.O_RDWR|os.O_CREATE, filePerm)
	if err != nil {
		return err
	}
	l.w = frameWriter{generation: cur, id: l.id, no: lastNo, sum: w.Sum, end: w.End}
	l.gens.Store(&gens)
	return nil
}

func closeAll(gens []*generation) error {
	var errs []error
	for _, g := range gens {
		errs = append(errs, g.close())
	}
	return errors.Join(errs...)
}

// Append writes one commit group as one frame with one write: count events from position first on, whose encoded
// bodies are concatenated. It returns the place of the body. Nothing is durable before Sync.
//
// An error is final: the file's end is unknown, and tidwall/wal may hold a phantom of the entry in memory, so every later
// Append and Sync returns the same error until the store is opened again.
//
// REQUIRES: first is the position after the last; the bodies together are at most MaxBodyBytes.
func (l *Log) Append(first dcb.Position, count uint32, bodies [][]byte) (Place, error) {
	if l.broken != nil {
		return Place{}, l.broken
	}
	p, err := l.append(first, count, bodies)
	if err != nil {
		l.broken = fmt.Errorf("wal: append: %w", err)
		l.flushes.failed(l.broken)
		return Place{}, l.broken
	}
	return p, nil
}

func (l *Log) append(first dcb.Position, count uint32, bodies [][]byte) (Place, error) {
	size := FrameHeaderBytes
	for _, b := range bodies {
		size += len(b)
	}
	if first != l.next || count == 0 || size > FrameHeaderBytes+MaxBodyBytes {
		return Place{}, fmt.Errorf("frame of %d events and %d bytes at position %d, where %d is next", count, size, first, l.next)
	}
	if err := l.makeRoom(int64(size)); err != nil {
		return Place{}, err
	}
	f := Frame{
		Kind: KindCommit, First: first, Count: count,
		// Filled in at the last moment: the more a frame knows to be durable, the more damage it can convict.
		Durable: dcb.Position(l.durable.Load()), DurableOff: uint64(l.syncedEnd),
	}
	if err := l.opt.Write(func() error { return l.w.write(f, bodies...) }); err != nil {
		return Place{}, err
	}
	l.next += dcb.Position(count)
	return Place{Gen: l.w.generation.no, Off: uint32(l.w.end - int64(size-FrameHeaderBytes))}, nil
}

// Sync makes everything appended durable with one fdatasync, and then notes so in ACKED. An error is final, as for Append:
// after a failed sync the kernel may have dropped the pages, so that a second sync would succeed and mean nothing.
func (l *Log) Sync() error {
	if l.broken != nil {
		return l.broken
	}
	if err := l.sync(); err != nil {
		l.broken = fmt.Errorf("wal: sync: %w", err)
		l.flushes.failed(l.broken)
	}
	return l.broken
}

func (l *Log) sync() error {
	end, last := l.w.end, l.next-1 // before the call: it covers no write that comes later
	start := time.Now()
	if err := l.opt.Fdatasync(l.w.file); err != nil {
		return err
	}
	l.flushes.note(uint64(last)-l.durable.Load(), uint64(end-l.syncedEnd), start, time.Now())
	l.syncedEnd = end
	l.anchored.Store(l.w.generation.no)
	l.durable.Store(uint64(last))
	a := Acked{Gen: l.w.generation.no, Offset: uint64(end), Position: last}
	return step.WriteAt(l.acked, a.encode(l.id), 0)
}

// makeRoom rotates if a frame of size bytes would make the generation too large, and sees to it that a successor is
// built in time.
func (l *Log) makeRoom(size int64) error {
	switch end := l.w.end + size; {
	case end > hardRotateFactor*l.opt.RotateBytes+MaxBodyBytes:
		l.prepare()
		l.background.Wait()
		select {
		case next := <-l.successor:
			return l.rotate(next)
		default:
			return fmt.Errorf("generation %d has %d bytes and its successor cannot be built", l.w.generation.no, l.w.end)
		}
	case end > l.rotateAt() && l.w.no > 2: // never rotate an empty generation
		select {
		case next := <-l.successor:
			return l.rotate(next)
		default:
		}
	}
	if l.w.end+size > l.prepareAt {
		l.prepare()
	}
	return nil
}

// rotateAt returns the size at which the current generation is left, if there is another.
func (l *Log) rotateAt() int64 {
	if l.w.prewritten == 0 && l.opt.RotateBytes >= leastPrewritten && !l.cramped.Load() {
		return l.opt.RotateBytes / earlyFactor
	}
	return l.opt.RotateBytes
}

// prepare starts building the next generation in the background, unless it is being built or was. Should that fail, it
// is tried again when the current generation has grown by another part.
func (l *Log) prepare() {
	if !l.preparing.CompareAndSwap(false, true) {
		return
	}
	l.prepareAt = l.w.end + l.opt.RotateBytes/4
	gen := l.w.generation.no + 1
	l.background.Go(func() {
		next, err := l.build(gen)
		if err != nil {
			l.opt.Logger.Warn("opossum: cannot build the next log generation", "generation", gen, "error", err)
			l.preparing.Store(false)
			return
		}
		l.successor <- next
	})
}

func (l *Log) build(gen uint64) (*frameWriter, error) {
	b, err := BuildGeneration(l.dir, l.id, gen, l.opt.Now(), nil, 0, nil)
	if err != nil {
		return nil, err
	}
	g, err := openGeneration(filepath.Join(l.dir, genName(gen)), gen)
	if err != nil { // the name must be free for the next attempt
		return nil, errors.Join(err, RemoveGeneration(l.dir, gen))
	}
	w := &frameWriter{generation: g, id: l.id, no: b.No, sum: b.Sum, end: b.End}
	if err := l.prewrite(w); err != nil {
		return nil, errors.Join(err, g.close(), RemoveGeneration(l.dir, gen))
	}
	return w, nil
}

// prewrite makes the file of a generation as long as it will be, with zeros, so that a sync of a frame need not commit a change of its length.
// tidwall/wal would take zeros for entries, but it has opened the file already and goes on writing where that ended; whoever opens it anew finds it
// cut back (Finish), or written anew (recovery). Want of space is no error: then the file stays as it is, and grows.
func (l *Log) prewrite(w *frameWriter) error {
	if l.opt.RotateBytes < leastPrewritten {
		return nil
	}
	zeros := make([]byte, prewritePiece)
	for off := w.end; off < l.opt.RotateBytes; {
		// As much again must stay: whoever takes the last of it fails the appends. Others on the same disk take of it meanwhile.
		spare, err := l.opt.Spare()
		l.cramped.Store(err != nil || spare < uint64(2*l.opt.RotateBytes-off))
		if l.cramped.Load() || l.closing.Load() {
			return giveBack(w)
		}
		n := min(prewritePiece-off%prewritePiece, l.opt.RotateBytes-off)
		err = step.WriteAt(w.file, zeros[:n], off)
		if err == nil {
			err = step.Do(step.KindSync, w.path, w.file.Sync) // not one that appends wait for, and told apart from those
		}
		if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
			l.cramped.Store(true)
			return giveBack(w)
		}
		if err != nil {
			return err
		}
		off += n
	}
	w.prewritten = l.opt.RotateBytes
	return nil
}

// giveBack cuts off what was written beforehand. Should a power cut undo that, it is room all the same.
func giveBack(w *frameWriter) error { return step.Truncate(w.file, w.end) }

// rotate goes on in the generation built beforehand. Only its link frame is written; it becomes durable with the group
// that follows.
func (l *Log) rotate(next *frameWriter) error {
	if l.syncedEnd != l.w.end { // relaxed flushing only: nothing may follow what is not durable
		if err := l.sync(); err != nil {
			return errors.Join(err, closeAll([]*generation{next.generation}))
		}
	}
	link := Link{
		Prev: l.w.generation.no, PrevEnd: uint64(l.w.end), PrevSum: l.w.sum,
		Checkpoint: dcb.Position(l.checkpoint.Load()),
	}
	if err := next.write(Frame{Kind: KindLink, First: l.next, Durable: l.next - 1}, link.encode()); err != nil {
		return errors.Join(err, closeAll([]*generation{next.generation}))
	}

	l.mu.Lock()
	old := l.w.generation
	old.last = l.next - 1
	tail := old.tail
	old.tail = nil
	gens := append(slices.Clone(*l.gens.Load()), next.generation)
	l.gens.Store(&gens)
	l.mu.Unlock()

	next.buf = l.w.buf
	l.w, l.syncedEnd = *next, 0
	l.preparing.Store(false)
	l.prepareAt = l.rotateAt() / 2
	l.rotations.Add(1)
	l.background.Go(func() { // everything in it is durable; closing only frees tidwall's copy in memory
		if err := closeTail(tail, old.path); err != nil {
			l.opt.Logger.Warn("opossum: closing a sealed log generation", "generation", old.no, "error", err)
		}
	})
	return nil
}

// ReadAt fills b from the place p. It returns an error that Is ErrTrimmed if the generation is gone: then
// everything in it is filed. After Close it returns ErrClosed, which says nothing of the kind.
func (l *Log) ReadAt(p Place, b []byte) error {
	for _, g := range *l.gens.Load() {
		if g.no != p.Gen {
			continue
		}
		err := readPlace(g.file, p, b)
		if errors.Is(err, dcb.ErrClosed) && g.no < l.FirstGeneration() {
			break // trimmed while we looked
		}
		return err
	}
	return trimmed(p)
}

func trimmed(p Place) error { return fmt.Errorf("wal: generation %d: %w", p.Gen, ErrTrimmed) }

// readPlace fills b from the place p, of which f is the generation.
func readPlace(f *os.File, p Place, b []byte) error {
	_, err := f.ReadAt(b, int64(p.Off))
	switch {
	case errors.Is(err, os.ErrClosed):
		return fmt.Errorf("wal: %w", dcb.ErrClosed)
	case errors.Is(err, io.EOF):
		return &dcb.CorruptError{File: f.Name(), Offset: int64(p.Off), Reason: fmt.Sprintf("the file ends within %d bytes that were written", len(b))}
	case err != nil:
		return fmt.Errorf("wal: read %d bytes at offset %d: %w", len(b), p.Off, err)
	}
	return nil
}

// Trim deletes the generations that end at or before the checkpoint s, oldest first, and returns how many it deleted.
// The current generation stays, and so does the one before it until the link frame that follows it is durable: a power
// cut could take that frame back, and leave a log without an end to go on from.
func (l *Log) Trim(s dcb.Position) (int, error) {
	l.checkpoint.Store(uint64(s))
	l.mu.Lock()
	defer l.mu.Unlock()
	gens := *l.gens.Load()
	n := 0
	for n < len(gens)-1 && gens[n].last <= s && gens[n+1].no <= l.anchored.Load() {
		n++
	}
	if n == 0 {
		return 0, nil
	}
	rest := slices.Clone(gens[n:])
	l.gens.Store(&rest)
	var errs []error
	for _, g := range gens[:n] {
		errs = append(errs, g.file.Close(), RemoveGeneration(l.dir, g.no))
	}
	return n, errors.Join(errs...)
}

// Durable returns the highest position known to be on the disk.
func (l *Log) Durable() dcb.Position { return dcb.Position(l.durable.Load()) }

// FirstGeneration returns the number of the oldest live generation: places in older ones are trimmed.
func (l *Log) FirstGeneration() uint64 { return (*l.gens.Load())[0].no }

// Finish cuts the file back to what is in it, durably, so that the log ends as its Witness says, and can be opened again as it is. The error says why that is
// not so, as when something written is not durable. REQUIRES: no Append or Sync is running, and none follows.
func (l *Log) Finish() error {
	if l.broken != nil {
		return l.broken
	}
	if l.syncedEnd != l.w.end {
		return fmt.Errorf("wal: %d of %d bytes of generation %d are durable", l.syncedEnd, l.w.end, l.w.generation.no)
	}
	if l.w.prewritten <= l.w.end {
		return nil
	}
	if err := errors.Join(step.Truncate(l.w.file, l.w.end), l.opt.Fdatasync(l.w.file)); err != nil {
		l.broken = fmt.Errorf("wal: finish: %w", err)
	}
	return l.broken
}

// Witness describes the end of the log. REQUIRES: no Append or Sync is running.
func (l *Log) Witness() Witness {
	return Witness{Gen: l.w.generation.no, End: l.w.end, Sum: l.w.sum, Head: l.next - 1}
}

// Close releases the files. It syncs nothing that anyone was promised: a caller that wants a clean end calls Sync first.
// A successor that was built but not needed is removed.
func (l *Log) Close() error {
	l.closing.Store(true)
	l.background.Wait()
	var errs []error
	select {
	case next := <-l.successor:
		errs = append(errs, closeAll([]*generation{next.generation}), RemoveGeneration(l.dir, next.generation.no))
	default:
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	errs = append(errs, closeAll(*l.gens.Load()), l.acked.Close())
	return errors.Join(errs...)
}

// Path returns the file that p is in, for messages.
func (l *Log) Path(p Place) string { return GenerationPath(l.dir, p.Gen) }

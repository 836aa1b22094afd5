package materializer

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"

	"opossum/dcb"
	"opossum/internal/codec"
	"opossum/internal/eventfile"
	"opossum/ledger"
	"opossum/wal"
)

// packedWeight: so many packed events weigh as much as one file when it is decided whether a checkpoint is due. A checkpoint makes the appends wait for its syncs, and under
// load one a second is enough: with 8 in the place of 64 the load was slower by a tenth.
const packedWeight = 64

// burst is a range of positions to be filed in one go. The events are few, so that appends get their turn soon.
type burst struct {
	from, to dcb.Position
	packed   bool         // into the pack of their shard, which is complete with its last position
	urgent   bool         // someone waits for files
	done     chan outcome // closed without a word if it failed
}

// outcome is how a burst went.
type outcome struct {
	took  time.Duration
	unfit bool // the shard cannot be packed, and nothing of it was filed: what of it is filed already cannot be read
}

// filed tells the checkpoint stage that everything up to a position is filed.
type filed struct {
	to     dcb.Position
	weight uint64 // of what was filed since the last one, in files
	bytes  uint64 // of it in the log
}

// filingAt is how far filing has come.
type filingAt struct {
	next  dcb.Position // the first one that is not filed
	shard dcb.Position // that is being packed; 0: none
	pack  dcb.Position // the next position that goes into its pack
	unfit dcb.Position // the last shard that could not be packed
}

// planBurst decides what is filed next, of what is durable: files, or a part of a pack if the backlog is as long as a shard. The pack then has the
// whole shard, and what of it stands in files already is removed later. If that cannot be read, the rest is filed in files, too. REQUIRES: at.next <= durable.
func planBurst(at filingAt, durable dcb.Position, packs bool, most burstSize) burst {
	shard := eventfile.ShardOf(at.next)
	if at.shard == 0 && packs && durable-at.next+1 >= eventfile.ShardPositions && shard != at.unfit {
		at.shard, at.pack = shard, shard
	}
	if at.shard != 0 {
		return burst{from: at.pack, to: min(at.pack+dcb.Position(most.packed)-1, lastOf(at.shard)), packed: true}
	}
	if packs {
		durable = min(durable, lastOf(shard)) // the next one is looked at anew
	}
	return burst{from: at.next, to: min(at.next+dcb.Position(most.files)-1, durable)}
}

func lastOf(shard dcb.Position) dcb.Position { return shard + eventfile.ShardPositions - 1 }

// after is how far filing has come with b, if it is fit for what was planned.
func (at filingAt) after(b burst, unfit bool) filingAt {
	shard := eventfile.ShardOf(b.from)
	switch {
	case unfit:
		return filingAt{next: at.next, unfit: shard}
	case b.packed && b.to < lastOf(shard):
		return filingAt{next: at.next, shard: shard, pack: b.to + 1, unfit: at.unfit}
	}
	return filingAt{next: b.to + 1, unfit: at.unfit}
}

// file is the second stage.
func (m *Materializer) file(ctx context.Context, in <-chan burst, out chan<- filed) (err error) {
	f := filer{m: m, records: records{m: m}, next: m.cfg.Ledger.Get(ledger.Materialized) + 1}
	defer func() { err = errors.Join(err, f.abandon()) }()
	for b := range in {
		start := time.Now()
		ready, err := f.burst(ctx, b)
		bad := unfitError{}
		if errors.As(err, &bad) {
			m.cfg.Logger.Warn("opossum: a shard is not packed, its events cannot be read", "error", bad.error)
			err = nil
		}
		if err != nil {
			close(b.done)
			return m.unlessStopped(err)
		}
		took := time.Since(start)
		m.pacer.spent(took)
		b.done <- outcome{took: took, unfit: bad.error != nil}
		if ready.to == 0 {
			continue
		}
		select {
		case out <- ready:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// filer files bursts. It is for one goroutine.
type filer struct {
	m       *Materializer
	records records
	packing *eventfile.Packing // of the shard whose pack is being written
	fresh   uint64             // events in it that are in no file
	bytes   uint64             // of those in the log
	next    dcb.Position       // the first one that is not filed
}

// burst files b. What is ready for a checkpoint it returns; a pack that is not complete is not.
func (f *filer) burst(ctx context.Context, b burst) (filed, error) {
	if b.packed {
		return f.pack(ctx, b)
	}
	bytes, err := f.files(ctx, b)
	if err != nil {
		return filed{}, err
	}
	n := uint64(b.to - b.from + 1)
	f.m.stats.files.Add(n)
	f.next = b.to + 1
	return filed{to: b.to, weight: n, bytes: bytes}, nil
}

// files writes the files of a burst, on all cores if someone waits for them.
func (f *filer) files(ctx context.Context, b burst) (bytes uint64, err error) {
	workers := 1
	if b.urgent {
		workers = min(runtime.GOMAXPROCS(0), int(b.to-b.from)/leastShareOfFiles+1)
	}
	if workers == 1 {
		return f.m.fileRange(ctx, &f.records, b.from, b.to)
	}
	sums := make([]uint64, workers)
	g, ctx := errgroup.WithContext(ctx)
	each := (b.to-b.from)/dcb.Position(workers) + 1
	for i := range workers {
		from := b.from + dcb.Position(i)*each
		g.Go(func() (err error) {
			sums[i], err = f.m.fileRange(ctx, &records{m: f.m}, from, min(from+each-1, b.to))
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return 0, err
	}
	for _, n := range sums {
		bytes += n
	}
	return bytes, nil
}

// leastShareOfFiles is for how many files another goroutine is worth it.
const leastShareOfFiles = 16

// fileRange writes the files of the positions from one to another.
func (m *Materializer) fileRange(ctx context.Context, from *records, first, last dcb.Position) (bytes uint64, err error) {
	var text []byte
	for p := first; p <= last; p++ {
		record, e, err := from.event(p, last)
		if err != nil {
			return 0, err
		}
		bytes += uint64(len(record))
		text = codec.AppendText(text[:0], dcb.SequencedEvent{Position: p, Event: e})
		if err := m.write(ctx, p, text); err != nil {
			return 0, err
		}
	}
	return bytes, nil
}

// write files one event. An error of the file system (no space, no descriptors, a directory that somebody made read-only)
// stalls filing until it passes: the event is safe in the log, and nothing that failed is believed.
func (m *Materializer) write(ctx context.Context, p dcb.Position, text []byte) error {
	return m.persist(ctx, filing, func() error { return m.cfg.Files.Write(p, text) })
}

// persist calls do until it succeeds, and stalls who meanwhile. It returns an error only when the materializer ends, or one that does not pass.
func (m *Materializer) persist(ctx context.Context, who stage, do func() error) error {
	for stalled := false; ; stalled = true {
		err := do()
		if err == nil {
			if stalled {
				m.goOn(who)
			}
			return nil
		}
		if lasting := (lastingError{}); errors.As(err, &lasting) {
			return lasting.error
		}
		if err := m.stall(ctx, who, err); err != nil {
			return err
		}
	}
}

// lastingError marks an error that is as true at the next attempt.
type lastingError struct{ error }

func (e lastingError) Unwrap() error { return e.error }

// unfitError marks that of reading a filed event whose shard was to be packed. It is no reason to end filing: what is new goes into files.
type unfitError struct{ error }

func (e unfitError) Unwrap() error { return e.error }

// pack writes a part of a pack. After an error of the file system the pack is begun anew.
func (f *filer) pack(ctx context.Context, b burst) (filed, error) {
	shard, from := eventfile.ShardOf(b.from), b.from
	err := f.m.persist(ctx, filing, func() error {
		err := f.add(shard, from, b.to)
		if err != nil {
			err = errors.Join(err, f.abandon())
			from = shard
		}
		return err
	})
	if err != nil || b.to < lastOf(shard) {
		return filed{}, err
	}
	f.m.stats.packs.Add(1)
	f.m.stats.packed.Add(eventfile.ShardPositions)
	return filed{to: b.to, weight: max(f.fresh/packedWeight, 1), bytes: f.bytes}, nil
}

// add adds the records of positions to the pack of a shard, which it begins and completes with the shard.
func (f *filer) add(shard, from, to dcb.Position) (err error) {
	if from == shard {
		f.fresh, f.bytes = 0, 0
		if f.packing, err = f.m.cfg.Files.Pack(shard); err != nil {
			return err
		}
	}
	for p := from; p <= to; p++ {
		rec, err := f.records.record(p, to)
		if err != nil {
			return lastingError{err}
		}
		if p >= f.next {
			f.fresh++
			f.bytes += uint64(len(rec))
		}
		if err := f.packing.Add(rec); err != nil {
			return err
		}
	}
	if to < lastOf(shard) {
		return nil
	}
	if err := f.packing.Commit(); err != nil {
		return err
	}
	f.packing, f.next = nil, to+1
	return nil
}

// abandon drops a pack that is not complete.
func (f *filer) abandon() error {
	if f.packing == nil {
		return nil
	}
	w := f.packing
	f.packing = nil
	return w.Abort()
}

// windowBytes is how much of the log is read at a time.
const windowBytes = 256 << 10

// records reads the records of the log, neighbours together. It is for one goroutine.
type records struct {
	m   *Materializer
	gen uint32 // of the window
	off uint32 // where the window begins
	buf []byte // the window
	rec []byte // a record that was encoded anew
}

// record returns the record of p, verified. Records up to ahead are read along. It is valid until the next call. An error of what is filed is an unfitError.
func (r *records) record(p, ahead dcb.Position) ([]byte, error) {
	rec, at, err := r.fromLog(p, ahead)
	if err == nil {
		err = r.m.damaged(at, p, codec.CheckRecord(rec, r.m.cfg.Seed, p))
	}
	if err != nil && p <= r.m.cfg.Ledger.Get(ledger.Materialized) { // trimmed, or damaged where nobody needs the log any more
		return r.fromFile(p)
	}
	return rec, err
}

// event returns the event of p, and its record.
func (r *records) event(p, ahead dcb.Position) ([]byte, dcb.Event, error) {
	rec, at, err := r.fromLog(p, ahead)
	if err != nil {
		return nil, dcb.Event{}, err
	}
	e, err := codec.DecodeRecord(rec, r.m.cfg.Seed, p)
	return rec, e, r.m.damaged(at, p, err)
}

// damaged says where an event is damaged, if err is not nil.
func (m *Materializer) damaged(at wal.Place, p dcb.Position, err error) error {
	if err == nil {
		return nil
	}
	return &dcb.CorruptError{File: m.cfg.Log.Path(at), Offset: int64(at.Off), Reason: fmt.Sprintf("position %d: %v", p, err)}
}

// fromLog returns the record of p as the log has it, and its place. The error Is wal.ErrTrimmed if the event is filed and the log has it no more.
func (r *records) fromLog(p, ahead dcb.Position) ([]byte, wal.Place, error) {
	at, ok := r.m.cfg.Places.Get(p)
	if !ok {
		if p <= r.m.cfg.Ledger.Get(ledger.Materialized) {
			return nil, wal.Place{}, wal.ErrTrimmed
		}
		return nil, wal.Place{}, fmt.Errorf("materializer: the place of position %d in the log is not known", p)
	}
	place := wal.Place{Gen: uint64(at.Gen), Off: at.Off}
	if at.Gen != r.gen || at.Off < r.off || uint64(at.Off)+uint64(at.Len) > uint64(r.off)+uint64(len(r.buf)) {
		end := at.Off + at.Len
		for next := p + 1; next <= ahead; next++ {
			n, ok := r.m.cfg.Places.Get(next)
			if !ok || n.Gen != at.Gen || n.Off < end || n.Off+n.Len-at.Off > windowBytes {
				break
			}
			end = n.Off + n.Len
		}
		if size := int(end - at.Off); size > cap(r.buf) {
			r.buf = make([]byte, size)
		} else {
			r.buf = r.buf[:size]
		}
		r.gen, r.off = at.Gen, at.Off
		if err := r.m.cfg.Log.ReadAt(place, r.buf); err != nil {
			r.buf = r.buf[:0]
			return nil, place, fmt.Errorf("materializer: position %d: %w", p, err)
		}
	}
	i := at.Off - r.off
	return r.buf[i : i+at.Len], place, nil
}

// fromFile returns the record of a filed event.
func (r *records) fromFile(p dcb.Position) ([]byte, error) {
	ev, err := r.m.cfg.Files.Read(p)
	if err != nil {
		return nil, unfitError{fmt.Errorf("materializer: %w", err)}
	}
	r.rec = codec.AppendRecord(r.rec[:0], ev.Event)
	codec.Stamp(r.rec, r.m.cfg.Seed, p)
	return r.rec, nil
}

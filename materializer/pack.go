package materializer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"syscall"
	"time"

	"opossum/dcb"
	"opossum/internal/codec"
	"opossum/internal/eventfile"
	"opossum/ledger"
)

const (
	// tidyChunk is how many events packing in idle time takes in one go: some milliseconds.
	tidyChunk = 64

	// tidyShare of the time at most goes to it when nothing is appended, so that it is hardly noticed. While appends are busy it waits, and looks again
	// after tidyWait.
	tidyShare = 0.5
	tidyWait  = 50 * time.Millisecond

	// shardBytes is what a pack may take at most, for all that is known beforehand: as much as the files of its events.
	shardBytes = eventfile.ShardPositions * 4096
)

// pack is the stage beside the others that packs what is older than the newest events, in idle time, and removes the files of what is packed. An error costs space, not
// safety: it is logged, and tried again after the next checkpoint.
func (m *Materializer) pack(ctx context.Context) error {
	ctx, cancel := m.untilStop(ctx)
	defer cancel()
	pace := newPacer(m.cfg.Busy)
	poke(m.tidy) // what was left by the last owner
	past := make(map[dcb.Position]struct{})
	for failing := false; ; {
		select {
		case <-m.tidy:
		case <-ctx.Done():
			return m.unlessStopped(ctx.Err())
		}
		err := m.packOld(ctx, past, func(took time.Duration) { m.yield(ctx, &pace, took) })
		if lasting := (lastingError{}); errors.As(err, &lasting) {
			return m.unlessStopped(err)
		}
		if ctx.Err() != nil || m.ending() != nil {
			continue
		}
		if err != nil && !failing {
			m.cfg.Logger.Warn("opossum: cannot pack event files", "error", err)
		}
		failing = err != nil
	}
}

// yield leaves the machine to others after some work in idle time, and waits as long as appends are busy, unless somebody waits for what is being packed.
func (m *Materializer) yield(ctx context.Context, p *pacer, took time.Duration) {
	for rest := time.Duration(float64(took) * (1 - tidyShare) / tidyShare); m.asked.Load() == 0; rest = tidyWait {
		m.sleep(ctx, rest)
		if p.load() < quiet || ctx.Err() != nil {
			return
		}
	}
}

func (m *Materializer) sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// packOld packs the whole shards that are older than the newest LooseEvents, the oldest first. Those that it has seen to it notes in past, and passes over: they are
// done, though a directory in which somebody has put something stays, or cannot be read, which is so the next time as well.
func (m *Materializer) packOld(ctx context.Context, past map[dcb.Position]struct{}, yield func(time.Duration)) error {
	if m.cfg.LooseEvents == KeepLoose {
		return nil
	}
	for {
		shard, err := m.oldest(uint64(m.cfg.LooseEvents), past)
		if err != nil || shard == 0 {
			return err
		}
		err = m.packShard(ctx, shard, yield)
		if errors.Is(err, dcb.ErrCorrupt) || errors.Is(err, syscall.EIO) {
			m.cfg.Logger.Warn("opossum: a shard is not packed, its events cannot be read", "error", err)
			err = nil
		}
		if err != nil {
			return err
		}
		past[shard] = struct{}{}
	}
}

// oldest returns the first shard, but those in past, whose files can be packed or, if it is packed, removed, so that so many events stay loose; 0 if there is none.
func (m *Materializer) oldest(loose uint64, past map[dcb.Position]struct{}) (dcb.Position, error) {
	shards, err := m.cfg.Files.LooseShards()
	if err != nil {
		return 0, err
	}
	s := m.cfg.Ledger.Get(ledger.Materialized)
	for _, shard := range shards {
		if lastOf(shard) > s {
			break
		}
		if _, ok := past[shard]; ok {
			continue
		}
		if m.cfg.Files.Packed(shard) || uint64(s-lastOf(shard)) >= loose {
			return shard, nil
		}
	}
	return 0, nil
}

// packShard brings a filed shard into a pack, and removes its files. One order: write, sync, delete. A pack that is there already, since it was written with the
// backlog, is verified first, because only then can the files go. One of an owner who died is written again: what the system could not write of it, it may have told nobody,
// and what is read of it may never have left memory. REQUIRES: the shard is checkpointed.
func (m *Materializer) packShard(ctx context.Context, shard dcb.Position, yield func(time.Duration)) error {
	release, err := m.takeShards(ctx)
	if err != nil {
		return err
	}
	defer release()
	packed := m.cfg.Files.PackedHere(shard)
	if packed {
		err := m.cfg.Files.VerifyPack(ctx, shard)
		if err != nil && !errors.Is(err, dcb.ErrCorrupt) {
			return err
		}
		if packed = err == nil; !packed {
			m.cfg.Logger.Warn("opossum: a damaged pack is written again from its event files", "error", err)
		}
	}
	loose, err := m.cfg.Files.HasLoose(shard)
	if err != nil {
		return err
	}
	if !packed && (loose || !m.cfg.Files.Packed(shard)) {
		if err := m.writePack(ctx, shard, yield); err != nil {
			return err
		}
	}
	if err := m.cfg.Files.Sync(); err != nil {
		return lastingError{fmt.Errorf("materializer: sync a pack: %w", err)}
	}
	return m.removeFiles(ctx, shard, yield)
}

// takeShards waits until nobody else packs or unpacks, and returns what lets the next one do so. After Stop, which waits for whoever has the shards, nobody gets them.
func (m *Materializer) takeShards(ctx context.Context) (release func(), err error) {
	select {
	case m.shards <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	release = func() { <-m.shards }
	if err := cmp.Or(ctx.Err(), m.ending()); err != nil {
		release()
		return nil, err
	}
	return release, nil
}

// ending returns ErrClosed after Stop.
func (m *Materializer) ending() error {
	select {
	case <-m.stop:
		return dcb.ErrClosed
	default:
		return nil
	}
}

// writePack writes the pack of a filed shard from its event files. It replaces a damaged one only when it is complete.
func (m *Materializer) writePack(ctx context.Context, shard dcb.Position, yield func(time.Duration)) (err error) {
	if err := m.room("pack", shard); err != nil {
		return err
	}
	w, err := m.cfg.Files.Pack(shard)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Abort()) }()
	var rec []byte
	err = m.chunks(ctx, shard, yield, func(p dcb.Position) error {
		ev, err := m.filed(p)
		if err != nil {
			return err
		}
		rec = codec.AppendRecord(rec[:0], ev.Event)
		codec.Stamp(rec, m.cfg.Seed, p)
		return w.Add(rec)
	})
	if err != nil {
		return fmt.Errorf("materializer: pack positions %d to %d: %w", shard, lastOf(shard), err)
	}
	if err := w.Commit(); err != nil {
		return err
	}
	m.stats.packs.Add(1)
	m.stats.packed.Add(eventfile.ShardPositions)
	return nil
}

// room returns an error that Is ErrDiskFull unless there is room for a shard a second time, which nobody lays claim to.
func (m *Materializer) room(what string, shard dcb.Position) error {
	spare, err := m.cfg.Spare()
	if err == nil && spare < shardBytes {
		err = fmt.Errorf("%w: up to %d bytes wanted, %d to spare", dcb.ErrDiskFull, shardBytes, spare)
	}
	if err != nil {
		return fmt.Errorf("materializer: %s positions %d to %d: %w", what, shard, lastOf(shard), err)
	}
	return nil
}

// filed returns the event at p, which was filed: that there is none is damage.
func (m *Materializer) filed(p dcb.Position) (dcb.SequencedEvent, error) {
	ev, err := m.cfg.Files.Read(p)
	if errors.Is(err, fs.ErrNotExist) {
		err = &dcb.CorruptError{File: m.cfg.Files.Home(p), Reason: fmt.Sprintf("position %d is missing", p)}
	}
	return ev, err
}

// removeFiles removes the files of a packed shard. REQUIRES: the pack is durable, and whole.
func (m *Materializer) removeFiles(ctx context.Context, shard dcb.Position, yield func(time.Duration)) error {
	return m.chunks(ctx, shard, yield, func(p dcb.Position) error { return m.cfg.Files.RemoveLoose(p, p) })
}

// chunks calls do for all positions of a shard, a chunk at a time: in between it yields, and Pause is heard.
func (m *Materializer) chunks(ctx context.Context, shard dcb.Position, yield func(time.Duration), do func(dcb.Position) error) error {
	for first := shard; first <= lastOf(shard); first += tidyChunk {
		select {
		case m.turn <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
		start := time.Now()
		err := error(nil)
		for p := first; p < first+tidyChunk && p <= lastOf(shard) && err == nil; p++ {
			err = do(p)
		}
		<-m.turn
		if err == nil {
			yield(time.Since(start))
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Pack packs every whole shard that is checkpointed, whatever LooseEvents says, and does not step aside for appends. progress, if set, is told of packed events. The
// error Is ErrDiskFull, ErrCorrupt, ctx's, that of the file system, or ErrClosed if the materializer ends. Damage keeps no other shard from being packed.
// REQUIRES: LooseEvents is not KeepLoose.
func (m *Materializer) Pack(ctx context.Context, progress func(done, total uint64)) error {
	return m.eachShard(ctx, progress, func() ([]dcb.Position, error) {
		var todo []dcb.Position
		shards, err := m.cfg.Files.LooseShards()
		for _, shard := range shards {
			if lastOf(shard) <= m.cfg.Ledger.Get(ledger.Materialized) {
				todo = append(todo, shard)
			}
		}
		return todo, err
	}, m.packShard)
}

// Unpack turns all packs back into event files; the newest, if a crash has left it above the checkpoint, when its events are filed. The errors are those of Pack.
// REQUIRES: LooseEvents is KeepLoose.
func (m *Materializer) Unpack(ctx context.Context, progress func(done, total uint64)) error {
	return m.eachShard(ctx, progress, func() ([]dcb.Position, error) {
		durable := m.cfg.Ledger.Get(ledger.Durable)
		return slices.DeleteFunc(m.cfg.Files.PackedShards(), func(shard dcb.Position) bool { return lastOf(shard) > durable }), nil
	}, m.unpackShard)
}

// eachShard does something with each shard of a list.
func (m *Materializer) eachShard(
	ctx context.Context, progress func(done, total uint64), list func() ([]dcb.Position, error),
	do func(context.Context, dcb.Position, func(time.Duration)) error,
) error {
	m.asked.Add(1)
	defer m.asked.Add(-1)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(m.ctx, func() { cancel(dcb.ErrClosed) })()
	go func() {
		select {
		case <-m.stop:
			cancel(dcb.ErrClosed)
		case <-ctx.Done():
		}
	}()
	todo, err := list()
	if err != nil {
		return err
	}
	total := uint64(len(todo)) * eventfile.ShardPositions
	damage := error(nil)
	for i, shard := range todo {
		if progress != nil {
			progress(uint64(i)*eventfile.ShardPositions, total)
		}
		err := do(ctx, shard, func(time.Duration) {})
		lasting := lastingError{}
		switch cause := context.Cause(ctx); {
		case err == nil:
		case errors.As(err, &lasting):
			m.cfg.Failed(lasting.error)
			return lasting.error
		case cause != nil:
			return cause
		case errors.Is(err, dcb.ErrCorrupt):
			damage = cmp.Or(damage, err)
		case outOfSpace(err):
			return fmt.Errorf("%w: %w", dcb.ErrDiskFull, err)
		default:
			return err
		}
	}
	if progress != nil {
		progress(total, total)
	}
	return damage
}

// unpackShard writes the files of a packed shard, and removes the pack. One order: write, sync, delete.
func (m *Materializer) unpackShard(ctx context.Context, shard dcb.Position, yield func(time.Duration)) error {
	if err := m.Wait(ctx, lastOf(shard)); err != nil {
		return err
	}
	release, err := m.takeShards(ctx)
	if err != nil {
		return err
	}
	defer release()
	if err := m.room("unpack", shard); err != nil {
		return err
	}
	var text []byte
	err = m.chunks(ctx, shard, yield, func(p dcb.Position) error {
		ev, err := m.filed(p)
		if err != nil {
			return err
		}
		text = codec.AppendText(text[:0], ev)
		return m.cfg.Files.Write(p, text)
	})
	if err != nil {
		return err
	}
	if err := m.cfg.Files.Sync(); err != nil {
		return lastingError{fmt.Errorf("materializer: sync event files: %w", err)}
	}
	return m.cfg.Files.RemovePack(shard)
}

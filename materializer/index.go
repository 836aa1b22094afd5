package materializer

import (
	"context"
	"errors"

	"opossum/dcb"
	"opossum/ledger"
)

// Tend wakes the index stage: a memory part is full.
func (m *Materializer) Tend() { poke(m.tend) }

// Mend wakes the upkeep stage: a segment is damaged.
func (m *Materializer) Mend() { poke(m.mend) }

// index is the stage beside the others that bounds the memory of the index: it seals what is full, at the pace of the appends and
// whether or not the event files have caught up.
func (m *Materializer) index(ctx context.Context) error {
	ctx, cancel := m.untilStop(ctx)
	defer cancel()
	for {
		select {
		case <-m.tend:
			if err := m.sealFull(ctx); err != nil {
				return m.unlessStopped(err)
			}
		case <-ctx.Done():
			return m.unlessStopped(ctx.Err())
		}
	}
}

// upkeep is the stage that merges segments, and rebuilds those that turn out to be damaged. Either takes as long as the segments are
// large, and sealing must not wait for it: appends would.
func (m *Materializer) upkeep(ctx context.Context) error {
	ctx, cancel := m.untilStop(ctx)
	defer cancel()
	again := false // something is damaged, and what kept it from being rebuilt may pass
	for {
		select {
		case <-m.sealed:
			m.merge(ctx)
			if again {
				again = m.rebuild(ctx)
			}
		case <-m.mend:
			again = m.rebuild(ctx)
		case <-ctx.Done():
			return m.unlessStopped(ctx.Err())
		}
	}
}

// sealFull seals the complete memory parts, once they are durable.
func (m *Materializer) sealFull(ctx context.Context) error {
	for end := m.cfg.Index.Full(); end > 0; end = m.cfg.Index.Full() {
		if err := m.cfg.Ledger.Wait(ctx, ledger.Visible, end); err != nil {
			return err
		}
		if err := m.cfg.Sync(ctx); err != nil { // nothing to do unless flushing is relaxed
			return err
		}
		if err := m.seal(ctx, end, indexing); err != nil {
			return err
		}
	}
	return nil
}

// seal makes the index of everything up to p durable. Errors stall it until they pass: each attempt is a new file, which is as
// good as the first. REQUIRES: p is durable.
func (m *Materializer) seal(ctx context.Context, p dcb.Position, who stage) error {
	for stalled := false; ; stalled = true {
		err := m.cfg.Index.Seal(p)
		if err == nil {
			if stalled {
				m.goOn(who)
			}
			break
		}
		if err := m.stall(ctx, who, err); err != nil {
			return err
		}
	}
	m.base.Lock()
	if base := m.cfg.Index.Base(); base > m.cfg.Ledger.Get(ledger.Indexed) {
		m.cfg.Ledger.Advance(ledger.Indexed, base)
	}
	m.base.Unlock()
	m.cfg.Sealed()
	poke(m.sealed)
	return nil
}

// merge merges as long as there is something to merge. A failure costs speed, not safety: it is logged, and tried again after the next seal.
func (m *Materializer) merge(ctx context.Context) {
	for merged := true; merged; {
		var err error
		if merged, err = m.cfg.Index.Merge(ctx); err != nil && ctx.Err() == nil {
			m.cfg.Logger.Warn("opossum: cannot merge index segments", "error", err)
		}
	}
}

// rebuild replaces damaged segments. If it cannot, those who read them go on to get the error that names the damage. again says that it
// is worth another attempt, after the next seal: the events are there.
func (m *Materializer) rebuild(ctx context.Context) (again bool) {
	ranges, err := m.cfg.Index.Rebuild(ctx, m.cfg.Fetch)
	for _, r := range ranges {
		m.cfg.Logger.Warn("opossum: a damaged index segment was built anew", "first", r.First, "last", r.Last)
	}
	if err != nil && ctx.Err() == nil {
		m.cfg.Logger.Error("opossum: cannot rebuild a damaged index segment", "error", err)
	}
	return err != nil && !errors.Is(err, dcb.ErrCorrupt)
}

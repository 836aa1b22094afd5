package sequencer

import (
	"fmt"
	"runtime"
	"time"

	"opossum/dcb"
	"opossum/ledger"
)

// run is the committer: group after group, each with one write and one sync.
func (s *Sequencer) run() {
	defer close(s.done)
	for {
		g := s.take()
		if g == nil {
			return
		}
		if err := s.commit(g); err != nil {
			s.Poison(err)
			g.err = fmt.Errorf("%w: %w", dcb.ErrOutcomeUnknown, err)
		}
		s.party = s.waiting.Load() + int64(len(g.bodies)) // before anyone comes back and is counted twice
		close(g.done)
		s.gate.committed(g.bytes, time.Now())
	}
}

// commit writes a group, syncs it, and publishes it; a relaxed policy publishes most groups before a sync. After an error no later group is written: the log
// refuses.
//
// The committer syncs itself, in relaxed policies too: while it does, nothing is acknowledged, so a slow disk stretches no window in which acknowledged
// events can be lost. (A sync in the background would let appends go on meanwhile, and then needs a bound on how far; that bound is what Every and
// Interval are.)
func (s *Sequencer) commit(g *group) error {
	start := time.Now()
	s.syncStart.Store(start.UnixNano())
	defer func() {
		s.syncStart.Store(0)
		s.busy.Add(int64(time.Since(start)))
	}()
	if g.syncOnly {
		if s.cfg.Log.Durable() < s.cfg.Ledger.Get(ledger.Visible) { // else somebody else's sync has done it
			if err := s.cfg.Log.Sync(); err != nil {
				return err
			}
		}
		s.cfg.Ledger.Advance(ledger.Durable, s.cfg.Log.Durable())
		return nil
	}
	at, err := s.cfg.Log.Append(g.first, g.count, g.bodies)
	if err != nil {
		return err
	}
	last := g.first + dcb.Position(g.count) - 1
	if s.cfg.Log.Durable() == g.first-1 {
		s.unsynced = start
	}
	age := time.Duration(0)
	if s.cfg.Flush.Relaxed() { // who syncs each group need not look at the clock
		age = time.Since(s.unsynced)
	}
	if s.cfg.Flush.due(uint64(last-s.cfg.Log.Durable()), age) || s.Held() {
		if err := s.cfg.Log.Sync(); err != nil {
			return err
		}
	}
	g.setPlaces(s.cfg.Places, at)
	s.cfg.Ledger.Advance(ledger.Visible, last)
	s.cfg.Ledger.Advance(ledger.Durable, s.cfg.Log.Durable())
	now := time.Now()
	s.stats.committed(g)
	s.ages.note(last, s.cfg.Ledger.Get(ledger.Materialized), now)
	return nil
}

// take returns the oldest group, waiting for one; nil when the sequencer has ended and nothing is left. If what is written must be synced before one
// comes, it returns a group that only asks for that.
func (s *Sequencer) take() *group {
	s.gather()
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.mu.groups) == 0 {
		if s.mu.ended != nil {
			return nil
		}
		s.mu.idle, s.mu.idleSince = true, time.Now()
		s.mu.Unlock()
		woken := s.sleep()
		s.mu.Lock()
		s.mu.rested += time.Since(s.mu.idleSince)
		s.mu.idleSince = time.Time{}
		if woken {
			continue
		}
		if !s.mu.idle { // somebody was about to wake it
			<-s.wake
			continue
		}
		s.mu.idle = false
		return &group{syncOnly: true, done: make(chan struct{})}
	}
	g := s.mu.groups[0]
	s.waiting.Add(-int64(len(g.bodies)))
	s.mu.groups[0] = nil
	s.mu.groups = s.mu.groups[1:]
	return g
}

// sleep returns true when the committer was woken, false when what is written has to be synced.
func (s *Sequencer) sleep() (woken bool) {
	if !s.cfg.Flush.Relaxed() || s.cfg.Flush.Interval == Never || s.cfg.Log.Durable() == s.cfg.Ledger.Get(ledger.Visible) {
		<-s.wake
		return true
	}
	timer := time.NewTimer(s.cfg.Flush.Interval - time.Since(s.unsynced))
	defer timer.Stop()
	select {
	case <-s.wake:
		return true
	case <-timer.C:
		return false
	}
}

// gather lets the callers that were just answered come back with their next append before the next group is taken.
//
// There is no timer in it, unless the policy has a group wait. Taking at once what has queued up makes groups of half the writers, because the other half is
// only now waking up; yielding the processor lets them stage first. It stops when a group is large enough that a larger
// one gains less by a saved sync than it loses by leaving the disk idle meanwhile. For a lonely writer it costs nothing:
// nobody else is there to run. (Waiting for as many as the last group had, or with a patience that adapts to who comes back,
// measured no better.)
func (s *Sequencer) gather() {
	if s.cfg.Flush.Alone {
		return
	}
	for range gatherYields {
		if s.waiting.Load() >= gatherEnough {
			return
		}
		runtime.Gosched()
	}
	if s.cfg.Flush.GroupWait > 0 {
		s.wait(s.cfg.Flush.GroupWait)
	}
}

// wait waits until those who were answered with the group before have come back, at most for d. Where a sync takes ten times as long, those who come
// too late for a group wait for a whole sync more, and two halves take turns for ever. A writer who is alone is not waited for, but once when
// others have just gone: nobody would share his sync.
func (s *Sequencer) wait(d time.Duration) {
	if s.party < 2 || s.cfg.Flush.Relaxed() {
		return
	}
	select {
	case <-s.came: // of a wait before, which was over by then
	default:
	}
	s.expected.Store(s.party)
	defer s.expected.Store(0)
	if s.waiting.Load() >= s.party || s.ended() != nil {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-s.came:
	case <-timer.C:
	}
}

// tell puts something into a channel that has room for one.
func tell(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Found by measuring 16 to 1,024 writers on two processors: fewer yields make smaller groups below 128 writers, a higher
// bound makes larger but slower ones above.
const (
	gatherYields = 4
	gatherEnough = 128
)

// Busy returns how long the committer has had something to do since the start: what it leaves is for filing. That is more than its writes and syncs: where many
// append at once the processors are what is scarce, and it waits for those who are about to.
func (s *Sequencer) Busy() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	busy := now.Sub(s.begun) - s.mu.rested
	if !s.mu.idleSince.IsZero() {
		busy -= now.Sub(s.mu.idleSince)
	}
	return busy
}

// Stalled returns for how long the running write and sync has been going on, 0 if none is.
func (s *Sequencer) Stalled(now time.Time) time.Duration {
	start := s.syncStart.Load()
	if start == 0 {
		return 0
	}
	return now.Sub(time.Unix(0, start))
}
